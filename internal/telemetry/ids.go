package telemetry

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// idGenerator makes ids that are valid for W3C and for X-Ray: a trace id begins with the time in seconds. A span that
// has to get a certain id, because it is already written somewhere, gets it from the context.
type idGenerator struct{ now func() time.Time }

// given are the ids of the span that is about to begin.
type given struct {
	trace trace.TraceID
	span  trace.SpanID
}

type givenKey struct{}

// NewIDs implements sdktrace.IDGenerator.
func (g idGenerator) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if ids, ok := ctx.Value(givenKey{}).(given); ok && ids.trace.IsValid() && ids.span.IsValid() {
		return ids.trace, ids.span
	}
	var id trace.TraceID
	binary.BigEndian.PutUint32(id[:4], uint32(g.now().Unix()))
	binary.BigEndian.PutUint32(id[4:8], rand.Uint32())
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()|1) // not all zero, whatever the clock says
	return id, randomSpanID()
}

// NewSpanID implements sdktrace.IDGenerator.
func (g idGenerator) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if ids, ok := ctx.Value(givenKey{}).(given); ok && ids.span.IsValid() {
		return ids.span
	}
	return randomSpanID()
}

func randomSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
