package worker

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
	"github.com/huntaze/hybrid-orchestrator/internal/readiness"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// MeasureProcess registers what every process of the program shows of itself.
func MeasureProcess(r prometheus.Registerer, role, version string, spans *telemetry.Telemetry, ready *readiness.Checker) {
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		metrics.Reader{Families: []metrics.Family{metrics.SpansDropped}, Read: func(put metrics.Put) { put(metrics.SpansDropped, float64(spans.Dropped())) }},
		metrics.Reader{Families: []metrics.Family{metrics.Ready}, Read: func(put metrics.Put) {
			for part, state := range ready.Report(context.Background()).Parts {
				put(metrics.Ready, flag(state.Ready), part)
			}
		}})
	metrics.Build.NewGauge(r).WithLabelValues(version, role).Set(1)
}

// MeasurePools registers what pools of connections show, by their names.
func MeasurePools(r prometheus.Registerer, pools map[string]*db.Pool) {
	r.MustRegister(metrics.Reader{
		Families: []metrics.Family{metrics.PoolConnections, metrics.PoolAcquires, metrics.PoolWaits, metrics.PoolWaited},
		Read: func(put metrics.Put) {
			for name, pool := range pools {
				s := pool.Stat()
				put(metrics.PoolConnections, float64(s.IdleConns()), name, "idle")
				put(metrics.PoolConnections, float64(s.AcquiredConns()), name, "used")
				put(metrics.PoolConnections, float64(s.ConstructingConns()), name, "opening")
				put(metrics.PoolConnections, float64(s.MaxConns()), name, "allowed")
				put(metrics.PoolAcquires, float64(s.AcquireCount()), name)
				put(metrics.PoolWaits, float64(s.EmptyAcquireCount()), name)
				put(metrics.PoolWaited, s.EmptyAcquireWaitTime().Seconds(), name)
			}
		},
	})
}

// bridgeReader shows what the bridge counts.
func bridgeReader(bridge *queue.Bridge) metrics.Reader {
	return metrics.Reader{
		Families: []metrics.Family{metrics.QueueReceived, metrics.QueueDeleted, metrics.QueueQuarantined, metrics.QueueGivenBack,
			metrics.QueueFailures, metrics.QueuePauses, metrics.QueuePaused, metrics.QueueHeld},
		Read: func(put metrics.Put) {
			s, state := bridge.Stats(), bridge.State()
			put(metrics.QueueReceived, float64(s.Received))
			put(metrics.QueueDeleted, float64(s.Deleted))
			put(metrics.QueueQuarantined, float64(s.Quarantined))
			put(metrics.QueueGivenBack, float64(s.GivenBack))
			put(metrics.QueuePauses, float64(s.Pauses))
			put(metrics.QueueHeld, float64(state.Held))
			put(metrics.QueuePaused, flag(state.Paused))
			for operation, n := range map[string]int64{"receive": s.ReceiveFailures, "ingest": s.IngestFailures, "delete": s.DeleteFailures,
				"copy": s.CopyFailures, "visibility": s.VisibilityFailures} {
				put(metrics.QueueFailures, float64(n), operation)
			}
		},
	}
}
