package worker

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/readiness"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// health is what the probes look at.
type health struct {
	started  atomic.Bool
	draining atomic.Bool
}

// adminHandler serves the probes and the metrics. Liveness does not depend on Postgres or SQS: a restart would
// not bring them back, and an outage would restart the whole fleet.
func (w *Worker) adminHandler(registry *prometheus.Registry) http.Handler {
	return AdminHandler(registry, w.ready)
}

// AdminHandler serves /livez, /readyz and /metrics of a process.
func AdminHandler(registry *prometheus.Registry, ready http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("ok\n")) })
	mux.Handle("GET /readyz", ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

// readiness says of each part whether it can work.
func (w *Worker) readiness() *readiness.Checker {
	return readiness.New(time.Now,
		readiness.Part{Name: "process", Check: func(context.Context) string {
			switch {
			case w.health.draining.Load():
				return "draining"
			case !w.health.started.Load():
				return "starting"
			}
			return ""
		}},
		DatabasePart(w.store), SchemaPart(w.store), FlagsPart(w.flags, time.Now),
		readiness.Part{Name: "queue", Check: func(context.Context) string { return w.queueReason() }})
}

// queueReason says why the bridge does not take messages in; empty: it does, or this process has none.
func (w *Worker) queueReason() string {
	if w.bridge == nil {
		return ""
	}
	state := w.bridge.State()
	switch {
	case state.Phase != queue.PhaseRunning:
		return string(state.Phase)
	case state.Paused:
		return "paused: the store does not take messages"
	}
	for _, q := range state.Queues {
		if !q.FailingSince.IsZero() {
			return "can't receive from " + q.Name
		}
	}
	return ""
}

// DatabasePart is ready when the database answers and can be written to.
func DatabasePart(store *db.Store) readiness.Part {
	return readiness.Part{Name: "database", Check: func(ctx context.Context) string {
		if err := store.Ping(ctx); err != nil {
			if errors.Is(err, db.ErrReadOnly) {
				return "is read-only"
			}
			return "does not answer"
		}
		return ""
	}}
}

// SchemaPart is ready when the database has exactly the migrations of this program. What a database that does not answer
// has is not known, and no reason of its own.
func SchemaPart(store *db.Store) readiness.Part {
	return readiness.Part{Name: "schema", Check: func(ctx context.Context) string {
		err := store.CheckSchema(ctx)
		switch {
		case errors.Is(err, db.ErrOlderSchema):
			return "lacks a migration"
		case errors.Is(err, db.ErrNewerSchema):
			return "is newer than this program"
		}
		return ""
	}}
}

// flagsStale is how old the flags may be: several looks have failed by then.
const flagsStale = 30 * time.Second

// FlagsPart is ready when this process knows the flags as they are.
func FlagsPart(client *flags.Client, now func() time.Time) readiness.Part {
	return readiness.Part{Name: "flags", Check: func(context.Context) string {
		switch at := client.State().LoadedAt; {
		case at.IsZero():
			return "not read yet"
		case now().Sub(at) > flagsStale:
			return "stale"
		}
		return ""
	}}
}
