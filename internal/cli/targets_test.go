package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
)

func TestProvidersCommand(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.run("providers").wants(t, exitOK).prints(t, "No worker that has a provider was ever here: set AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY, or OPENAI_API_KEY.")
	var none map[string]any
	f.run("providers", "--json").wants(t, exitOK).json(t, &none)
	if diff := cmp.Diff(map[string]any{"now": "2026-03-02T12:00:00Z", "spentPicoUsd": 0.0, "targets": []any{}}, none); diff != "" {
		t.Errorf("without a provider (-want +got):\n%s", diff)
	}
	f.withProviders(0)
	f.take(message("creator-7", 1, brief), message("creator-7", 2, brief), message("creator-7", 3, brief))
	f.run("providers").wants(t, exitOK).prints(t, `
PROVIDER  TARGET                              LAST SEEN  BREAKER  UNDER WAY  CALLS TODAY  COST TODAY
azure     azure/name.openai.azure.com/texts   0s ago     closed   0          0            -
openai    openai/api.openai.com/gpt-5.4-mini  0s ago     closed   0          0            -

Spent on texts today (UTC): $0.00
`)
	f.answered("wf-1", failedWith(provider.Auth, 401), wrote(secretText))
	limited := failedWith(provider.RateLimited, 429).costing(paid(cost.Unpriced, 0))
	limited.result.RetryAfter = 90 * time.Second
	f.answered("wf-2", failedWith(provider.Timeout, 0).costing(paid(cost.Estimated, 4_000_000_000)), limited)
	f.environ["PROVIDER_DAILY_BUDGET_USD"] = "25.50"
	f.advance(time.Second)
	shown := f.run("providers").wants(t, exitOK).prints(t, `
PROVIDER  TARGET                              LAST SEEN  BREAKER  UNDER WAY  CALLS TODAY  COST TODAY
azure     azure/name.openai.azure.com/texts   14s ago    open     0          1            $0.00
openai    openai/api.openai.com/gpt-5.4-mini  14s ago    closed   0          3            $0.0044935 (1 estimated) and 1 without a price

azure/name.openai.azure.com/texts: not called until 2026-03-02 12:05:02 UTC (in 4m48s): azure refused the credential
openai/api.openai.com/gpt-5.4-mini: 1 failed call in a row
openai/api.openai.com/gpt-5.4-mini: rests until 2026-03-02 12:01:43 UTC (in 1m29s), as it asked: openai said 429, too many requests
Spent on texts today (UTC): $0.0044935, of $25.50 that PROVIDER_DAILY_BUDGET_USD allows here
`)
	asJSON := f.run("providers", "--json").wants(t, exitOK)
	var got targetsJSON
	asJSON.json(t, &got)
	want := targetsJSON{Now: start.Add(14 * time.Second), SpentPicoUSD: 4_493_500_000, Targets: []targetJSON{
		{Provider: provider.Azure, Target: "azure/name.openai.azure.com/texts", SeenAt: start, Today: todayJSON{Calls: 1},
			Breaker: breakerJSON{Phase: guard.Open, Opened: 1, Until: start.Add(5*time.Minute + 2*time.Second), Reason: provider.Auth}},
		{Provider: provider.OpenAI, Target: "openai/api.openai.com/gpt-5.4-mini", SeenAt: start, Today: todayJSON{Calls: 3, PicoUSD: 4_493_500_000, Estimated: 1, Unpriced: 1},
			Breaker: breakerJSON{Phase: guard.Closed, Failures: 1}, Rest: &pauseJSON{Until: start.Add(103 * time.Second), Reason: provider.RateLimited}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all := shown.out + asJSON.out; strings.Contains(all, secretText) || strings.Contains(all, "creator-7") || strings.Contains(all, "wf-") {
		t.Error("an account, a brief or a text is shown")
	}

	// Azure is tried again: by one call, and then for all.
	f.advance(10 * time.Minute)
	f.run("providers").wants(t, exitOK, "10m14s ago", "half open", "azure/name.openai.azure.com/texts: the next call finds out whether it works again: azure refused the credential")
	call := f.ask("wf-3")
	f.advance(time.Second)
	f.run("providers").wants(t, exitOK, "half open  1", "a call that ends until 2026-03-02 12:10:59 UTC (in 44s) finds out whether it works again: azure refused the credential")
	f.run("providers", "--json").wants(t, exitOK, `"phase": "half_open"`, `"probing": true`, `"callsUnderWay": 1`)
	f.told("wf-3", call, wrote(secretText))
	if healed := f.run("providers").wants(t, exitOK, "closed"); strings.Contains(healed.out, "half") {
		t.Error("it is not closed again")
	}
}

func TestMatrixCommand(t *testing.T) {
	t.Parallel()
	c := newTerminal(t) // without a database
	shown := c.run("providers", "matrix").wants(t, exitOK, "The built-in fallback matrix.", "azure_timeout            openai               2            5000",
		"onlyfans_rate_limited    queue                0            45000", "after 5m0s or 8 calls: then the row deadline holds", "1,440 times, and for 24h0m in all, at most")
	for _, s := range fallback.Scenarios() {
		if !strings.Contains(shown.out, "\n"+string(s)+" ") {
			t.Errorf("%s is not shown", s)
		}
	}
	if strings.Contains(shown.out, "*") {
		t.Error("something is marked as replaced")
	}
	file := c.file("fallback.yaml", "bounds: {maxCalls: 4}\nrows: [{scenario: azure_timeout, fallback: queue, maxRetries: 1, delayMs: 1500}, {scenario: azure_auth, fallback: openai, maxRetries: 0, delayMs: 0}]\n")
	c.environ["FALLBACK_MATRIX_FILE"] = file
	shown = c.run("providers", "matrix").wants(t, exitOK, file, "marked *", "azure_timeout *          queue                1            1500", "or 4 calls")
	if strings.Count(shown.out, " * ") != 1 {
		t.Error("what is not replaced is marked")
	}
	var got matrixJSON
	c.run("providers", "matrix", "--json").wants(t, exitOK).json(t, &got)
	if got.File != file || len(got.Rows) != len(fallback.Scenarios()) {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(boundsJSON{DeadlineMs: 300_000, MaxCalls: 4, RetryAfterMs: 60_000, QueueMaxWaits: 1440, QueueMaxAgeMs: 86_400_000}, got.Bounds); diff != "" {
		t.Errorf("bounds (-want +got):\n%s", diff)
	}
	if want := (matrixRowJSON{"azure_timeout", "queue", 1, 1500}); !slices.Contains(got.Rows, want) {
		t.Errorf("%+v is not in %+v", want, got.Rows)
	}
	// What it prints is a matrix itself.
	text, err := json.Marshal(map[string]any{"bounds": got.Bounds, "rows": got.Rows})
	if err != nil {
		t.Fatal(err)
	}
	again, err := fallback.Parse(text)
	if err != nil || again.Row("azure_timeout") != (fallback.Row{Fallback: fallback.ToQueue, MaxRetries: 1, Delay: 1500 * time.Millisecond}) {
		t.Errorf("%v, %+v", err, again.Row("azure_timeout"))
	}
	c.environ["FALLBACK_MATRIX_FILE"] = c.file("fallback.yaml", "rows: [{scenario: azure_timeout, fallback: openai, maxRetries: 99, delayMs: 0}]")
	c.run("providers", "matrix").wants(t, exitMisused, "FALLBACK_MATRIX_FILE: ", "azure_timeout", "maxRetries is 99")
	c.run("providers").wants(t, exitMisused, "DATABASE_URL is not set")
	c.run("providers", "matirx").wants(t, exitMisused, `unknown command "matirx" for "huntaze providers"`)
}
