package worker_test

import (
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

// A text that no provider can write now waits, and the trace says for how long and why; the step that goes on is in it.
func TestTheWaitForAProviderIsToBeSeen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	collector := collect(t)
	config := r.config(t, "one")
	var err error
	if config.Matrix, err = fallback.Parse([]byte("rows:\n  - {scenario: all_failed, fallback: queue, maxRetries: 0, delayMs: 2500}\n")); err != nil {
		t.Fatal(err)
	}
	sim := r.write(t, &config)
	for _, name := range []providersim.Provider{providersim.Azure, providersim.OpenAI} {
		if err := sim.Enqueue(name, providersim.Fault{Fixture: "503_html"}); err != nil {
			t.Fatal(err)
		}
	}
	var flush func()
	config.Telemetry, flush = setup(t, collector.URL)
	stop := r.start(t, config)
	m := message("creator", 1)
	delete(m, "content")
	m["brief"] = "Say hello"
	r.putTraced(t, m, "00-"+producerTrace+"-"+producerSpan+"-01", "")
	r.eventually(t, 60*time.Second, "the message sent", func() bool { return r.stages(t)["sent"] == 1 })
	stop()
	flush()
	named := tree(t, collector.Trace(producerTrace), producerSpan)
	if plans := named["step plan"]; len(plans) < 2 {
		t.Errorf("%d plan steps, want one before the wait and one after it", len(plans))
	}
	if len(named["chat gpt-5.4-mini"]) != 3 {
		t.Errorf("%d calls to providers, want 3", len(named["chat gpt-5.4-mini"]))
	}
	seen := false
	for _, wait := range named["wait"] {
		t.Logf("wait %s: %s", wait.Attributes["huntaze.wait.reason"], wait.End.Sub(wait.Start))
		seen = seen || wait.Attributes["huntaze.wait.reason"] == "all_failed" && wait.End.Sub(wait.Start) >= 2*time.Second
	}
	if !seen {
		t.Errorf("the wait for a provider is not to be seen: %+v", named["wait"])
	}
}
