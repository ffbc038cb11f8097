package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// What steps add to the log line of their run.

func tellAttempt(ctx context.Context, a db.Attempt) {
	steplog.Set(ctx, slog.String(steplog.Workflow, a.Workflow.String()), slog.Int(steplog.Attempt, a.Sequence))
}

func tellFinish(ctx context.Context, f db.Finish) {
	steplog.Set(ctx, slog.String(steplog.Outcome, string(f.Outcome)), slog.String(steplog.Reason, f.Reason))
	if f.Status != 0 {
		steplog.Set(ctx, slog.Int(steplog.Status, f.Status))
	}
	switch f.Outcome {
	case workflow.EventAccepted, workflow.EventWithdrawn:
	case workflow.EventUnknown:
		steplog.Raise(ctx, slog.LevelError)
	default:
		steplog.Raise(ctx, slog.LevelWarn)
	}
}

const picoPerUSD = 1e12

func tellCall(ctx context.Context, call db.PlanCall, end db.PlanEnd, took time.Duration) {
	r := end.Result
	steplog.Set(ctx, slog.Int(steplog.Attempt, call.Sequence), slog.String(steplog.Target, string(call.Target)), slog.String(steplog.Class, string(r.Class)),
		slog.String(steplog.Code, r.Code), slog.Int(steplog.Status, r.Status), slog.String(steplog.RequestID, r.RequestID))
	steplog.Add(ctx, steplog.Calls, 1)
	steplog.Add(ctx, steplog.Provider, took.Seconds())
	if r.Usage.Known {
		steplog.Add(ctx, steplog.Input, float64(r.Usage.Input))
		steplog.Add(ctx, steplog.Output, float64(r.Usage.Output))
	}
	if end.Cost.PicoUSD != nil {
		steplog.Add(ctx, steplog.Cost, float64(*end.Cost.PicoUSD)/picoPerUSD)
	}
	if r.Class != provider.Completed || len(end.Violations) > 0 {
		steplog.Raise(ctx, slog.LevelWarn)
	}
}

// tellPlan says what was decided. Of several fallbacks the last stands; the message's own history has all.
func tellPlan(ctx context.Context, next db.PlanNext) {
	for _, f := range next.Fallbacks {
		steplog.Set(ctx, slog.String(steplog.Fallback, f.Reason))
		steplog.Raise(ctx, slog.LevelWarn)
	}
	if next.Do == db.PlanDone {
		steplog.Set(ctx, slog.String(steplog.Source, next.Source), slog.String(steplog.Reason, next.Reason))
	}
	steplog.Add(ctx, steplog.Messages, float64(next.Moved))
}
