package fallback_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func repeat(n int, lines ...string) (all []string) {
	for range n {
		all = append(all, lines...)
	}
	return all
}

// Chains end: by their calls, by their time, by the number and the age of their waits.
func TestStoriesOfEndings(t *testing.T) {
	t.Parallel()
	const timeout, limited = provider.Timeout, provider.RateLimited
	slow := func(class provider.Class, takes time.Duration) answer { return answer{class: class, takes: takes} }
	lost := repeat(8, "call azure")
	tell(t, map[string]story{
		"lost and canceled calls are made again, and count": {
			script: answers(fallback.Lost, provider.Canceled, fallback.Lost, provider.Canceled, fallback.Lost, fallback.Lost, fallback.Lost, fallback.Lost),
			want:   append(lost, "wait 1m0s deadline", "call azure", "text"), history: []string{"azure>queue deadline"},
			states: states("completed", "pending"), retries: workflow.RetryAttempts{Azure: 8}, current: "azure",
		},
		"a lost call does not use up a try": {
			script: answers(timeout, fallback.Lost, timeout, timeout),
			want: []string{
				"call azure", "wait 5s azure_timeout", "call azure", "call azure", "wait 5s azure_timeout", "call azure",
				"call openai", "text",
			},
			history: []string{"azure>openai azure_timeout"},
		},
		"maxCalls": {
			matrix: "bounds: {maxCalls: 2}", script: answers(timeout, timeout),
			want: []string{"call azure", "wait 5s azure_timeout", "call azure", "wait 1m0s deadline", "call azure", "text"}, history: []string{"azure>queue deadline"},
		},
		"maxCalls on the second target": {
			matrix: "bounds: {maxCalls: 2}", script: answers(provider.Auth, timeout),
			want: []string{"call azure", "call openai", "wait 1m0s all_failed", "call azure", "text"}, history: []string{"azure>openai azure_auth", "openai>queue all_failed"},
		},
		"deadline": {
			script:  []answer{slow(timeout, 100*time.Second), slow(timeout, 100*time.Second), slow(timeout, 100*time.Second)},
			want:    []string{"call azure", "wait 5s azure_timeout", "call azure", "wait 5s azure_timeout", "call azure", "wait 1m0s deadline", "call azure", "text"},
			history: []string{"azure>queue deadline"},
		},
		"a wait beyond the deadline is left out": {
			script: []answer{slow(timeout, 296*time.Second)}, want: []string{"call azure", "call openai", "text"}, history: []string{"azure>openai azure_timeout"},
		},
		"deadline with a row of its own": {
			matrix: "rows: [{scenario: deadline, fallback: fallback_text, maxRetries: 0, delayMs: 0}]", script: []answer{slow(provider.Connection, 300*time.Second)},
			want: []string{"call azure", "fallback_text deadline"}, history: []string{"azure>fallback_text deadline"},
		},
		"all failed, with a row of its own": {
			matrix: "rows: [{scenario: all_failed, fallback: fail, maxRetries: 0, delayMs: 0}]", script: answers(provider.Auth, provider.Auth),
			want: []string{"call azure", "call openai", "fail all_failed"}, history: []string{"azure>openai azure_auth"},
		},
		"the queue's number": {
			matrix: "bounds: {queueMaxWaits: 2}", targets: both[1:], script: answers(limited, limited, limited),
			want:    append(repeat(2, "call openai", "wait 1m0s openai_rate_limited"), "call openai", "fail queue_exhausted: openai_rate_limited"),
			history: repeat(2, "openai>queue openai_rate_limited"), retries: workflow.RetryAttempts{OpenAI: 2}, current: "openai",
		},
		"the queue's age": {
			matrix: "bounds: {queueMaxAgeMs: 100000}", targets: both[1:], script: answers(limited, limited, limited),
			want:    append(repeat(2, "call openai", "wait 1m0s openai_rate_limited"), "call openai", "fail queue_exhausted: openai_rate_limited"),
			history: repeat(2, "openai>queue openai_rate_limited"),
		},
	})
}

// What the guard says about the targets.
func TestStoriesOfClosedTargets(t *testing.T) {
	t.Parallel()
	openaiFirst := []provider.Name{openai, azure}
	busy := func(most time.Duration, names ...provider.Name) func(provider.Name, time.Duration) fallback.View {
		return func(name provider.Name, at time.Duration) fallback.View {
			if at < most && (len(names) == 0 || name == names[0]) {
				return fallback.View{Busy: true, Until: start.Add(at + 300*time.Millisecond)}
			}
			return fallback.View{Admitted: true}
		}
	}
	tell(t, map[string]story{
		"the first is closed": {
			views: closedUntil(provider.Timeout, map[provider.Name]time.Duration{azure: time.Hour}), want: []string{"call openai", "text"},
			history: []string{"azure>openai azure_timeout"}, states: states("pending", "completed"), current: "openai",
		},
		"all closed: until the first opens": {
			views: closedUntil(provider.ServerError, map[provider.Name]time.Duration{azure: 30 * time.Second, openai: 10 * time.Second}),
			want:  []string{"wait 10s all_open", "call openai", "text"}, history: []string{"azure>openai azure_unavailable", "openai>queue all_open", "azure>openai azure_unavailable"},
		},
		"all closed for less than the delay": {
			views: closedUntil(provider.Auth, map[provider.Name]time.Duration{azure: 300 * time.Millisecond, openai: 200 * time.Millisecond}),
			want:  []string{"wait 1s all_open", "call azure", "text"}, history: []string{"azure>openai azure_auth", "openai>queue all_open"},
		},
		"closed for ever": {
			matrix: "bounds: {queueMaxAgeMs: 3600000}", views: closedUntil(provider.BillingStop, map[provider.Name]time.Duration{azure: 1000 * time.Hour, openai: 1000 * time.Hour}),
			want:    []string{"wait 1h0m0s all_open", "fail queue_exhausted: all_open"},
			history: []string{"azure>openai azure_billing_stop", "openai>queue all_open", "azure>openai azure_billing_stop"},
		},
		// Its row does not lead to the other one, so that it has to be waited for: once, not every second.
		"a rest whose row is the queue": {
			targets: openaiFirst, views: closedUntil(provider.RateLimited, map[provider.Name]time.Duration{openai: 40 * time.Second}),
			want: []string{"wait 40s all_open", "call openai", "text"}, history: []string{"openai>queue all_open"},
		},
		"closed while it is to be tried again": {
			script: answers(provider.Timeout),
			views: func(name provider.Name, at time.Duration) fallback.View {
				return fallback.View{Admitted: name == openai || at < time.Second, Until: start.Add(time.Minute), Why: provider.Connection}
			},
			want: []string{"call azure", "wait 5s azure_timeout", "call openai", "text"}, history: []string{"azure>openai azure_unavailable"},
		},
		"the other is closed": {
			script: answers(provider.Timeout, provider.Timeout, provider.Timeout), views: closedUntil(provider.Auth, map[provider.Name]time.Duration{openai: time.Hour}),
			want:    []string{"call azure", "wait 5s azure_timeout", "call azure", "wait 5s azure_timeout", "call azure", "wait 1m0s all_failed", "call azure", "text"},
			history: []string{"azure>openai azure_timeout", "openai>queue all_failed"},
		},
		"busy for a moment": {
			views: busy(500 * time.Millisecond), want: []string{"wait 300ms azure_unavailable", "wait 300ms azure_unavailable", "call azure", "text"},
		},
		"busy for longer than a second": {
			views: busy(time.Hour, azure),
			want:  append(append(repeat(3, "wait 300ms azure_unavailable"), "wait 100ms azure_unavailable"), "call openai", "text"), history: []string{"azure>openai azure_unavailable"},
		},
		"busy without a time": {
			views: func(name provider.Name, _ time.Duration) fallback.View {
				return fallback.View{Busy: name == azure, Admitted: name == openai}
			},
			want: []string{"wait 1s azure_unavailable", "call openai", "text"}, history: []string{"azure>openai azure_unavailable"},
		},
		"nothing is known of the targets": {
			matrix: "bounds: {queueMaxWaits: 1}", views: func(provider.Name, time.Duration) fallback.View { return fallback.View{} },
			want:    []string{"wait 1s all_open", "fail queue_exhausted: all_open"},
			history: []string{"azure>openai azure_unavailable", "openai>queue all_open", "azure>openai azure_unavailable"},
		},
	})
}

// A wait is not cut short by whoever asks before it is over.
func TestAskedEarly(t *testing.T) {
	t.Parallel()
	plan := fallback.Plan{Matrix: fallback.Default(), Targets: both}
	views := map[provider.Name]fallback.View{azure: {Admitted: true}, openai: {Admitted: true}}
	g, _ := plan.Choose(pending(), views, start)
	g, _ = plan.Failed(g, provider.Timeout, 0, false, nil, start)
	for _, at := range []time.Duration{0, time.Second, 5*time.Second - 1} {
		early, next := plan.Choose(g, views, start.Add(at))
		if want := (fallback.Next{Do: fallback.DoWait, Until: start.Add(5 * time.Second), Reason: "azure_timeout"}); next != want {
			t.Errorf("after %s: %+v, want %+v", at, next, want)
		}
		if diff := cmp.Diff(written(t, g), written(t, early)); diff != "" {
			t.Errorf("after %s (-before +after):\n%s", at, diff)
		}
	}
	if _, next := plan.Choose(g, views, start.Add(5*time.Second)); next.Do != fallback.DoCall {
		t.Errorf("at its time: %+v", next)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	for matrix, want := range map[string]fallback.Next{
		"": {Do: fallback.DoWait, Until: start.Add(time.Hour), Reason: "budget_exceeded"},
		"rows: [{scenario: budget_exceeded, fallback: fail, maxRetries: 0, delayMs: 0}]":          {Do: fallback.DoFail, Reason: "budget_exceeded"},
		"rows: [{scenario: budget_exceeded, fallback: fallback_text, maxRetries: 0, delayMs: 0}]": {Do: fallback.DoFallbackText, Reason: "budget_exceeded"},
	} {
		plan := fallback.Plan{Matrix: parse(t, matrix), Targets: both}
		g, next := plan.OverBudget(pending(), time.Minute, start)
		if diff := cmp.Diff(want, next); diff != "" {
			t.Errorf("%s (-want +got):\n%s", matrix, diff)
		}
		if history := strings.Join(historyOf(g), ","); want.Do != fallback.DoFail && history != "hybrid>"+string(plan.Matrix.Row(fallback.BudgetExceeded).Fallback)+" budget_exceeded" {
			t.Errorf("history %s", history)
		}
	}
	plan := fallback.Plan{Matrix: fallback.Default(), Targets: both}
	if _, next := plan.OverBudget(pending(), 5*time.Hour, start); !next.Until.Equal(start.Add(5 * time.Hour)) {
		t.Errorf("until the money is there: %+v", next)
	}
}

// A process may have other credentials than the one before it: what that one counted is not this one's, and its
// target is not entered again.
func TestOtherCredentials(t *testing.T) {
	t.Parallel()
	whole, part := fallback.Plan{Matrix: fallback.Default(), Targets: both}, fallback.Plan{Matrix: fallback.Default(), Targets: both[1:]}
	views := map[provider.Name]fallback.View{azure: {Admitted: true}, openai: {Admitted: true}}
	g, _ := whole.Choose(pending(), views, start)
	g, _ = whole.Failed(g, provider.Timeout, 0, false, nil, start)
	g, next := part.Choose(g, views, start.Add(time.Minute))
	if next.Target != openai || g.Checkpoint.Tries != 0 {
		t.Fatalf("%+v with %d tries", next, g.Checkpoint.Tries)
	}
	g, next = whole.Failed(g, provider.Auth, 0, false, nil, start.Add(time.Minute))
	if next.Do != fallback.DoWait || next.Reason != string(fallback.AllFailed) {
		t.Fatalf("after both: %+v, %v", next, historyOf(g))
	}
}

// A text that can't be used was tried for: what follows when its target closes before the repair is all_failed.
func TestClosedBeforeTheRepair(t *testing.T) {
	t.Parallel()
	plan := fallback.Plan{Matrix: fallback.Default(), Targets: both[:1]}
	g, _ := plan.Choose(pending(), map[provider.Name]fallback.View{azure: {Admitted: true}}, start)
	g, _ = plan.Failed(g, provider.Refusal, 0, false, nil, start)
	_, next := plan.Choose(g, map[provider.Name]fallback.View{azure: {Until: start.Add(time.Second), Why: provider.Connection}}, start)
	if want := (fallback.Next{Do: fallback.DoWait, Until: start.Add(time.Minute), Reason: "all_failed"}); next != want {
		t.Errorf("%+v, want %+v", next, want)
	}
}

// Two ways to go on from one progress don't see each other.
func TestWaysFromOneProgress(t *testing.T) {
	t.Parallel()
	plan := fallback.Plan{Matrix: fallback.Default(), Targets: both}
	g := pending()
	g.History = make([]workflow.Fallback, 0, 10)
	g.Checkpoint = fallback.Checkpoint{Used: make([]provider.Name, 0, 10), Called: make([]provider.Name, 0, 10)}
	admit := func(name provider.Name, targets ...provider.Name) (fallback.Progress, fallback.Next) {
		return fallback.Plan{Matrix: plan.Matrix, Targets: targets}.Choose(g, map[provider.Name]fallback.View{name: {Admitted: true}}, start)
	}
	first, next := admit(openai, azure, openai)
	was := written(t, first)
	if next.Target != openai {
		t.Fatalf("%+v", next)
	}
	if second, next := admit(azure, openai, azure); next.Target != azure || written(t, second) == was || written(t, first) != was {
		t.Errorf("the first was\n%s\nand is now\n%s", was, written(t, first))
	}
	g, _ = admit(azure, azure, openai)
	g.History, g.Checkpoint.Used = g.History[:0:10], make([]provider.Name, 0, 10)
	first, _ = plan.Failed(g, provider.Auth, 0, false, nil, start)
	was = written(t, first)
	if second, _ := plan.Failed(g, provider.NotFound, 0, false, nil, start); written(t, second) == was || written(t, first) != was {
		t.Errorf("the first was\n%s\nand is now\n%s", was, written(t, first))
	}
}

// The history keeps the latest entries.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	plan := fallback.Plan{Matrix: fallback.Default(), Targets: both}
	g, now := pending(), start
	for range 200 {
		var next fallback.Next
		g, next = plan.Choose(g, nil, now)
		now = next.Until
	}
	if len(g.History) != 50 || !g.History[49].Timestamp.After(now.Add(-2*time.Second)) {
		t.Errorf("%d entries, the last of %s", len(g.History), g.History[len(g.History)-1].Timestamp)
	}
}
