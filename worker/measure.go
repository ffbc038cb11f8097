package worker

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/huntaze/hybrid-orchestrator/db"
)

// measure registers what is not the engine's: the runtime's, the bridge's, the fleet's.
func (w *Worker) measure(registry *prometheus.Registry) {
	w.registry, w.observer = registry, w.newObserver()
	MeasureProcess(registry, "worker", w.config.Version, w.config.Telemetry, w.ready)
	MeasurePools(registry, map[string]*db.Pool{"huntaze": w.pool, "river": w.river})
	registry.MustRegister(w.observer.reader())
	if w.bridge != nil {
		registry.MustRegister(bridgeReader(w.bridge))
	}
}

// observe observes the fleet, and writes what CloudWatch needs, until the worker ends.
func (w *Worker) observe(ctx context.Context) {
	lifetime, end := context.WithCancel(context.WithoutCancel(ctx))
	looks, lines := time.NewTicker(cmp.Or(w.config.ObserveEvery, observeEvery)), time.NewTicker(emfEvery)
	var running sync.WaitGroup
	running.Go(func() { w.observer.run(lifetime, looks.C) })
	if w.config.EMF != nil {
		emitter := newEmitter(w.config.EMF, w.registry, w.observer, w.config.Version, w.logger)
		running.Go(func() { emitter.run(lifetime, lines.C) })
	}
	w.onClose("observer", func(context.Context) error {
		end()
		running.Wait()
		looks.Stop()
		lines.Stop()
		return nil
	})
}
