package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

// held is for a simulator's answers that come when the test lets them go: its delays are no times.
type held chan struct{}

func (h held) sleep(ctx context.Context, _ time.Duration) bool {
	select {
	case <-h:
		return true
	case <-ctx.Done():
		return false
	}
}

// heldAnswer is a good answer that waits to be let go.
var heldAnswer = providersim.Fault{Delay: time.Hour}

// A worker dies with four texts in its hands, each in another place: the answer is there and not stored; the call is
// under way; it is on its way from one provider to the other; it waits for a limit. Another worker goes on where each
// was. What nobody knows the end of is asked once more and on record as lost; nothing else is asked again.
func TestKilledPlannerIsTakenOverWhereItWas(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	answers := make(held)
	sim := f.provide(providersim.Options{Sleep: answers.sleep})
	f.matrix("scenario: openai_rate_limited, fallback: queue, maxRetries: 0, delayMs: 15000")
	f.startLeader()
	victim := f.start(1)[0]
	broken := providersim.Fault{Fixture: "azure_500_string"}
	calls := 0
	// begin puts one message and returns when so many calls for it have been made: each meets the faults that it is to meet.
	begin := func(n, want int, azure providersim.Fault, openAI ...providersim.Fault) input {
		f.must(sim.Enqueue(providersim.Azure, azure))
		f.must(sim.Enqueue(providersim.OpenAI, openAI...))
		in := newBrief("creator", n)
		f.put(in)
		calls += want
		f.within(30*time.Second, "the calls are made", func() bool { return len(sim.Calls(0)) == calls })
		return in
	}
	waiting := begin(0, 2, broken, providersim.Fault{Fixture: "openai_429_type_only"})
	f.within(30*time.Second, "the text waits", func() bool {
		return number(f, `SELECT count(*) FROM texts WHERE waits_for = 'openai_rate_limited'`) == 1
	})
	until := query(f, pgx.RowTo[time.Time], `SELECT due_at FROM texts WHERE id::text = $1`, f.textOf(waiting))[0]
	f.within(10*time.Second, "OpenAI may be asked again", func() bool {
		return number(f, `SELECT count(*) FROM provider_targets WHERE (guard->>'restUntil')::timestamptz > now()`) == 0
	})
	between := begin(1, 2, broken, providersim.Fault{Kind: providersim.Hang})
	during := begin(2, 1, providersim.Fault{Kind: providersim.Hang})
	answered := begin(3, 1, heldAnswer)
	unlock := f.lockText(answered.workflow)
	answers <- struct{}{} // now the worker has a text that it can't store
	f.within(10*time.Second, "the worker wants to store the answer", func() bool { return f.blocked() > 0 })
	victim.kill()
	unlock()
	if n := number(f, `SELECT count(*) FROM plan_attempts WHERE state = 'executing'`); n != 3 {
		t.Fatalf("%d calls are under way in the ledger after the kill, want 3", n)
	}
	f.start(1)
	took := f.drained(2 * time.Minute)
	f.check()
	p := f.plans(sim)
	report(t, p.problems())
	for _, want := range []struct {
		name          string
		in            input
		azure, openAI int
		lost          int
		source        string
	}{
		{"answered, not stored", answered, 2, 0, 1, "azure"},
		{"during the call", during, 2, 0, 1, "azure"},
		{"between two providers", between, 1, 2, 1, "openai"},
		{"in a wait", waiting, 2, 1, 0, "azure"},
	} {
		text := f.textOf(want.in)
		azure, openAI := p.journal.asked(text)
		if azure != want.azure || openAI != want.openAI || p.states(text)["lost"] != want.lost || p.texts[text].source != want.source {
			t.Errorf("%s: %d calls to Azure, %d to OpenAI, %v, text by %q; want %d, %d, %d lost, by %q", want.name, azure, openAI, p.states(text), p.texts[text].source,
				want.azure, want.openAI, want.lost, want.source)
		}
	}
	// The database's clock is this machine's.
	if again := p.journal[f.textOf(waiting)][2].At; again.Before(until) {
		t.Errorf("the text that waits was asked for %s before the wait was over", until.Sub(again))
	}
	t.Logf("%d calls for 4 texts, 3 of them lost; all were sent %s after the kill", len(sim.Calls(0)), took.Round(100*time.Millisecond))
}

// Workers are killed at random while both providers fail in many ways. Every message ends, at most once at the
// gateway; every call is on record, and no text is paid for that was there already.
func TestPlannersAreKilledUnderFaults(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off", "PLAN_WORKERS=4")
	f.shortVisibility()
	sim := f.provide(providersim.Options{Latency: 100 * time.Millisecond, Jitter: 300 * time.Millisecond})
	f.settings["PROVIDER_TIMEOUT"] = "2s"
	f.matrix("scenario: azure_timeout, fallback: openai, maxRetries: 1, delayMs: 1500", "scenario: openai_timeout, fallback: azure, maxRetries: 1, delayMs: 1500",
		"scenario: openai_rate_limited, fallback: queue, maxRetries: 0, delayMs: 1500", "scenario: all_failed, fallback: queue, maxRetries: 0, delayMs: 2000",
		"scenario: deadline, fallback: queue, maxRetries: 0, delayMs: 2000")
	for _, p := range providersim.Providers {
		var chances []providersim.Chance
		for _, fault := range []providersim.Fault{
			{Fixture: "529_overloaded"}, {Fixture: "500_html"}, {Kind: providersim.Reset}, {Kind: providersim.Cut}, {Kind: providersim.Hang},
			{Fixture: "429_retry_after_fraction"}, {Fixture: "200_fenced"}, {Fixture: "200_refusal"}, {Fixture: "200_truncated"}, {Text: "Look at example.org/now"},
		} {
			chances = append(chances, providersim.Chance{Probability: 0.025, Fault: fault})
		}
		f.must(sim.SetChances(p, chances...))
	}
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(0, 200*time.Millisecond)}})
	if chaos != full {
		f.startLeader()
	}
	f.start(2)
	messages := pick(100, 200, 1000)
	load := f.load(newBriefs(10, messages/10), 20)
	killed := f.crash(time.Duration(pick(1200, 1200, 2000))*time.Millisecond, pick(3, 6, 20)).await()
	load.await()
	took := f.drained(4 * time.Minute)
	d := f.check("failed")
	p := f.plans(sim)
	report(t, p.problems())
	stages, states := f.stages(), p.states("")
	t.Logf("%d planners killed, %d messages: %v; %d calls, %v; drained %s after the last", killed, messages, stages, len(sim.Calls(0)), states, took.Round(100*time.Millisecond))
	for _, w := range d.workflows {
		if w.stage == "failed" && w.lastError == "" {
			t.Errorf("message %s failed without a reason", w.key)
		}
	}
	if states["lost"] == 0 || states["failed"] == 0 || states["timeout"] == 0 {
		t.Errorf("the run was too weak: %v", states)
	}
}
