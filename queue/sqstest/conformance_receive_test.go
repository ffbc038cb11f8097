package sqstest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

type pollResult struct {
	messages []types.Message
	err      error
}

// poll starts a long poll.
func (e *env) poll(url string) <-chan pollResult {
	return e.pollWith(e.ctx, url)
}

func (e *env) pollWith(ctx context.Context, url string) <-chan pollResult {
	result := make(chan pollResult, 1)
	go func() {
		in := receiveInput(url)
		in.WaitTimeSeconds = 20
		out, err := e.client.ReceiveMessage(ctx, in)
		if err != nil {
			result <- pollResult{err: err}
			return
		}
		result <- pollResult{messages: out.Messages}
	}()
	return result
}

func TestReceiveRefuses(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	for title, change := range map[string]func(*sqs.ReceiveMessageInput){
		"eleven messages":       func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 11 },
		"no messages":           func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = -1 },
		"a long wait":           func(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = 21 },
		"a long visibility":     func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = 43_201 },
		"a negative visibility": func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = -1 },
	} {
		t.Run(title, func(t *testing.T) {
			in := &sqs.ReceiveMessageInput{QueueUrl: aws.String(url)}
			change(in)
			_, err := e.client.ReceiveMessage(e.ctx, in)
			wantCode(t, err, "InvalidParameterValue")
		})
	}
}

func TestLongPollWakesOnArrival(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	poll := e.poll(url)
	e.awaitPollers(url, 1)
	e.send(url, "hello")
	got := <-poll
	if got.err != nil || len(got.messages) != 1 || *got.messages[0].Body != "hello" {
		t.Errorf("poll returned %v, %v", bodies(got.messages), got.err)
	}
}

func TestQueueWaitTimeIsTheDefault(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", map[string]string{"ReceiveMessageWaitTimeSeconds": "20"})
	result := make(chan pollResult, 1)
	go func() {
		out, err := e.client.ReceiveMessage(e.ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(url)})
		if err != nil {
			result <- pollResult{err: err}
			return
		}
		result <- pollResult{messages: out.Messages}
	}()
	e.awaitPollers(url, 1)
	e.send(url, "hello")
	if got := <-result; got.err != nil || len(got.messages) != 1 {
		t.Errorf("poll returned %v, %v", bodies(got.messages), got.err)
	}
}

func TestCancelledLongPollSwallowsNothing(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	for i := range 20 {
		ctx, cancel := context.WithCancel(e.ctx)
		poll := e.pollWith(ctx, url)
		e.awaitPollers(url, 1)
		cancel()
		if got := <-poll; !errors.Is(got.err, context.Canceled) {
			t.Fatalf("cancelled poll returned %v, %v", bodies(got.messages), got.err)
		}
		// No wait for the server to notice: the next message must not go to the
		// poll that nobody reads any more.
		e.send(url, fmt.Sprint(i))
		m := e.receiveOne(url)
		if got := m.Attributes["ApproximateReceiveCount"]; got != "1" {
			t.Fatalf("ApproximateReceiveCount is %s, want 1", got)
		}
		e.delete(url, m)
	}
}

func TestVisibilityTimeout(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", map[string]string{"VisibilityTimeout": "2"})
	e.send(url, "x")
	first := e.receiveOne(url)
	e.wantNone(url)
	e.pass(2 * time.Second)
	second := e.receiveOne(url)
	if got := second.Attributes["ApproximateReceiveCount"]; got != "2" {
		t.Errorf("ApproximateReceiveCount is %s, want 2", got)
	}
	if first.Attributes["ApproximateFirstReceiveTimestamp"] != second.Attributes["ApproximateFirstReceiveTimestamp"] {
		t.Error("ApproximateFirstReceiveTimestamp changed")
	}
	if *first.MessageId != *second.MessageId || *first.ReceiptHandle == *second.ReceiptHandle {
		t.Error("want the same message with another receipt handle")
	}
	e.delete(url, second)
	e.pass(2 * time.Second)
	e.wantNone(url)
}

func TestChangeMessageVisibility(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	e.send(url, "x")
	m := e.receiveOne(url)
	if err := e.changeVisibility(url, m, 0); err != nil {
		t.Fatal(err)
	}
	again := e.receiveOne(url)
	if *again.MessageId != *m.MessageId {
		t.Error("another message came back")
	}
	if err := e.changeVisibility(url, again, 43_201); err == nil {
		t.Error("more than 12 hours were accepted")
	}
	e.delete(url, again)
	wantCode(t, e.changeVisibility(url, again, 10), "InvalidParameterValue")
}

func TestChangeMessageVisibilityOfVisibleMessage(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	e.send(url, "x")
	m := e.receiveOne(url, visibleAfter(1))
	e.pass(time.Second)
	wantTyped[*types.MessageNotInflight](t, e.changeVisibility(url, m, 10))
	if latest := e.receiveOne(url); *latest.MessageId != *m.MessageId {
		t.Error("another message came")
	}
	wantCode(t, e.changeVisibility(url, m, 10), "InvalidParameterValue") // an older handle
}

func TestChangeMessageVisibilityBatchPartialFailure(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	e.send(url, "x")
	m := e.receiveOne(url)
	out, err := e.client.ChangeMessageVisibilityBatch(e.ctx, &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: aws.String(url),
		Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
			{Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0},
			{Id: aws.String("bad"), ReceiptHandle: aws.String("garbage"), VisibilityTimeout: 5},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 1 || *out.Successful[0].Id != "good" {
		t.Errorf("successful: %+v", out.Successful)
	}
	if len(out.Failed) != 1 || *out.Failed[0].Id != "bad" || *out.Failed[0].Code != "ReceiptHandleIsInvalid" || !out.Failed[0].SenderFault {
		t.Errorf("failed: %+v", out.Failed)
	}
	e.receiveOne(url)
}

func TestReceiptHandles(t *testing.T) {
	e := newEnv(t)
	url, other := e.queue("q", nil), e.queue("other", nil)
	e.send(url, "x")
	m := e.receiveOne(url)
	del := func(url, handle string) error {
		_, err := e.client.DeleteMessage(e.ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(url), ReceiptHandle: aws.String(handle)})
		return err
	}
	wantTyped[*types.ReceiptHandleIsInvalid](t, del(url, "garbage"))
	wantTyped[*types.ReceiptHandleIsInvalid](t, del(other, *m.ReceiptHandle))
	garbage := m
	garbage.ReceiptHandle = aws.String("garbage")
	wantTyped[*types.ReceiptHandleIsInvalid](t, e.changeVisibility(url, garbage, 1))

	out, err := e.client.DeleteMessageBatch(e.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(url), Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle},
		{Id: aws.String("bad"), ReceiptHandle: aws.String("garbage")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 1 || *out.Successful[0].Id != "good" {
		t.Errorf("successful: %+v", out.Successful)
	}
	if len(out.Failed) != 1 || *out.Failed[0].Id != "bad" || *out.Failed[0].Code != "ReceiptHandleIsInvalid" {
		t.Errorf("failed: %+v", out.Failed)
	}
	if err := del(url, *m.ReceiptHandle); err != nil {
		t.Errorf("deleting twice: %v", err)
	}
}

func TestDelay(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", map[string]string{"DelaySeconds": "1"})
	e.send(url, "queue's delay")
	e.send(url, "own delay", func(in *sqs.SendMessageInput) { in.DelaySeconds = 3 })
	e.wantNone(url)
	e.pass(time.Second)
	if m := e.receiveOne(url); *m.Body != "queue's delay" {
		t.Errorf("received %q", *m.Body)
	}
	e.pass(2 * time.Second)
	if m := e.receiveOne(url); *m.Body != "own delay" {
		t.Errorf("received %q", *m.Body)
	}
}
