package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Inserter is the part of River's client that writes jobs in a transaction.
type Inserter interface {
	InsertManyFastTx(ctx context.Context, tx pgx.Tx, params []river.InsertManyParams) (int, error)
}

// Enqueuer turns steps into River jobs.
type Enqueuer struct{ client Inserter }

// NewEnqueuer returns an enqueuer that uses the given client.
func NewEnqueuer(client Inserter) *Enqueuer { return &Enqueuer{client: client} }

// EnqueueTx implements db.Enqueuer.
func (e *Enqueuer) EnqueueTx(ctx context.Context, tx pgx.Tx, steps []db.Job) error {
	params := make([]river.InsertManyParams, len(steps))
	for i, step := range steps {
		args, err := argsOf(step)
		if err != nil {
			return err
		}
		params[i].Args = args
		at := step.At
		if step.Due {
			at = time.Time{} // a time that has come would still wait for River's scheduler, which runs every 5 s
		}
		tc := step.Trace
		if tc.TraceID == "" {
			tc = telemetry.WorkflowOf(ctx)
		}
		metadata := telemetry.Carry(ctx, tc, step.Waits)
		if !at.IsZero() || step.Priority != 0 || metadata != nil {
			params[i].InsertOpts = &river.InsertOpts{ScheduledAt: at, Priority: int(step.Priority), Metadata: metadata}
		}
	}
	if _, err := e.client.InsertManyFastTx(ctx, tx, params); err != nil {
		return fmt.Errorf("enqueue: %w", err)
	}
	return nil
}

func argsOf(step db.Job) (river.JobArgs, error) {
	switch step.Kind {
	case workflow.StepSend:
		return SendArgs{Workflow: step.Workflow, Sequence: step.Sequence}, nil
	case workflow.StepPlan:
		return PlanArgs{Text: step.Text, Step: step.Sequence}, nil
	case workflow.StepExpand:
		return ExpandArgs{Campaign: step.Text, Step: step.Sequence}, nil
	case workflow.StepRelease:
		return ReleaseArgs{UserID: step.UserID, WakeAt: step.At}, nil
	case workflow.StepResolve:
		return ResolveArgs{Workflow: step.Workflow, Sequence: step.Sequence}, nil
	}
	return nil, fmt.Errorf("no job for step %q", step.Kind)
}
