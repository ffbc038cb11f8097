package telemetry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Span is what is under way. Nil is none.
type Span struct{ span trace.Span }

// Start opens a span under the one of the context. The context that it returns has it as the span that is under way.
func (t *Telemetry) Start(ctx context.Context, name string, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	attributes = append(attributes, whose(WorkflowOf(ctx))...)
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	return ctx, &Span{span}
}

// StartBeside opens the span of a call beside the step that it is a part of, and bound to it. It is not the step's
// child: a process that is killed after the call and before the end of the step may have told of the call, and never
// tells of the step, without which a child would be an orphan.
func (t *Telemetry) StartBeside(ctx context.Context, name string, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	tc := WorkflowOf(ctx)
	own, step := t.spanContext(tc, tc.SpanID), trace.SpanContextFromContext(ctx)
	if !own.IsValid() {
		return t.Start(ctx, name, kind, attributes...)
	}
	attributes = append(attributes, whose(tc)...)
	ctx, span := t.tracer.Start(trace.ContextWithRemoteSpanContext(ctx, own), name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...), trace.WithLinks(links([]trace.SpanContext{step})...))
	return ctx, &Span{span}
}

// StartRoot opens a span that begins a trace of its own, bound to what made it necessary or waits for it.
func (t *Telemetry) StartRoot(ctx context.Context, name string, kind trace.SpanKind, bound []trace.SpanContext, attributes ...attribute.KeyValue) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithNewRoot(), trace.WithSpanKind(kind), trace.WithAttributes(attributes...), trace.WithLinks(links(bound)...))
	return ctx, &Span{span}
}

// StartAs opens a span of a workflow under an id that others can find out, bound to what came before it.
func (t *Telemetry) StartAs(ctx context.Context, id trace.SpanID, name string, kind trace.SpanKind, bound []trace.SpanContext, attributes ...attribute.KeyValue) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	attributes = append(attributes, whose(WorkflowOf(ctx))...)
	options := []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(attributes...), trace.WithLinks(links(bound)...)}
	_, span := t.tracer.Start(context.WithValue(ctx, givenKey{}, given{span: id}), name, options...)
	return trace.ContextWithSpan(ctx, span), &Span{span}
}

// Message makes the message's own span, under the id that is stored with its workflow: the child of its producer's,
// and the parent of everything that follows.
func (t *Telemetry) Message(tc workflow.TraceContext, name string, kind trace.SpanKind, began, ended time.Time, bound []trace.SpanContext, attributes ...attribute.KeyValue) {
	if t == nil {
		return
	}
	own := t.spanContext(tc, tc.SpanID)
	if !own.IsValid() {
		return
	}
	ctx := context.WithValue(context.Background(), givenKey{}, given{own.TraceID(), own.SpanID()})
	options := []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithTimestamp(began), trace.WithLinks(links(bound)...),
		trace.WithAttributes(append(attributes, whose(tc)...)...)}
	if parent := t.spanContext(tc, tc.ParentSpanID); parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	_, span := t.tracer.Start(ctx, name, options...)
	span.End(trace.WithTimestamp(ended))
}

// Wait makes the span of a wait that is over. It is a child of the workflow's own span, beside the steps.
func (t *Telemetry) Wait(ctx context.Context, w workflow.Waited) {
	if t == nil {
		return
	}
	until := w.Until
	if until.IsZero() {
		until = t.now()
	}
	if !until.After(w.Since) {
		return
	}
	_, span := t.tracer.Start(ctx, WaitSpan, trace.WithTimestamp(w.Since), trace.WithAttributes(append(whose(WorkflowOf(ctx)), WaitReason.String(w.Reason))...))
	span.End(trace.WithTimestamp(until))
}

// In is the span that is under way; nil: none, or one that nobody records.
func In(ctx context.Context) *Span {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		return &Span{span}
	}
	return nil
}

// ContextOf is the context of the span that is under way, for links.
func ContextOf(ctx context.Context) trace.SpanContext { return trace.SpanContextFromContext(ctx) }

// Set adds attributes.
func (s *Span) Set(attributes ...attribute.KeyValue) {
	if s != nil {
		s.span.SetAttributes(attributes...)
	}
}

// Event notes that something happened now.
func (s *Span) Event(name string, attributes ...attribute.KeyValue) {
	if s != nil {
		s.span.AddEvent(name, trace.WithAttributes(attributes...))
	}
}

// Fail says that it went wrong, by a word of a closed list: what an error says may hold what no span may.
func (s *Span) Fail(kind string) {
	if s != nil {
		s.span.SetAttributes(ErrorType.String(kind))
		s.span.SetStatus(codes.Error, "")
	}
}

// End ends the span; with an error as one that failed.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.Fail(KindOf(err))
	}
	s.span.End()
}

// Recorded says whether what is set is recorded, for what costs something to find out.
func (s *Span) Recorded() bool { return s != nil && s.span.IsRecording() }

// KindOf is an error's code, where it has one, or else its type: never its text.
func KindOf(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	var coded interface{ SQLState() string }
	if errors.As(err, &coded) {
		return coded.SQLState()
	}
	var named interface{ ErrorCode() string }
	if errors.As(err, &named) {
		return named.ErrorCode()
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return fmt.Sprintf("%T", err)
		}
		err = inner
	}
}

func links(to []trace.SpanContext) []trace.Link {
	var all []trace.Link
	for _, sc := range to {
		if sc.IsValid() {
			all = append(all, trace.Link{SpanContext: sc})
		}
	}
	return all
}

// Past makes a span of what is over, in a trace of its own, bound to others.
func (t *Telemetry) Past(name string, kind trace.SpanKind, began time.Time, bound []trace.SpanContext, err error, attributes ...attribute.KeyValue) {
	if t == nil {
		return
	}
	_, span := t.tracer.Start(context.Background(), name, trace.WithNewRoot(), trace.WithTimestamp(began), trace.WithSpanKind(kind),
		trace.WithLinks(links(bound)...), trace.WithAttributes(attributes...))
	(&Span{span}).End(err)
}

// Now is the time by which spans begin and end.
func (t *Telemetry) Now() time.Time { return t.now() }
