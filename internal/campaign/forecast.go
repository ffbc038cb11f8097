package campaign

import (
	"fmt"
	"math"
	"time"
)

// Load is a campaign as it is planned, and what it meets.
type Load struct {
	Now     time.Time
	Account Account
	Others  []Queue // the account's other messages that wait

	Recipients int // on the campaign's list, those that are suppressed included
	Suppressed Suppressed
	Priority   int
	Weight     int
	Scheduled  time.Time // not before; zero: now
	ExpiresAt  time.Time // zero: never
	Later      []Later   // recipients of the list whose own limits are used up; not those that are suppressed

	// Texts that are written from a brief. A text of a recipient's own is written shortly before its turn: what is
	// not sent costs nothing.
	Brief      bool
	OwnTexts   bool  // one for each recipient instead of one for all
	PicoUSD    int64 // what a text is likely to cost, in 10⁻¹² USD
	Unpriced   bool  // nobody knows what a text costs
	MaxPicoUSD int64 // what the campaign may cost; 0: anything
}

// Suppressed counts recipients of a list who get nothing, each under one reason.
type Suppressed struct {
	OptedOut  int
	Duplicate int // in the list, or sent to by the campaign already
	Expired   int // whose message had expired before it was taken in
	Invalid   int // whose line was refused
}

// Total is the sum over the reasons.
func (s Suppressed) Total() int { return s.OptedOut + s.Duplicate + s.Expired + s.Invalid }

// Outlook is what becomes of a campaign. Recipients = Sent + Expired + Beyond + Suppressed.Total().
type Outlook struct {
	Recipients int
	Suppressed Suppressed
	Course
	Texts    int   // that are written
	PicoUSD  int64 // what they cost, in 10⁻¹² USD; 0 if nobody knows
	Unpriced bool
	Warnings []Warning
}

// Warning is something that whoever plans the campaign should know.
type Warning struct {
	Code string // for programs: one of the codes below
	Text string // for people
}

// The codes of warnings.
const (
	WarnEmpty     = "nobody"          // there is nobody to send to
	WarnExpires   = "expires"         // some would expire before their turn
	WarnHorizon   = "beyond_horizon"  // some would go later than a forecast looks
	WarnQuiet     = "starts_in_quiet" // its time lies in quiet time
	WarnCost      = "over_max_cost"
	WarnUnpriced  = "unpriced"
	WarnRecipient = "recipient_limits" // some wait for their own limits
)

// maxPicoUSD is what 64 bits hold, over nine million USD.
const maxPicoUSD = math.MaxInt64

// Forecast says what becomes of a campaign if nothing changes: neither the limits nor the other messages, and the
// gateway stays as fast as it is. Alone on an account with one rule and without quiet time it is exact; each quiet
// time, each further rule and each other campaign may shift it by as long as a token is held.
func Forecast(load Load) Outlook {
	waiting := max(0, load.Recipients-load.Suppressed.Total())
	own := Queue{Priority: load.Priority, Weight: load.Weight, NotBefore: load.Scheduled, ExpiresAt: load.ExpiresAt}
	own.Messages = waiting
	for _, later := range load.Later {
		later.Messages = min(max(0, later.Messages), own.Messages)
		own.Messages -= later.Messages
		own.Later = append(own.Later, later)
	}
	queues := append([]Queue{own}, load.Others...)
	outlook := Outlook{
		Recipients: load.Recipients,
		Suppressed: load.Suppressed,
		Course:     ETA(load.Now, load.Account, queues).Of(0),
	}
	outlook.price(load)
	outlook.warn(load, own)
	return outlook
}

func (o *Outlook) price(load Load) {
	switch {
	case !load.Brief || o.Sent == 0:
		return
	case load.OwnTexts:
		o.Texts = o.Sent
	default:
		o.Texts = 1
	}
	switch {
	case load.Unpriced:
		o.Unpriced = true
	case load.PicoUSD > 0 && int64(o.Texts) > maxPicoUSD/load.PicoUSD:
		o.PicoUSD = maxPicoUSD
	default:
		o.PicoUSD = int64(o.Texts) * max(0, load.PicoUSD)
	}
}

func (o *Outlook) warn(load Load, own Queue) {
	warn := func(code, format string, args ...any) {
		o.Warnings = append(o.Warnings, Warning{Code: code, Text: fmt.Sprintf(format, args...)})
	}
	if own.total() == 0 {
		warn(WarnEmpty, "there is nobody to send to")
		return
	}
	if o.Expired > 0 {
		warn(WarnExpires, "can't finish before expiresAt: about %d of %d messages would expire", o.Expired, own.total())
	}
	if o.Beyond > 0 {
		warn(WarnHorizon, "about %d of %d messages would be sent later than in %d days", o.Beyond, own.total(), int(Horizon/day))
	}
	if start := load.Scheduled; start.After(load.Now) && !load.Account.Quiet.Until(start).Equal(start) {
		warn(WarnQuiet, "its start lies in the quiet time %s: nothing is sent before that ends", load.Account.Quiet)
	}
	if waits := own.total() - own.Messages; waits > 0 {
		warn(WarnRecipient, "%d recipients wait for limits of their own", waits)
	}
	switch {
	case o.Unpriced:
		warn(WarnUnpriced, "what its texts cost is not known: there is no price for the model")
	case load.MaxPicoUSD > 0 && o.PicoUSD > load.MaxPicoUSD:
		enough := 0
		if load.PicoUSD > 0 {
			enough = int(load.MaxPicoUSD / load.PicoUSD)
		}
		warn(WarnCost, "its %d texts cost more than it may: it would be paused after %d", o.Texts, enough)
	}
}
