package telemetry

import (
	"context"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// gatherMost is how many spans are handed to the queue at once, and gatherFor after what time all that there are: each time
	// wakes the SDK's goroutine, which costs a busy processor more than the span itself.
	gatherMost = 128
	gatherFor  = 200 * time.Millisecond
)

// gatherer hands spans to the queue many at a time.
type gatherer struct {
	sdktrace.SpanProcessor // the queue

	mu      sync.Mutex
	spans   []sdktrace.ReadOnlySpan
	timer   *time.Timer // runs while there are spans
	stopped bool
}

func newGatherer(next sdktrace.SpanProcessor) *gatherer { return &gatherer{SpanProcessor: next} }

// OnEnd implements sdktrace.SpanProcessor.
func (g *gatherer) OnEnd(s sdktrace.ReadOnlySpan) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return
	}
	g.spans = append(g.spans, s)
	switch {
	case len(g.spans) >= gatherMost:
		g.handOver()
	case len(g.spans) > 1:
	case g.timer == nil:
		g.timer = time.AfterFunc(gatherFor, g.flush)
	default:
		g.timer.Reset(gatherFor)
	}
}

// handOver holds the lock until the queue has all of them, which never blocks: a shutdown must not overtake them.
func (g *gatherer) handOver() {
	if g.timer != nil {
		g.timer.Stop()
	}
	for _, s := range g.spans {
		g.SpanProcessor.OnEnd(s)
	}
	clear(g.spans)
	g.spans = g.spans[:0]
}

func (g *gatherer) flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handOver()
}

// ForceFlush implements sdktrace.SpanProcessor.
func (g *gatherer) ForceFlush(ctx context.Context) error {
	g.flush()
	return g.SpanProcessor.ForceFlush(ctx)
}

// Shutdown implements sdktrace.SpanProcessor.
func (g *gatherer) Shutdown(ctx context.Context) error {
	g.mu.Lock()
	g.stopped = true
	g.handOver()
	g.mu.Unlock()
	return g.SpanProcessor.Shutdown(ctx)
}
