package provider

import (
	"strings"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// traceparent writes a W3C trace context, or nothing when the ids are not usable.
func traceparent(trace workflow.TraceContext) string {
	if !isTraceID(trace.TraceID, 32) || !isTraceID(trace.SpanID, 16) {
		return ""
	}
	flags := "-01"
	if trace.NotSampled {
		flags = "-00"
	}
	return "00-" + trace.TraceID + "-" + trace.SpanID + flags
}

// isTraceID: lower-case hexadecimal of the given length that is not all zeros.
func isTraceID(id string, length int) bool {
	return len(id) == length && strings.Trim(id, "0123456789abcdef") == "" && strings.Trim(id, "0") != ""
}
