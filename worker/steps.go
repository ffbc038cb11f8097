package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/trace"

	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// stepWatch is our other extension of River: each run of a job is one log line and is counted, however it ends.
type stepWatch struct {
	river.MiddlewareDefaults
	logger  *slog.Logger
	metrics *stepMetrics
}

// housekeeping are the steps whose every run is not worth a line.
var housekeeping = map[string]bool{string(workflow.StepRelease): true, "reconcile": true, "audit": true}

// Work implements rivertype.WorkerMiddleware.
func (s *stepWatch) Work(ctx context.Context, job *rivertype.JobRow, work func(context.Context) error) (err error) {
	level := slog.LevelInfo
	if housekeeping[job.Kind] {
		level = slog.LevelDebug
	}
	began := time.Now()
	ctx, line := steplog.With(ctx, level)
	line.Set(slog.String(steplog.Step, job.Kind))
	read := readJob(job)
	ctx = context.WithValue(ctx, jobReadKey{}, read)
	if tc := read.carried.Trace(); tc.TraceID != "" {
		line.Set(slog.String(steplog.TraceID, tc.TraceID), slog.String(steplog.SpanID, read.own.String()), slog.String(steplog.Account, tc.UserID), slog.String(steplog.ID, tc.WorkflowID))
	}
	delay := time.Duration(0)
	if job.AttemptedAt != nil {
		delay = max(0, job.AttemptedAt.Sub(job.ScheduledAt))
	}
	panicked := true
	defer func() {
		took, result := time.Since(began), resultOf(err, panicked)
		s.metrics.ran(job.Kind, result, delay, took)
		s.tell(ctx, line, job, result, err, delay, took)
	}()
	err = work(ctx)
	panicked = false
	return err
}

// jobRead is what both extensions need of a job, read once.
type jobRead struct {
	carried     telemetry.Carried
	own, before trace.SpanID
}

type jobReadKey struct{}

func readJob(job *rivertype.JobRow) *jobRead {
	read := &jobRead{carried: telemetry.ReadCarried(job.Metadata)}
	read.own, read.before = stepIDs(job)
	return read
}

// jobReadOf is what was read of the job before.
func jobReadOf(ctx context.Context, job *rivertype.JobRow) *jobRead {
	if read, is := ctx.Value(jobReadKey{}).(*jobRead); is {
		return read
	}
	return readJob(job)
}

func (s *stepWatch) tell(ctx context.Context, line *steplog.Line, job *rivertype.JobRow, result string, err error, delay, took time.Duration) {
	if result != resultCompleted {
		line.Set(slog.String(steplog.Outcome, result))
	}
	if result == resultFailed {
		line.Set(slog.String(steplog.Error, telemetry.KindOf(err)))
	}
	if result == resultFailed || result == resultPanicked {
		line.Raise(slog.LevelError)
	}
	line.Set(slog.Int64(steplog.Job, job.ID), slog.Int(steplog.Run, job.Attempt), steplog.Seconds(steplog.Delay, delay), steplog.Seconds(steplog.Took, took))
	line.Default(slog.String(steplog.Outcome, resultCompleted))
	line.Write(ctx, s.logger)
}

// How a run ended, as River sees it.
const (
	resultCompleted = "completed"
	resultFailed    = "failed"
	resultSnoozed   = "snoozed"
	resultCancelled = "cancelled"
	resultPanicked  = "panicked"
)

func resultOf(err error, panicked bool) string {
	var snooze *rivertype.JobSnoozeError
	var cancel *rivertype.JobCancelError
	switch {
	case panicked:
		return resultPanicked
	case err == nil:
		return resultCompleted
	case errors.As(err, &snooze):
		return resultSnoozed
	case errors.As(err, &cancel):
		return resultCancelled
	}
	return resultFailed
}
