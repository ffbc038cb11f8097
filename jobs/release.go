package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
)

// Releaser gives free tokens to parked messages.
type Releaser interface {
	ReleaseDue(ctx context.Context, userID string, wakeAt time.Time) error
}

// ReleaseWorker is the durable twin of a timer: it looks at an account when its next message may go, in case
// that no process remembers to.
type ReleaseWorker struct {
	river.WorkerDefaults[ReleaseArgs]
	releaser Releaser
}

// NewReleaseWorker returns the worker of the release step.
func NewReleaseWorker(r Releaser) *ReleaseWorker { return &ReleaseWorker{releaser: r} }

// Work implements river.Worker.
func (w *ReleaseWorker) Work(ctx context.Context, job *river.Job[ReleaseArgs]) error {
	steplog.Set(ctx, slog.String(steplog.Account, job.Args.UserID))
	return w.releaser.ReleaseDue(ctx, job.Args.UserID, job.Args.WakeAt)
}
