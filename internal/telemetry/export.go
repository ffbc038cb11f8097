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
	all    *atomic.Int64   // spans that were lost, in all
}

// ExportSpans implements sdktrace.SpanExporter.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(q.alive, cancel)()
	defer cancel()
	err := q.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	q.all.Add(int64(len(spans)))
	lost, now, told := q.lost.Add(int64(len(spans))), q.now().UnixNano(), q.told.Load()
	if (told == 0 || now-told >= int64(lossLog)) && q.told.CompareAndSwap(told, now) {
		q.lost.Add(-lost)
		q.logger.Warn("spans could not be exported and are lost; messages are not affected", "spans", lost, "error", err)
	}
	return nil
}
