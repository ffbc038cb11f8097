package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry/otlptest"
)

// Workers are killed while messages wait and while texts are being written. What the others and the next ones tell of a
// message is one tree all the same, and it ends with the send that the gateway saw.
func TestSpansSurviveKilledWorkers(t *testing.T) {
	t.Parallel()
	collector := otlptest.Start()
	t.Cleanup(collector.Close)
	f := newFleet(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_BSP_SCHEDULE_DELAY=20")
	sim := f.provide(providersim.Options{Latency: 700 * time.Millisecond})
	f.must(sim.Enqueue(providersim.Azure, providersim.Fault{Fixture: "503_html"}, providersim.Fault{Fixture: "503_html"}))
	first := f.start(1)[0]
	const count = 6
	for n := range count {
		in := newInput("creator", n)
		in.notBefore = time.Now().Add(3 * time.Second)
		f.put(in)
	}
	f.within(30*time.Second, "all wait", func() bool { return f.stages()["queued"] == count })
	f.put(newBrief("writer", 0), newBrief("writer", 1))
	f.within(30*time.Second, "a call was told of, and the next one runs", func() bool {
		for _, one := range collector.Spans() {
			if strings.HasPrefix(one.Name, "chat ") {
				return true
			}
		}
		return false
	})
	first.kill()
	f.start(1)
	f.awaitSent(count + 2)
	for _, p := range f.alive() { // at its end a process tells the last of what it knows
		p.terminate(30 * time.Second)
	}
	f.check()

	traces := map[string]string{} // by workflow
	byTrace := map[string][]otlptest.Span{}
	for _, one := range collector.Spans() {
		byTrace[one.TraceID] = append(byTrace[one.TraceID], one)
		workflow := one.Attributes["huntaze.workflow_id"]
		if workflow == "" {
			continue
		}
		if other := traces[workflow]; other != "" && other != one.TraceID {
			t.Errorf("%s has two traces", workflow)
		}
		traces[workflow] = one.TraceID
	}
	if len(traces) != count+2 {
		t.Errorf("%d messages have a trace, want %d", len(traces), count+2)
	}
	calls := map[string]bool{}
	for workflow, trace := range traces {
		ids, roots := map[string]bool{}, 0
		for _, one := range byTrace[trace] {
			ids[one.ID] = true
			if one.Parent == "" {
				roots++
			}
			if one.Name == "POST /v1/messages" {
				calls["00-"+trace+"-"+one.ID+"-01"] = true
			}
		}
		for _, one := range byTrace[trace] {
			if one.Parent != "" && !ids[one.Parent] {
				t.Errorf("%s: %q is an orphan", workflow, one.Name)
			}
		}
		if roots != 1 {
			t.Errorf("%s has %d roots, want 1", workflow, roots)
		}
	}
	for _, a := range f.gateway.Arrivals(0) {
		if !calls[a.Traceparent] {
			t.Errorf("a request came to the gateway under %s, which no span of a send is", a.Traceparent)
		}
	}
}
