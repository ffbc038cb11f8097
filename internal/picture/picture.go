// Package picture draws the picture of the whole fleet at one moment from what is known of its accounts: why messages
// wait, how much of the limit is used, and which free tokens nobody takes, and why. It is pure.
//
// It promises that every parked message and every token of an account with parked messages is in exactly one place.
package picture

import "time"

// Reason says why a parked message waits, or a free token is not taken.
type Reason string

// The reasons, the widest first: of several that hold, the first stands.
const (
	Frozen    Reason = "frozen"      // the database failed over: the whole fleet rests
	Switch    Reason = "switch"      // sends_enabled is off
	Campaign  Reason = "campaign"    // the campaign does not run
	Quiet     Reason = "quiet_hours" // of the account
	Rest      Reason = "rest"        // the gateway asked for it, or one message probes after it
	Schedule  Reason = "schedule"    // not before its time
	Retry     Reason = "retry"       // the pause after a try that was not sent
	Recipient Reason = "recipient"   // the recipient's own limit
	Token     Reason = "token"       // no token is free
	Turn      Reason = "turn"        // nothing is in the way: it is being looked at
	NoMessage Reason = "no_message"  // of tokens only: there are more of them than messages
)

// Parked are messages of an account in one campaign that wait for the same.
type Parked struct {
	Held   bool   // their campaign does not run
	Why    Reason // Schedule, Retry, Recipient; empty: their time has come
	Number int64
	Since  time.Time // when the one that can go for longest could
}

// Account is an account with parked messages.
type Account struct {
	Stopped bool // by the switch
	Quiet   bool
	Resting bool
	Parked  []Parked
	Limited bool
	Allowed int       // tokens of its scarcest rule
	Used    int       // of them; more than are allowed for a while after the rule was lowered
	Free    time.Time // since when its longest free token is free; zero: always
}

// Picture is the fleet at one moment.
type Picture struct {
	Waiting     map[Reason]int64
	Idle        map[Reason]int64 // tokens
	Allowed     int64
	Used        int64
	Accounts    int64
	LongestTurn time.Duration // for which a due message and a free token were there together, at worst
}

// Draw draws the picture. A frozen fleet sends nothing at all.
func Draw(accounts []Account, frozen bool, now time.Time) Picture {
	p := Picture{Waiting: map[Reason]int64{}, Idle: map[Reason]int64{}, Accounts: int64(len(accounts))}
	for _, a := range accounts {
		p.add(a, frozen, now)
	}
	return p
}

func (p *Picture) add(a Account, frozen bool, now time.Time) {
	used := min(a.Used, a.Allowed)
	free := int64(a.Allowed - used)
	p.Allowed, p.Used = p.Allowed+int64(a.Allowed), p.Used+int64(used)
	whole := a.whole(frozen)
	taken := free
	if !a.Limited {
		taken = 1 << 62
	}
	for _, m := range a.sorted() {
		reason := m.reason(whole)
		if reason != Turn {
			p.Waiting[reason] += m.Number
			idle := min(free, m.Number)
			p.Idle[reason], free = p.Idle[reason]+idle, free-idle
			continue
		}
		going := min(taken, m.Number)
		taken -= going
		p.Waiting[Turn] += going
		p.Waiting[Token] += m.Number - going
		if a.Limited {
			p.Idle[Turn], free = p.Idle[Turn]+going, free-going
		}
		if going > 0 {
			since := m.Since
			if a.Free.After(since) {
				since = a.Free
			}
			p.LongestTurn = max(p.LongestTurn, now.Sub(since))
		}
	}
	p.Idle[NoMessage] += free
}

// whole is the reason for which the whole account sends nothing; empty: there is none.
func (a Account) whole(frozen bool) Reason {
	switch {
	case frozen:
		return Frozen
	case a.Stopped:
		return Switch
	case a.Quiet:
		return Quiet
	case a.Resting:
		return Rest
	}
	return ""
}

// sorted are the messages, those first whose turn it could be: they have the first claim on the free tokens.
func (a Account) sorted() []Parked {
	var first, last []Parked
	for _, m := range a.Parked {
		if m.reason("") == Turn {
			first = append(first, m)
		} else {
			last = append(last, m)
		}
	}
	return append(first, last...)
}

func (m Parked) reason(whole Reason) Reason {
	switch {
	case whole == Frozen || whole == Switch:
		return whole
	case m.Held:
		return Campaign
	case whole != "":
		return whole
	case m.Why != "":
		return m.Why
	}
	return Turn
}
