package gatewaysim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// Kind names one way to fail. "Before" means that the message is not taken, "after" that it is: the caller
// can't tell them apart, which is the point.
type Kind string

// The kinds. Delay and Hold go on to the next rule, every other kind decides.
const (
	Delay       Kind = "delay"        // answer later: Min to Max after the arrival was stamped
	Hold        Kind = "hold"         // arrive later, like in a slow proxy: even if the caller has gone by then
	RateLimit   Kind = "rate_limit"   // 429; RetryAfter, if over 0, in the header
	Refuse      Kind = "refuse"       // Status, 422 unless set; any that is not 2xx, and not taken
	ErrorBefore Kind = "error_before" // Status, 503 unless set
	ErrorAfter  Kind = "error_after"  // Status, 502 unless set
	CloseBefore Kind = "close_before" // the connection is closed without an answer
	LostReply   Kind = "lost_reply"   // taken, then the connection is closed without an answer
	ResetBefore Kind = "reset_before" // TCP reset
	ResetAfter  Kind = "reset_after"  // taken, then TCP reset
	HangBefore  Kind = "hang_before"  // no answer until the caller gives up
	HangAfter   Kind = "hang_after"   // taken, no answer until the caller gives up
	Garbage     Kind = "garbage"      // taken, 200 with a body that is not JSON
	Empty       Kind = "empty"        // taken, 200 without a body
	Truncated   Kind = "truncated"    // taken, 200 whose body is cut off
	RedirectTo  Kind = "redirect"     // Status, 307 unless set, to Location; not taken
	NotHTTP     Kind = "not_http"     // taken, the answer is not HTTP
)

// kinds says of each kind whether it decides, whether it takes the message, and which status it answers.
var kinds = map[Kind]struct {
	decides, takes bool
	status         int
}{
	Delay:       {},
	Hold:        {},
	RateLimit:   {decides: true, status: http.StatusTooManyRequests},
	Refuse:      {decides: true, status: http.StatusUnprocessableEntity},
	ErrorBefore: {decides: true, status: http.StatusServiceUnavailable},
	ErrorAfter:  {decides: true, takes: true, status: http.StatusBadGateway},
	CloseBefore: {decides: true},
	LostReply:   {decides: true, takes: true},
	ResetBefore: {decides: true},
	ResetAfter:  {decides: true, takes: true},
	HangBefore:  {decides: true},
	HangAfter:   {decides: true, takes: true},
	Garbage:     {decides: true, takes: true, status: http.StatusOK},
	Empty:       {decides: true, takes: true, status: http.StatusOK},
	Truncated:   {decides: true, takes: true, status: http.StatusOK},
	RedirectTo:  {decides: true, status: http.StatusTemporaryRedirect},
	NotHTTP:     {decides: true, takes: true},
}

// Rule is one fault: which, how often, and for whom.
type Rule struct {
	Kind        Kind
	Probability float64       // 0 < p <= 1; 0 means always
	Account     string        // only this account; empty: all
	Count       int           // only the next Count arrivals that it strikes; 0: no end
	Status      int           // where the kind has one
	RetryAfter  time.Duration // RateLimit: rounded up to seconds; 0: no header
	Min, Max    time.Duration // Delay, Hold: uniform; a Max below Min means Min
	Location    string        // RedirectTo
}

// Limit is the gateway's own limit per account: at most Count taken in any half-open Window, then 429 with the
// seconds that are left. Overrides replaces Count for single accounts; 0 there means no limit.
type Limit struct {
	Count     int
	Window    time.Duration
	Overrides map[string]int
	NoHint    bool // leave Retry-After out
}

// LookUpMode says how the look-up behaves.
type LookUpMode string

// The modes of the look-up.
const (
	LookUpPresent LookUpMode = "present" // the default: 200 or 404
	LookUpAbsent  LookUpMode = "absent"  // 501
	LookUpLate    LookUpMode = "late"    // a message is found only Faults.LookUpAfter after its arrival
	LookUpFailing LookUpMode = "failing" // 500
)

// Faults is the whole switch. The zero value has none.
type Faults struct {
	Rules       []Rule // tried in order; the first that decides ends it
	Limit       *Limit // before the rules; nil: no limit
	LookUp      LookUpMode
	LookUpAfter time.Duration // LookUpLate
}

func (f Faults) check() error {
	for i, rule := range f.Rules {
		if err := rule.check(); err != nil {
			return fmt.Errorf("rule %d (%s): %w", i+1, rule.Kind, err)
		}
	}
	if f.Limit != nil && (f.Limit.Count < 0 || f.Limit.Window <= 0) {
		return errors.New("limit: count must not be negative, window must be over 0")
	}
	switch f.LookUp {
	case "", LookUpPresent, LookUpAbsent, LookUpFailing:
	case LookUpLate:
		if f.LookUpAfter <= 0 {
			return errors.New("lookUp late needs a lookUpAfter over 0")
		}
	default:
		return fmt.Errorf("lookUp %q is not one of present, absent, late, failing", f.LookUp)
	}
	return nil
}

func (r Rule) check() error {
	kind, known := kinds[r.Kind]
	switch {
	case !known:
		return errors.New("no such kind; they are " + kindNames())
	case r.Probability < 0 || r.Probability > 1:
		return errors.New("probability must be over 0 and at most 1")
	case r.Count < 0 || r.RetryAfter < 0 || r.Min < 0 || r.Max < 0:
		return errors.New("no number may be negative")
	case !kind.decides && r.Min == 0 && r.Max == 0:
		return errors.New("needs min or max over 0")
	case r.Kind == RedirectTo && r.Location == "":
		return errors.New("needs a location")
	case r.Status != 0 && !r.statusFits():
		return errors.New("does not answer this status")
	}
	return nil
}

func (r Rule) statusFits() bool {
	switch r.Kind {
	case RedirectTo:
		return r.Status >= 300 && r.Status <= 399
	case ErrorBefore, ErrorAfter:
		return r.Status >= 400 && r.Status <= 599
	case Refuse:
		return r.Status >= 300 && r.Status <= 599
	}
	return false
}

func (r Rule) status() int {
	if r.Status != 0 {
		return r.Status
	}
	return kinds[r.Kind].status
}

func kindNames() string {
	names := []string{}
	for _, kind := range []Kind{Delay, Hold, RateLimit, Refuse, ErrorBefore, ErrorAfter, CloseBefore, LostReply, ResetBefore,
		ResetAfter, HangBefore, HangAfter, Garbage, Empty, Truncated, RedirectTo, NotHTTP} {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

// strikes draws whether a rule acts, and counts down when it does. Random numbers are drawn only where a rule
// leaves something to chance, so that the same seed and the same order of arrivals give the same faults.
func (r *Rule) strikes(account string, random *rand.Rand) bool {
	if r.spent() || (r.Account != "" && r.Account != account) {
		return false
	}
	if r.Probability > 0 && r.Probability < 1 && random.Float64() >= r.Probability {
		return false
	}
	if r.Count > 0 {
		if r.Count--; r.Count == 0 {
			r.Count = exhausted
		}
	}
	return true
}

// exhausted marks a rule whose count ran out: 0 already means "no end".
const exhausted = -1

func (r *Rule) spent() bool { return r.Count == exhausted }

func (r *Rule) duration(random *rand.Rand) time.Duration {
	if r.Max <= r.Min {
		return r.Min
	}
	return r.Min + time.Duration(random.Int64N(int64(r.Max-r.Min)+1))
}
