package worker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry/otlptest"
)

// A message that one process took in and another sent has one tree, with the wait in between.
func TestSpansOfAMessageGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	collector := collect(t)
	config := r.config(t, "one")
	var flush func()
	config.Telemetry, flush = setup(t, collector.URL)
	stop := r.start(t, config)
	later := message("creator", 1)
	later["scheduledFor"] = time.Now().Add(4 * time.Second).UTC().Format(time.RFC3339Nano)
	r.putTraced(t, later, "00-"+producerTrace+"-"+producerSpan+"-01", "")
	r.eventually(t, 20*time.Second, "the message taken in", func() bool { return r.stages(t)["queued"] == 1 })
	stop()
	flush()

	config = r.config(t, "two")
	config.Telemetry, flush = setup(t, collector.URL, "OTEL_SERVICE_NAME=two")
	stop = r.start(t, config)
	r.eventually(t, 40*time.Second, "the message sent", func() bool { return r.stages(t)["sent"] == 1 })
	stop()
	flush()
	named := tree(t, collector.Trace(producerTrace), producerSpan)
	own, step, wait := one(t, named, "process "+queueName), one(t, named, "step send"), named["wait"]
	if own.Service != "huntaze" || step.Service != "two" {
		t.Errorf("the message was taken in by %s and sent by %s", own.Service, step.Service)
	}
	if len(wait) == 0 || wait[0].Attributes["huntaze.wait.reason"] != "schedule" || wait[0].End.Sub(wait[0].Start) < time.Second {
		t.Errorf("the waits are %+v, want one for its schedule", wait)
	}
}

// Transactions that many messages share are bound to the steps that they are of.
func TestTransactionsAreBoundToTheirSteps(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	collector := collect(t)
	config := r.config(t, "one")
	config.Account = limit.Rules{{Capacity: 100, Window: time.Second}}
	var flush func()
	config.Telemetry, flush = setup(t, collector.URL)
	const count = 100
	for n := range count {
		r.put(t, message(fmt.Sprintf("creator-%d", n%10), n))
	}
	stop := r.start(t, config)
	r.eventually(t, 30*time.Second, "all sent", func() bool { return r.stages(t)["sent"] == count })
	stop()
	flush()
	steps, shared, settled := map[string]bool{}, 0, 0
	spans := collector.Spans()
	for _, one := range spans {
		if one.Name == "step send" {
			steps[one.ID] = true
		}
	}
	if len(steps) != count {
		t.Errorf("%d steps are told of, want %d", len(steps), count)
	}
	for _, one := range spans {
		switch one.Name {
		case "transaction begin":
			if !slices.ContainsFunc(one.Links, func(l otlptest.Link) bool { return steps[l.ID] }) {
				t.Errorf("a transaction is of no step: %+v", one)
			}
			if len(one.Links) > 1 {
				shared++
			}
		case "DeleteMessageBatch " + queueName:
			settled++
		}
	}
	if settled == 0 {
		t.Error("no message was deleted")
	}
	t.Logf("%d spans of %d messages; %d transactions were shared", len(spans), count, shared)
}
