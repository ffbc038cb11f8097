package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// I3 and I5: whatever SQS delivers how often and in which order, each key is in the store once and the queue
// is empty in the end.
func TestEveryMessageManyTimesMakesOneWorkflow(t *testing.T) {
	t.Parallel()
	const n = 400
	w := newWorld(t)
	w.config.BatchMax, w.config.Pollers, w.config.RetryQueue = 15, 6, retryQueue // 15: what one receive brings does not always fit
	var entries []types.SendMessageBatchRequestEntry
	for i := range 3 * n {
		entries = append(entries, entry(body(i%n)))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
	if err := w.server.SetFaults(sqstest.Faults{
		Seed: 1, Queues: []string{mainQueue, retryQueue},
		Duplicate: sqstest.Rate{Probability: 0.3}, Reorder: sqstest.Rate{Probability: 0.3}, RedeliverAfterDelete: sqstest.Rate{Probability: 0.3},
	}); err != nil {
		t.Fatal(err)
	}
	w.send(mainQueue, entries[:2*n]...)
	w.send(retryQueue, entries[2*n:]...)
	b := w.start(nil)
	w.eventually(100*time.Millisecond, "the queues to be empty", func() bool { return w.drained() && w.store.count() == n })
	b.stop()

	_, counts := w.server.Faults()
	stats := b.Stats()
	if counts.Duplicate == 0 || counts.RedeliverAfterDelete == 0 || counts.Reorder == 0 {
		t.Fatalf("the faults did not happen: %+v", counts)
	}
	if stats.Accepted != n || stats.Received != stats.Accepted+stats.Duplicates || stats.Received < 3*n+int64(counts.Duplicate) {
		t.Errorf("stats %+v, want %d accepted", stats, n)
	}
	if dead := w.server.Stats(deadQueue); dead.Visible+dead.InFlight > 0 {
		t.Errorf("%d messages in the dead-letter queue", dead.Visible)
	}
}

// I6: no message is deleted before the transaction that holds it has committed.
func TestDeleteComesAfterCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	ids := map[string]string{} // message ids by receipt handle
	var early int
	api := &hooks{API: w.api}
	api.receive = func(ctx context.Context, in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
		out, err := w.api.ReceiveMessage(ctx, in)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			for _, m := range out.Messages {
				ids[*m.ReceiptHandle] = *m.MessageId
			}
		}
		return out, err
	}
	api.delete = func(ctx context.Context, in *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
		mu.Lock()
		w.store.set(func(s *store) {
			for _, e := range in.Entries {
				if !s.committed[ids[*e.ReceiptHandle]] {
					early++
				}
			}
		})
		mu.Unlock()
		return w.api.DeleteMessageBatch(ctx, in)
	}
	w.sendBodies(100)
	commit := make(chan struct{})
	w.store.set(func(s *store) { s.ambiguous, s.block = 2, commit })
	b := w.start(api)
	w.eventually(0, "messages to be on their way into the store", func() bool { return b.State().Held >= 20 })
	time.Sleep(20 * time.Millisecond) // for a delete that does not wait
	w.store.set(func(s *store) { s.block = nil })
	close(commit)
	w.eventually(100*time.Millisecond, "the queue to be empty", w.drained)
	if early > 0 {
		t.Errorf("%d messages were deleted before their commit", early)
	}
	if w.store.count() != 100 {
		t.Errorf("%d of 100 workflows", w.store.count())
	}
}

// A process that ends between commit and delete leaves the messages to another, for which they are duplicates.
func TestCrashBetweenCommitAndDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sendBodies(30)
	crashed := make(chan struct{})
	var once sync.Once
	api := &hooks{API: w.api, delete: func(context.Context, *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
		once.Do(func() { close(crashed) })
		return nil, errors.New("the process is gone")
	}}
	first := w.start(api)
	<-crashed
	w.eventually(time.Second, "all to be stored", func() bool { return w.store.count() == 30 })
	first.stop()
	if left := w.server.Stats(mainQueue); left.Visible+left.InFlight != 30 || first.Stats().DeleteFailures != 30 {
		t.Fatalf("after the crash: %+v, %+v", left, first.Stats())
	}
	second := w.start(nil)
	w.eventually(time.Second, "the queue to be empty", w.drained)
	if w.store.count() != 30 || second.Stats().Duplicates != 30 {
		t.Errorf("%d workflows, stats %+v", w.store.count(), second.Stats())
	}
	if dead := w.server.Stats(deadQueue); dead.Visible > 0 {
		t.Errorf("%d messages in the dead-letter queue", dead.Visible)
	}
}

// observer keeps what it is told.
type observer struct {
	queue.NopObserver
	mu                sync.Mutex
	received, settled int
	failed            map[string]int
	paused            []bool
	lag               time.Duration
}

func (o *observer) Received(_ string, messages int, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.received += messages
}

func (o *observer) Settled(name string, outcome workflow.IntakeOutcome, receives int, lag time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if name == mainQueue && outcome == workflow.IntakeAccepted && receives == 1 {
		o.settled++
	}
	o.lag = max(o.lag, lag)
}

func (o *observer) Failed(name, operation string, messages int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed[name+" "+operation] += messages
}

func (o *observer) Paused(paused bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.paused = append(o.paused, paused)
}

func TestObserver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := &observer{failed: map[string]int{}}
	w.config.Observer = o
	w.store.set(func(s *store) { s.down = true })
	if err := w.server.SetFaults(sqstest.Faults{PartialBatch: []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 1, Times: 4}, Actions: []string{"DeleteMessageBatch"}}}}); err != nil {
		t.Fatal(err)
	}
	w.send(mainQueue, entry(body(1)))
	b := w.start(nil)
	w.eventually(0, "the pause", func() bool { return b.State().Paused })
	w.clock.Advance(10 * time.Second)
	w.store.set(func(s *store) { s.down = false })
	w.eventually(100*time.Millisecond, "the queue to be empty", w.drained)
	b.stop()
	if o.received != 2 || o.settled != 1 || o.lag < 10*time.Second || fmt.Sprint(o.paused) != "[true false]" || o.failed["messages DeleteMessageBatch"] != 1 {
		t.Errorf("%+v", o)
	}
}

// Stopping does not cancel a running poll: what it still brings is handled.
func TestStopDuringLongPollSwallowsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.start(nil)
	if err := w.server.AwaitPollers(t.Context(), mainQueue, 2); err != nil {
		t.Fatal(err)
	}
	b.cancel()
	w.eventually(0, "the stop to begin", func() bool { return b.State().Phase == queue.PhaseStopping })
	time.Sleep(20 * time.Millisecond) // real time for a cancelled poll to reach the server
	if got := w.server.Stats(mainQueue).Pollers; got != 2 {
		t.Fatalf("%d of 2 polls are left: stopping cancelled them", got)
	}
	w.send(mainQueue, entry(body(1)))
	w.eventually(0, "the message to be stored", func() bool { return w.store.count() == 1 })
	b.stop()
	if !w.drained() {
		t.Errorf("left behind: %+v", w.server.Stats(mainQueue))
	}
	if state := b.State(); state.Phase != queue.PhaseStopped || state.Held != 0 {
		t.Errorf("state %+v", state)
	}
	if err := b.Run(t.Context()); err == nil {
		t.Error("a bridge runs twice")
	}
}

func TestRunRefusesToStart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config queue.Config
		want   string
	}{
		"no queue named":          {queue.Config{}, "SQS_QUEUE"},
		"queue missing":           {queue.Config{Queue: "other", DeadLetterQueue: deadQueue}, "queue other does not exist"},
		"queue is dead letters":   {queue.Config{Queue: mainQueue, DeadLetterQueue: mainQueue}, "SQS_DLQ"},
		"retries are dead letter": {queue.Config{Queue: mainQueue, RetryQueue: deadQueue, DeadLetterQueue: deadQueue}, "SQS_DLQ"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			err := queue.New(test.config, w.api, w.store, nil).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Run: %v, want an error with %q", err, test.want)
			}
		})
	}
}
