package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// A text that both providers had a part in, and that its campaign's messages share.
func TestExplainWritten(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.withProviders(0)
	f.take(message("creator-7", 1, brief, inSpring, named("Ann")), message("creator-7", 2, brief, inSpring, named("Bo")))
	refused := wrote(secretText)
	refused.violations = []string{"link_host", "too_long"}
	f.answered("wf-1", failedWith(provider.Overloaded, 503), refused, wrote(secretText+", {{name}}"))
	f.advance(time.Millisecond)
	if _, err := f.store.Release(t.Context(), []db.Release{{UserID: "creator-7"}}); err != nil {
		t.Fatal(err)
	}
	f.advance(time.Second)
	f.end("wf-1", accepted())
	shown := f.run("explain", "wf-1").wants(t, exitOK).prints(t, `
wf-1: creator-7 to fan-1, priority 3, campaign spring
stage sent; text 26 characters, written by openai, shared with its campaign, 3 calls, $0.000987; 0 of 3 tries failed; clientRef ID

2026-03-02 12:00:00.000  received    from huntaze-hybrid-messages-production, message sqs-wf-1-fan-1
2026-03-02 12:00:00.000  asked       call 1: azure writes the text, asked by worker worker-1
2026-03-02 12:00:02.000  failed      call 1: azure is overloaded, status 503, request req-1, not billed
2026-03-02 12:00:02.000  fallback    from azure to openai: azure does not work
2026-03-02 12:00:02.000  asked       call 2: openai writes the text, asked by worker worker-1
2026-03-02 12:00:04.000  failed      call 2: openai wrote a text that may not be sent, link_host too_long, status 200, request req-2, $0.0004935 for 454 tokens in, 34 out
2026-03-02 12:00:04.000  asked       call 3: openai is asked for a better text, asked by worker worker-1
2026-03-02 12:00:06.000  completed   call 3: openai wrote a text, status 200, request req-3, $0.0004935 for 454 tokens in, 34 out
2026-03-02 12:00:06.000  text_ready  its text is ready, written by openai
2026-03-02 12:00:06.001  released    attempt 1: its tokens are taken
2026-03-02 12:00:07.001  called      attempt 1: the call to the gateway began, by worker worker-1
2026-03-02 12:00:07.001  accepted    attempt 1: the gateway has it, status 201, messageId gw-1
`)
	other := f.run("explain", "wf-2").wants(t, exitOK, "text 25 characters, written by openai, shared with its campaign, 3 calls")
	if strings.Contains(shown.out+other.out, secretText) {
		t.Error("the brief or the text is shown")
	}
}

// What a message with a brief waits for, and what its text cost so far.
func TestExplainWriting(t *testing.T) {
	t.Parallel()
	one := func(adjust ...func(*workflow.Message)) func(*fleet) {
		return func(f *fleet) {
			f.take(message("creator-7", 1, append([]func(*workflow.Message){brief}, adjust...)...))
		}
	}
	then := func(steps ...func(*fleet)) func(*fleet) {
		return func(f *fleet) {
			f.withProviders(0)
			for _, step := range steps {
				step(f)
			}
		}
	}
	answered := func(answers ...answer) func(*fleet) { return func(f *fleet) { f.answered("wf-1", answers...) } }
	command := func(args ...string) func(*fleet) {
		return func(f *fleet) { f.run(args...).wants(f.t, exitOK) }
	}
	for _, tt := range []struct {
		name  string
		setUp func(*fleet)
		kinds []db.WaitKind
		shows []string
	}{
		{"own text", then(one(), answered(wrote("Hello"))), []db.WaitKind{db.WaitsForTurn},
			[]string{"stage queued; text 5 characters, written by azure, 1 call, $0.0004935;", "text_ready  its text is ready, written by azure"}},
		{"own text in a campaign", then(one(inSpring, func(m *workflow.Message) { m.OwnText = true }), answered(wrote("Hello"))), []db.WaitKind{db.WaitsForTurn},
			[]string{"text 5 characters, written by azure, 1 call"}},
		{"a call under way", then(one(), func(f *fleet) {
			f.ask("wf-1")
			f.advance(3 * time.Second)
		}), []db.WaitKind{db.WaitsForAnswer}, []string{"stage planning; text to be written, from a brief of 21 characters;",
			"azure is writing its text since 2026-03-02 12:00:00 UTC, asked by worker worker-1; the call ends until 2026-03-02 12:00:30 UTC (in 27s)"}},
		{"a wait in the queue", then(one(), answered(failedWith(provider.Overloaded, 503), failedWith(provider.RateLimited, 429))), []db.WaitKind{db.WaitsForProvider}, []string{
			"fallback  from openai to queue: openai said 429, too many requests", "call 2: openai said 429, too many requests, status 429, request req-2, not billed",
			"its text: the next try is at 2026-03-02 12:01:04 UTC (in 1m0s), openai said 429, too many requests"}},
		{"nobody may be called", then(one(), answered(failedWith(provider.Auth, 401), failedWith(provider.NotFound, 404)), func(f *fleet) {
			f.advance(time.Minute)
			f.seen()
			f.plan("wf-1", nil)
		}), []db.WaitKind{db.WaitsForProvider}, []string{"call 1: azure refused the credential, status 401", "call 2: openai has no such deployment or model, status 404",
			"fallback  from openai to queue: each provider was tried in vain", "its text: the next try is at 2026-03-02 12:05:02 UTC (in 3m58s), no provider may be called now"}},
		{"the budget is spent", func(f *fleet) {
			f.withProviders(1)
			one()(f)
			f.plan("wf-1", nil)
		}, []db.WaitKind{db.WaitsForProvider}, []string{"its text: the next try is at 2026-03-02 13:00:00 UTC (in 1h0m), the budget for texts is spent"}},
		{"a try again that is due", then(one(), answered(failedWith(provider.Overloaded, 503), failedWith(provider.RateLimited, 429)), func(f *fleet) {
			f.advance(2 * time.Minute)
			f.seen()
		}), []db.WaitKind{db.WaitsForProvider}, []string{"its text: written as soon as a worker is free, openai said 429, too many requests"}},
		{"no provider in the fleet", one(), []db.WaitKind{db.WaitsForProvider},
			[]string{"its text is to be written, and no worker that runs has a provider: set AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY, or OPENAI_API_KEY"}},
		{"no provider in the fleet any more", then(one(), func(f *fleet) { f.advance(2 * time.Minute) }), []db.WaitKind{db.WaitsForProvider},
			[]string{"no worker that runs has a provider"}},
		{"a paused campaign", then(one(inSpring), command("campaign", "pause", "creator-7", "spring", "--reason", "wrong price"), func(f *fleet) { f.plan("wf-1", nil) }),
			[]db.WaitKind{db.WaitsForCampaign, db.WaitsForProvider}, []string{
				"campaign spring is paused since 2026-03-02 12:00:00 UTC, wrong price; to go on: huntaze campaign resume creator-7 spring", "its text is written when its campaign goes on"}},
		{"a cancelled campaign", then(one(inSpring), command("campaign", "cancel", "creator-7", "spring"), func(f *fleet) { f.plan("wf-1", nil) }), []db.WaitKind{},
			[]string{"stage cancelled; text none that can be sent, from a brief of 21 characters", "its campaign was cancelled"}},
		{"a text that failed", then(one(), answered(failedWith(provider.ContentFiltered, 400))), []db.WaitKind{}, []string{"stage failed; text none that can be sent, from a brief of 21 characters, 1 call, $0.00;",
			"call 1: azure refused the brief or the text by its content filter, status 400, request req-1, not billed",
			"text_failed  no text could be had, azure refused the brief or the text by its content filter"}},
		{"a merge field that is missing", then(one(named("")), answered(wrote("Hello {{name}}"))), []db.WaitKind{},
			[]string{"stage failed; text none that can be sent, from a brief", "the text by azure can't be used for it, the text needs the recipient's name, which is missing or can't be used"}},
		{"words that spoil the text", then(one(named("x.com/abc")), answered(wrote("Hello {{name}}"))), []db.WaitKind{}, []string{"stage failed", "the text by azure can't be used for it, "}},
		{"estimated, and unpriced", then(one(), answered(failedWith(provider.Timeout, 0).costing(paid(cost.Estimated, 4_000_000_000)), failedWith(provider.ServerError, 500).costing(paid(cost.Unpriced, 0)),
			wrote("Hello"))), []db.WaitKind{db.WaitsForTurn}, []string{"written by openai, 3 calls, $0.0044935 (1 estimated) and 1 without a price;",
			"call 1: azure did not answer in time, request req-1, at most about $0.004", "call 2: azure answered with a fault of its own, status 500, request req-2, cost not known: no price"}},
		{"a worker that died", then(one(), func(f *fleet) {
			f.ask("wf-1")
			f.advance(providerTimeout + 16*time.Second)
			f.plan("wf-1", nil)
		}), []db.WaitKind{db.WaitsForAnswer}, []string{"lost      call 1: azure was asked, and the worker ended before the answer was stored, "}},
		{"a call after an outage", then(one(), answered(failedWith(provider.Auth, 401), failedWith(provider.Auth, 401)), func(f *fleet) {
			f.advance(10 * time.Minute)
			f.ask("wf-1")
		}), []db.WaitKind{db.WaitsForAnswer}, []string{"call 3: azure is tried again after its outage, asked by worker worker-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "10/60s", "off")
			tt.setUp(f)
			shown := f.run("explain", "wf-1").wants(t, exitOK, tt.shows...)
			var explained explanationJSON
			asJSON := f.run("explain", "wf-1", "--json").wants(t, exitOK)
			asJSON.json(t, &explained)
			kinds := []db.WaitKind{}
			for _, w := range explained.Workflows[0].Waits {
				kinds = append(kinds, w.Kind)
			}
			if diff := cmp.Diff(tt.kinds, kinds); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
			if strings.Contains(shown.out+asJSON.out, secretText) || strings.Contains(shown.out+asJSON.out, "x.com") {
				t.Error("the brief, the text or the recipient's own words are shown")
			}
		})
	}
}

// How a text was written stands beside the workflow, which keeps to its contract.
func TestExplainPlanJSON(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.withProviders(0)
	f.take(message("creator-7", 1, brief, inSpring))
	f.take(message("creator-7", 2))
	f.answered("wf-1", failedWith(provider.Overloaded, 503).costing(paid(cost.Unpriced, 0)), wrote(secretText))
	read := func(workflowID string) (workflow map[string]json.RawMessage, plan *db.Plan) {
		var got struct {
			Workflows []struct {
				Workflow map[string]json.RawMessage
				Plan     *db.Plan
			}
		}
		f.run("explain", workflowID, "--json").wants(t, exitOK).json(t, &got)
		return got.Workflows[0].Workflow, got.Workflows[0].Plan
	}
	written, plan := read("wf-1")
	plain, none := read("wf-2")
	if diff := cmp.Diff(slices.Sorted(maps.Keys(plain)), slices.Sorted(maps.Keys(written))); diff != "" {
		t.Errorf("members of the workflow (-with text +with brief):\n%s", diff)
	}
	if none != nil {
		t.Errorf("a message that came with a text has a plan: %+v", none)
	}
	for member, text := range map[string]string{
		"providerStates": `"azure": "failed"`, "fallbackHistory": `"reason": "azure_unavailable"`, "currentProvider": `"openai"`, "retryAttempts": `"openai": 0`,
	} {
		if !strings.Contains(string(written[member]), text) {
			t.Errorf("%s is %s, want %s in it", member, written[member], text)
		}
	}
	if plan == nil || plan.State != "ready" || !plan.Shared || plan.Source != "openai" || plan.Template != "message@1" || len(plan.Calls) != 2 {
		t.Fatalf("plan: %+v", plan)
	}
	if diff := cmp.Diff(db.PlanCostSum{Calls: 2, PicoUSD: 493_500_000, Unpriced: 1}, plan.Cost); diff != "" {
		t.Errorf("cost (-want +got):\n%s", diff)
	}
	first, second := plan.Calls[0], plan.Calls[1]
	if first.Class != "overloaded" || first.CostKind != "unpriced" || first.PicoUSD != nil || second.Provider != "openai" || second.CostKind != "actual" || second.Input != 454 {
		t.Errorf("calls: %+v", plan.Calls)
	}
}
