package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway"
	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Doubts reads and postpones what is in doubt.
type Doubts interface {
	Doubt(ctx context.Context, a db.Attempt) (db.Doubt, bool, error)
	AskAgain(ctx context.Context, a db.Attempt, in time.Duration, detail string) error
}

// LookUp asks the gateway about a message.
type LookUp interface {
	LookUp(ctx context.Context, clientRef string) (gateway.LookUp, error)
}

const (
	lookUpEvery   = 5 * time.Second // between the first look-ups; doubles
	lookUpAtMost  = 5 * time.Minute
	resolvedByAsk = "look-up"
)

// ResolveWorker settles an attempt whose outcome is unknown by asking the gateway. "Accepted" is believed at
// once. "Never accepted" is a proof only after the settle time, during which something on the way may still
// hold the request. A gateway without look-up leaves the decision to an operator.
type ResolveWorker struct {
	river.WorkerDefaults[ResolveArgs]
	doubts Doubts
	ledger Ledger
	lookUp LookUp
}

// NewResolveWorker returns the worker of the resolve step.
func NewResolveWorker(d Doubts, l Ledger, g LookUp) *ResolveWorker {
	return &ResolveWorker{doubts: d, ledger: l, lookUp: g}
}

// Work implements river.Worker.
func (w *ResolveWorker) Work(ctx context.Context, job *river.Job[ResolveArgs]) error {
	attempt := db.Attempt{Workflow: job.Args.Workflow, Sequence: job.Args.Sequence}
	tellAttempt(ctx, attempt)
	doubt, open, err := w.doubts.Doubt(ctx, attempt)
	if err != nil || !open {
		return err
	}
	steplog.Set(ctx, slog.String(steplog.ID, doubt.WorkflowID), slog.String(steplog.Account, doubt.UserID), slog.String(steplog.Outcome, string(workflow.EventUnknown)))
	found, err := w.lookUp.LookUp(ctx, attempt.Workflow.String())
	if err != nil {
		return w.doubts.AskAgain(ctx, attempt, lookUpPause(doubt.LookUps), "look-up failed: "+err.Error())
	}
	settled := db.Finish{Attempt: attempt, Fence: doubt.Fence, ResolvedBy: resolvedByAsk}
	switch found.Answer {
	case gateway.Found:
		settled.Outcome, settled.GatewayMessageID = workflow.EventAccepted, found.MessageID
	case gateway.NeverAccepted:
		if doubt.Settled < 0 {
			return w.doubts.AskAgain(ctx, attempt, min(lookUpPause(doubt.LookUps), -doubt.Settled+time.Second), "not accepted so far; it may still be on its way")
		}
		settled.Outcome, settled.Reason = workflow.EventNotSent, "never_accepted"
	default:
		return w.doubts.AskAgain(ctx, attempt, 0, "the gateway has no look-up: an operator must decide")
	}
	tellFinish(ctx, settled)
	_, err = w.ledger.Finish(ctx, settled)
	return err
}

// lookUpPause doubles with each look-up that settled nothing.
func lookUpPause(lookUps int) time.Duration {
	pause := lookUpEvery
	for range min(lookUps, 10) {
		pause *= 2
	}
	return min(pause, lookUpAtMost)
}
