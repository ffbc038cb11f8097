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
	if g.stopped {
		g.mu.Unlock()
		return
	}
	if g.spans = append(g.spans, s); len(g.spans) == 1 {
		if g.timer == nil {
			g.timer = time.AfterFunc(gatherFor, g.handOver)
		} else {
			g.timer.Reset(gatherFor)
		}
	}
	full := len(g.spans) >= gatherMost
	g.mu.Unlock()
	if full {
		g.handOver()
	}
}

func (g *gatherer) handOver() {
	g.mu.Lock()
	spans := g.spans
	g.spans = nil
	if g.timer != nil {
		g.timer.Stop()
	}
	g.mu.Unlock()
	for _, s := range spans {
		g.SpanProcessor.OnEnd(s)
	}
}

// ForceFlush implements sdktrace.SpanProcessor.
func (g *gatherer) ForceFlush(ctx context.Context) error {
	g.handOver()
	return g.SpanProcessor.ForceFlush(ctx)
}

// Shutdown implements sdktrace.SpanProcessor.
func (g *gatherer) Shutdown(ctx context.Context) error {
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	g.handOver()
	return g.SpanProcessor.Shutdown(ctx)
}
