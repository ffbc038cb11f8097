package telemetry

import (
	"crypto/sha256"
	"encoding/binary"

	"go.opentelemetry.io/otel/trace"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// StepID is the id of a step's span: the same wherever it is worked out, so that a retry, and the step that settles
// what became of another, can be bound to it without a note of it anywhere. The run counts how often the step was begun.
func StepID(kind, key string, sequence, run int) (id trace.SpanID) {
	hash := sha256.New()
	hash.Write([]byte(kind + "\x00" + key + "\x00"))
	hash.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(sequence)), uint64(run)))
	copy(id[:], hash.Sum(nil))
	id[7] |= 1 // not all zero
	return id
}

// StepContext is a step's span in a workflow's trace, to link to.
func (t *Telemetry) StepContext(tc workflow.TraceContext, id trace.SpanID) trace.SpanContext {
	if t == nil {
		return trace.SpanContext{}
	}
	return t.spanContext(tc, id.String())
}
