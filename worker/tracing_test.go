package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry/otlptest"
	"github.com/huntaze/hybrid-orchestrator/internal/text"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

// setup makes telemetry that sends to the given collector. What it returns flushes.
func setup(t testing.TB, endpoint string, environ ...string) (*telemetry.Telemetry, func()) {
	t.Helper()
	all := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}
	for _, one := range environ {
		name, value, _ := strings.Cut(one, "=")
		all[name] = value
	}
	spans, err := telemetry.Setup(all, telemetry.Options{Version: "test", Instance: t.Name(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	flush := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = spans.Shutdown(ctx)
	}
	t.Cleanup(flush)
	return spans, flush
}

func collect(t *testing.T) *otlptest.Server {
	t.Helper()
	c := otlptest.Start()
	t.Cleanup(c.Close)
	return c
}

// write lets a worker have texts written by simulated providers.
func (r *rig) write(t *testing.T, config *worker.Config) *providersim.Server {
	t.Helper()
	sim := providersim.New(providersim.Options{KeepPrompts: true})
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	templates, err := text.Load("")
	if err != nil {
		t.Fatal(err)
	}
	azure, err := provider.NewAzure(provider.AzureConfig{Endpoint: sim.URL(), Key: "key", Deployment: "texts", PricedModel: "gpt-5.4-mini", Zone: "global"})
	if err != nil {
		t.Fatal(err)
	}
	openAI, err := provider.NewOpenAI(provider.OpenAIConfig{BaseURL: sim.URL() + "/v1", Key: "key", Model: "gpt-5.4-mini"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { azure.Close(); openAI.Close() })
	config.Providers = worker.Providers{Clients: []provider.Client{azure, openAI}, Workers: 5, Timeout: 5 * time.Second, Templates: templates, Template: "message", Prices: cost.Default()}
	return sim
}

// putTraced puts a message on the queue with the headers of its producer.
func (r *rig) putTraced(t *testing.T, message map[string]any, traceparent, xray string) {
	t.Helper()
	client := r.sqs.Client()
	out, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(queueName)})
	if err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(message)
	in := &sqs.SendMessageInput{QueueUrl: out.QueueUrl, MessageBody: aws.String(string(body))}
	if traceparent != "" {
		in.MessageAttributes = map[string]types.MessageAttributeValue{"traceparent": {DataType: aws.String("String"), StringValue: aws.String(traceparent)}}
	}
	if xray != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String(xray)}}
	}
	if _, err := client.SendMessage(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// losesReplies makes the gateway take the next message and say nothing.
func (r *rig) losesReplies(t *testing.T) {
	t.Helper()
	if err := r.gateway.SetFaults(gatewaysim.Faults{Rules: []gatewaysim.Rule{{Kind: gatewaysim.LostReply, Count: 1}}}); err != nil {
		t.Fatal(err)
	}
}

// tree checks that the spans are one tree below the producer's, and returns them by name.
func tree(t *testing.T, spans []otlptest.Span, producer string) map[string][]otlptest.Span {
	t.Helper()
	ids, named := map[string]bool{}, map[string][]otlptest.Span{}
	for _, one := range spans {
		if ids[one.ID] {
			t.Errorf("two spans are called %s, one is %q", one.ID, one.Name)
		}
		ids[one.ID] = true
		named[one.Name] = append(named[one.Name], one)
	}
	roots := 0
	for _, one := range spans {
		switch {
		case one.Parent == producer:
			roots++
		case !ids[one.Parent]:
			t.Errorf("%q is an orphan: its parent %s is nowhere", one.Name, one.Parent)
		}
	}
	if roots != 1 {
		t.Errorf("%d spans continue the producer's, want 1", roots)
	}
	for _, one := range spans {
		if one.Attributes["huntaze.workflow_id"] == "" {
			t.Errorf("%q names no workflow", one.Name)
		}
	}
	return named
}

func one(t *testing.T, named map[string][]otlptest.Span, name string) otlptest.Span {
	t.Helper()
	if len(named[name]) != 1 {
		t.Errorf("%d spans are called %q, want 1", len(named[name]), name)
		return otlptest.Span{Attributes: map[string]string{}}
	}
	return named[name][0]
}

const (
	producerTrace   = "0af7651916cd43dd8448eb211c80319c"
	producerSpan    = "b7ad6b7169203331"
	xrayTrace       = "6543210000112233445566778899aabb"
	xraySpan        = "53995c3f42cd8ad8"
	contentCanary   = "Zanzibarcontent"
	briefCanary     = "Zanzibarbrief"
	recipientCanary = "Zanzibarfan"
)

// I12, as spans: one tree for each message, whatever its producer speaks, with the fallback, the waits and the send in it.
func TestSpansOfAMessageAreOneTree(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	collector := collect(t)
	config := r.config(t, "one")
	config.Account = limit.Rules{{Capacity: 1, Window: 500 * time.Millisecond}}
	sim := r.write(t, &config)
	if err := sim.Enqueue(providersim.Azure, providersim.Fault{Fixture: "503_html"}); err != nil {
		t.Fatal(err)
	}
	var flush func()
	config.Telemetry, flush = setup(t, collector.URL)
	stop := r.start(t, config)

	first := message("creator", 1)
	first["content"], first["recipientId"] = contentCanary, recipientCanary
	r.putTraced(t, first, "", "Root=1-65432100-00112233445566778899aabb;Parent="+xraySpan+";Sampled=1")
	r.eventually(t, 20*time.Second, "the first sent", func() bool { return r.stages(t)["sent"] == 1 })
	second := message("creator", 2)
	delete(second, "content")
	second["brief"] = briefCanary
	r.put(t, message("creator", 3), message("creator", 4)) // they take the tokens before the second has a text
	r.putTraced(t, second, "00-"+producerTrace+"-"+producerSpan+"-01", "")
	r.eventually(t, 30*time.Second, "all sent", func() bool { return r.stages(t)["sent"] == 4 })
	stop()
	flush()

	for _, test := range []struct{ trace, producer string }{{xrayTrace, xraySpan}, {producerTrace, producerSpan}} {
		named := tree(t, collector.Trace(test.trace), test.producer)
		own, step, call := one(t, named, "process "+queueName), one(t, named, "step send"), one(t, named, "POST /v1/messages")
		if own.Parent != test.producer || step.Parent != own.ID || call.Parent != own.ID {
			t.Errorf("the send (below %s) and its step (below %s) are not below the message %s", call.Parent, step.Parent, own.ID)
		}
		if len(call.Links) != 1 || call.Links[0].ID != step.ID {
			t.Errorf("the send is bound to %v, want its step %s", call.Links, step.ID)
		}
		if call.Attributes["huntaze.outcome"] != "accepted" || call.Attributes["http.response.status_code"] != "201" && call.Attributes["http.response.status_code"] != "200" {
			t.Errorf("the call's attributes are %v", call.Attributes)
		}
		if len(own.Links) == 0 {
			t.Error("the message is not bound to the transaction that took it in")
		}
		found := false
		for _, a := range r.gateway.Arrivals(0) {
			if a.Traceparent == "00-"+test.trace+"-"+call.ID+"-01" {
				found = true
			}
		}
		if !found {
			t.Errorf("the gateway got no request under the send span %s of trace %s", call.ID, test.trace)
		}
	}
	named := tree(t, collector.Trace(producerTrace), producerSpan)
	calls := named["chat gpt-5.4-mini"]
	slices.SortFunc(calls, func(a, b otlptest.Span) int { return a.Start.Compare(b.Start) })
	if len(calls) != 2 {
		t.Fatalf("%d calls to providers, want 2: %v", len(calls), named)
	}
	for i, want := range []string{"azure.ai.openai", "openai"} {
		if got := calls[i].Attributes["gen_ai.provider.name"]; got != want || calls[i].Failed != (i == 0) {
			t.Errorf("call %d went to %s, failed %v", i+1, got, calls[i].Failed)
		}
	}
	if a := calls[1].Attributes; a["gen_ai.usage.input_tokens"] == "" || a["huntaze.cost.usd"] == "" {
		t.Errorf("the call says nothing of its tokens and cost: %v", a)
	}
	plan := one(t, named, "step plan")
	if len(plan.Events) == 0 || plan.Events[0].Name != "fallback" || plan.Events[0].Attributes["huntaze.fallback.to"] != "openai" {
		t.Errorf("the fallback is not to be seen: %+v", plan.Events)
	}
	token := false
	for _, wait := range named["wait"] {
		token = token || wait.Attributes["huntaze.wait.reason"] == "token" && wait.End.Sub(wait.Start) > 100*time.Millisecond
	}
	if !token {
		t.Errorf("no wait for a token is to be seen: %+v", named["wait"])
	}
	for i, c := range sim.Calls(0) {
		if want := "00-" + producerTrace + "-" + calls[i].ID + "-01"; c.Traceparent != want {
			t.Errorf("provider call %d came with traceparent %q, want %q", i+1, c.Traceparent, want)
		}
	}
	for _, body := range collector.Raw() {
		for _, canary := range []string{contentCanary, briefCanary, recipientCanary} {
			if bytes.Contains(body, []byte(canary)) {
				t.Errorf("%s is in what was exported", canary)
			}
		}
	}
}

// A message in doubt is kept although nothing is sampled, and the step that settles it is bound to its send.
func TestDoubtIsKeptWithoutSampling(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	collector := collect(t)
	config := r.config(t, "one")
	var flush func()
	config.Telemetry, flush = setup(t, collector.URL, "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0")
	stop := r.start(t, config)
	r.put(t, message("creator", 1))
	r.eventually(t, 20*time.Second, "the first sent", func() bool { return r.stages(t)["sent"] == 1 })
	r.losesReplies(t)
	r.put(t, message("creator", 2))
	r.eventually(t, 30*time.Second, "the doubt settled", func() bool { return r.stages(t)["sent"] == 2 })
	stop()
	flush()
	traces := map[string]bool{}
	var send, resolve otlptest.Span
	for _, one := range collector.Spans() {
		if one.Attributes["huntaze.workflow_id"] != "" {
			traces[one.Attributes["huntaze.workflow_id"]] = true
		}
		switch one.Name {
		case "step send":
			send = one
		case "step resolve":
			resolve = one
		}
	}
	if len(traces) != 1 || !traces["wf-creator-2"] {
		t.Errorf("kept were %v, want only the message that was in doubt", traces)
	}
	if send.Attributes["huntaze.in_doubt"] != "true" {
		t.Errorf("the send does not say that it is in doubt: %v", send.Attributes)
	}
	bound := false
	for _, link := range resolve.Links {
		bound = bound || link.ID == send.ID
	}
	if !bound {
		t.Errorf("the resolve is bound to %v, want the send %s", resolve.Links, send.ID)
	}
	named := tree(t, collector.Trace(send.TraceID), "")
	one(t, named, "process "+queueName)
}

// A collector that is dead, or takes connections and never answers, is no business of the messages.
func TestMessagesDoNotWaitForACollector(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	for name, address := range map[string]string{"silent": silent.Addr().String(), "dead": dead.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			config := r.config(t, "one")
			spans, err := telemetry.Setup(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + address, "OTEL_BSP_SCHEDULE_DELAY": "10", "OTEL_BSP_MAX_QUEUE_SIZE": "16", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"},
				telemetry.Options{Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			config.Telemetry = spans
			stop := r.start(t, config)
			const count = 60
			for n := range count {
				r.put(t, message("creator-"+string(rune('a'+n%20)), n))
			}
			r.eventually(t, 20*time.Second, "all sent", func() bool { return r.stages(t)["sent"] == count })
			stop()
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			_ = spans.Shutdown(ctx)
			if took := time.Since(began); took > 1500*time.Millisecond {
				t.Errorf("the shutdown took %s", took)
			}
		})
	}
}
