// Package guard keeps calls away from a target that does not work: a circuit breaker with three outcomes, a rest
// that the target asked for, and a pace (Pace) below its rate limits.
//
// The breaker is a pure function over a State that the fleet shares: whoever makes a call asks Admit, and reports
// with Record, each in a transaction that holds the target's row. Hence its promise holds for the whole fleet,
// whatever the number of its processes: in an outage at most Trip calls are wasted that were not already on their
// way, and then one for each cool-down. For that a target has to vouch for itself: until it has answered lately,
// no more calls are under way than may still fail before the breaker opens.
package guard

import (
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
)

// Settings are the breaker's numbers.
type Settings struct {
	Trip            int           // failures in a row that open it
	Window          int           // it also opens when, of this many outcomes, half are failures; at most 32
	CoolDown        time.Duration // how long it stays open first; doubles with each probe that fails
	LongestCoolDown time.Duration
	Vouch           time.Duration // how long a success vouches for the target
	BillingStop     time.Duration // open after a stop that needs money or a person
	Credential      time.Duration // open after a refused key, or a deployment that does not exist
	ShortestRest    time.Duration // after a 429 that does not say how long
	LongestRest     time.Duration // bounds what a target may ask for
}

// DefaultSettings are the numbers in use. A billing stop is looked at again after 15 minutes; the others are
// chosen so that an outage of a minute costs Trip and one or two calls.
var DefaultSettings = Settings{
	Trip: 5, Window: 20, CoolDown: 30 * time.Second, LongestCoolDown: 5 * time.Minute, Vouch: time.Minute,
	BillingStop: 15 * time.Minute, Credential: 5 * time.Minute, ShortestRest: time.Second, LongestRest: 15 * time.Minute,
}

// Outcome is what a call says about its target.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success" // it answers, whatever the answer is worth
	Failure Outcome = "failure" // it does not
	Neutral Outcome = "neutral" // the call says nothing about it: a limit, our mistake, our own stop
	Stop    Outcome = "stop"    // it will not answer until a person acts
)

// OutcomeOf says what a class of results says about the target. A class that is on no list, such as that of a call
// whose process died, says nothing.
func OutcomeOf(class provider.Class) Outcome {
	switch class {
	case provider.Timeout, provider.Connection, provider.Overloaded, provider.ServerError:
		return Failure
	case provider.BillingStop, provider.Auth, provider.NotFound:
		return Stop
	case provider.Completed, provider.Refusal, provider.Truncated, provider.SchemaViolation:
		return Success
	}
	return Neutral // canceled, rate_limited, content_filtered, context_length, invalid_request
}

// State is what the fleet knows of a target. The zero State is a target that nobody has called yet.
type State struct {
	Failures   int            `json:"failures"`   // in a row
	Recent     uint32         `json:"recent"`     // the last outcomes, the latest in the lowest bit; 1 is a failure
	Counted    int            `json:"counted"`    // of them
	VouchUntil time.Time      `json:"vouchUntil"` // a success vouches until then
	Opened     int            `json:"opened"`     // times in a row; 0: closed
	OpenUntil  time.Time      `json:"openUntil"`  // then half open
	OpenReason provider.Class `json:"openReason"` // of the call that opened it
	ProbeUntil time.Time      `json:"probeUntil"` // a probe is under way that ends by then
	RestUntil  time.Time      `json:"restUntil"`  // the target asked for it
	RestReason provider.Class `json:"restReason"` // of the answer that did
}

// Phase is a breaker's state in the usual words.
type Phase string

// The phases.
const (
	Closed   Phase = "closed"
	Open     Phase = "open"
	HalfOpen Phase = "half_open"
)

// Phase at a time.
func (s State) Phase(now time.Time) Phase {
	switch {
	case s.Opened == 0:
		return Closed
	case now.Before(s.OpenUntil):
		return Open
	}
	return HalfOpen
}

// Verdict says whether a call may begin.
type Verdict struct {
	Admitted bool
	Probe    bool           // it is the one call that finds out whether the target works again
	Busy     bool           // not now, but as soon as a call that is under way ends well
	Until    time.Time      // not admitted: when to ask again at the earliest
	Why      provider.Class // not admitted: what closed it; empty when only busy
}

// busyPause is when a busy target is looked at again: calls take hundreds of milliseconds.
const busyPause = 100 * time.Millisecond

// Admit says whether a call may begin now, while the given number of calls to the target are under way in the
// fleet. Of a rest and an open breaker the one that lasts longer is told.
func (c Settings) Admit(s State, underWay int, now time.Time) Verdict {
	v := c.admit(s, underWay, now)
	if now.Before(s.RestUntil) && (v.Admitted || v.Busy || v.Until.Before(s.RestUntil)) {
		return Verdict{Until: s.RestUntil, Why: s.RestReason}
	}
	return v
}

func (c Settings) admit(s State, underWay int, now time.Time) Verdict {
	switch s.Phase(now) {
	case Open:
		return Verdict{Until: s.OpenUntil, Why: s.OpenReason}
	case HalfOpen:
		if now.Before(s.ProbeUntil) {
			return Verdict{Until: s.ProbeUntil, Why: s.OpenReason}
		}
		return Verdict{Admitted: true, Probe: true}
	}
	vouched := s.Failures == 0 && now.Before(s.VouchUntil)
	if vouched || underWay < c.Trip-s.Failures {
		return Verdict{Admitted: true}
	}
	return Verdict{Busy: true, Until: now.Add(busyPause)}
}

// Began notes that an admitted call begins. By the given time its end has been recorded, or its process is dead: a
// probe is then taken for lost, and another may begin. What it reports later is no probe's result any more.
func (s State) Began(v Verdict, deadline time.Time) State {
	if v.Probe {
		s.ProbeUntil = deadline
	}
	return s
}

// Record notes how a call ended, and what rest its answer asked for. A call that was no probe neither closes an
// open breaker nor keeps it open for longer, for it began before; but the news that a person has to act counts.
func (c Settings) Record(s State, class provider.Class, retryAfter time.Duration, probe bool, now time.Time) State {
	outcome := OutcomeOf(class)
	probe = probe && s.Opened > 0 // another one closed it meanwhile: it is a call like any other
	if rest := c.rest(class, retryAfter); rest > 0 && now.Add(rest).After(s.RestUntil) {
		s.RestUntil, s.RestReason = now.Add(rest), class
	}
	if probe {
		s.ProbeUntil = time.Time{}
	}
	switch {
	case outcome == Neutral:
	case s.Opened > 0 && !probe && (outcome != Stop || OutcomeOf(s.OpenReason) == Stop):
	case outcome == Stop:
		s = c.open(s, class, now)
	case outcome == Success:
		if probe {
			s.Opened, s.OpenUntil, s.OpenReason, s.Recent, s.Counted = 0, time.Time{}, "", 0, 0
		}
		s.Failures, s.VouchUntil = 0, now.Add(c.Vouch)
		s = c.count(s, 0)
	default:
		s.Failures, s.VouchUntil = s.Failures+1, time.Time{}
		s = c.count(s, 1)
		if probe || s.Failures >= c.Trip || c.halfFailed(s) {
			s = c.open(s, class, now)
		}
	}
	return s
}

func (c Settings) rest(class provider.Class, retryAfter time.Duration) time.Duration {
	if class == provider.RateLimited {
		retryAfter = max(retryAfter, c.ShortestRest)
	}
	return min(retryAfter, c.LongestRest)
}

func (c Settings) count(s State, failure uint32) State {
	s.Recent = s.Recent<<1 | failure
	s.Counted = min(s.Counted+1, c.Window)
	return s
}

func (c Settings) halfFailed(s State) bool {
	if s.Counted < c.Window {
		return false
	}
	failed := 0
	for i := range c.Window {
		failed += int(s.Recent >> i & 1)
	}
	return 2*failed >= c.Window
}

func (c Settings) open(s State, class provider.Class, now time.Time) State {
	length := min(c.CoolDown, c.LongestCoolDown)
	for doubled := 0; doubled < s.Opened && length < c.LongestCoolDown; doubled++ {
		length = min(2*length, c.LongestCoolDown)
	}
	switch class {
	case provider.BillingStop:
		length = c.BillingStop
	case provider.Auth, provider.NotFound:
		length = c.Credential
	}
	s.Opened, s.OpenReason, s.Failures, s.VouchUntil, s.Recent, s.Counted = s.Opened+1, class, 0, time.Time{}, 0, 0
	if until := now.Add(length); until.After(s.OpenUntil) {
		s.OpenUntil = until
	}
	return s
}
