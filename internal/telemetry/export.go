package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// lossLog is how often an exporter that fails says so.
const lossLog = time.Minute

// quiet is an exporter whose failures are a log line from time to time, and which ends when its process must.
type quiet struct {
	sdktrace.SpanExporter
	logger *slog.Logger
	now    func() time.Time
	alive  context.Context // ends with the shutdown: an export that hangs does not hold up the process
	lost   atomic.Int64    // spans, since the last line
	told   atomic.Int64    // when that was, in Unix nanoseconds
	counts *counts
}

// ExportSpans implements sdktrace.SpanExporter.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(q.alive, cancel)()
	defer cancel()
	err := q.SpanExporter.ExportSpans(ctx, spans)
	q.counts.left.Add(int64(len(spans)))
	if err == nil {
		return nil
	}
	q.counts.failed.Add(int64(len(spans)))
	lost, now, told := q.lost.Add(int64(len(spans))), q.now().UnixNano(), q.told.Load()
	if (told == 0 || now-told >= int64(lossLog)) && q.told.CompareAndSwap(told, now) {
		q.lost.Add(-lost)
		q.logger.Warn("spans could not be exported and are lost; messages are not affected", "spans", lost, "error", err)
	}
	return nil
}

// counts tell how many spans were lost. The SDK's queue drops spans for which it has no room and says so to nobody; but it
// holds only so many, so that those beyond that are gone.
type counts struct {
	room     int64        // in the queue and in the batch behind it
	ended    atomic.Int64 // spans that were handed to the queue
	left     atomic.Int64 // that left it again, exported or not
	failed   atomic.Int64 // that the collector did not take
	overflow atomic.Int64 // for which there was no room
}

// end counts a span that is about to be handed to the queue.
func (c *counts) end() {
	over := c.ended.Add(1) - c.left.Load() - c.room
	for most := c.overflow.Load(); over > most && !c.overflow.CompareAndSwap(most, over); most = c.overflow.Load() {
	}
}

func (c *counts) dropped() int64 { return c.failed.Load() + c.overflow.Load() }

// counted is the queue, with its spans counted.
type counted struct {
	sdktrace.SpanProcessor
	counts *counts
}

// OnEnd implements sdktrace.SpanProcessor.
func (c counted) OnEnd(s sdktrace.ReadOnlySpan) {
	c.counts.end()
	c.SpanProcessor.OnEnd(s)
}
