package telemetry

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Carried is what a job's metadata say about its trace. The names are those of the headers, so that a person who looks
// at a job can follow it.
type Carried struct {
	Traceparent string            `json:"traceparent,omitempty"` // of the workflow's own span
	Tracestate  string            `json:"tracestate,omitempty"`
	Baggage     string            `json:"baggage,omitempty"`
	Parent      string            `json:"huntaze_parent,omitempty"` // span of whoever produced the message
	Link        string            `json:"huntaze_link,omitempty"`   // traceparent of what made the job necessary
	Waits       []workflow.Waited `json:"huntaze_waits,omitempty"`
}

// Carry writes metadata for a job of a workflow; nil when there is nothing to carry.
func Carry(ctx context.Context, tc workflow.TraceContext, waits []workflow.Waited) []byte {
	c := Carried{Traceparent: traceparent(tc), Waits: waits, Link: Traceparent(ctx)}
	if c.Traceparent == "" && c.Link == "" {
		return nil
	}
	if c.Traceparent != "" {
		c.Tracestate, c.Parent, c.Baggage = tc.TraceState, tc.ParentSpanID, Baggage(tc)
		if len(c.Link) > 35 && c.Link[3:35] == tc.TraceID {
			c.Link = "" // of the same trace: the workflow's own span stands for it
		}
	}
	metadata, err := json.Marshal(c)
	if err != nil {
		return nil
	}
	return metadata
}

// ReadCarried reads a job's metadata. What can't be read is nothing: no job fails for that.
func ReadCarried(metadata []byte) (c Carried) {
	if len(metadata) <= len("{}") || json.Unmarshal(metadata, &c) != nil {
		return Carried{}
	}
	return c
}

// Trace is the workflow's trace context; zero: the job is of none.
func (c Carried) Trace() workflow.TraceContext {
	if len(c.Traceparent) < 55 {
		return workflow.TraceContext{}
	}
	tc := workflow.TraceContext{TraceID: c.Traceparent[3:35], SpanID: c.Traceparent[36:52], ParentSpanID: c.Parent, TraceState: c.Tracestate,
		NotSampled: c.Traceparent[53:55] == "00"}
	for part := range strings.SplitSeq(c.Baggage, ",") {
		name, value, _ := strings.Cut(part, "=")
		value, _ = url.PathUnescape(value)
		switch name {
		case string(UserID):
			tc.UserID = value
		case string(WorkflowID):
			tc.WorkflowID = value
		}
	}
	return tc
}

// Links are the spans that a job is bound to besides.
func (c Carried) Links() []trace.SpanContext {
	if sc := parse(c.Link); sc.IsValid() {
		return []trace.SpanContext{sc}
	}
	return nil
}

// Traceparent is the W3C header of the span that is under way; empty: none is.
func Traceparent(ctx context.Context) string {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return ""
	}
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
}

// Baggage is the W3C header that says whose a trace is.
func Baggage(tc workflow.TraceContext) string {
	var parts []string
	if tc.UserID != "" {
		parts = append(parts, string(UserID)+"="+escape(tc.UserID))
	}
	if tc.WorkflowID != "" {
		parts = append(parts, string(WorkflowID)+"="+escape(tc.WorkflowID))
	}
	return strings.Join(parts, ",")
}

// escape leaves nothing in a value that has a meaning in a baggage header.
func escape(value string) string { return strings.ReplaceAll(url.QueryEscape(value), "+", "%20") }

func traceparent(tc workflow.TraceContext) string {
	if len(tc.TraceID) != 32 || len(tc.SpanID) != 16 {
		return ""
	}
	flags := "-01"
	if tc.NotSampled {
		flags = "-00"
	}
	return "00-" + tc.TraceID + "-" + tc.SpanID + flags
}

// parse reads a traceparent that this package wrote, or that a producer sent.
func parse(header string) trace.SpanContext {
	if len(header) < 55 || header[2] != '-' || header[35] != '-' || header[52] != '-' {
		return trace.SpanContext{}
	}
	config := trace.SpanContextConfig{Remote: true}
	var err error
	if config.TraceID, err = trace.TraceIDFromHex(header[3:35]); err != nil {
		return trace.SpanContext{}
	}
	if config.SpanID, err = trace.SpanIDFromHex(header[36:52]); err != nil {
		return trace.SpanContext{}
	}
	if header[54] == '1' {
		config.TraceFlags = trace.FlagsSampled
	}
	return trace.NewSpanContext(config)
}
