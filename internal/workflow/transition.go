package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// EventKind names what happened to a workflow. The words also label its timeline and the metrics.
type EventKind string

// The events.
const (
	EventTextReady   EventKind = "text_ready"   // its text is stored
	EventTextFailed  EventKind = "text_failed"  // no text could be had
	EventReleased    EventKind = "released"     // its tokens were taken and an attempt was written
	EventDeferred    EventKind = "deferred"     // it can't go before RetryAt for a reason of its own
	EventWithdrawn   EventKind = "withdrawn"    // the attempt was taken back before the call; no try is counted
	EventAccepted    EventKind = "accepted"     // the gateway has it
	EventRejected    EventKind = "rejected"     // the gateway refused it for good
	EventNotSent     EventKind = "not_sent"     // known not to have been sent; a try is counted
	EventRateLimited EventKind = "rate_limited" // the gateway said 429; no try is counted
	EventUnknown     EventKind = "unknown"      // nobody knows yet
	EventCancelled   EventKind = "cancelled"
	EventExpired     EventKind = "expired"
)

// Events lists every kind.
var Events = []EventKind{EventTextReady, EventTextFailed, EventReleased, EventDeferred, EventWithdrawn, EventAccepted,
	EventRejected, EventNotSent, EventRateLimited, EventUnknown, EventCancelled, EventExpired}

// Event is something that happened, with what the transition needs to know about it.
type Event struct {
	Kind    EventKind
	At      time.Time  // the database's time of the event
	Reason  string     // a machine word or short safe sentence; never a message's content
	RetryAt time.Time  // NotSent, RateLimited, Deferred: not before; Unknown: when to ask the look-up
	Wait    WaitReason // Deferred: why
	Bypass  bool       // Released: without the rate limiter
	Writing *Writing   // TextReady, TextFailed: how its text was written; nil: nobody tried
}

// Writing is what the state says of the writing of a text.
type Writing struct {
	CurrentProvider Provider
	Azure, OpenAI   ProviderState
	Retries         RetryAttempts // of the two
	History         []Fallback
	Checkpoint      json.RawMessage
}

// take puts into a state how its text was written.
func (s State) take(w *Writing) State {
	if w == nil {
		return s
	}
	s.CurrentProvider = w.CurrentProvider
	s.ProviderStates.Azure, s.ProviderStates.OpenAI = w.Azure, w.OpenAI
	s.RetryAttempts.Azure, s.RetryAttempts.OpenAI = w.Retries.Azure, w.Retries.OpenAI
	s.FallbackHistory = slices.Concat(s.FallbackHistory, w.History)
	s.CheckpointData = w.Checkpoint
	return s
}

// fallBack adds to a state's history.
func (s State) fallBack(from, to, reason string, at time.Time) State {
	s.FallbackHistory = append(slices.Clone(s.FallbackHistory), Fallback{From: from, To: to, Reason: reason, Timestamp: at.UTC()})
	return s
}

// StepKind names a unit of work that is to follow.
type StepKind string

// The steps: each is one River job.
const (
	StepPlan    StepKind = "plan"
	StepRelease StepKind = "release"
	StepSend    StepKind = "send"
	StepResolve StepKind = "resolve"
	StepExpand  StepKind = "expand" // of a campaign: its recipients become messages
)

// Step is work that must be enqueued in the transaction that stores the state.
type Step struct {
	Kind StepKind
	At   time.Time // not before; zero: at once
}

// ErrNotApplicable is returned for an event that has no meaning in the workflow's stage. The state is
// unchanged; the caller logs it, for it is a bug or a very late report.
var ErrNotApplicable = errors.New("event does not apply to this stage")

// Transition says what an event does to a workflow: its next state and the steps that follow. It is pure.
// An event that the workflow has already absorbed (an accepted one that is accepted again) returns the
// state unchanged without error. Evidence of acceptance is believed in every stage: it never comes too late.
func Transition(s State, e Event) (State, []Step, error) {
	if e.Kind == EventAccepted {
		return accepted(s), nil, nil
	}
	switch s.Stage {
	case StagePlanning:
		return planning(s, e)
	case StageQueued:
		return queued(s, e)
	case StageSending, StageInDoubt:
		return attempted(s, e)
	}
	return s, nil, notApplicable(s, e)
}

func notApplicable(s State, e Event) error {
	return fmt.Errorf("%w: %s in %s", ErrNotApplicable, e.Kind, s.Stage)
}

func accepted(s State) State {
	s.Stage = StageSent
	s.ProviderStates.RateLimiter = ProviderApproved
	s.ProviderStates.OnlyFans = ProviderSent
	s.WaitReason = WaitNone
	return s
}

func planning(s State, e Event) (State, []Step, error) {
	switch e.Kind {
	case EventTextReady:
		s = s.take(e.Writing)
		s.Stage = StageQueued
		s.WaitReason = WaitNone
		if s.NotBefore.After(e.At) {
			s.WaitReason = WaitSchedule
		}
		return s, []Step{{Kind: StepRelease, At: s.NotBefore}}, nil
	case EventTextFailed:
		return fail(s.take(e.Writing), e), nil, nil
	case EventCancelled, EventExpired:
		return stop(s, e), nil, nil
	}
	return s, nil, notApplicable(s, e)
}

func queued(s State, e Event) (State, []Step, error) {
	switch e.Kind {
	case EventReleased:
		s.Stage = StageSending
		s.WaitReason = WaitNone
		s.ProviderStates.RateLimiter = ProviderApproved
		s.ProviderStates.OnlyFans = ProviderSending
		if e.Bypass {
			s = s.fallBack("rateLimiter", "bypass_with_warning", "rate_limiter_down", e.At)
		}
		return s, []Step{{Kind: StepSend}}, nil
	case EventDeferred:
		s.NotBefore = later(s.NotBefore, e.RetryAt)
		s.WaitReason = e.Wait
		s.ProviderStates.RateLimiter = ProviderThrottled
		return s, nil, nil
	case EventCancelled, EventExpired:
		return stop(s, e), nil, nil
	}
	return s, nil, notApplicable(s, e)
}

// attempted covers sending and in doubt: both have an open attempt whose outcome the event reports.
func attempted(s State, e Event) (State, []Step, error) {
	switch e.Kind {
	case EventWithdrawn:
		if s.Stage == StageInDoubt {
			return s, nil, notApplicable(s, e)
		}
		return requeue(s, e, WaitNone, ProviderPending)
	case EventRateLimited:
		s.LastError = e.Reason
		s = s.fallBack("onlyFans", "queue", "onlyfans_rate_limited", e.At)
		return requeue(s, e, WaitNone, ProviderRateLimited)
	case EventNotSent:
		s.Attempts++
		s.LastError = e.Reason
		if s.Attempts >= s.MaxRetries {
			return fail(s, e), nil, nil
		}
		s.RetryAttempts.OnlyFans++
		return requeue(s, e, WaitRetry, ProviderPending)
	case EventRejected:
		return fail(s, e), nil, nil
	case EventUnknown:
		s.Stage = StageInDoubt
		s.LastError = e.Reason
		return s, []Step{{Kind: StepResolve, At: e.RetryAt}}, nil
	}
	return s, nil, notApplicable(s, e)
}

// requeue parks a workflow again. A withdrawn one keeps its place (its old not-before); the others wait.
func requeue(s State, e Event, wait WaitReason, onlyFans ProviderState) (State, []Step, error) {
	s.Stage = StageQueued
	s.WaitReason = wait
	s.ProviderStates.RateLimiter = ProviderPending
	s.ProviderStates.OnlyFans = onlyFans
	s.NotBefore = later(s.NotBefore, e.RetryAt)
	return s, []Step{{Kind: StepRelease, At: s.NotBefore}}, nil
}

// later: nothing that happens to a message makes it go before its time.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func fail(s State, e Event) State {
	s.Stage = StageFailed
	s.WaitReason = WaitNone
	s.LastError = e.Reason
	if e.Kind != EventTextFailed {
		s.ProviderStates.OnlyFans = ProviderFailed
	}
	return s
}

func stop(s State, e Event) State {
	s.Stage = StageCancelled
	if e.Kind == EventExpired {
		s.Stage = StageExpired
	}
	s.WaitReason = WaitNone
	if e.Reason != "" {
		s.LastError = e.Reason
	}
	return s
}

// RetryDelay is how long a message rests after its nth try that was known not to have been sent: 5 s, 30 s,
// 3 min, then 5 min each. A gateway that is down also rests its accounts, so that few messages spend tries on it.
func RetryDelay(try int) time.Duration {
	const first, longest = 5 * time.Second, 5 * time.Minute
	d := first
	for i := 1; i < try && d < longest; i++ {
		d *= 6
	}
	return min(d, longest)
}
