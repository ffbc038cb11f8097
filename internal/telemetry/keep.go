package telemetry

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// recordAll is a sampler under which what another one drops is recorded all the same, so that it can still be kept.
type recordAll struct{ sdktrace.Sampler }

// ShouldSample implements sdktrace.Sampler.
func (s recordAll) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := s.Sampler.ShouldSample(p)
	if result.Decision == sdktrace.Drop {
		result.Decision = sdktrace.RecordOnly
	}
	return result
}

// The memory of what was not sampled: the latest traces, and the first spans of each.
const (
	keptTraces = 1024
	keptSpans  = 32
)

// keeper decides at the end of a span that was not sampled: with the first error of its trace, everything that this
// process still has of the trace goes on to be exported, and what follows of it as well.
type keeper struct {
	sdktrace.SpanProcessor // for what is sampled or kept

	mu     sync.Mutex
	traces map[trace.TraceID]*held
	order  []trace.TraceID // a ring, the oldest at next
	next   int
}

type held struct {
	keep  bool
	spans []sdktrace.ReadOnlySpan
}

func newKeeper(next sdktrace.SpanProcessor) *keeper {
	return &keeper{SpanProcessor: next, traces: map[trace.TraceID]*held{}, order: make([]trace.TraceID, keptTraces)}
}

// OnEnd implements sdktrace.SpanProcessor.
func (k *keeper) OnEnd(s sdktrace.ReadOnlySpan) {
	if s.SpanContext().IsSampled() {
		k.SpanProcessor.OnEnd(s)
		return
	}
	for _, one := range k.decide(s) {
		k.SpanProcessor.OnEnd(kept{one})
	}
}

// decide returns what goes on.
func (k *keeper) decide(s sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := s.SpanContext().TraceID()
	h := k.traces[id]
	if h == nil {
		h = &held{}
		delete(k.traces, k.order[k.next])
		k.traces[id], k.order[k.next] = h, id
		k.next = (k.next + 1) % len(k.order)
	}
	switch {
	case h.keep:
		return []sdktrace.ReadOnlySpan{s}
	case s.Status().Code == codes.Error:
		all := append(h.spans, s)
		h.keep, h.spans = true, nil
		return all
	case len(h.spans) < keptSpans:
		h.spans = append(h.spans, s)
	}
	return nil
}

// kept is a span that is exported although it was not sampled.
type kept struct{ sdktrace.ReadOnlySpan }

// SpanContext says that it is sampled: processors and back ends drop what is not.
func (k kept) SpanContext() trace.SpanContext {
	sc := k.ReadOnlySpan.SpanContext()
	return sc.WithTraceFlags(sc.TraceFlags().WithSampled(true))
}

// OnStart implements sdktrace.SpanProcessor. Nothing is decided when a span begins.
func (k *keeper) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
