package workflow_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

var (
	now     = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	earlier = now.Add(-time.Minute)
	soon    = now.Add(30 * time.Second)
	later   = now.Add(time.Hour)
)

// matrix says for every stage and every event which stage and which step follow. "-" is an event that has no
// meaning there. A step's time is now, its message's not-before or the event's RetryAt.
var matrix = map[workflow.Stage]map[workflow.EventKind]string{
	workflow.StagePlanning: {
		workflow.EventTextReady:   "queued, release at not-before",
		workflow.EventTextFailed:  "failed",
		workflow.EventReleased:    "-",
		workflow.EventDeferred:    "-",
		workflow.EventWithdrawn:   "-",
		workflow.EventAccepted:    "sent",
		workflow.EventRejected:    "-",
		workflow.EventNotSent:     "-",
		workflow.EventRateLimited: "-",
		workflow.EventUnknown:     "-",
		workflow.EventCancelled:   "cancelled",
		workflow.EventExpired:     "expired",
	},
	workflow.StageQueued: {
		workflow.EventTextReady:   "-",
		workflow.EventTextFailed:  "-",
		workflow.EventReleased:    "sending, send at once",
		workflow.EventDeferred:    "queued",
		workflow.EventWithdrawn:   "-",
		workflow.EventAccepted:    "sent",
		workflow.EventRejected:    "-",
		workflow.EventNotSent:     "-",
		workflow.EventRateLimited: "-",
		workflow.EventUnknown:     "-",
		workflow.EventCancelled:   "cancelled",
		workflow.EventExpired:     "expired",
	},
	workflow.StageSending: {
		workflow.EventTextReady:   "-",
		workflow.EventTextFailed:  "-",
		workflow.EventReleased:    "-",
		workflow.EventDeferred:    "-",
		workflow.EventWithdrawn:   "queued, release at not-before",
		workflow.EventAccepted:    "sent",
		workflow.EventRejected:    "failed",
		workflow.EventNotSent:     "queued, release at retry-at",
		workflow.EventRateLimited: "queued, release at retry-at",
		workflow.EventUnknown:     "in_doubt, resolve at retry-at",
		workflow.EventCancelled:   "-",
		workflow.EventExpired:     "-",
	},
	workflow.StageInDoubt: {
		workflow.EventTextReady:   "-",
		workflow.EventTextFailed:  "-",
		workflow.EventReleased:    "-",
		workflow.EventDeferred:    "-",
		workflow.EventWithdrawn:   "-", // a call was begun: nobody can say that it was not
		workflow.EventAccepted:    "sent",
		workflow.EventRejected:    "failed",
		workflow.EventNotSent:     "queued, release at retry-at",
		workflow.EventRateLimited: "queued, release at retry-at",
		workflow.EventUnknown:     "in_doubt, resolve at retry-at",
		workflow.EventCancelled:   "-",
		workflow.EventExpired:     "-",
	},
	workflow.StageSent:      final(),
	workflow.StageFailed:    final(),
	workflow.StageCancelled: final(),
	workflow.StageExpired:   final(),
}

// final is the row of a stage in which nothing counts any more but the evidence that the message was accepted.
func final() map[workflow.EventKind]string {
	return map[workflow.EventKind]string{
		workflow.EventTextReady:   "-",
		workflow.EventTextFailed:  "-",
		workflow.EventReleased:    "-",
		workflow.EventDeferred:    "-",
		workflow.EventWithdrawn:   "-",
		workflow.EventAccepted:    "sent",
		workflow.EventRejected:    "-",
		workflow.EventNotSent:     "-",
		workflow.EventRateLimited: "-",
		workflow.EventUnknown:     "-",
		workflow.EventCancelled:   "-",
		workflow.EventExpired:     "-",
	}
}

// toQueue is what a 429 of the gateway leaves in the history.
var toQueue = workflow.Fallback{From: "onlyFans", To: "queue", Reason: "onlyfans_rate_limited", Timestamp: now}

// written is how a text was written; wroteInto is what a state takes over of it.
var written = workflow.Writing{
	CurrentProvider: workflow.ProviderOpenAI, Azure: workflow.ProviderTimeout, OpenAI: workflow.ProviderCompleted,
	Retries:    workflow.RetryAttempts{Azure: 4, OpenAI: 5, OnlyFans: 99},
	History:    []workflow.Fallback{{From: "azure", To: "openai", Reason: "azure_timeout", Timestamp: now}},
	Checkpoint: json.RawMessage(`{"target":"openai"}`),
}

func wroteInto(s *workflow.State) {
	s.CurrentProvider, s.CheckpointData = workflow.ProviderOpenAI, json.RawMessage(`{"target":"openai"}`)
	s.ProviderStates.Azure, s.ProviderStates.OpenAI = workflow.ProviderTimeout, workflow.ProviderCompleted
	s.RetryAttempts.Azure, s.RetryAttempts.OpenAI = 4, 5
	s.FallbackHistory = append(s.FallbackHistory, written.History...)
}

// changes says what an event does to a state besides its stage. What is not named stays as it was.
var changes = map[workflow.EventKind]func(before, s *workflow.State){
	workflow.EventTextReady:  func(_, s *workflow.State) { s.WaitReason = workflow.WaitNone },
	workflow.EventTextFailed: func(_, s *workflow.State) { s.WaitReason, s.LastError = workflow.WaitNone, "why" },
	workflow.EventReleased: func(_, s *workflow.State) {
		s.WaitReason = workflow.WaitNone
		s.ProviderStates.RateLimiter, s.ProviderStates.OnlyFans = workflow.ProviderApproved, workflow.ProviderSending
	},
	workflow.EventDeferred: func(_, s *workflow.State) {
		s.NotBefore, s.WaitReason, s.ProviderStates.RateLimiter = soon, workflow.WaitRecipient, workflow.ProviderThrottled
	},
	workflow.EventWithdrawn: func(_, s *workflow.State) {
		s.WaitReason = workflow.WaitNone
		s.ProviderStates.RateLimiter, s.ProviderStates.OnlyFans = workflow.ProviderPending, workflow.ProviderPending
	},
	workflow.EventAccepted: func(_, s *workflow.State) {
		s.WaitReason = workflow.WaitNone
		s.ProviderStates.RateLimiter, s.ProviderStates.OnlyFans = workflow.ProviderApproved, workflow.ProviderSent
	},
	workflow.EventRejected: func(_, s *workflow.State) {
		s.WaitReason, s.LastError, s.ProviderStates.OnlyFans = workflow.WaitNone, "why", workflow.ProviderFailed
	},
	workflow.EventNotSent: func(_, s *workflow.State) {
		s.NotBefore, s.WaitReason, s.LastError = soon, workflow.WaitRetry, "why"
		s.Attempts, s.RetryAttempts.OnlyFans = 2, 8
		s.ProviderStates.RateLimiter, s.ProviderStates.OnlyFans = workflow.ProviderPending, workflow.ProviderPending
	},
	workflow.EventRateLimited: func(_, s *workflow.State) {
		s.NotBefore, s.WaitReason, s.LastError = soon, workflow.WaitNone, "why"
		s.ProviderStates.RateLimiter, s.ProviderStates.OnlyFans = workflow.ProviderPending, workflow.ProviderRateLimited
		s.FallbackHistory = append(s.FallbackHistory, toQueue)
	},
	workflow.EventUnknown:   func(_, s *workflow.State) { s.LastError = "why" },
	workflow.EventCancelled: func(_, s *workflow.State) { s.WaitReason, s.LastError = workflow.WaitNone, "why" },
	workflow.EventExpired:   func(_, s *workflow.State) { s.WaitReason, s.LastError = workflow.WaitNone, "why" },
}

// stateIn is a state in which every field has a value that can be seen to change or to stay.
func stateIn(stage workflow.Stage) workflow.State {
	return workflow.State{
		Stage:           stage,
		CurrentProvider: workflow.ProviderOpenAI,
		ProviderStates: workflow.ProviderStates{Azure: workflow.ProviderTimeout, OpenAI: workflow.ProviderCompleted,
			RateLimiter: workflow.ProviderChecking, OnlyFans: workflow.ProviderRateLimited},
		RetryAttempts:   workflow.RetryAttempts{Azure: 1, OpenAI: 2, OnlyFans: 7},
		FallbackHistory: []workflow.Fallback{{From: "azure", To: "openai", Reason: "azure_timeout", Timestamp: earlier}},
		Attempts:        1,
		MaxRetries:      3,
		NotBefore:       earlier,
		WaitReason:      workflow.WaitProvider,
		LastError:       "of before",
		CheckpointData:  json.RawMessage(`{"page":3}`),
	}
}

// eventOf has the fields that are documented for its kind.
func eventOf(kind workflow.EventKind) workflow.Event {
	e := workflow.Event{Kind: kind, At: now, Reason: "why"}
	switch kind {
	case workflow.EventNotSent, workflow.EventRateLimited, workflow.EventUnknown:
		e.RetryAt = soon
	case workflow.EventDeferred:
		e.RetryAt, e.Wait = soon, workflow.WaitRecipient
	}
	return e
}

func TestTransitionMatrix(t *testing.T) {
	t.Parallel()
	if len(matrix) != len(workflow.Stages) {
		t.Errorf("the matrix has %d stages, the package %d", len(matrix), len(workflow.Stages))
	}
	for _, stage := range workflow.Stages {
		if len(matrix[stage]) != len(workflow.Events) {
			t.Errorf("%s: the matrix has %d events, the package %d", stage, len(matrix[stage]), len(workflow.Events))
		}
		for _, kind := range workflow.Events {
			cell, known := matrix[stage][kind]
			if !known {
				t.Errorf("%s × %s is not in the matrix", stage, kind)
				continue
			}
			t.Run(string(stage)+"/"+string(kind), func(t *testing.T) {
				t.Parallel()
				before := stateIn(stage)
				want, steps := before, []workflow.Step(nil)
				if cell != "-" {
					changes[kind](&before, &want)
					want.Stage, steps = parseCell(t, cell, want.NotBefore)
				}
				got, gotSteps, err := workflow.Transition(before, eventOf(kind))
				if cell == "-" != errors.Is(err, workflow.ErrNotApplicable) {
					t.Errorf("error %v", err)
				}
				if err != nil && (!strings.Contains(err.Error(), string(stage)) || !strings.Contains(err.Error(), string(kind))) {
					t.Errorf("error %q names neither stage nor event", err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("state (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(steps, gotSteps); diff != "" {
					t.Errorf("steps (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// parseCell reads "stage" or "stage, step at time".
func parseCell(t *testing.T, cell string, notBefore time.Time) (workflow.Stage, []workflow.Step) {
	t.Helper()
	stage, step, found := strings.Cut(cell, ", ")
	if !found {
		return workflow.Stage(stage), nil
	}
	kind, at, _ := strings.Cut(step, " at ")
	times := map[string]time.Time{"once": {}, "not-before": notBefore, "retry-at": soon}
	due, known := times[at]
	if !known {
		t.Fatalf("cell %q: no such time", cell)
	}
	return workflow.Stage(stage), []workflow.Step{{Kind: workflow.StepKind(kind), At: due}}
}

// What the matrix has no room for: transitions that depend on more than the stage.
func TestTransitionDetails(t *testing.T) {
	t.Parallel()
	release := func(at time.Time) []workflow.Step { return []workflow.Step{{Kind: workflow.StepRelease, At: at}} }
	tests := []struct {
		name  string
		stage workflow.Stage
		set   func(*workflow.State)
		event workflow.Event
		want  func(*workflow.State)
		steps []workflow.Step
	}{
		{"a text for later waits for its time", workflow.StagePlanning, func(s *workflow.State) { s.NotBefore = later },
			workflow.Event{Kind: workflow.EventTextReady, At: now},
			func(s *workflow.State) { s.Stage, s.WaitReason = workflow.StageQueued, workflow.WaitSchedule }, release(later)},
		{"the last try", workflow.StageSending, func(s *workflow.State) { s.Attempts = 2 }, eventOf(workflow.EventNotSent),
			func(s *workflow.State) {
				s.Stage, s.Attempts, s.WaitReason, s.LastError = workflow.StageFailed, 3, workflow.WaitNone, "why"
				s.ProviderStates.OnlyFans = workflow.ProviderFailed
			}, nil},
		{"the last try, settled late", workflow.StageInDoubt, func(s *workflow.State) { s.Attempts = 2 }, eventOf(workflow.EventNotSent),
			func(s *workflow.State) {
				s.Stage, s.Attempts, s.WaitReason, s.LastError = workflow.StageFailed, 3, workflow.WaitNone, "why"
				s.ProviderStates.OnlyFans = workflow.ProviderFailed
			}, nil},
		{"no retries at all", workflow.StageSending, func(s *workflow.State) { s.Attempts, s.MaxRetries = 0, 0 }, eventOf(workflow.EventNotSent),
			func(s *workflow.State) {
				s.Stage, s.Attempts, s.WaitReason, s.LastError = workflow.StageFailed, 1, workflow.WaitNone, "why"
				s.ProviderStates.OnlyFans = workflow.ProviderFailed
			}, nil},
		{"429 counts no try", workflow.StageSending, func(s *workflow.State) { s.Attempts = 2 }, workflow.Event{Kind: workflow.EventRateLimited, At: now, Reason: "rate_limited"},
			func(s *workflow.State) {
				s.Stage, s.WaitReason, s.LastError = workflow.StageQueued, workflow.WaitNone, "rate_limited"
				s.ProviderStates.RateLimiter, s.ProviderStates.OnlyFans = workflow.ProviderPending, workflow.ProviderRateLimited
				s.FallbackHistory = append(s.FallbackHistory, toQueue)
			}, release(earlier)},
		{"a release without the limiter is told", workflow.StageQueued, func(*workflow.State) {}, workflow.Event{Kind: workflow.EventReleased, At: now, Bypass: true},
			func(s *workflow.State) {
				s.Stage, s.WaitReason = workflow.StageSending, workflow.WaitNone
				s.ProviderStates.RateLimiter, s.ProviderStates.OnlyFans = workflow.ProviderApproved, workflow.ProviderSending
				s.FallbackHistory = append(s.FallbackHistory, workflow.Fallback{From: "rateLimiter", To: "bypass_with_warning", Reason: "rate_limiter_down", Timestamp: now})
			}, []workflow.Step{{Kind: workflow.StepSend}}},
		{"a text tells how it was written", workflow.StagePlanning, func(*workflow.State) {}, workflow.Event{Kind: workflow.EventTextReady, At: now, Writing: &written},
			func(s *workflow.State) {
				s.Stage, s.WaitReason = workflow.StageQueued, workflow.WaitNone
				wroteInto(s)
			}, release(earlier)},
		{"a text that could not be had tells it, too", workflow.StagePlanning, func(*workflow.State) {}, workflow.Event{Kind: workflow.EventTextFailed, At: now, Reason: "azure_refusal", Writing: &written},
			func(s *workflow.State) {
				s.Stage, s.WaitReason, s.LastError = workflow.StageFailed, workflow.WaitNone, "azure_refusal"
				wroteInto(s)
			}, nil},
		{"a retry that is due before the message's own time", workflow.StageSending, func(s *workflow.State) { s.NotBefore = later }, eventOf(workflow.EventNotSent),
			func(s *workflow.State) {
				s.Stage, s.WaitReason, s.LastError, s.Attempts, s.RetryAttempts.OnlyFans = workflow.StageQueued, workflow.WaitRetry, "why", 2, 8
				s.ProviderStates.RateLimiter, s.ProviderStates.OnlyFans = workflow.ProviderPending, workflow.ProviderPending
			}, release(later)},
		{"a deferral to before the message's own time", workflow.StageQueued, func(s *workflow.State) { s.NotBefore = later }, eventOf(workflow.EventDeferred),
			func(s *workflow.State) {
				s.WaitReason, s.ProviderStates.RateLimiter = workflow.WaitRecipient, workflow.ProviderThrottled
			}, nil},
		{"cancelled without a reason", workflow.StageQueued, func(*workflow.State) {}, workflow.Event{Kind: workflow.EventCancelled, At: now},
			func(s *workflow.State) { s.Stage, s.WaitReason = workflow.StageCancelled, workflow.WaitNone }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			before := stateIn(test.stage)
			test.set(&before)
			want := before
			test.want(&want)
			got, steps, err := workflow.Transition(before, test.event)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.steps, steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTransitionUnknownWords(t *testing.T) {
	t.Parallel()
	for _, stage := range append([]workflow.Stage{"", "lost"}, workflow.Stages...) {
		before := stateIn(stage)
		got, steps, err := workflow.Transition(before, workflow.Event{Kind: "exploded", At: now})
		if !errors.Is(err, workflow.ErrNotApplicable) || steps != nil || !cmp.Equal(before, got) {
			t.Errorf("%q: %v, %v, changed: %s", stage, err, steps, cmp.Diff(before, got))
		}
	}
}

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	for try, want := range map[int]time.Duration{
		-1: 5 * time.Second, 0: 5 * time.Second, 1: 5 * time.Second, 2: 30 * time.Second, 3: 3 * time.Minute,
		4: 5 * time.Minute, 5: 5 * time.Minute, 1 << 40: 5 * time.Minute,
	} {
		if got := workflow.RetryDelay(try); got != want {
			t.Errorf("after try %d: %s, want %s", try, got, want)
		}
	}
}
