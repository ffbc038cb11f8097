package worker

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/huntaze/hybrid-orchestrator/queue"
)

// health is what the probes look at.
type health struct {
	started  atomic.Bool
	draining atomic.Bool
}

const probeTimeout = 2 * time.Second

// adminHandler serves the probes and the metrics. Liveness does not depend on Postgres or SQS: a restart would
// not bring them back, and an outage would restart the whole fleet.
func (w *Worker) adminHandler(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, r *http.Request) {
		parts, ready := w.readiness(r.Context())
		rw.Header().Set("Content-Type", "application/json")
		if !ready {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(rw).Encode(parts)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

// readiness says of each part whether it can work.
func (w *Worker) readiness(ctx context.Context) (map[string]string, bool) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	parts := map[string]string{"worker": "ok", "database": "ok", "queue": "ok"}
	ready := true
	fail := func(part, why string) { parts[part], ready = why, false }
	switch {
	case w.health.draining.Load():
		fail("worker", "draining")
	case !w.health.started.Load():
		fail("worker", "starting")
	}
	if err := w.store.Ping(ctx); err != nil {
		fail("database", "does not answer")
	}
	if w.bridge == nil {
		parts["queue"] = "not read by this process"
	} else if state := w.bridge.State(); state.Phase != queue.PhaseRunning {
		fail("queue", string(state.Phase))
	}
	return parts, ready
}
