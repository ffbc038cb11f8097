package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
)

// ExpandArgs makes messages of a campaign's recipients.
type ExpandArgs struct {
	Campaign uuid.UUID `json:"campaign"`
	Step     int       `json:"step"` // names this job: the campaign knows which one is live
}

// Kind implements river.JobArgs.
func (ExpandArgs) Kind() string { return "expand" }

// Expander makes messages of recipients, a chunk at a time.
type Expander interface {
	Expand(ctx context.Context, campaign uuid.UUID, step int) (db.Expanded, error)
}

// ExpandWorker makes messages of a campaign's recipients, chunk by chunk. Each chunk is durable with the note how far
// it got: one that is killed goes on there.
type ExpandWorker struct {
	river.WorkerDefaults[ExpandArgs]
	expander Expander
}

// NewExpandWorker returns the worker of the expand step.
func NewExpandWorker(e Expander) *ExpandWorker {
	return &ExpandWorker{expander: e}
}

// expandTimeout is when River takes an expansion for stuck: a million recipients take some minutes.
const expandTimeout = 3*time.Minute + 30*time.Second

// Timeout implements river.Worker.
func (w *ExpandWorker) Timeout(*river.Job[ExpandArgs]) time.Duration { return expandTimeout }

// Work implements river.Worker. One that has to stop leaves the rest to its next run.
func (w *ExpandWorker) Work(ctx context.Context, job *river.Job[ExpandArgs]) error {
	made := 0
	steplog.Set(ctx, slog.String(steplog.Campaign, job.Args.Campaign.String()))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		done, err := w.expander.Expand(context.WithoutCancel(ctx), job.Args.Campaign, job.Args.Step)
		if err != nil {
			return err
		}
		if done.Early > 0 {
			return river.JobSnooze(done.Early) // River's clock is ahead of the database's
		}
		if made += done.Made; !done.More {
			steplog.Set(ctx, slog.Int(steplog.Messages, made))
			return nil
		}
	}
}
