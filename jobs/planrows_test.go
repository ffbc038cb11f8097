package jobs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Each row of the matrix over HTTP: which calls are made, after which waits, and what the message's state says then.
func TestEveryRowOfTheMatrix(t *testing.T) {
	t.Parallel()
	const s = time.Second
	states := func(azure, openai workflow.ProviderState) workflow.ProviderStates {
		return workflow.ProviderStates{Azure: azure, OpenAI: openai, RateLimiter: "pending", OnlyFans: "pending"}
	}
	const bad = "A link: https://evil.example/offer"
	tests := []struct {
		row           fallback.Scenario
		azure, openai []string // fixtures, or a text with a blank in it, each for one call; then all is well
		only          provider.Name
		calls         string
		waits         []time.Duration
		stage         string
		current       string
		states        workflow.ProviderStates
		retries       workflow.RetryAttempts
		history       []string
		reason        string
	}{
		{row: "azure_timeout", azure: []string{"azure_408_timeout", "504_html", "504_empty"}, calls: "azure azure azure openai", waits: []time.Duration{0, 5 * s, 5 * s, 0},
			stage: "queued", current: "openai", states: states("timeout", "completed"), retries: workflow.RetryAttempts{Azure: 2}, history: []string{"azure > openai: azure_timeout"}},
		{row: "azure_timeout", azure: []string{"azure_500_timeout"}, calls: "azure azure", waits: []time.Duration{0, 5 * s},
			stage: "queued", current: "azure", states: states("completed", "pending"), retries: workflow.RetryAttempts{Azure: 1}},
		{row: "azure_rate_limited", azure: []string{"azure_429_number", "azure_429_no_hint"}, calls: "azure azure openai", waits: []time.Duration{0, 1 * s, 0},
			stage: "queued", current: "openai", states: states("failed", "completed"), retries: workflow.RetryAttempts{Azure: 1}, history: []string{"azure > openai: azure_rate_limited"}},
		{row: "azure_rate_limited", azure: []string{"azure_429_gateway"}, calls: "azure azure", waits: []time.Duration{0, 5 * s}, // Retry-After is longer
			stage: "queued", current: "azure", states: states("completed", "pending"), retries: workflow.RetryAttempts{Azure: 1}},
		{row: "azure_rate_limited", azure: []string{"azure_429_token_quota_a_day"}, calls: "azure openai", waits: []time.Duration{0, 0}, // a day is not waited for
			stage: "queued", current: "openai", states: states("failed", "completed"), history: []string{"azure > openai: azure_rate_limited"}},
		{row: "openai_timeout", only: "openai", openai: []string{"504_html", "504_html", "504_html"}, calls: "openai openai openai openai", waits: []time.Duration{0, 5 * s, 5 * s, 60 * s},
			stage: "queued", current: "openai", states: states("pending", "completed"), retries: workflow.RetryAttempts{OpenAI: 3}, history: []string{"openai > queue: all_failed"}},
		// Azure times out, OpenAI times out: Azure was left and is not entered again before the queue.
		{row: "openai_timeout", azure: []string{"504_html", "504_html", "504_html"}, openai: []string{"504_html", "504_html", "504_html"},
			calls: "azure azure azure openai openai openai azure", waits: []time.Duration{0, 5 * s, 5 * s, 0, 5 * s, 5 * s, 60 * s},
			stage: "queued", current: "azure", states: states("completed", "timeout"), retries: workflow.RetryAttempts{Azure: 3, OpenAI: 2},
			history: []string{"azure > openai: azure_timeout", "openai > queue: all_failed"}},
		{row: "openai_rate_limited", only: "openai", openai: []string{"openai_429_requests_per_minute"}, calls: "openai openai", waits: []time.Duration{0, 60 * s},
			stage: "queued", current: "openai", states: states("pending", "completed"), retries: workflow.RetryAttempts{OpenAI: 1}, history: []string{"openai > queue: openai_rate_limited"}},
		// Both down, queue, recovery.
		{row: "all_failed", azure: []string{"503_html"}, openai: []string{"500_html"}, calls: "azure openai azure", waits: []time.Duration{0, 0, 60 * s},
			stage: "queued", current: "azure", states: states("completed", "failed"), retries: workflow.RetryAttempts{Azure: 1}, history: []string{"azure > openai: azure_unavailable", "openai > queue: all_failed"}},
		{row: "azure_unavailable", azure: []string{"reset"}, calls: "azure openai", waits: []time.Duration{0, 0},
			stage: "queued", current: "openai", states: states("failed", "completed"), history: []string{"azure > openai: azure_unavailable"}},
		{row: "azure_auth", azure: []string{"azure_401_key"}, calls: "azure openai", waits: []time.Duration{0, 0},
			stage: "queued", current: "openai", states: states("failed", "completed"), history: []string{"azure > openai: azure_auth"}},
		{row: "azure_not_found", azure: []string{"azure_404_deployment"}, calls: "azure openai", waits: []time.Duration{0, 0},
			stage: "queued", current: "openai", states: states("failed", "completed"), history: []string{"azure > openai: azure_not_found"}},
		// The only provider there is stays closed for as long as a person may need.
		{row: "openai_billing_stop", only: "openai", openai: []string{"openai_429_credit_exhausted"}, calls: "openai openai", waits: []time.Duration{0, 15 * time.Minute},
			stage: "queued", current: "openai", states: states("pending", "completed"), retries: workflow.RetryAttempts{OpenAI: 1},
			history: []string{"openai > queue: all_failed", "openai > queue: all_open"}},
		{row: "openai_auth", only: "openai", openai: []string{"openai_401_invalid_key"}, calls: "openai openai", waits: []time.Duration{0, 5 * time.Minute},
			stage: "queued", current: "openai", states: states("pending", "completed"), retries: workflow.RetryAttempts{OpenAI: 1},
			history: []string{"openai > queue: all_failed", "openai > queue: all_open"}},
		{row: "openai_not_found", only: "openai", openai: []string{"openai_404_model"}, calls: "openai openai", waits: []time.Duration{0, 5 * time.Minute},
			stage: "queued", current: "openai", states: states("pending", "completed"), retries: workflow.RetryAttempts{OpenAI: 1},
			history: []string{"openai > queue: all_failed", "openai > queue: all_open"}},
		{row: "openai_unavailable", only: "openai", openai: []string{"openai_503_overloaded"}, calls: "openai openai", waits: []time.Duration{0, 60 * s},
			stage: "queued", current: "openai", states: states("pending", "completed"), retries: workflow.RetryAttempts{OpenAI: 1}, history: []string{"openai > queue: all_failed"}},
		{row: "azure_content_filtered", azure: []string{"azure_400_content_filter"}, calls: "azure", waits: []time.Duration{0},
			stage: "failed", current: "azure", states: states("failed", "pending"), reason: "azure_content_filtered"},
		{row: "openai_content_filtered", only: "openai", openai: []string{"openai_400_invalid_prompt"}, calls: "openai", waits: []time.Duration{0},
			stage: "failed", current: "openai", states: states("pending", "failed"), reason: "openai_content_filtered"},
		{row: "azure_context_length", azure: []string{"azure_400_context_length"}, calls: "azure", waits: []time.Duration{0},
			stage: "failed", current: "azure", states: states("failed", "pending"), reason: "azure_context_length"},
		{row: "openai_context_length", only: "openai", openai: []string{"openai_400_context_length"}, calls: "openai", waits: []time.Duration{0},
			stage: "failed", current: "openai", states: states("pending", "failed"), reason: "openai_context_length"},
		{row: "azure_invalid_request", azure: []string{"azure_400_bad_request"}, calls: "azure", waits: []time.Duration{0},
			stage: "failed", current: "azure", states: states("failed", "pending"), reason: "azure_invalid_request"},
		{row: "openai_invalid_request", only: "openai", openai: []string{"openai_400_unsupported_parameter"}, calls: "openai", waits: []time.Duration{0},
			stage: "failed", current: "openai", states: states("pending", "failed"), reason: "openai_invalid_request"},
		{row: "azure_refusal", azure: []string{"200_refusal", "200_refusal"}, calls: "azure azure", waits: []time.Duration{0, 0},
			stage: "failed", current: "azure", states: states("failed", "pending"), retries: workflow.RetryAttempts{Azure: 1}, history: []string{"azure > fallback_text: azure_refusal"}, reason: "azure_refusal"},
		{row: "azure_truncated", azure: []string{"200_truncated"}, calls: "azure azure", waits: []time.Duration{0, 0},
			stage: "queued", current: "azure", states: states("completed", "pending"), retries: workflow.RetryAttempts{Azure: 1}},
		{row: "azure_schema_violation", azure: []string{"200_prose", "200_missing_why"}, calls: "azure azure", waits: []time.Duration{0, 0},
			stage: "failed", current: "azure", states: states("failed", "pending"), retries: workflow.RetryAttempts{Azure: 1}, history: []string{"azure > fallback_text: azure_schema_violation"}, reason: "azure_schema_violation"},
		{row: "azure_gate_failed", azure: []string{bad}, calls: "azure azure", waits: []time.Duration{0, 0},
			stage: "queued", current: "azure", states: states("completed", "pending"), retries: workflow.RetryAttempts{Azure: 1}},
		{row: "openai_gate_failed", only: "openai", openai: []string{bad, bad}, calls: "openai openai", waits: []time.Duration{0, 0},
			stage: "failed", current: "openai", states: states("pending", "failed"), retries: workflow.RetryAttempts{OpenAI: 1}, history: []string{"openai > fallback_text: openai_gate_failed"}, reason: "openai_gate_failed"},
		{row: "openai_refusal", only: "openai", openai: []string{"200_refusal"}, calls: "openai openai", waits: []time.Duration{0, 0},
			stage: "queued", current: "openai", states: states("pending", "completed"), retries: workflow.RetryAttempts{OpenAI: 1}},
		{row: "openai_truncated", only: "openai", openai: []string{"200_truncated", "200_truncated"}, calls: "openai openai", waits: []time.Duration{0, 0},
			stage: "failed", current: "openai", states: states("pending", "failed"), retries: workflow.RetryAttempts{OpenAI: 1}, history: []string{"openai > fallback_text: openai_truncated"}, reason: "openai_truncated"},
		{row: "openai_schema_violation", only: "openai", openai: []string{"200_prose"}, calls: "openai openai", waits: []time.Duration{0, 0},
			stage: "queued", current: "openai", states: states("pending", "completed"), retries: workflow.RetryAttempts{OpenAI: 1}},
	}
	for _, test := range tests {
		name := string(test.row)
		if test.only != "" {
			name += " alone"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := writerOptions{}
			if test.only != "" {
				o.only = []provider.Name{test.only}
			}
			w := newWriters(t, o)
			w.fails(providersim.Azure, test.azure...)
			w.fails(providersim.OpenAI, test.openai...)
			w.ingest(briefed(1))
			if jobs := w.run(20); jobs == 20 {
				t.Fatalf("no end: %v", w.called())
			}
			if got := strings.Join(w.called(), " "); got != test.calls {
				t.Errorf("calls %s, want %s", got, test.calls)
			}
			if diff := cmp.Diff(test.waits, w.waits); diff != "" {
				t.Errorf("waits before the calls (-want +got):\n%s", diff)
			}
			got := w.life("wf-1")
			if (got.Content != "") != (test.stage == "queued") {
				t.Errorf("stage %s with a text of %d bytes", got.Stage, len(got.Content))
			}
			got.Content = ""
			want := life{Stage: test.stage, Current: test.current, LastError: test.reason, States: test.states, Retries: test.retries, History: test.history}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			if calls, costs := w.number(`SELECT count(*) FROM plan_attempts WHERE state <> 'executing'`), w.number(`SELECT count(*) FROM provider_costs`); int(calls) != len(w.called()) || costs != calls {
				t.Errorf("%d calls on record and %d costs, of %d", calls, costs, len(w.called()))
			}
		})
	}
}

// fails scripts how a provider answers its first calls.
func (w *writers) fails(p providersim.Provider, faults ...string) {
	w.t.Helper()
	for _, f := range faults {
		fault := providersim.Fault{Fixture: f}
		if strings.Contains(f, " ") {
			fault = providersim.Fault{Text: f}
		}
		if err := w.sim.Enqueue(p, fault); err != nil {
			w.t.Fatal(err)
		}
	}
}

// A text that can't be had is replaced by the one that the template has ready, with the recipient's name in it.
func TestFallbackText(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	template := "name: kind\nversion: 1\nmaxLength: 200\nmaxOutputTokens: 200\nsystem: |\n  Write. [[canary]]\nfallbackText: Thank you, {{name|dear}}!\n"
	if err := os.WriteFile(filepath.Join(dir, "kind.v1.yaml"), []byte(template), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWriters(t, writerOptions{prompts: dir, template: "kind"})
	w.fails(providersim.Azure, "200_refusal", "200_refusal")
	w.ingest(briefed(1, func(m *workflow.Message) { m.MergeFields = map[string]string{"name": "Ann"} }))
	w.run(10)
	if got := w.life("wf-1"); got.Stage != "queued" || got.Content != "Thank you, Ann!" || got.Current != "azure" {
		t.Errorf("%+v", got)
	}
}
