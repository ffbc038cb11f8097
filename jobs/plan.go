package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
)

// QueuePlan has its own workers: a call to a provider takes seconds. Only processes that have a provider work it.
const QueuePlan = "plan"

const (
	// planHandOver is after how long a job leaves the next call to another one, so that no job runs for ever.
	planHandOver = time.Minute
	// planTimeout is when River takes a plan for stuck: the time before the last call begins, and that call.
	planTimeout = 3 * time.Minute
)

// PlanArgs is one step of a text.
type PlanArgs struct {
	Text uuid.UUID `json:"text"`
	Step int       `json:"step"` // names this job: the text's row knows which one is live
}

// Kind implements river.JobArgs.
func (PlanArgs) Kind() string { return "plan" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (PlanArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: QueuePlan} }

// Planner takes texts a step further.
type Planner interface {
	Plan(ctx context.Context, step db.PlanStep) (db.PlanNext, error)
}

// Writer makes the calls.
type Writer interface {
	Delays() map[provider.Name]time.Duration
	Write(ctx context.Context, call db.PlanCall, since time.Time) db.PlanEnd
}

// PlanWorker has a text written: it asks what is to be done, makes the call that it is told to make, reports how it
// ended, and so on. Each call is written down before it is made and its answer before anything else happens, so that
// a worker that is killed costs one call at most.
type PlanWorker struct {
	river.WorkerDefaults[PlanArgs]
	planner Planner
	writer  Writer
	logger  *slog.Logger
	now     func() time.Time
	pause   func(context.Context, time.Duration)
	// stopping says that the process ends: what is under way is finished, and nothing is begun.
	stopping func() bool
}

// NewPlanWorker returns the worker of the plan step. The pause ends with its context, as Pause does.
func NewPlanWorker(p Planner, w Writer, logger *slog.Logger, now func() time.Time, pause func(context.Context, time.Duration), stopping func() bool) *PlanWorker {
	return &PlanWorker{planner: p, writer: w, logger: logger, now: now, pause: pause, stopping: stopping}
}

// Timeout implements river.Worker.
func (w *PlanWorker) Timeout(*river.Job[PlanArgs]) time.Duration { return planTimeout }

// Work implements river.Worker.
func (w *PlanWorker) Work(ctx context.Context, job *river.Job[PlanArgs]) error {
	begun := w.now()
	steplog.Set(ctx, slog.String(steplog.Text, job.Args.Text.String()))
	step := db.PlanStep{Text: job.Args.Text, Step: job.Args.Step, Trace: telemetry.WorkflowOf(ctx)}
	for {
		step.Delays = w.writer.Delays()
		step.NoCall = w.stopping() || ctx.Err() != nil || w.now().Sub(begun) > planHandOver
		asked := w.now()
		next, err := w.plan(ctx, step)
		if err != nil {
			return err
		}
		tellPlan(ctx, next)
		step = db.PlanStep{Text: job.Args.Text, Step: job.Args.Step, Trace: step.Trace}
		switch next.Do {
		case db.PlanMakeCall:
			end := w.writer.Write(ctx, next.Call, asked)
			tellCall(ctx, next.Call, end, w.now().Sub(asked))
			step.Ended = &end
		case db.PlanPause:
			w.pause(ctx, next.Pause) // a process that stops does not wait: its next question hands the text over
		case db.PlanGoOn:
		default:
			return nil
		}
	}
}

// plan asks for the next thing to do. What a call brought is known to nobody else: it is reported for as long as it
// takes, whatever ends meanwhile.
func (w *PlanWorker) plan(ctx context.Context, step db.PlanStep) (db.PlanNext, error) {
	ctx = context.WithoutCancel(ctx)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, finishRetryMost) {
		next, err := w.planner.Plan(ctx, step)
		if err == nil || step.Ended == nil || errors.Is(err, ErrStopped) || db.Refused(err) {
			return next, err
		}
		w.logger.Error("the end of a call is not yet durable", "text", step.Text, "attempt", step.Ended.Attempt, "error", err)
		time.Sleep(pause)
	}
}

// Pause waits for d, or until the context ends.
func Pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
