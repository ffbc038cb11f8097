package devstack

import (
	"slices"
	"strconv"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/devstack/screen"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func (w *watcher) arrival(a gatewaysim.Arrival) screen.Arrival {
	shown := screen.Arrival{At: a.At, Account: a.UserID, Recipient: a.RecipientID, Content: a.Content,
		Took: w.stack.gateway.calls.of(callKey(a.ClientRef, strconv.Itoa(a.Attempt)))}
	switch {
	case a.Outcome != gatewaysim.Accepted:
		shown.Outcome = string(a.Outcome)
	case a.Fault == gatewaysim.LostReply:
		shown.Outcome = "taken, but the reply was lost"
	case a.Fault != "":
		shown.Outcome = "taken, then " + string(a.Fault)
	}
	return shown
}

// snapshot is what there is to show now.
func (w *watcher) snapshot(sendHow string) screen.Snapshot {
	now := time.Now()
	s := screen.Snapshot{
		Now: now, Since: w.stack.startedAt, Workers: len(w.stack.fleet.workers), Limit: w.limits.account(),
		Gateway: screen.Gateway{Simulated: w.stack.gateway.sim != nil, Address: w.stack.gateway.url},
		LogFile: shown(w.stack.folder.log()),
	}
	in := &w.stack.fleet.intake
	s.Intake = screen.Intake{Received: int(in.received.Load()), Accepted: int(in.accepted.Load()), Duplicates: int(in.duplicates.Load()), Quarantined: int(in.quarantined.Load())}
	s.Warnings, s.LastWarning = w.stack.journal.noted()
	if sim := w.stack.gateway.sim; sim != nil {
		s.LastMinute = w.rate.note(now, int(sim.Stats().Accepted))
		arrivals := sim.Arrivals(0)
		for _, a := range arrivals[max(0, len(arrivals)-arrivalsMost):] {
			s.Arrivals = append(s.Arrivals, w.arrival(a))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Trouble, s.Intake.Problems = w.trouble, slices.Clone(w.problems)
	if until := w.progress.FrozenUntil; until.Add(w.shift).After(now) && s.Trouble == "" {
		s.Trouble = "nothing is sent until " + screen.Clock(until.Add(w.shift)) + ": " + w.progress.FrozenReason
	}
	for _, a := range w.progress.Accounts[:min(accountsMost, len(w.progress.Accounts))] {
		s.Accounts = append(s.Accounts, w.account(a, now))
	}
	s.MoreAccounts = len(w.progress.Accounts) > len(s.Accounts)
	s.All = w.all(s.Accounts)
	s.Sample.SendHow = sendHow
	if w.sample != nil {
		s.Sample.Total, s.Sample.Done = len(w.sample.messages), w.sample.done(w.progress.Now)
		s.Sample.Expect, s.Sample.Ended = w.expect, w.ended
	}
	return s
}

// all adds up what is looked at; what is not is known from the tally only, which is a little late.
func (w *watcher) all(accounts []screen.Account) screen.Account {
	all := screen.Account{Sent: w.totals.sent, Failed: w.totals.over - w.totals.sent, More: w.totals.behind}
	for _, a := range accounts {
		all.Queued, all.Writing, all.Sending, all.InDoubt = all.Queued+a.Queued, all.Writing+a.Writing, all.Sending+a.Sending, all.InDoubt+a.InDoubt
		all.More = all.More || a.More
	}
	if len(w.progress.Accounts) > len(accounts) {
		all.Queued = max(all.Queued, w.totals.open-all.Writing-all.Sending-all.InDoubt)
	}
	return all
}

// rate remembers a count that grows, to say how much it has grown within a minute.
type rate struct {
	counts []reading // one for about each second, the oldest first
}

type reading struct {
	at    time.Time
	count int
}

// note adds a reading and returns the growth since a minute ago, or since the first reading.
func (r *rate) note(now time.Time, count int) int {
	if n := len(r.counts); n == 0 || now.Sub(r.counts[n-1].at) >= time.Second {
		r.counts = append(r.counts, reading{now, count})
	}
	for len(r.counts) > 1 && now.Sub(r.counts[1].at) >= time.Minute {
		r.counts = r.counts[1:]
	}
	return count - r.counts[0].count
}

// account translates what the database says into what is shown, in our clock. Called with the lock held.
func (w *watcher) account(a db.AccountProgress, now time.Time) screen.Account {
	shown := screen.Account{
		Name: a.UserID, Sent: w.endings[a.UserID].sent, Failed: w.endings[a.UserID].failed, More: a.More || w.totals.behind,
		Queued: a.Live[workflow.StageQueued], Writing: a.Live[workflow.StagePlanning], Sending: a.Live[workflow.StageSending], InDoubt: a.Live[workflow.StageInDoubt],
	}
	if !a.RestUntil.IsZero() {
		shown.RestUntil, shown.RestReason = a.RestUntil.Add(w.shift), a.RestReason
	}
	for _, wait := range a.Waiting {
		shown.Waits = append(shown.Waits, screen.Wait{Reason: reasons[wait.Reason], Count: wait.Count, Until: wait.Next.Add(w.shift)})
	}
	if len(a.Policy.Account) == 0 {
		return shown
	}
	shown.Tokens.Capacity = a.Policy.Account[0].Capacity
	var returns []time.Time
	for _, token := range a.Tokens {
		at := token.FreeAt.Add(w.shift)
		switch {
		case token.InUse:
			shown.Tokens.InUse++
		case at.After(now):
			shown.Tokens.Cooling++
		default:
			continue
		}
		returns = append(returns, at)
	}
	if surplus := len(returns) - shown.Tokens.Capacity; surplus >= 0 {
		shown.NextFree = returns[surplus]
	}
	return shown
}
