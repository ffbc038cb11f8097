package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/huntaze/hybrid-orchestrator/db"
)

// Reconciler puts right what a crash left behind.
type Reconciler interface {
	Reconcile(ctx context.Context) (db.Reconciled, error)
}

// ReconcileWorker runs the reconciler.
type ReconcileWorker struct {
	river.WorkerDefaults[ReconcileArgs]
	reconciler Reconciler
	logger     *slog.Logger
}

// NewReconcileWorker returns the worker of the reconcile step.
func NewReconcileWorker(r Reconciler, logger *slog.Logger) *ReconcileWorker {
	return &ReconcileWorker{reconciler: r, logger: logger}
}

// Work implements river.Worker.
func (w *ReconcileWorker) Work(ctx context.Context, _ *river.Job[ReconcileArgs]) error {
	done, err := w.reconciler.Reconcile(ctx)
	if done != (db.Reconciled{}) {
		level := slog.LevelWarn
		if done == (db.Reconciled{Pruned: done.Pruned, Outdated: done.Outdated}) {
			level = slog.LevelInfo // housekeeping
		}
		w.logger.Log(ctx, level, "reconcile", "expired", done.Expired, "abandoned", done.Abandoned, "unasked", done.Unasked,
			"orphaned", done.Orphaned, "unwoken", done.Unwoken, "unplanned", done.Unplanned, "unexpanded", done.Unexpanded, "outdated", done.Outdated, "cancelled", done.Cancelled, "pruned", done.Pruned)
	}
	return err
}

// ReconcilePeriodically returns the periodic job: at the start of a leader and then at every interval. One that
// hangs, or was killed in the middle and stays "running" until River rescues it minutes later, does not keep the
// next from running: jobs are unique within a part of the interval, not for as long as one runs.
func ReconcilePeriodically(every time.Duration) *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(every), func() (river.JobArgs, *river.InsertOpts) {
		return ReconcileArgs{}, &river.InsertOpts{MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByPeriod: max(every/2, time.Second)}}
	}, &river.PeriodicJobOpts{RunOnStart: true})
}
