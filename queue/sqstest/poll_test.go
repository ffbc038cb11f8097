package sqstest_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// scriptedContext is cancelled from the nth look at it on, but never wakes
// anybody: as in the moment before net/http has noticed.
type scriptedContext struct {
	context.Context
	looks     atomic.Int32
	cancelled int32
}

func (c *scriptedContext) Done() <-chan struct{} { return nil }

func (c *scriptedContext) Err() error {
	if c.looks.Add(1) >= c.cancelled {
		return context.Canceled
	}
	return nil
}

func TestPollThatIsCancelledAtTheHandOver(t *testing.T) {
	t.Parallel()
	// 1 is the start of the poll, 2 the hand-over, 3 the moment after it.
	for _, look := range []int32{2, 3} {
		t.Run(fmt.Sprint("look ", look), func(t *testing.T) {
			t.Parallel()
			h := newHandler(t, sqstest.Options{Clock: sqstest.NewManualClock(time.Time{})})
			if err := h.CreateQueue("q", nil); err != nil {
				t.Fatal(err)
			}
			done := make(chan string)
			go func() {
				w := httptest.NewRecorder()
				ctx := &scriptedContext{Context: context.Background(), cancelled: look}
				h.ServeHTTP(w, request(ctx, "ReceiveMessage", `{"QueueUrl":"q","WaitTimeSeconds":20}`))
				done <- w.Body.String()
			}()
			ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
			defer cancel()
			if err := h.AwaitPollers(ctx, "q", 1); err != nil {
				t.Fatal(err)
			}
			h.call("SendMessage", map[string]string{"QueueUrl": "q", "MessageBody": "x"}, nil)
			if got := <-done; got != "{}" {
				t.Errorf("reply is %s", got)
			}
			if m := h.Messages("q")[0]; m.State != sqstest.Visible || m.ReceiveCount != 0 {
				t.Errorf("message is %+v", m)
			}
		})
	}
}

func TestPollOfFIFOQueueWakesWhenItsGroupIsFree(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q.fifo", fifoAttributes())
	for _, body := range []string{"1", "2"} {
		e.send(url, body, inGroup("g", body))
	}
	first := e.receiveOne(url, func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 1 })
	poll := e.poll(url)
	e.awaitPollers(url, 1)
	e.delete(url, first)
	if got := <-poll; got.err != nil || len(got.messages) != 1 || *got.messages[0].Body != "2" {
		t.Errorf("poll returned %v, %v", bodies(got.messages), got.err)
	}
}

// With the clock of the machine: the one test that lets a second pass.
func TestRealClock(t *testing.T) {
	t.Parallel()
	server := sqstest.StartTB(t, sqstest.Options{})
	client := server.Client()
	if err := server.CreateQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	url := aws.String(server.URL + "/000000000000/q")
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x"), DelaySeconds: 1}); err != nil {
		t.Fatal(err)
	}
	out, err := client.ReceiveMessage(ctx, receiveInput(*url))
	if err != nil || len(out.Messages) != 1 {
		t.Errorf("received %v, %v", out, err)
	}
}

func TestTooManyInFlight(t *testing.T) {
	t.Parallel()
	h := newHandler(t, sqstest.Options{Clock: sqstest.NewManualClock(time.Time{})})
	if err := h.CreateQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	const quota = 120_000
	batch := `{"QueueUrl":"q","Entries":[`
	for i := range 10 {
		if i > 0 {
			batch += ","
		}
		batch += fmt.Sprintf(`{"Id":"%d","MessageBody":"x"}`, i)
	}
	batch += "]}"
	for range quota/10 + 1 {
		h.raw("SendMessageBatch", batch)
	}
	for range quota / 10 {
		h.raw("ReceiveMessage", `{"QueueUrl":"q","MaxNumberOfMessages":10}`)
	}
	if got := h.Stats("q"); got.InFlight != quota {
		t.Fatalf("stats are %+v", got)
	}
	if got := h.call("ReceiveMessage", map[string]any{"QueueUrl": "q"}, nil); got != "OverLimit" {
		t.Errorf("error is %q", got)
	}
}
