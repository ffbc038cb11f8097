package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
	"github.com/huntaze/hybrid-orchestrator/internal/text"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// Providers say who writes texts. Without Clients a worker sends what already has a text, and leaves the others to
// members of the fleet that have a provider.
type Providers struct {
	Clients   []provider.Client // the preferred one first
	Workers   int               // texts at once
	Timeout   time.Duration     // of a call
	Templates *text.Set
	Template  string // by which new texts are written
	Prices    cost.Table
	Budget    int64          // pico-USD that the fleet may spend on a day; 0: no limit
	Guard     guard.Settings // zero: guard.DefaultSettings
}

// seenEvery is how often a worker that has providers says so: whoever explains a wait looks whether there is one.
const seenEvery = 20 * time.Second

// planning prepares what writes texts; nil without a provider.
func (w *Worker) planning() (*db.Planning, error) {
	p := w.config.Providers
	if len(p.Clients) == 0 {
		return nil, nil
	}
	author, err := jobs.NewAuthor(jobs.AuthorConfig{Clients: p.Clients, Templates: p.Templates, Template: p.Template, Prices: p.Prices, Timeout: p.Timeout, Now: time.Now})
	if err != nil {
		return nil, err
	}
	settings := p.Guard
	if settings == (guard.Settings{}) {
		settings = guard.DefaultSettings
	}
	plan := fallback.Plan{Matrix: w.config.Matrix}
	for _, client := range p.Clients {
		plan.Targets = append(plan.Targets, client.Target().Provider)
	}
	w.author = author
	return &db.Planning{Plan: plan, Guard: settings, Targets: author.Targets(), CallTimeout: p.Timeout, Texts: author, Estimate: author.Estimate, DailyBudget: p.Budget}, nil
}

// workPlans lets River work the plan steps.
func (w *Worker) workPlans(workers *river.Workers, queues map[string]river.QueueConfig) {
	if w.author == nil {
		return
	}
	river.AddWorker(workers, jobs.NewPlanWorker(w.engine, w.tracedAuthor(), w.logger, time.Now, jobs.Pause, w.health.draining.Load))
	queues[jobs.QueuePlan] = river.QueueConfig{MaxWorkers: w.config.Providers.Workers}
}

// beSeen tells the fleet that this worker can have texts written, until the context ends.
func (w *Worker) beSeen(ctx context.Context) error {
	if w.author == nil {
		return nil
	}
	if err := w.store.SeeTargets(ctx); err != nil {
		return fmt.Errorf("tell of the providers: %w", err)
	}
	lifetime, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(seenEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if err := w.store.SeeTargets(lifetime); err != nil && lifetime.Err() == nil {
					w.logger.Warn("could not tell of the providers", "error", err)
				}
			case <-lifetime.Done():
				return
			}
		}
	}()
	w.onClose("providers", func(context.Context) error { end(); <-ended; return nil })
	return nil
}
