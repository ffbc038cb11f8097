package worker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// bridgeCollector shows what the bridge counts.
type bridgeCollector struct{ bridge *queue.Bridge }

var bridgeFamilies = []metrics.Family{metrics.QueueReceived, metrics.QueueDeleted, metrics.QueueQuarantined, metrics.QueueGivenBack,
	metrics.QueueFailures, metrics.QueuePauses, metrics.QueuePaused, metrics.QueueHeld}

// Describe implements prometheus.Collector.
func (c bridgeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range bridgeFamilies {
		out <- f.Desc()
	}
}

// Collect implements prometheus.Collector.
func (c bridgeCollector) Collect(out chan<- prometheus.Metric) {
	s, state := c.bridge.Stats(), c.bridge.State()
	for f, n := range map[*metrics.Family]int64{&metrics.QueueReceived: s.Received, &metrics.QueueDeleted: s.Deleted, &metrics.QueueQuarantined: s.Quarantined,
		&metrics.QueueGivenBack: s.GivenBack, &metrics.QueuePauses: s.Pauses, &metrics.QueueHeld: int64(state.Held)} {
		out <- f.Const(float64(n))
	}
	for operation, n := range map[string]int64{"receive": s.ReceiveFailures, "ingest": s.IngestFailures, "delete": s.DeleteFailures, "copy": s.CopyFailures,
		"visibility": s.VisibilityFailures} {
		out <- metrics.QueueFailures.Const(float64(n), operation)
	}
	out <- metrics.QueuePaused.Const(flag(state.Paused))
}
