package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

// A fleet without a provider sends what has a text; a brief waits, and explain says for what. The first worker that
// has a provider gets it sent.
func TestBriefsWaitForAWorkerWithAProvider(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	sim := f.provide(providersim.Options{})
	f.start(2, withoutProviders...)
	const count = 10
	for n := range count {
		f.put(newBrief("creator", n), newInput("creator", count+n))
	}
	f.awaitSent(count)
	f.within(30*time.Second, "all are taken in", func() bool { return f.stages()["planning"] == count })
	said := f.run("explain", newBrief("creator", 0).workflow)
	if !strings.Contains(said, "no worker that runs has a provider") {
		t.Errorf("explain does not say that no worker has a provider:\n%s", said)
	}
	if n := sim.Counts(providersim.Azure).Calls + sim.Counts(providersim.OpenAI).Calls; n != 0 {
		t.Errorf("%d calls were made by workers without a provider", n)
	}
	f.start(1)
	took := f.drained(time.Minute)
	f.check()
	report(t, f.plans(sim).problems())
	t.Logf("%d briefs were sent %s after a worker with a provider had started", count, took.Round(10*time.Millisecond))
}

// A fallback without a delay in its row happens at once: from Azure's answer to OpenAI's request there is nothing but
// one transaction. It measures time and so runs alone.
func TestFallbackHappensAtOnce(t *testing.T) {
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	sim := f.provide(providersim.Options{})
	f.must(sim.SetDefault(providersim.Azure, &providersim.Fault{Fixture: "503_html"}))
	f.start(1)
	var times []time.Duration
	count := pick(40, 60, 300)
	for n := range count {
		f.exec(`UPDATE provider_targets SET guard = '{}'`) // Azure is asked each time
		f.put(newBrief("creator", n))
		f.awaitSent(n + 1)
		calls := sim.Calls(0)
		if len(calls) != 2*(n+1) || calls[2*n].Provider != providersim.Azure || calls[2*n+1].Provider != providersim.OpenAI {
			t.Fatalf("message %d: the calls are %+v, want one to Azure and one to OpenAI more", n, calls[min(2*n, len(calls)):])
		}
		times = append(times, calls[2*n+1].At.Sub(calls[2*n].At))
	}
	f.check()
	slices.Sort(times)
	median := times[count/2]
	round := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	t.Logf("%d fallbacks: from Azure's 503 to OpenAI's request p50 %s, p90 %s, longest %s", count, round(median), round(times[count*9/10]), round(times[count-1]))
	if median > 50*time.Millisecond {
		t.Errorf("the median fallback took %s: something waits", median)
	}
}
