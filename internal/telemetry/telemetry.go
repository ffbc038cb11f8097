package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Telemetry makes spans. Nil is one that is off.
type Telemetry struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	sampling sampling
	now      func() time.Time
	abandon  context.CancelFunc // of what is being exported
	counts   *counts
}

// Options are what a process says of itself. The environment's own words (OTEL_SERVICE_NAME,
// OTEL_RESOURCE_ATTRIBUTES) come before them.
type Options struct {
	Version  string // of the program
	Instance string // of this process, as the ledger knows it
	Logger   *slog.Logger
	Console  io.Writer // of the console exporter; nil: os.Stdout
	Now      func() time.Time
}

// scope names the instrumentation.
const scope = "github.com/huntaze/hybrid-orchestrator"

// Setup reads the standard variables of OpenTelemetry from environ. It returns nil, which is off and costs nothing, when
// they name no endpoint and no exporter. It does not talk to the collector: a dead one is no reason not to start. The
// error names the variable that can't be used. Call Shutdown at the end.
func Setup(environ map[string]string, o Options) (*Telemetry, error) {
	s, err := readSettings(environ)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	if s.exporter == exportNone {
		return nil, nil
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Console == nil {
		o.Console = os.Stdout
	}
	exporter, err := s.newExporter(o)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	alive, abandon := context.WithCancel(context.Background())
	attributes := append([]attribute.KeyValue{
		attribute.String("service.name", s.service), attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Instance),
		attribute.String("telemetry.sdk.name", "opentelemetry"), attribute.String("telemetry.sdk.language", "go"),
	}, s.resource...)
	batch := min(s.batch, s.queue)
	counts := &counts{room: int64(s.queue + batch)}
	batches := sdktrace.NewBatchSpanProcessor(&quiet{SpanExporter: exporter, logger: o.Logger, now: o.Now, alive: alive, counts: counts},
		sdktrace.WithMaxQueueSize(s.queue), sdktrace.WithMaxExportBatchSize(batch), sdktrace.WithBatchTimeout(s.delay), sdktrace.WithExportTimeout(s.export))
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(newKeeper(newGatherer(counted{batches, counts}))), sdktrace.WithSampler(s.sampling.sampler),
		sdktrace.WithIDGenerator(idGenerator{o.Now}), sdktrace.WithResource(resource.NewSchemaless(attributes...)))
	return &Telemetry{provider: provider, tracer: provider.Tracer(scope, trace.WithInstrumentationVersion(o.Version)), sampling: s.sampling, now: o.Now, abandon: abandon, counts: counts}, nil
}

func (s settings) newExporter(o Options) (sdktrace.SpanExporter, error) {
	if s.exporter == exportConsole {
		return stdouttrace.New(stdouttrace.WithWriter(o.Console))
	}
	options := []otlptracehttp.Option{
		otlptracehttp.WithEndpointURL(s.endpoint), otlptracehttp.WithHeaders(s.headers), otlptracehttp.WithTimeout(s.timeout), otlptracehttp.WithCompression(otlptracehttp.NoCompression),
	}
	if s.compression {
		options = append(options, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	if s.tls != nil {
		options = append(options, otlptracehttp.WithTLSClientConfig(s.tls))
	}
	return otlptracehttp.New(context.Background(), options...) // dials nothing yet
}

// On says whether spans are made.
func (t *Telemetry) On() bool { return t != nil }

// Dropped is how many spans the collector did not take, or never got because the queue to it was full.
func (t *Telemetry) Dropped() int64 {
	if t == nil {
		return 0
	}
	return t.counts.dropped()
}

// abandoned is how long an export that was given up may take to end.
const abandoned = time.Second

// Shutdown exports what is left until the context ends, and gives up on the rest then.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, t.abandon)
	defer stop()
	defer t.abandon()
	ended := make(chan error, 1)
	go func() { ended <- t.provider.Shutdown(context.WithoutCancel(ctx)) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select { // so that nothing of it is left when this returns
	case <-ended:
	case <-time.After(abandoned):
	}
	return fmt.Errorf("telemetry: the last spans could not be exported in time: %w", ctx.Err())
}
