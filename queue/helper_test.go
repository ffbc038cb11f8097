package queue_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.uber.org/goleak"

	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const (
	mainQueue  = "messages"
	retryQueue = "retry"
	deadQueue  = "dead"
)

// manual is one clock for the server and the bridge. It stands still until a test moves it.
type manual struct{ *sqstest.ManualClock }

func (m manual) After(d time.Duration) <-chan time.Time {
	c := make(chan time.Time, 1)
	m.AfterFunc(d, func() { c <- m.Now() })
	return c
}

// world is an SQS server, a store and what a bridge needs, on one clock.
type world struct {
	t      testing.TB
	clock  manual
	server *sqstest.Running
	api    *sqs.Client
	store  *store
	config queue.Config
	log    *logBuffer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	clock := manual{sqstest.NewManualClock(time.Time{})}
	server := sqstest.StartTB(t, sqstest.Options{Clock: clock.ManualClock})
	if err := server.ApplyProductionQueues(mainQueue, retryQueue, deadQueue); err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, clock: clock, server: server, api: once(t, server), store: newStore(), log: &logBuffer{},
		config: queue.Config{
			Queue: mainQueue, DeadLetterQueue: deadQueue,
			Pollers: 2, Linger: -1, Clock: clock,
		},
	}
}

// newClient is the client that the fleet uses.
func newClient(t testing.TB, server *sqstest.Running) *sqs.Client {
	t.Helper()
	client, err := queue.NewClient(t.Context(), "us-east-1", server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// once is a client that does not repeat by itself: its waits are real ones.
func once(t testing.TB, server *sqstest.Running) *sqs.Client {
	t.Helper()
	return sqs.New(newClient(t, server).Options(), func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
}

// running is a bridge at work.
type running struct {
	*queue.Bridge
	w      *world
	cancel context.CancelFunc
	done   chan error
}

// start runs a bridge over the API, or over the server itself when that is nil, and stops it with the test.
func (w *world) start(api queue.API) *running {
	w.t.Helper()
	if api == nil {
		api = w.api
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	r := &running{Bridge: queue.New(w.config, api, w.store, slog.New(slog.NewTextHandler(w.log, nil))), w: w, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- r.Run(ctx) }()
	w.t.Cleanup(func() {
		w.store.set(func(s *store) { s.down = false; s.block = nil })
		_ = w.server.SetFaults(sqstest.Faults{})
		r.stop()
	})
	return r
}

// stop ends the bridge, moving the clock so that its long polls end, and fails the test if it does not.
func (r *running) stop() {
	r.w.t.Helper()
	r.cancel()
	r.w.eventually(time.Second, "the bridge to stop", func() bool {
		select {
		case err := <-r.done:
			if err != nil {
				r.w.t.Errorf("Run: %v", err)
			}
			r.done <- nil // for the next stop
			return true
		default:
			return false
		}
	})
}

// eventually waits for a condition, moving the clock by step each time that it is not met.
func (w *world) eventually(step time.Duration, what string, met func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !met(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %s\n%s", what, w.log)
		}
		time.Sleep(time.Millisecond)
		if step > 0 {
			w.clock.Advance(step)
		}
	}
}

// pass moves the clock in steps and lets everybody work between them.
func (w *world) pass(total, step time.Duration) {
	for ; total > 0; total -= step {
		w.clock.Advance(step)
		time.Sleep(2 * time.Millisecond)
	}
}

// drained says whether nothing is left in the queues that are read.
func (w *world) drained() bool {
	for _, name := range []string{mainQueue, retryQueue} {
		if s := w.server.Stats(name); s.Visible+s.InFlight+s.Delayed > 0 {
			return false
		}
	}
	return true
}

// body is a good message.
func body(i int) string {
	return fmt.Sprintf(`{"workflowId":"wf-%d","recipientId":"fan-%d","userId":"creator","content":"Hello %d"}`, i, i, i)
}

func entry(body string) types.SendMessageBatchRequestEntry {
	return types.SendMessageBatchRequestEntry{MessageBody: aws.String(body)}
}

// send puts messages on a queue.
func (w *world) send(name string, entries ...types.SendMessageBatchRequestEntry) {
	w.t.Helper()
	url := w.url(name)
	for len(entries) > 0 {
		n := min(10, len(entries))
		if len(*entries[0].MessageBody) > 100_000 {
			n = 1
		}
		for i := range entries[:n] {
			entries[i].Id = aws.String(strconv.Itoa(i))
		}
		out, err := w.api.SendMessageBatch(context.Background(), &sqs.SendMessageBatchInput{QueueUrl: aws.String(url), Entries: entries[:n]})
		if err != nil || len(out.Failed) > 0 {
			w.t.Fatalf("send: %v %v", err, out)
		}
		entries = entries[n:]
	}
}

func (w *world) sendBodies(n int) {
	w.t.Helper()
	var entries []types.SendMessageBatchRequestEntry
	for i := range n {
		entries = append(entries, entry(body(i)))
	}
	w.send(mainQueue, entries...)
}

func (w *world) url(name string) string {
	w.t.Helper()
	out, err := w.api.GetQueueUrl(context.Background(), &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.QueueUrl
}

func (w *world) setAttributes(name string, attributes map[string]string) {
	w.t.Helper()
	if _, err := w.api.SetQueueAttributes(context.Background(), &sqs.SetQueueAttributesInput{QueueUrl: aws.String(w.url(name)), Attributes: attributes}); err != nil {
		w.t.Fatal(err)
	}
}

// logBuffer is a log that tests may read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
