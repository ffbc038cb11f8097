package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

type workflowKey struct{}

// WithWorkflow notes whose work is done under a context. It costs next to nothing, and is right when telemetry is off,
// too: what is sent to others carries the trace all the same.
func WithWorkflow(ctx context.Context, tc workflow.TraceContext) context.Context {
	return context.WithValue(ctx, workflowKey{}, tc)
}

// WorkflowOf is the trace context of the workflow whose work is done; zero: of none.
func WorkflowOf(ctx context.Context) workflow.TraceContext {
	tc, _ := ctx.Value(workflowKey{}).(workflow.TraceContext)
	return tc
}

// TraceOf is what to send on to others: the workflow's trace context with the span that is under way in the place of
// the workflow's own, if there is one. A span of another trace changes nothing.
func TraceOf(ctx context.Context) workflow.TraceContext {
	return Under(ctx, WorkflowOf(ctx))
}

// Under is a workflow's trace context with the span that is under way as the one that others continue.
func Under(ctx context.Context, tc workflow.TraceContext) workflow.TraceContext {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() || sc.IsRemote() || tc.TraceID != "" && sc.TraceID().String() != tc.TraceID {
		return tc
	}
	tc.ParentSpanID, tc.TraceID, tc.SpanID, tc.NotSampled = tc.SpanID, sc.TraceID().String(), sc.SpanID().String(), !sc.IsSampled()
	return tc
}

// Continue makes spans under the context children of the workflow's own, and gives them its ids.
func (t *Telemetry) Continue(ctx context.Context, tc workflow.TraceContext) context.Context {
	ctx = WithWorkflow(ctx, tc)
	if t == nil {
		return ctx
	}
	if sc := t.spanContext(tc, tc.SpanID); sc.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, sc)
	}
	return withBaggage(ctx, tc)
}

// spanContext is that of a span of the workflow's trace, with the decision whether the trace is sampled.
func (t *Telemetry) spanContext(tc workflow.TraceContext, span string) trace.SpanContext {
	config := trace.SpanContextConfig{Remote: true}
	var err error
	if config.TraceID, err = trace.TraceIDFromHex(tc.TraceID); err != nil {
		return trace.SpanContext{}
	}
	if config.SpanID, err = trace.SpanIDFromHex(span); err != nil {
		return trace.SpanContext{}
	}
	if tc.TraceState != "" {
		config.TraceState, _ = trace.ParseTraceState(tc.TraceState)
	}
	if t.sampled(tc, config.TraceID) {
		config.TraceFlags = trace.FlagsSampled
	}
	return trace.NewSpanContext(config)
}

// sampled repeats the decision that was made, or is still to be made, about the message's own span: by its producer, or
// by the trace id.
func (t *Telemetry) sampled(tc workflow.TraceContext, id trace.TraceID) bool {
	if t.sampling.parents && (tc.ParentSpanID != "" || tc.NotSampled) {
		return !tc.NotSampled
	}
	return t.sampling.own.ShouldSample(sdktrace.SamplingParameters{ParentContext: context.Background(), TraceID: id}).Decision == sdktrace.RecordAndSample
}

func withBaggage(ctx context.Context, tc workflow.TraceContext) context.Context {
	var members []baggage.Member
	for _, one := range []struct {
		key   attribute.Key
		value string
	}{{UserID, tc.UserID}, {WorkflowID, tc.WorkflowID}} {
		if member, err := baggage.NewMemberRaw(string(one.key), one.value); err == nil && one.value != "" {
			members = append(members, member)
		}
	}
	if len(members) == 0 {
		return ctx
	}
	b, err := baggage.New(members...)
	if err != nil {
		return ctx
	}
	return baggage.ContextWithBaggage(ctx, b)
}

// whose are the ids that every span of a workflow has.
func whose(tc workflow.TraceContext) []attribute.KeyValue {
	attributes := make([]attribute.KeyValue, 0, 2)
	if tc.UserID != "" {
		attributes = append(attributes, UserID.String(tc.UserID))
	}
	if tc.WorkflowID != "" {
		attributes = append(attributes, WorkflowID.String(tc.WorkflowID))
	}
	return attributes
}
