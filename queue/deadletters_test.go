package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// fillDeadLetters puts n quarantined messages into the dead-letter queue.
func (w *world) fillDeadLetters(n int) {
	w.t.Helper()
	for i := range n {
		e := entry(fmt.Sprintf(`{"workflowId":"wf-%d","recipientId":"fan-%d","userId":"creator"}`, i, i))
		e.MessageAttributes = map[string]types.MessageAttributeValue{
			"error": text("content: is missing"), "sourceMessageId": text(fmt.Sprint("source-", i)), "sourceQueue": text(mainQueue),
			"traceparent": text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
		}
		w.send(deadQueue, e)
	}
}

func (w *world) deadLetters(api queue.API) *queue.DeadLetters {
	w.t.Helper()
	if api == nil {
		api = w.api
	}
	d, err := queue.OpenDeadLetters(w.t.Context(), api, deadQueue)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// realWorld is a world on the machine's clock: DeadLetters is used by commands and needs no other.
func realWorld(t *testing.T) *world {
	t.Helper()
	server := sqstest.StartTB(t, sqstest.Options{})
	if err := server.ApplyProductionQueues(mainQueue, retryQueue, deadQueue); err != nil {
		t.Fatal(err)
	}
	return &world{t: t, server: server, api: newClient(t, server), store: newStore(), log: &logBuffer{}}
}

func TestDeadLettersListAndShow(t *testing.T) {
	t.Parallel()
	w := realWorld(t)
	w.fillDeadLetters(25)
	w.send(deadQueue, entry(`{"quarantined":true,"messageId":"m-1","queue":"messages","error":"body: too large","bytes":1048576}`), entry("not JSON"))
	d := w.deadLetters(nil)
	letters, err := d.List(t.Context(), 100)
	if err != nil || len(letters) != 27 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	if l := letters[0]; l.Error != "content: is missing" || l.SourceMessageID != "source-0" || l.SourceQueue != mainQueue ||
		l.WorkflowID != "wf-0" || l.UserID != "creator" || l.Bytes != len(l.Body) || l.SentAt.IsZero() || l.Reference {
		t.Errorf("letter %+v", l)
	}
	if l := letters[25]; !l.Reference || l.Bytes != 1<<20 {
		t.Errorf("reference %+v", l)
	}
	if s := w.server.Stats(deadQueue); s.Visible != 27 || s.InFlight != 0 {
		t.Errorf("not given back: %+v", s)
	}
	some, err := d.List(t.Context(), 3)
	if err != nil || len(some) != 3 {
		t.Errorf("%d letters, %v", len(some), err)
	}
	for _, id := range []string{letters[20].MessageID, "source-20"} {
		letter, err := d.Show(t.Context(), id)
		if err != nil || letter.MessageID != letters[20].MessageID || letter.Body == "" {
			t.Errorf("Show(%s) = %+v, %v", id, letter, err)
		}
	}
	if _, err := d.Show(t.Context(), "no such"); !errors.Is(err, queue.ErrNoSuchDeadLetter) {
		t.Errorf("Show of nothing: %v", err)
	}
	if s := w.server.Stats(deadQueue); s.Visible != 27 || s.InFlight != 0 {
		t.Errorf("not given back: %+v", s)
	}
}

func TestDeadLetterMovedBySQSNamesItsSource(t *testing.T) {
	t.Parallel()
	w := realWorld(t)
	w.sendBodies(1)
	for range 4 { // the fourth receive finds it gone
		out, err := w.api.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(w.url(mainQueue))})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Messages {
			if _, err := w.api.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: aws.String(w.url(mainQueue)), ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
	letters, err := w.deadLetters(nil).List(t.Context(), 10)
	if err != nil || len(letters) != 1 || letters[0].SourceQueue != mainQueue || letters[0].Error != "" || letters[0].WorkflowID != "wf-0" {
		t.Errorf("%+v, %v", letters, err)
	}
}

func TestRedriveByMoveTask(t *testing.T) {
	t.Parallel()
	w := realWorld(t)
	w.fillDeadLetters(30)
	progressed := false
	result, err := w.deadLetters(nil).Redrive(t.Context(), queue.RedriveOptions{To: mainQueue, PerSecond: 500, Progress: func(queue.RedriveResult) { progressed = true }})
	if err != nil || result.ByCopy || result.Moved != 30 || !progressed {
		t.Fatalf("%+v, %v", result, err)
	}
	if w.server.Stats(mainQueue).Visible != 30 || w.server.Stats(deadQueue).Visible != 0 {
		t.Errorf("%+v, %+v", w.server.Stats(mainQueue), w.server.Stats(deadQueue))
	}
}

func TestRedriveByCopy(t *testing.T) {
	t.Parallel()
	w := realWorld(t)
	w.fillDeadLetters(30)
	w.send(deadQueue, entry(`{"quarantined":true,"messageId":"m-1","queue":"messages","error":"body: too large","bytes":1048576}`))
	api := &hooks{API: w.api, move: func(context.Context, *sqs.StartMessageMoveTaskInput) (*sqs.StartMessageMoveTaskOutput, error) {
		return nil, &smithy.GenericAPIError{Code: "InvalidAction", Message: "The action StartMessageMoveTask is not valid for this endpoint."}
	}}
	result, err := w.deadLetters(api).Redrive(t.Context(), queue.RedriveOptions{To: mainQueue, PerSecond: 500})
	if err != nil || !result.ByCopy || result.Moved != 30 || result.Skipped != 1 {
		t.Fatalf("%+v, %v", result, err)
	}
	messages := w.server.Messages(mainQueue)
	if s := w.server.Stats(deadQueue); len(messages) != 30 || s.Visible != 1 || s.InFlight != 0 {
		t.Errorf("%d moved, %+v left", len(messages), s)
	}
	for _, m := range messages {
		if len(m.Attributes) != 1 || m.Attributes["traceparent"].StringValue == "" || !strings.Contains(m.Body, "workflowId") {
			t.Fatalf("message %+v: want it as it was before the quarantine", m)
		}
	}
}

func TestRedriveRefuses(t *testing.T) {
	t.Parallel()
	w := realWorld(t)
	d := w.deadLetters(nil)
	if _, err := d.Redrive(t.Context(), queue.RedriveOptions{To: deadQueue}); err == nil || !strings.Contains(err.Error(), "itself") {
		t.Errorf("to itself: %v", err)
	}
	if _, err := d.Redrive(t.Context(), queue.RedriveOptions{To: "nowhere"}); err == nil {
		t.Error("to nowhere")
	}
	if _, err := queue.OpenDeadLetters(t.Context(), w.api, "nowhere"); err == nil {
		t.Error("from nowhere")
	}
	w.fillDeadLetters(500)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := d.Redrive(ctx, queue.RedriveOptions{To: mainQueue, PerSecond: 1}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "goes on") {
		t.Errorf("interrupted: %v", err)
	}
}
