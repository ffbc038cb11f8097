package worker

import (
	"context"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// tracedGateway makes a span of each call to the gateway, which continues the trace from that span.
type tracedGateway struct {
	*gateway.Client
	telemetry *telemetry.Telemetry
	steps     *stepMetrics
	host      string
}

func (w *Worker) tracedGateway() tracedGateway {
	g := tracedGateway{Client: w.gateway, telemetry: w.config.Telemetry, steps: w.steps}
	if parsed, err := url.Parse(w.config.Gateway.URL); err == nil {
		g.host = parsed.Hostname()
	}
	return g
}

const gatewayPath = "/v1/messages"

func (g tracedGateway) start(ctx context.Context, method string) (context.Context, *telemetry.Span) {
	return g.telemetry.StartBeside(ctx, method+" "+gatewayPath, trace.SpanKindClient,
		telemetry.HTTPMethod.String(method), telemetry.URLTemplate.String(gatewayPath), telemetry.ServerAddress.String(g.host))
}

// Send implements jobs.Gateway.
func (g tracedGateway) Send(ctx context.Context, m gateway.Message) gateway.Outcome {
	began := time.Now()
	outcome := g.send(ctx, m)
	took := time.Since(began)
	g.steps.called("send", string(outcome.Class), took)
	steplog.Set(ctx, steplog.Seconds(steplog.Gateway, took))
	return outcome
}

func (g tracedGateway) send(ctx context.Context, m gateway.Message) gateway.Outcome {
	if !g.telemetry.On() {
		return g.Client.Send(ctx, m)
	}
	if telemetry.WorkflowOf(ctx).TraceID != m.Trace.TraceID { // its job was written by a release that knew of no traces
		ctx = g.telemetry.Continue(ctx, m.Trace)
	}
	ctx, span := g.start(ctx, "POST")
	m.Trace = telemetry.Under(ctx, m.Trace)
	outcome := g.Client.Send(ctx, m)
	if span.Recorded() {
		span.Set(telemetry.Attempt.Int(m.Attempt), telemetry.Outcome.String(string(outcome.Class)))
		if outcome.Status != 0 {
			span.Set(telemetry.HTTPStatus.Int(outcome.Status))
		}
		if outcome.Reason != "" {
			span.Set(telemetry.Reason.String(string(outcome.Reason)))
		}
		switch outcome.Class {
		case gateway.Accepted:
		case gateway.Unknown:
			span.Set(telemetry.InDoubt.Bool(true))
			span.Fail("in_doubt")
		default:
			span.Fail(string(outcome.Reason))
		}
	}
	span.End(nil)
	return outcome
}

// LookUp implements jobs.LookUp.
func (g tracedGateway) LookUp(ctx context.Context, clientRef string) (gateway.LookUp, error) {
	began, lined := time.Now(), ctx
	ctx, span := g.start(ctx, "GET")
	found, err := g.Client.LookUp(ctx, clientRef)
	took, answer := time.Since(began), string(found.Answer)
	if err != nil {
		answer = "failed"
	}
	g.steps.called("look_up", answer, took)
	steplog.Set(lined, steplog.Seconds(steplog.Gateway, took), slog.String(steplog.LookUp, answer))
	if err == nil {
		span.Set(telemetry.Outcome.String(string(found.Answer)))
	}
	span.End(err)
	return found, err
}

// tracedAuthor makes a span of each call to a provider, with what it used and cost.
type tracedAuthor struct {
	*jobs.Author
	telemetry *telemetry.Telemetry
	steps     *stepMetrics
	targets   map[provider.Name]provider.Target
}

func (w *Worker) tracedAuthor() tracedAuthor {
	return tracedAuthor{w.author, w.config.Telemetry, w.steps, w.author.Targets()}
}

// genAI are the names that OpenTelemetry has for the providers.
var genAI = map[provider.Name]string{provider.Azure: "azure.ai.openai", provider.OpenAI: "openai"}

// Write implements jobs.Writer.
func (a tracedAuthor) Write(ctx context.Context, call db.PlanCall, since time.Time) db.PlanEnd {
	began := time.Now()
	end := a.write(ctx, call, since)
	a.steps.wrote(end, time.Since(began))
	return end
}

func (a tracedAuthor) write(ctx context.Context, call db.PlanCall, since time.Time) db.PlanEnd {
	if !a.telemetry.On() {
		return a.Author.Write(ctx, call, since)
	}
	target := a.targets[call.Target]
	ctx, span := a.telemetry.StartBeside(ctx, "chat "+target.Model, trace.SpanKindClient,
		telemetry.GenAIOperation.String("chat"), telemetry.GenAIProvider.String(genAI[call.Target]), telemetry.GenAIRequestModel.String(target.Model),
		telemetry.GenAIOutputType.String("json"), telemetry.ServerAddress.String(target.Host), telemetry.Attempt.Int(call.Sequence))
	end := a.Author.Write(ctx, call, since)
	if span.Recorded() {
		tellCall(span, end)
	}
	span.End(nil)
	return end
}

func tellCall(span *telemetry.Span, end db.PlanEnd) {
	r := end.Result
	span.Set(telemetry.Outcome.String(string(r.Class)), telemetry.CostKind.String(end.Cost.Kind))
	if r.Status != 0 {
		span.Set(telemetry.HTTPStatus.Int(r.Status))
	}
	if r.Usage.Known {
		span.Set(telemetry.GenAIInput.Int64(r.Usage.Input), telemetry.GenAIOutput.Int64(r.Usage.Output),
			telemetry.GenAICached.Int64(r.Usage.Cached), telemetry.GenAIReasoning.Int64(r.Usage.Reasoning))
	}
	if r.Model != "" {
		span.Set(telemetry.GenAIResponseModel.String(r.Model))
	}
	if end.Cost.PicoUSD != nil {
		span.Set(telemetry.CallCost.Float64(float64(*end.Cost.PicoUSD) / picoPerUSD))
	}
	if len(end.Violations) > 0 {
		span.Set(telemetry.Violations.StringSlice(end.Violations))
	}
	switch {
	case r.Class == provider.Completed:
	case r.Status >= 400:
		span.Fail(strconv.Itoa(r.Status))
	default:
		span.Fail(string(r.Class))
	}
}
