package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

func text(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
}

// A body that can't be used is recorded with the reason, copied to the dead-letter queue as it was, with the
// reason as an attribute, and deleted; its neighbours are not affected.
func TestBadPayloads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := []struct{ body, field string }{
		{`not JSON at all`, "body"},
		{`{"workflowId":"wf-x","recipientId":"fan-x"}`, "content"},
		{`{"workflowId":"","recipientId":"fan-x","content":"c"}`, "workflowId"},
		{`{"workflowId":"wf-x","recipientId":"fan-x","content":"\u0000"}`, "content"},
		{`{"workflowId":"wf-x","recipientId":"fan-x","content":"c","attempts":9007199254740993}`, "attempts"},
		{`{"workflowId":"` + strings.Repeat("w", 10_000) + `","recipientId":"fan-x","content":"c"}`, "workflowId"},
		{strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000), "body"},
		{`{"workflowId":"wf-x","recipientId":"fan-x","content":"` + strings.Repeat("x", 1<<20-1000) + `"}`, "body"},
		{strings.Repeat("x", 1<<20), "body"},
	}
	var entries []types.SendMessageBatchRequestEntry
	for i, b := range bad {
		e := entry(b.body)
		if len(b.body) < 100_000 {
			e.MessageAttributes = map[string]types.MessageAttributeValue{
				"userId": text("creator-7"),
				"raw":    {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1}},
			}
			e.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-5759e988-bd862e3fe1be46a994272793")}}
		}
		entries = append(entries, e, entry(body(i)))
	}
	for _, e := range entries {
		w.send(mainQueue, e)
	}
	b := w.start(nil)
	w.eventually(0, "the queue to be empty", w.drained)

	if w.store.count() != len(bad) {
		t.Errorf("%d of %d neighbours were stored", w.store.count(), len(bad))
	}
	if len(w.store.quarantine) != len(bad) {
		t.Fatalf("%d of %d are recorded", len(w.store.quarantine), len(bad))
	}
	copies := map[string]sqstest.Message{}
	for _, m := range w.server.Messages(deadQueue) {
		copies[m.Attributes["sourceMessageId"].StringValue] = m
	}
	if len(copies) != len(bad) || b.Stats().Copied != int64(len(bad)) || b.Stats().Quarantined != int64(len(bad)) {
		t.Fatalf("%d of %d are in the dead-letter queue; stats %+v", len(copies), len(bad), b.Stats())
	}
	for _, want := range bad {
		name := want.body[:min(60, len(want.body))]
		var found bool
		for id, d := range w.store.quarantine {
			if string(d.Body) != want.body {
				continue
			}
			found = true
			copied := copies[id]
			if d.Problem.Field != want.field {
				t.Errorf("%s: field %q, want %q", name, d.Problem.Field, want.field)
			}
			if got := copied.Attributes["error"].StringValue; got != d.Problem.String() {
				t.Errorf("%s: attribute error %q", name, got)
			}
			if got := copied.Attributes["sourceQueue"].StringValue; got != mainQueue {
				t.Errorf("%s: attribute sourceQueue %q", name, got)
			}
			switch {
			case len(want.body) == 1<<20:
				var ref queue.Reference
				if err := json.Unmarshal([]byte(copied.Body), &ref); err != nil || ref != (queue.Reference{Quarantined: true, MessageID: id, Queue: mainQueue, Error: d.Problem.String(), Bytes: 1 << 20}) {
					t.Errorf("%s: reference %+v, %v", name, ref, err)
				}
			case copied.Body != want.body:
				t.Errorf("%s: the copy has another body", name)
			case len(want.body) < 100_000:
				if copied.Attributes["userId"].StringValue != "creator-7" || len(copied.Attributes["raw"].BinaryValue) != 2 || copied.TraceHeader == "" {
					t.Errorf("%s: the copy has lost attributes: %+v", name, copied)
				}
			}
		}
		if !found {
			t.Errorf("%s: not recorded", name)
		}
	}
}

// What only the store finds unusable takes the same way, and text that SQS does not take as an attribute does
// not hold up the copy.
func TestQuarantinedByTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.set(func(s *store) { s.unknown = func(d workflow.Delivery) bool { return d.Message.WorkflowID == "wf-3" } })
	w.sendBodies(10)
	w.start(nil)
	w.eventually(0, "the queue to be empty", w.drained)
	dead := w.server.Messages(deadQueue)
	if w.store.count() != 9 || len(dead) != 1 || dead[0].Body != body(3) {
		t.Fatalf("%d workflows, dead letters %+v", w.store.count(), dead)
	}
	if got := dead[0].Attributes["error"].StringValue; !strings.Contains(got, "userId: names no account") {
		t.Errorf("attribute error %q", got)
	}
}

// As long as the copy can't be made, the message stays in its queue.
func TestCopyFailsThenNoDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.server.SetFaults(sqstest.Faults{Queues: []string{deadQueue}, Fail: []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 1}, Actions: []string{"SendMessageBatch"}}}}); err != nil {
		t.Fatal(err)
	}
	w.send(mainQueue, entry(`bad`), entry(body(1)))
	b := w.start(nil)
	w.eventually(10*time.Millisecond, "the failure", func() bool { return b.Stats().CopyFailures == 1 && b.Stats().Deleted == 1 })
	if s := w.server.Stats(mainQueue); s.InFlight != 1 || s.Deleted != 1 {
		t.Fatalf("%+v: want the good message deleted and the bad one kept", s)
	}
	if err := w.server.SetFaults(sqstest.Faults{}); err != nil {
		t.Fatal(err)
	}
	w.eventually(time.Second, "the second delivery", w.drained)
	if dead := w.server.Messages(deadQueue); len(dead) != 1 || dead[0].Body != "bad" {
		t.Errorf("dead letters %+v", dead)
	}
}

func TestDeadLetterQueueThatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.DeadLetterQueue = "later"
	w.send(mainQueue, entry(`bad`), entry(body(1)))
	b := w.start(nil)
	w.eventually(0, "the failure", func() bool { return b.Stats().CopyFailures == 1 && b.Stats().Deleted == 1 })
	if !strings.Contains(w.log.String(), "the dead-letter queue does not exist") {
		t.Errorf("the log does not tell:\n%s", w.log)
	}
	if err := w.server.CreateQueue("later", nil); err != nil {
		t.Fatal(err)
	}
	w.eventually(time.Second, "the second delivery", w.drained)
	if dead := w.server.Messages("later"); len(dead) != 1 {
		t.Errorf("dead letters %+v", dead)
	}
}

func TestNoDeadLetterQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.DeadLetterQueue = ""
	w.send(mainQueue, entry(`bad`))
	w.start(nil)
	w.eventually(0, "the queue to be empty", w.drained)
	if len(w.store.quarantine) != 1 || w.server.Stats(deadQueue).Visible > 0 {
		t.Errorf("%d recorded, %+v", len(w.store.quarantine), w.server.Stats(deadQueue))
	}
}

// A dead-letter queue that takes less than the source gets a reference for what is too large for it.
func TestDeadLetterQueueWithALowerLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setAttributes(deadQueue, map[string]string{"MaximumMessageSize": "262144"})
	w.send(mainQueue, entry(strings.Repeat("x", 300_000)), entry("small"))
	w.start(nil)
	w.eventually(10*time.Millisecond, "the queue to be empty", w.drained)
	var references, whole int
	for _, m := range w.server.Messages(deadQueue) {
		if strings.Contains(m.Body, `"quarantined":true`) {
			references++
		} else if m.Body == "small" {
			whole++
		}
	}
	if references != 1 || whole != 1 {
		t.Errorf("%d references and %d whole", references, whole)
	}
}

// Ten attributes are the most: with ours that is too many. Those with a meaning are kept.
func TestCopyOfTenAttributes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := entry("bad")
	e.MessageAttributes = map[string]types.MessageAttributeValue{"userId": text("creator-7"), "traceparent": text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), "tracestate": text("a=b")}
	for i := range 7 {
		e.MessageAttributes[fmt.Sprintf("a%d", i)] = text("x")
	}
	w.send(mainQueue, e)
	w.start(nil)
	w.eventually(0, "the queue to be empty", w.drained)
	dead := w.server.Messages(deadQueue)
	if len(dead) != 1 || dead[0].Body != "bad" || len(dead[0].Attributes) != 10 {
		t.Fatalf("dead letters %+v", dead)
	}
	for _, name := range []string{"error", "sourceMessageId", "sourceQueue", "userId", "traceparent", "tracestate"} {
		if _, ok := dead[0].Attributes[name]; !ok {
			t.Errorf("attribute %s is missing", name)
		}
	}
}

// Characters that SQS does not take can't come from SQS itself, but from an emulator.
func TestCopyOfForbiddenCharacters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send(mainQueue, entry("bad"))
	api := &hooks{API: w.api}
	api.receive = func(ctx context.Context, in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
		out, err := w.api.ReceiveMessage(ctx, in)
		if err == nil {
			for i := range out.Messages {
				out.Messages[i].Body, out.Messages[i].MD5OfBody = aws.String("bad\xff"), nil
			}
		}
		return out, err
	}
	w.start(api)
	w.eventually(0, "the queue to be empty", w.drained)
	if dead := w.server.Messages(deadQueue); len(dead) != 1 || !strings.Contains(dead[0].Body, `"quarantined":true`) {
		t.Errorf("dead letters %+v", dead)
	}
}
