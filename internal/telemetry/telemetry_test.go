package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry/otlptest"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func setup(t *testing.T, environ map[string]string) (*telemetry.Telemetry, *otlptest.Server, func()) {
	t.Helper()
	collector := otlptest.Start()
	t.Cleanup(collector.Close)
	all := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL}
	for name, value := range environ {
		all[name] = value
	}
	spans, err := telemetry.Setup(all, telemetry.Options{Version: "v1", Instance: "one", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return spans, collector, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := spans.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	}
}

func TestOffByDefault(t *testing.T) {
	t.Parallel()
	for name, environ := range map[string]map[string]string{
		"nothing": {}, "none": {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
		"disabled": {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, "empty": {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
	} {
		spans, err := telemetry.Setup(environ, telemetry.Options{})
		if err != nil || spans.On() {
			t.Errorf("%s: on %v, error %v", name, spans.On(), err)
		}
		ctx, span := spans.Start(t.Context(), "x", trace.SpanKindClient)
		span.Set(telemetry.Attempt.Int(1))
		span.End(errors.New("x"))
		if telemetry.ContextOf(ctx).IsValid() || spans.Shutdown(ctx) != nil {
			t.Errorf("%s: off does something", name)
		}
	}
}

func TestWrongSettingsAreNamedAndNotRepeated(t *testing.T) {
	t.Parallel()
	const secret = "Zanzibar"
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": secret, "OTEL_EXPORTER_OTLP_HEADERS": secret, "OTEL_EXPORTER_OTLP_COMPRESSION": secret, "OTEL_TRACES_EXPORTER": secret,
		"OTEL_TRACES_SAMPLER": secret, "OTEL_BSP_MAX_QUEUE_SIZE": secret, "OTEL_RESOURCE_ATTRIBUTES": secret, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
		"OTEL_TRACES_SAMPLER_ARG": secret,
	} {
		environ := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER": "traceidratio"}
		environ[name] = value
		_, err := telemetry.Setup(environ, telemetry.Options{})
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheEnvironmentNamesTheService(t *testing.T) {
	t.Parallel()
	spans, collector, flush := setup(t, map[string]string{"OTEL_SERVICE_NAME": "texts", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.name=other", "OTEL_EXPORTER_OTLP_HEADERS": "key=a%20b"})
	_, span := spans.Start(t.Context(), "x", trace.SpanKindClient)
	span.End(nil)
	flush()
	got := collector.Spans()
	if len(got) != 1 || got[0].Service != "texts" {
		t.Errorf("spans %+v", got)
	}
	seconds := time.Now().Unix()
	if id := got[0].TraceID; id[:4] != hexOf(seconds)[:4] {
		t.Errorf("the trace id %s does not begin with the time, as X-Ray wants it", id)
	}
}

func hexOf(seconds int64) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 8)
	for i := 7; i >= 0; i-- {
		out[i] = digits[seconds&15]
		seconds >>= 4
	}
	return string(out)
}

var tc = workflow.TraceContext{TraceID: "65432100112233445566778899aabbcc", SpanID: "00f067aa0ba902b7", ParentSpanID: "53995c3f42cd8ad8",
	UserID: "creator, 7", WorkflowID: "wf=1", Timestamp: time.Unix(1, 0)}

func TestCarriedGoesRound(t *testing.T) {
	t.Parallel()
	wait := workflow.Waited{Reason: "token", Since: time.Unix(10, 0).UTC()}
	refused := tc
	refused.NotSampled, refused.TraceState = true, "a=b"
	for _, want := range []workflow.TraceContext{tc, refused} {
		c := telemetry.ReadCarried(telemetry.Carry(t.Context(), want, []workflow.Waited{wait}))
		got := c.Trace()
		want.Timestamp = time.Time{}
		if got != want || len(c.Waits) != 1 || c.Waits[0] != wait {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for _, broken := range []string{"", "{}", "{", `{"traceparent":"x"}`, `[]`} {
		if c := telemetry.ReadCarried([]byte(broken)); c.Trace() != (workflow.TraceContext{}) || c.Links() != nil {
			t.Errorf("%q is read as %+v", broken, c)
		}
	}
	if telemetry.Carry(t.Context(), workflow.TraceContext{}, nil) != nil {
		t.Error("nothing is carried as something")
	}
}

// Children may be exported by another process, days before or after the message's own span.
func TestAMessageIsTheParentOfItsSteps(t *testing.T) {
	t.Parallel()
	spans, collector, flush := setup(t, nil)
	ctx := spans.Continue(t.Context(), tc)
	ctx, span := spans.StartAs(ctx, telemetry.StepID("send", "w", 2, 1), "step send", trace.SpanKindConsumer, []trace.SpanContext{spans.StepContext(tc, telemetry.StepID("send", "w", 1, 1))})
	sent := telemetry.TraceOf(ctx)
	span.End(nil)
	spans.Message(tc, "process q", trace.SpanKindConsumer, time.Now(), time.Now(), nil)
	flush()
	named := map[string]otlptest.Span{}
	for _, one := range collector.Trace(tc.TraceID) {
		named[one.Name] = one
	}
	own, step := named["process q"], named["step send"]
	if own.ID != tc.SpanID || own.Parent != tc.ParentSpanID || step.Parent != tc.SpanID {
		t.Errorf("%+v", named)
	}
	if sent.SpanID != step.ID || sent.TraceID != tc.TraceID || sent.NotSampled {
		t.Errorf("sent on is %+v", sent)
	}
	if id := telemetry.StepID("send", "w", 1, 1).String(); len(step.Links) != 1 || step.Links[0].ID != id {
		t.Errorf("links %v, want %s", step.Links, id)
	}
	if step.Attributes["huntaze.user_id"] != tc.UserID || step.Attributes["huntaze.workflow_id"] != tc.WorkflowID {
		t.Errorf("attributes %v", step.Attributes)
	}
}

// With nothing sampled, what fails is kept with what came before and after it, and nothing else is.
func TestErrorsAreKept(t *testing.T) {
	t.Parallel()
	spans, collector, flush := setup(t, map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"})
	for _, fails := range []bool{false, true} {
		ctx, outer := spans.Start(t.Context(), "outer", trace.SpanKindServer)
		_, before := spans.Start(ctx, "before", trace.SpanKindClient)
		before.End(nil)
		_, call := spans.Start(ctx, "call", trace.SpanKindClient)
		if fails {
			call.Fail("in_doubt")
		}
		call.End(nil)
		outer.End(nil)
	}
	flush()
	var names []string
	for _, one := range collector.Spans() {
		names = append(names, one.Name)
	}
	if want := []string{"before", "call", "outer"}; !slices.Equal(names, want) {
		t.Errorf("kept are %v, want %v", names, want)
	}
}

func TestAProducersDecisionCounts(t *testing.T) {
	t.Parallel()
	refused := tc
	refused.NotSampled = true
	for sampler, want := range map[string][2]int{"": {1, 0}, "parentbased_always_off": {1, 0}, "always_on": {1, 1}, "always_off": {0, 0}} {
		for i, parent := range []workflow.TraceContext{tc, refused} {
			spans, collector, flush := setup(t, map[string]string{"OTEL_TRACES_SAMPLER": sampler})
			spans.Message(parent, "process", trace.SpanKindConsumer, time.Now(), time.Now(), nil)
			flush()
			if got := len(collector.Spans()); got != want[i] {
				t.Errorf("sampler %q, producer refused %v: %d spans, want %d", sampler, parent.NotSampled, got, want[i])
			}
		}
	}
}

// A million spans cost no more than a queue, whoever does not take them.
func TestACollectorThatHangsBlocksNobody(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var log bytes.Buffer
	spans, err := telemetry.Setup(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + silent.Addr().String(), "OTEL_BSP_SCHEDULE_DELAY": "1"},
		telemetry.Options{Now: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 100_000 {
		_, span := spans.Start(t.Context(), "x", trace.SpanKindClient)
		span.End(nil)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("100,000 spans took %s", took)
	}
	const room = 8192 + 512               // the SDK's queue, and a batch that is being exported
	for spans.Dropped() != 100_000-room { // the last ones are handed over after a moment
		if time.Since(began) > 5*time.Second {
			t.Fatalf("%d spans are told to be lost, want those beyond %d", spans.Dropped(), room)
		}
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began = time.Now()
	if err := spans.Shutdown(ctx); err == nil {
		t.Error("nothing is said of the spans that are lost")
	}
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("the shutdown took %s", took)
	}
	if n := spans.Dropped(); n <= 100_000-room || n > 100_000 {
		t.Errorf("%d of 100,000 spans are told to be lost after a batch was given up", n)
	}
	if n := strings.Count(log.String(), "could not be exported"); n > 1 {
		t.Errorf("%d lines within a minute", n)
	}
}

func TestConsole(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	spans, err := telemetry.Setup(map[string]string{"OTEL_TRACES_EXPORTER": "console"}, telemetry.Options{Console: &out, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	_, span := spans.Start(t.Context(), "hello", trace.SpanKindClient)
	span.End(nil)
	if err := spans.Shutdown(t.Context()); err != nil || !strings.Contains(out.String(), "hello") {
		t.Errorf("%v, %s", err, out.String())
	}
}

// A request is continued from either form of header, and what handles it continues the server's span.
func TestHandlerContinuesTheCaller(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][2]string{
		"W3C":   {"Traceparent", "00-" + tc.TraceID + "-" + tc.ParentSpanID + "-01"},
		"X-Ray": {"X-Amzn-Trace-Id", "Root=1-65432100-112233445566778899aabbcc;Parent=" + tc.ParentSpanID + ";Sampled=1"},
	} {
		spans, collector, flush := setup(t, nil)
		inner := ""
		handler := spans.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inner = r.Header.Get("Traceparent") }), func(*http.Request) string { return "/v1/{id}" })
		request := httptest.NewRequest(http.MethodGet, "/v1/Zanzibar?q=Zanzibar", nil)
		request.Header.Set(header[0], header[1])
		handler.ServeHTTP(httptest.NewRecorder(), request)
		flush()
		got := collector.Spans()
		if len(got) != 1 || got[0].TraceID != tc.TraceID || got[0].Parent != tc.ParentSpanID || got[0].Name != "GET /v1/{id}" {
			t.Fatalf("%s: %+v", name, got)
		}
		if inner != "00-"+tc.TraceID+"-"+got[0].ID+"-01" {
			t.Errorf("%s: the handler continues %s", name, inner)
		}
		for _, body := range collector.Raw() {
			if bytes.Contains(body, []byte("Zanzibar")) {
				t.Errorf("%s: the path is in the span: %v", name, got[0].Attributes)
			}
		}
	}
}

func FuzzXRay(f *testing.F) {
	f.Add("Root=1-65432100-112233445566778899aabbcc;Parent=53995c3f42cd8ad8;Sampled=1")
	f.Add("Root=1-zzzzzzzz-112233445566778899aabbcc;Parent=53995c3f42cd8ad8")
	f.Fuzz(func(t *testing.T, header string) {
		sc := telemetry.Headers{telemetry.XRayHeader: header}.Producer()
		if !sc.IsValid() {
			return
		}
		back := telemetry.Headers{}
		telemetry.XRay{}.Inject(trace.ContextWithSpanContext(context.Background(), sc), back)
		if again := back.Producer(); again.TraceID() != sc.TraceID() || again.SpanID() != sc.SpanID() || again.IsSampled() != sc.IsSampled() {
			t.Errorf("%q becomes %q", header, back[telemetry.XRayHeader])
		}
	})
}

func BenchmarkStep(b *testing.B) {
	collector := otlptest.Start()
	defer collector.Close()
	for name, environ := range map[string]map[string]string{"off": {}, "on": {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL}} {
		b.Run(name, func(b *testing.B) {
			spans, err := telemetry.Setup(environ, telemetry.Options{Now: time.Now})
			if err != nil {
				b.Fatal(err)
			}
			metadata := telemetry.Carry(b.Context(), tc, nil)
			b.ReportAllocs()
			for b.Loop() {
				ctx := spans.Continue(b.Context(), telemetry.ReadCarried(metadata).Trace())
				_, span := spans.StartAs(ctx, telemetry.StepID("send", "w", 1, 1), "step send", trace.SpanKindConsumer, nil, telemetry.JobAttempt.Int(1))
				span.End(nil)
			}
			b.StopTimer()
			_ = spans.Shutdown(context.Background())
		})
	}
}
