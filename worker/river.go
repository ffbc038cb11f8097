package worker

import (
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// Times of River's own machinery; the reasons stand beside them.
const (
	fetchCooldown  = 10 * time.Millisecond  // a released message starts within that
	fetchPoll      = 500 * time.Millisecond // when a notification was lost
	rescueAfter    = 4 * time.Minute        // longer than any job's timeout; our own recovery does not wait for it
	stepTimeout    = time.Minute            // of every job but the sends
	reconcileEvery = time.Minute
)

// riverConfig says which jobs this process works, how many at a time, and which come by the clock.
func (w *Worker) riverConfig() *river.Config {
	workers := river.NewWorkers()
	river.AddWorker(workers, jobs.NewSendWorker(w.engine, w.tracedGateway(), w.engine.paces, w.config.RateLimitedDelay, w.logger, time.Now))
	river.AddWorker(workers, jobs.NewReleaseWorker(w.engine))
	river.AddWorker(workers, jobs.NewResolveWorker(w.store, w.engine, w.tracedGateway()))
	river.AddWorker(workers, jobs.NewExpandWorker(w.engine))
	river.AddWorker(workers, jobs.NewReconcileWorker(w.engine, w.logger))
	river.AddWorker(workers, jobs.NewAuditWorker(w.store, w.engine.metrics.audited, w.logger))
	queues := map[string]river.QueueConfig{jobs.QueueSteps: {MaxWorkers: w.config.StepWorkers}}
	if !w.engine.stopped {
		queues[jobs.QueueSend] = river.QueueConfig{MaxWorkers: w.config.SendWorkers}
	}
	w.workPlans(workers, queues)
	every := w.config.ReconcileEvery
	if every == 0 {
		every = reconcileEvery
	}
	return &river.Config{
		ID:                   w.config.Name,
		Schema:               db.RiverSchema,
		Logger:               w.logger,
		Queues:               queues,
		Workers:              workers,
		SkipUnknownJobCheck:  true, // a process without a provider takes in messages with a brief, too
		PeriodicJobs:         []*river.PeriodicJob{jobs.ReconcilePeriodically(every), jobs.AuditPeriodically()},
		FetchCooldown:        fetchCooldown,
		FetchPollInterval:    fetchPoll,
		JobTimeout:           stepTimeout,
		RescueStuckJobsAfter: rescueAfter,
		SoftStopTimeout:      w.config.ShutdownTimeout - min(drainReserve, w.config.ShutdownTimeout/4),
		RetryPolicy:          jobs.RetryPolicy{},
		Middleware:           []rivertype.Middleware{&stepWatch{logger: w.logger, metrics: w.steps}, &jobTracing{telemetry: w.config.Telemetry}},
		// Completed jobs say nothing that our tables do not: keep the table small.
		CompletedJobRetentionPeriod: 15 * time.Minute,
	}
}
