package worker

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// jobTracing is our extension of River: jobs carry the trace of their workflow in their metadata, and each run of one
// is a span of that trace. It is there when telemetry is off, too: the trace goes on to providers and the gateway.
type jobTracing struct {
	river.MiddlewareDefaults
	telemetry *telemetry.Telemetry
}

// InsertMany implements rivertype.JobInsertMiddleware. Steps of workflows come with metadata; what is inserted by others
// gets the trace that it is inserted in.
func (*jobTracing) InsertMany(ctx context.Context, params []*rivertype.JobInsertParams, insert func(context.Context) ([]*rivertype.JobInsertResult, error)) ([]*rivertype.JobInsertResult, error) {
	for _, p := range params {
		if len(p.Metadata) <= len("{}") {
			if metadata := telemetry.Carry(ctx, telemetry.WorkflowOf(ctx), nil); metadata != nil {
				p.Metadata = metadata
			}
		}
	}
	return insert(ctx)
}

// stepArgs are what the arguments of our jobs have in common.
type stepArgs struct {
	Workflow string `json:"workflow"`
	Text     string `json:"text"`
	Sequence int    `json:"sequence"`
	Step     int    `json:"step"`
}

var errPanicked = errors.New("panicked")

// Work implements rivertype.WorkerMiddleware.
func (j *jobTracing) Work(ctx context.Context, job *rivertype.JobRow, work func(context.Context) error) (err error) {
	read := jobReadOf(ctx, job)
	carried, tc := read.carried, read.carried.Trace()
	if !j.telemetry.On() {
		if tc.TraceID != "" {
			ctx = telemetry.WithWorkflow(ctx, tc)
		}
		return work(ctx)
	}
	attributes := []attribute.KeyValue{
		telemetry.MessagingSystem.String(telemetry.SystemRiver), telemetry.MessagingOperation.String("process"), telemetry.MessagingType.String("process"),
		telemetry.MessagingDestination.String(job.Queue), telemetry.JobID.Int64(job.ID), telemetry.JobAttempt.Int(job.Attempt),
	}
	if job.AttemptedAt != nil {
		attributes = append(attributes, telemetry.JobDelay.Float64(max(0, job.AttemptedAt.Sub(job.ScheduledAt).Seconds())))
	}
	name, bound := "step "+job.Kind, carried.Links()
	var span *telemetry.Span
	if tc.TraceID == "" {
		ctx, span = j.telemetry.StartRoot(ctx, name, trace.SpanKindConsumer, bound, attributes...)
	} else {
		ctx = j.telemetry.Continue(ctx, tc)
		if job.Attempt <= 1 {
			for _, wait := range carried.Waits {
				j.telemetry.Wait(ctx, wait)
			}
		}
		if read.before.IsValid() {
			bound = append(bound, j.telemetry.StepContext(tc, read.before))
		}
		ctx, span = j.telemetry.StartAs(ctx, read.own, name, trace.SpanKindConsumer, bound, attributes...)
	}
	err = errPanicked
	defer func() { span.End(err) }()
	err = work(ctx)
	return err
}

// stepIDs are the ids of a run's span and of the one that it follows: an earlier run of the job, the try before it, or
// the send that a resolve asks about.
func stepIDs(job *rivertype.JobRow) (own, before trace.SpanID) {
	var args stepArgs
	_ = json.Unmarshal(job.EncodedArgs, &args) // what can't be read has no id to find again, and the job says why it fails
	key, sequence := args.Workflow, args.Sequence
	if key == "" {
		key, sequence = args.Text, args.Step
	}
	own = telemetry.StepID(job.Kind, key, sequence, job.Attempt)
	switch {
	case job.Attempt > 1:
		before = telemetry.StepID(job.Kind, key, sequence, job.Attempt-1)
	case job.Kind == string(workflow.StepResolve):
		before = telemetry.StepID(string(workflow.StepSend), key, sequence, 1)
	case sequence > 1:
		before = telemetry.StepID(job.Kind, key, sequence-1, 1)
	}
	return own, before
}

type callersKey struct{}

// withCallers notes the spans of those who share a transaction.
func withCallers[In, Out any](ctx context.Context, batch []request[In, Out]) context.Context {
	var callers []trace.SpanContext
	for _, r := range batch {
		if r.from.IsValid() {
			callers = append(callers, r.from)
		}
	}
	if len(callers) == 0 {
		return ctx
	}
	return context.WithValue(ctx, callersKey{}, callers)
}

// traced makes a span of each transaction of an engine. It has a trace of its own also when it is of one step only: what
// happens to a message under load and without should look the same.
func traced[In, Out any](e *Engine, operation string, run func(context.Context, []In) ([]Out, error)) func(context.Context, []In) ([]Out, error) {
	return func(ctx context.Context, in []In) ([]Out, error) {
		if !e.tracing.On() {
			return run(ctx, in)
		}
		callers, _ := ctx.Value(callersKey{}).([]trace.SpanContext)
		ctx, span := e.tracing.StartRoot(ctx, "transaction "+operation, trace.SpanKindClient, callers, transactionAttributes(operation, len(in))...)
		out, err := run(ctx, in)
		span.End(err)
		return out, err
	}
}

func transactionAttributes(operation string, requests int) []attribute.KeyValue {
	attributes := []attribute.KeyValue{telemetry.DBSystem.String(telemetry.Postgres), telemetry.DBOperation.String(operation)}
	if requests > 1 {
		attributes = append(attributes, telemetry.DBBatch.Int(requests))
	}
	return attributes
}

// tellIntake makes the message's own span, when its workflow is in the database and not before: nothing else would have
// that id.
func (e *Engine) tellIntake(ctx context.Context, d workflow.Delivery, a workflow.Intake, began time.Time) {
	if !e.tracing.On() || a.Outcome != workflow.IntakeAccepted {
		return
	}
	e.tracing.Message(d.Message.Trace, "process "+d.Source, trace.SpanKindConsumer, began, time.Now(), []trace.SpanContext{telemetry.ContextOf(ctx)},
		telemetry.MessagingSystem.String(telemetry.SystemSQS), telemetry.MessagingOperation.String("process"), telemetry.MessagingType.String("process"),
		telemetry.MessagingDestination.String(d.Source), telemetry.MessagingMessageID.String(d.MessageID), telemetry.MessagingBodySize.Int(len(d.Body)),
		telemetry.Outcome.String(string(a.Outcome)))
}

// tellExpand does the same for messages that a campaign made.
func (e *Engine) tellExpand(ctx context.Context, done db.Expanded, began time.Time) {
	if !e.tracing.On() {
		return
	}
	ended := time.Now()
	for _, tc := range done.Traces {
		e.tracing.Message(tc, "create message", trace.SpanKindProducer, began, ended, []trace.SpanContext{telemetry.ContextOf(ctx)})
	}
}

func tellBegin(ctx context.Context, a db.Attempt, start db.Start) {
	if span := telemetry.In(ctx); span != nil {
		span.Set(telemetry.Attempt.Int(a.Sequence), telemetry.Outcome.String(string(start.Verdict)))
	}
}

// tellFinish says what became of an attempt. One in doubt counts as an error, so that its trace is kept.
func tellFinish(ctx context.Context, f db.Finish) {
	span := telemetry.In(ctx)
	if span == nil {
		return
	}
	span.Set(telemetry.Attempt.Int(f.Sequence), telemetry.Outcome.String(string(f.Outcome)))
	if f.Reason != "" {
		span.Set(telemetry.Reason.String(f.Reason))
	}
	if f.Outcome == workflow.EventUnknown {
		span.Set(telemetry.InDoubt.Bool(true))
		span.Fail("in_doubt")
	}
}

// tellPlan says what was decided for a text: fallbacks, a short wait, the end.
func tellPlan(ctx context.Context, next db.PlanNext) {
	span := telemetry.In(ctx)
	if span == nil {
		return
	}
	for _, f := range next.Fallbacks {
		span.Event(telemetry.FallbackEvent, telemetry.From.String(f.From), telemetry.To.String(f.To), telemetry.Reason.String(f.Reason))
	}
	if next.Do == db.PlanPause {
		span.Event(telemetry.WaitSpan, telemetry.WaitReason.String(next.Reason))
	}
	if next.Do == db.PlanDone {
		span.Set(telemetry.Messages.Int(next.Moved))
		if next.Reason != "" {
			span.Set(telemetry.Reason.String(next.Reason))
		}
	}
}
