package telemetry

import (
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Propagators are the forms in which a trace comes over HTTP: W3C, and where it has none that of X-Ray; and W3C
// baggage.
var Propagators propagation.TextMapPropagator = propagation.NewCompositeTextMapPropagator(
	XRay{}, propagation.TraceContext{}, propagation.Baggage{})

// XRayHeader is how AWS' load balancers and services call the header.
const XRayHeader = "X-Amzn-Trace-Id"

// XRay is the propagator of X-Ray's header, Root=1-8 hex-24 hex;Parent=16 hex;Sampled=1. OpenTelemetry's own for Go
// has no owner any more.
type XRay struct{}

// Inject implements propagation.TextMapPropagator.
func (XRay) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return
	}
	id := sc.TraceID().String()
	sampled := "0"
	if sc.IsSampled() {
		sampled = "1"
	}
	carrier.Set(XRayHeader, "Root=1-"+id[:8]+"-"+id[8:]+";Parent="+sc.SpanID().String()+";Sampled="+sampled)
}

// Extract implements propagation.TextMapPropagator. A header that is not whole changes nothing.
func (XRay) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	config := trace.SpanContextConfig{Remote: true}
	for part := range strings.SplitSeq(carrier.Get(XRayHeader), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		value = strings.ToLower(value)
		switch strings.ToLower(name) {
		case "root":
			if len(value) != 35 || value[:2] != "1-" || value[10] != '-' {
				return ctx
			}
			if _, err := hex.Decode(config.TraceID[:], []byte(value[2:10]+value[11:])); err != nil {
				return ctx
			}
		case "parent":
			if len(value) != 16 {
				return ctx
			}
			if _, err := hex.Decode(config.SpanID[:], []byte(value)); err != nil {
				return ctx
			}
		case "sampled":
			if value == "1" {
				config.TraceFlags = trace.FlagsSampled
			}
		}
	}
	sc := trace.NewSpanContext(config)
	if !sc.IsValid() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, sc)
}

// Fields implements propagation.TextMapPropagator.
func (XRay) Fields() []string { return []string{XRayHeader} }

// Headers are the trace headers of a message.
type Headers map[string]string

// Get implements propagation.TextMapCarrier.
func (h Headers) Get(name string) string { return h[name] }

// Set implements propagation.TextMapCarrier.
func (h Headers) Set(name, value string) { h[name] = value }

// Keys implements propagation.TextMapCarrier.
func (h Headers) Keys() []string { return slices.Collect(maps.Keys(h)) }

// Producer is the span that the headers come from; not valid: they name none.
func (h Headers) Producer() trace.SpanContext {
	return trace.SpanContextFromContext(Propagators.Extract(context.Background(), h))
}
