package fallback_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

const (
	azure  = provider.Azure
	openai = provider.OpenAI
)

func states(azure, openai workflow.ProviderState) workflow.ProviderStates {
	return workflow.ProviderStates{Azure: azure, OpenAI: openai, RateLimiter: "pending", OnlyFans: "pending"}
}

// tell plays each story twice: in one process, and with each step in another one that reads where the text is.
func tell(t *testing.T, stories map[string]story) {
	for name, s := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, g := s.play(t, false)
			if diff := cmp.Diff(s.want, log); diff != "" {
				t.Errorf("story (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(s.history, historyOf(g)); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
			if s.states != (workflow.ProviderStates{}) && g.States != s.states {
				t.Errorf("states %+v, want %+v", g.States, s.states)
			}
			if s.current != "" && (g.Current != s.current || g.Retries != s.retries) {
				t.Errorf("current %s and retries %+v, want %s and %+v", g.Current, g.Retries, s.current, s.retries)
			}
			logAgain, gAgain := s.play(t, true)
			if diff := cmp.Diff(log, logAgain); diff != "" {
				t.Errorf("through the database (-in one process +through it):\n%s", diff)
			}
			if diff := cmp.Diff(written(t, g), written(t, gAgain)); diff != "" {
				t.Errorf("through the database (-in one process +through it):\n%s", diff)
			}
		})
	}
}

func TestStoriesOfTimeoutsAndLimits(t *testing.T) {
	t.Parallel()
	const timeout, limited = provider.Timeout, provider.RateLimited
	openaiFirst := []provider.Name{openai, azure}
	tell(t, map[string]story{
		"a text at once": {want: []string{"call azure", "text"}, states: states("completed", "pending"), current: "azure"},
		"azure_timeout": {
			script:  answers(timeout, timeout, timeout),
			want:    []string{"call azure", "wait 5s azure_timeout", "call azure", "wait 5s azure_timeout", "call azure", "call openai", "text"},
			history: []string{"azure>openai azure_timeout"}, states: states("timeout", "completed"), retries: workflow.RetryAttempts{Azure: 2}, current: "openai",
		},
		"azure_timeout that passes": {
			script: answers(timeout), want: []string{"call azure", "wait 5s azure_timeout", "call azure", "text"},
			states: states("completed", "pending"), retries: workflow.RetryAttempts{Azure: 1}, current: "azure",
		},
		"azure_rate_limited": {
			script: answers(limited, limited), want: []string{"call azure", "wait 1s azure_rate_limited", "call azure", "call openai", "text"},
			history: []string{"azure>openai azure_rate_limited"}, states: states("failed", "completed"), retries: workflow.RetryAttempts{Azure: 1}, current: "openai",
		},
		"azure_rate_limited, shorter than the delay": {
			script: []answer{{class: limited, retryAfter: time.Second / 2}}, want: []string{"call azure", "wait 1s azure_rate_limited", "call azure", "text"},
		},
		"azure_rate_limited, longer than the delay": {
			script: []answer{{class: limited, retryAfter: 20 * time.Second}}, want: []string{"call azure", "wait 20s azure_rate_limited", "call azure", "text"},
		},
		"azure_rate_limited, as long as is waited": {
			script: []answer{{class: limited, retryAfter: time.Minute}}, want: []string{"call azure", "wait 1m0s azure_rate_limited", "call azure", "text"},
		},
		"azure_rate_limited, longer than is waited": {
			script: []answer{{class: limited, retryAfter: time.Minute + 1}}, want: []string{"call azure", "call openai", "text"},
			history: []string{"azure>openai azure_rate_limited"},
		},
		"a delay of a row may be longer than retryAfterMs": {
			matrix: "bounds: {retryAfterMs: 0}", script: []answer{{class: timeout, retryAfter: 4 * time.Second}, {class: timeout, retryAfter: 6 * time.Second}},
			want: []string{"call azure", "wait 5s azure_timeout", "call azure", "call openai", "text"}, history: []string{"azure>openai azure_timeout"},
		},
		"openai_timeout, and no ping-pong": {
			targets: openaiFirst, script: answers(timeout, timeout, timeout, timeout, timeout, timeout),
			want: []string{
				"call openai", "wait 5s openai_timeout", "call openai", "wait 5s openai_timeout", "call openai",
				"call azure", "wait 5s azure_timeout", "call azure", "wait 5s azure_timeout", "call azure",
				"wait 1m0s all_failed", "call openai", "text",
			},
			history: []string{"openai>azure openai_timeout", "azure>queue all_failed"}, states: states("timeout", "completed"),
			retries: workflow.RetryAttempts{Azure: 2, OpenAI: 3}, current: "openai",
		},
		"openai_rate_limited": {
			targets: openaiFirst, script: answers(limited), want: []string{"call openai", "wait 1m0s openai_rate_limited", "call openai", "text"},
			history: []string{"openai>queue openai_rate_limited"}, states: states("pending", "completed"), retries: workflow.RetryAttempts{OpenAI: 1}, current: "openai",
		},
		"openai_rate_limited, then from the first target": {
			script: answers(provider.ServerError, limited), want: []string{"call azure", "call openai", "wait 1m0s openai_rate_limited", "call azure", "text"},
			history: []string{"azure>openai azure_unavailable", "openai>queue openai_rate_limited"}, states: states("completed", "failed"),
			retries: workflow.RetryAttempts{Azure: 1}, current: "azure",
		},
		"openai_rate_limited, for longer": {
			targets: openaiFirst, script: []answer{{class: limited, retryAfter: 90 * time.Second}},
			want: []string{"call openai", "wait 1m30s openai_rate_limited", "call openai", "text"}, history: []string{"openai>queue openai_rate_limited"},
		},
		"openai_rate_limited, for longer than a text waits": {
			matrix: "bounds: {queueMaxAgeMs: 7200000}", targets: openaiFirst, script: []answer{{class: limited, retryAfter: 1000 * time.Hour}},
			want: []string{"call openai", "wait 2h0m0s openai_rate_limited", "call openai", "text"}, history: []string{"openai>queue openai_rate_limited"},
		},
		"what is counted is the target's": {
			script:  answers(timeout, limited, timeout, timeout),
			want:    []string{"call azure", "wait 5s azure_timeout", "call azure", "call openai", "wait 5s openai_timeout", "call openai", "wait 5s openai_timeout", "call openai", "text"},
			history: []string{"azure>openai azure_rate_limited"},
		},
		"x-should-retry: false": {
			script: []answer{{class: timeout, veto: true}}, want: []string{"call azure", "call openai", "text"}, history: []string{"azure>openai azure_timeout"},
		},
		"only azure": {
			targets: both[:1], script: answers(timeout, timeout, timeout),
			want:    []string{"call azure", "wait 5s azure_timeout", "call azure", "wait 5s azure_timeout", "call azure", "wait 1m0s all_failed", "call azure", "text"},
			history: []string{"azure>queue all_failed"}, retries: workflow.RetryAttempts{Azure: 3}, current: "azure",
		},
		"only openai": {
			targets: both[1:], script: answers(provider.Auth), want: []string{"call openai", "wait 1m0s all_failed", "call openai", "text"},
			history: []string{"openai>queue all_failed"},
		},
		"no target": {
			matrix: "bounds: {queueMaxWaits: 2}", targets: []provider.Name{},
			want: []string{"wait 1s all_open", "wait 1s all_open", "fail queue_exhausted: all_open"}, history: []string{"hybrid>queue all_open", "hybrid>queue all_open"},
		},
	})
}

// What makes no sense to try again goes to the other provider at once.
func TestStoriesOfUnavailableTargets(t *testing.T) {
	t.Parallel()
	for class, ending := range map[provider.Class]string{
		provider.Connection: "unavailable", provider.Overloaded: "unavailable", provider.ServerError: "unavailable",
		provider.Auth: "auth", provider.NotFound: "not_found", provider.BillingStop: "billing_stop",
	} {
		tell(t, map[string]story{
			"azure " + string(class): {
				script: answers(class), want: []string{"call azure", "call openai", "text"},
				history: []string{"azure>openai azure_" + ending}, states: states("failed", "completed"), current: "openai",
			},
			"openai " + string(class): {
				targets: []provider.Name{openai, azure}, script: answers(class), want: []string{"call openai", "call azure", "text"},
				history: []string{"openai>azure openai_" + ending}, states: states("completed", "failed"), current: "azure",
			},
			"both " + string(class): {
				script: answers(class, class), want: []string{"call azure", "call openai", "wait 1m0s all_failed", "call azure", "text"},
				history: []string{"azure>openai azure_" + ending, "openai>queue all_failed"}, states: states("completed", "failed"),
				retries: workflow.RetryAttempts{Azure: 1}, current: "azure",
			},
		})
	}
}

// What is wrong with the question is not asked elsewhere; a text that can't be used is repaired once.
func TestStoriesOfTexts(t *testing.T) {
	t.Parallel()
	for _, class := range []provider.Class{provider.ContentFiltered, provider.ContextLength, provider.InvalidRequest} {
		tell(t, map[string]story{
			string(class): {script: answers(class), want: []string{"call azure", "fail azure_" + string(class)}, states: states("failed", "pending"), current: "azure"},
		})
	}
	for _, class := range []provider.Class{provider.Refusal, provider.Truncated, provider.SchemaViolation, fallback.GateFailed} {
		wrong, shown := answer{class: class}, string(class)
		if class == fallback.GateFailed {
			wrong.violations, shown = []string{"too_long", "link"}, "too_long,link"
		}
		tell(t, map[string]story{
			string(class) + ", repaired": {
				script: []answer{wrong}, want: []string{"call azure", "call azure to repair " + shown, "text"},
				states: states("completed", "pending"), retries: workflow.RetryAttempts{Azure: 1}, current: "azure",
			},
			string(class) + " twice": {
				script: []answer{wrong, wrong}, want: []string{"call azure", "call azure to repair " + shown, "fallback_text azure_" + string(class)},
				history: []string{"azure>fallback_text azure_" + string(class)}, states: states("failed", "pending"), retries: workflow.RetryAttempts{Azure: 1}, current: "azure",
			},
			string(class) + ", and another fault": {
				script: []answer{wrong, {class: provider.Truncated}}, want: []string{"call azure", "call azure to repair " + shown, "fallback_text azure_truncated"},
				history: []string{"azure>fallback_text azure_truncated"},
			},
			string(class) + ", a timeout and the repair": {
				script:  []answer{wrong, {class: provider.Timeout}},
				want:    []string{"call azure", "call azure to repair " + shown, "wait 5s azure_timeout", "call azure to repair " + shown, "text"},
				retries: workflow.RetryAttempts{Azure: 2}, current: "azure",
			},
			string(class) + ", then elsewhere": {
				matrix: "rows: [{scenario: azure_" + string(class) + ", fallback: openai, maxRetries: 0, delayMs: 0}]", script: []answer{wrong},
				want: []string{"call azure", "call openai", "text"}, history: []string{"azure>openai azure_" + string(class)},
			},
		})
	}
}
