package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

// stepArgs is a job that does nothing but what its worker was given.
type stepArgs struct {
	Workflow uuid.UUID `json:"workflow"`
}

// Kind implements river.JobArgs.
func (stepArgs) Kind() string { return "bench_step" }

type stepWorker struct {
	river.WorkerDefaults[stepArgs]
	work func(context.Context, *river.Job[stepArgs]) error
	done atomic.Int64
}

func (w *stepWorker) Work(ctx context.Context, job *river.Job[stepArgs]) error {
	err := w.work(ctx, job)
	if err == nil {
		w.done.Add(1)
	}
	return err
}

const (
	stepJobs     = 30_000
	stepSettings = "30,000 jobs, 1,000 River workers, fetch cooldown 2 ms"
)

// runSteps works the jobs and says how many went through in a second.
func (b *bench) runSteps(ctx context.Context, url string, pool *pgxpool.Pool, n int, insert func(*river.Client[pgx.Tx]) error, w *stepWorker) (float64, error) {
	riverPool, err := db.OpenForRiver(ctx, url, 10, "bench river")
	if err != nil {
		return 0, err
	}
	defer riverPool.Close()
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	river.AddWorker(workers, jobs.NewReleaseWorker(nil)) // scheduled for later than the measurement
	client, err := river.NewClient(riverpgxv5.New(riverPool), &river.Config{
		Schema: db.RiverSchema, Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1000}},
		FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return 0, err
	}
	if err := insert(client); err != nil {
		return 0, err
	}
	if _, err := pool.Exec(ctx, "ANALYZE"); err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := client.Start(ctx); err != nil {
		return 0, err
	}
	err = waitFor(ctx, 3*time.Minute, "steps", func() (bool, error) { return w.done.Load() >= int64(n), nil })
	rate := float64(w.done.Load()) / time.Since(begin).Seconds()
	if stopErr := client.Stop(ctx); err == nil {
		err = stopErr
	}
	return rate, err
}

func insertJobs(ctx context.Context, ids []uuid.UUID) func(*river.Client[pgx.Tx]) error {
	return func(client *river.Client[pgx.Tx]) error {
		params := make([]river.InsertManyParams, len(ids))
		for i, id := range ids {
			params[i].Args = stepArgs{Workflow: id}
		}
		_, err := client.InsertManyFast(ctx, params)
		return err
	}
}

// seedPlanning makes workflows that wait for their text, each of an account of its own.
func seedPlanning(ctx context.Context, pool *pgxpool.Pool, n int) ([]uuid.UUID, error) {
	if _, err := pool.Exec(ctx, `INSERT INTO accounts (user_id, created_at) SELECT 'creator-' || i, hybrid_clock() FROM generate_series(1, $1) i`, n); err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, n)
	for i := range ids {
		id, err := uuid.NewV7() // as the intake makes them
		if err != nil {
			return nil, err
		}
		ids[i] = id
	}
	_, err := pool.Exec(ctx, `INSERT INTO hybrid_workflows (id, user_id, workflow_id, recipient_id, stage, not_before, provider_states, retry_attempts, trace_context, brief, created_at, updated_at)
		SELECT w.id, 'creator-' || i, 'wf-' || i, 'fan-' || i, 'planning', hybrid_clock(),
			'{"azure":"pending","openai":"pending","rateLimiter":"pending","onlyFans":"pending"}', '{"azure":0,"openai":0,"onlyFans":0}', '{}', 'brief', hybrid_clock(), hybrid_clock()
		FROM unnest($1::uuid[]) WITH ORDINALITY AS w(id, i)`, ids)
	return ids, err
}

func (b *bench) emptyJobs(ctx context.Context) (float64, error) {
	url, pool, err := b.database(ctx)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	n := b.count(stepJobs)
	ids := make([]uuid.UUID, n)
	return b.runSteps(ctx, url, pool, n, insertJobs(ctx, ids), &stepWorker{work: func(context.Context, *river.Job[stepArgs]) error { return nil }})
}

// transactionEach is the usual way: each job moves its workflow, inserts the next job and completes itself in a
// transaction of its own.
func (b *bench) transactionEach(ctx context.Context) (float64, error) {
	url, pool, err := b.database(ctx)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	n := b.count(stepJobs / 5)
	ids, err := seedPlanning(ctx, pool, n)
	if err != nil {
		return 0, err
	}
	inserter, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: db.RiverSchema})
	if err != nil {
		return 0, err
	}
	return b.runSteps(ctx, url, pool, n, insertJobs(ctx, ids), &stepWorker{work: func(ctx context.Context, job *river.Job[stepArgs]) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE hybrid_workflows SET stage = 'queued', version = version + 1, updated_at = hybrid_clock() WHERE id = $1 AND stage = 'planning'`, job.Args.Workflow); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO workflow_events (workflow, at, kind) VALUES ($1, hybrid_clock(), 'text_ready')`, job.Args.Workflow); err != nil {
				return err
			}
			if _, err := inserter.InsertTx(ctx, tx, jobs.ReleaseArgs{UserID: "creator"}, &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)}); err != nil {
				return err
			}
			_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
			return err
		})
	}})
}

// onlySteps leaves out the looks that a step asks for: they are other steps.
type onlySteps struct{ *db.Store }

// Release does nothing.
func (onlySteps) Release(_ context.Context, requests []db.Release) ([]db.Released, error) {
	return make([]db.Released, len(requests)), nil
}

// engineSteps lets the same steps share transactions.
func (b *bench) engineSteps(ctx context.Context) (float64, error) {
	url, pool, err := b.database(ctx)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	n := b.count(stepJobs)
	ids, err := seedPlanning(ctx, pool, n)
	if err != nil {
		return 0, err
	}
	inserter, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: db.RiverSchema})
	if err != nil {
		return 0, err
	}
	store := db.NewStore(pool, jobs.NewEnqueuer(inserter), db.Config{Timing: db.Timing{Reservation: time.Minute}})
	engine := worker.NewEngine(onlySteps{store}, slog.New(slog.DiscardHandler), worker.NewMetrics(prometheus.NewRegistry()), fallback.Default().Row(fallback.RateLimiterDown))
	defer engine.Close()
	return b.runSteps(ctx, url, pool, n, insertJobs(ctx, ids), &stepWorker{work: func(ctx context.Context, job *river.Job[stepArgs]) error {
		_, err := engine.Apply(ctx, db.Apply{Workflow: job.Args.Workflow, Event: workflow.EventTextReady})
		return err
	}})
}
