package workflow_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func drawMessage(t *rapid.T) workflow.Message {
	m := workflow.Message{
		Attempts:   rapid.IntRange(0, 5).Draw(t, "attempts"),
		MaxRetries: rapid.IntRange(0, 5).Draw(t, "maxRetries"),
		LastError:  rapid.SampledFrom([]string{"", "of a producer"}).Draw(t, "lastError"),
	}
	if rapid.Bool().Draw(t, "has content") {
		m.Content = "Hello"
	} else {
		m.Brief = "greet"
	}
	if offset := rapid.Int64Range(-3600, 3600).Draw(t, "scheduledFor"); offset != 0 {
		m.NotBefore = now.Add(time.Duration(offset) * time.Second)
	}
	return m
}

func drawEvent(t *rapid.T, at time.Time) workflow.Event {
	e := workflow.Event{
		Kind:   rapid.SampledFrom(workflow.Events).Draw(t, "event"),
		At:     at,
		Reason: rapid.SampledFrom([]string{"", "why"}).Draw(t, "reason"),
		Wait:   rapid.SampledFrom([]workflow.WaitReason{workflow.WaitNone, workflow.WaitRecipient}).Draw(t, "wait"),
	}
	if rapid.Bool().Draw(t, "has retryAt") {
		e.RetryAt = at.Add(time.Duration(rapid.Int64Range(-600, 600).Draw(t, "retryAt")) * time.Second)
	}
	return e
}

// copyOf shares no memory with the state, so that a change in place is seen.
func copyOf(s workflow.State) workflow.State {
	s.FallbackHistory = slices.Clone(s.FallbackHistory)
	s.CheckpointData = slices.Clone(s.CheckpointData)
	return s
}

func TestTransitionIsPure(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before := stateIn(rapid.SampledFrom(workflow.Stages).Draw(t, "stage"))
		before.FallbackHistory = append(make([]workflow.Fallback, 0, 8), before.FallbackHistory...) // with room to append in place
		before.CheckpointData = append(make(json.RawMessage, 0, 64), before.CheckpointData...)
		before.Attempts = rapid.IntRange(0, 4).Draw(t, "attempts")
		kept := copyOf(before)
		event := drawEvent(t, now)
		first, steps, err := workflow.Transition(before, event)
		again, stepsAgain, errAgain := workflow.Transition(before, event)
		if diff := cmp.Diff(kept, before); diff != "" {
			t.Fatalf("the input was modified (-before +after):\n%s", diff)
		}
		if !cmp.Equal(first, again) || !cmp.Equal(steps, stepsAgain) || (err == nil) != (errAgain == nil) {
			t.Fatal("the same input gave two answers")
		}
	})
}

// A workflow is a list of promises: whatever happens in whatever order, they hold.
func TestAnyLifeKeepsThePromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := now
		state := workflow.Begin(drawMessage(t), at)
		life := life{t: t, state: state, sent: state.Stage == workflow.StageSent}
		life.check(nil, workflow.Event{})
		for range rapid.IntRange(0, 40).Draw(t, "events") {
			at = at.Add(time.Duration(rapid.Int64Range(0, 600).Draw(t, "later")) * time.Second)
			event := drawEvent(t, at)
			before := copyOf(life.state)
			next, steps, err := workflow.Transition(life.state, event)
			if err != nil {
				if !errors.Is(err, workflow.ErrNotApplicable) || steps != nil || !cmp.Equal(before, next) {
					t.Fatalf("%s in %s: %v, steps %v, changed:\n%s", event.Kind, before.Stage, err, steps, cmp.Diff(before, next))
				}
				if event.Kind == workflow.EventAccepted {
					t.Fatalf("acceptance was not believed in %s", before.Stage)
				}
				continue
			}
			life.state = next
			if before.Stage.Final() && next.Stage != before.Stage && next.Stage != workflow.StageSent {
				t.Fatalf("%s left %s for %s", event.Kind, before.Stage, next.Stage)
			}
			if before.Stage == workflow.StageSent && next.Stage != workflow.StageSent {
				t.Fatalf("%s left sent for %s", event.Kind, next.Stage)
			}
			if event.Kind == workflow.EventAccepted && next.Stage != workflow.StageSent {
				t.Fatalf("acceptance was not believed in %s", before.Stage)
			}
			if next.NotBefore.Before(before.NotBefore) {
				t.Fatalf("%s moved the message to before its time: %s, was %s", event.Kind, next.NotBefore, before.NotBefore)
			}
			if next.Attempts != before.Attempts && event.Kind != workflow.EventNotSent {
				t.Fatalf("%s counted a try", event.Kind)
			}
			life.check(steps, event)
		}
	})
}

type life struct {
	t     *rapid.T
	state workflow.State
	sent  bool
}

// check looks at a state that an event led to, or at the first one.
func (l *life) check(steps []workflow.Step, event workflow.Event) {
	s := l.state
	if s.Stage.Final() {
		if len(steps) > 0 {
			l.t.Fatalf("%s is final and has steps %v", s.Stage, steps)
		}
		if s.WaitReason != workflow.WaitNone {
			l.t.Fatalf("%s is final and waits for %s", s.Stage, s.WaitReason)
		}
		return
	}
	if s.Attempts > s.MaxRetries || s.Attempts == s.MaxRetries && s.Attempts > 0 {
		l.t.Fatalf("%s with %d tries of %d", s.Stage, s.Attempts, s.MaxRetries)
	}
	want := []workflow.Step(nil)
	switch s.Stage {
	case workflow.StagePlanning:
		if s.WaitReason != workflow.WaitProvider {
			l.t.Fatalf("planning waits for %q", s.WaitReason)
		}
	case workflow.StageQueued: // parked: a not-before, and a release unless the caller is the release
		if s.NotBefore.IsZero() {
			l.t.Fatal("parked without a not-before")
		}
		if event.Kind != "" && event.Kind != workflow.EventDeferred {
			want = []workflow.Step{{Kind: workflow.StepRelease, At: s.NotBefore}}
		}
	case workflow.StageSending:
		want = []workflow.Step{{Kind: workflow.StepSend}}
	case workflow.StageInDoubt:
		want = []workflow.Step{{Kind: workflow.StepResolve, At: event.RetryAt}}
	default:
		l.t.Fatalf("no such stage: %q", s.Stage)
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		l.t.Fatalf("%s led to %s and nothing moves it on (-want +got):\n%s", event.Kind, s.Stage, diff)
	}
}

// A message that never gets through ends after exactly the tries that it has: it does not go round for ever.
func TestNothingGoesRoundForEver(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		m.Content = "Hello"
		s := workflow.Begin(m, now)
		tries := 0
		for !s.Stage.Final() {
			events := []workflow.EventKind{workflow.EventReleased}
			if rapid.Bool().Draw(t, "in doubt first") {
				events = append(events, workflow.EventUnknown)
			}
			for _, kind := range append(events, workflow.EventNotSent) {
				var err error
				if s, _, err = workflow.Transition(s, workflow.Event{Kind: kind, At: now, RetryAt: soon, Reason: "connect_failed"}); err != nil {
					t.Fatal(err)
				}
			}
			if tries++; tries > 10 {
				t.Fatalf("still %s after %d tries", s.Stage, tries)
			}
		}
		want := max(m.MaxRetries-m.Attempts, 0)
		if m.Attempts == 0 {
			want = max(m.MaxRetries, 1) // whoever was never tried is tried once
		}
		if s.Stage != workflow.StageFailed || tries != want {
			t.Fatalf("%s after %d tries, want failed after %d", s.Stage, tries, want)
		}
		if s.LastError == "" {
			t.Fatal("failed without a reason")
		}
	})
}
