package queue_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// threeFaults are the ways in which calls of an action fail for a while: no entry can fail four times.
func threeFaults(action string) map[string]sqstest.Faults {
	all := []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 3, Times: 3}, Actions: []string{action}}}
	return map[string]sqstest.Faults{
		"entries":      {PartialBatch: all},
		"calls":        {Fail: all},
		"lost replies": {DropReply: all},
	}
}

// Entries of a delete that fail are tried again; those that fail because of us are not.
func TestPartialDeleteFailures(t *testing.T) {
	t.Parallel()
	for name, faults := range threeFaults("DeleteMessageBatch") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if err := w.server.SetFaults(faults); err != nil {
				t.Fatal(err)
			}
			w.sendBodies(200)
			b := w.start(nil)
			w.eventually(10*time.Millisecond, "the queue to be empty", w.drained)
			b.stop()
			if b.Stats().Duplicates > 0 || b.Stats().Deleted != 200 {
				t.Errorf("stats %+v: want all deleted at the first go", b.Stats())
			}
			if _, c := w.server.Faults(); c.PartialBatch+c.Fail+c.DropReply != 3 {
				t.Errorf("the faults did not happen: %+v", c)
			}
		})
	}
	t.Run("our fault", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		calls := 0
		api := &hooks{API: w.api, delete: func(_ context.Context, in *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
			calls++
			out := &sqs.DeleteMessageBatchOutput{}
			for _, e := range in.Entries {
				out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("ReceiptHandleIsInvalid"), SenderFault: true})
			}
			return out, nil
		}}
		w.sendBodies(3)
		b := w.start(api)
		w.eventually(0, "the failure", func() bool { return b.Stats().DeleteFailures == 3 })
		w.pass(10*time.Second, time.Second)
		b.stop()
		if calls != 1 {
			t.Errorf("%d calls, want no second one", calls)
		}
	})
}

// What is held in memory is bounded while the store is slow.
func TestSlowStoreHoldsBackThePolls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	block := make(chan struct{})
	w.store.set(func(s *store) { s.block = block })
	w.config.BatchMax, w.config.Writers, w.config.Pollers = 10, 1, 2
	w.sendBodies(500)
	b := w.start(nil)
	const bound = 10*2 + 2*1*10
	w.eventually(0, "the room to be full", func() bool { return b.State().Held == bound })
	time.Sleep(50 * time.Millisecond)
	if got := b.Stats().Received; got != bound {
		t.Errorf("%d messages were received, the bound is %d", got, bound)
	}
	w.store.set(func(s *store) { s.block = nil })
	close(block)
	w.eventually(0, "the queue to be empty", w.drained)
	if w.store.count() != 500 || w.store.largest > 10 {
		t.Errorf("%d workflows, largest batch %d", w.store.count(), w.store.largest)
	}
}

func TestLargeBodiesHoldBackThePolls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	block := make(chan struct{})
	w.store.set(func(s *store) { s.block = block })
	w.config.MaxHeldBytes, w.config.Pollers = 1<<20, 1
	for i := range 30 {
		w.send(mainQueue, entry(strings.Replace(body(i), `{`, `{"x":"`+strings.Repeat("x", 200_000)+`",`, 1)))
	}
	b := w.start(nil)
	w.eventually(0, "the room to be full", func() bool { return b.State().Held >= 5 })
	time.Sleep(50 * time.Millisecond)
	if held := b.State().Held; held > 15 { // a receive is at most ten messages beyond the bound
		t.Errorf("%d bodies of 200 kB are held, the bound is 1 MiB", held)
	}
	w.store.set(func(s *store) { s.block = nil })
	close(block)
	w.eventually(0, "the queue to be empty", w.drained)
	if w.store.count() != 30 {
		t.Errorf("%d workflows", w.store.count())
	}
}

// What one receive brings goes into one transaction, in order: that is what keeps the order of a FIFO group.
func TestReceivesAreNotSplit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.BatchMax, w.config.Pollers = 15, 6
	w.store.set(func(s *store) { s.uneven = true })
	var mu sync.Mutex
	var receives [][]string
	api := &hooks{API: w.api}
	api.receive = func(ctx context.Context, in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
		in.MaxNumberOfMessages = 7
		out, err := w.api.ReceiveMessage(ctx, in)
		if err == nil {
			var ids []string
			for _, m := range out.Messages {
				ids = append(ids, *m.MessageId)
			}
			mu.Lock()
			receives = append(receives, ids)
			mu.Unlock()
		}
		return out, err
	}
	w.sendBodies(700)
	b := w.start(api)
	w.eventually(0, "the queue to be empty", w.drained)
	b.stop()
	var batches []string
	most := 0
	for _, ids := range w.store.batches {
		batches = append(batches, strings.Join(ids, " "))
		most = max(most, len(ids))
	}
	all := strings.Join(batches, "\n")
	for _, ids := range receives {
		if !strings.Contains(all, strings.Join(ids, " ")) {
			t.Fatal("a receive was split, or its order changed")
		}
	}
	if most != 14 {
		t.Errorf("the largest batch had %d messages: the test shows nothing", most)
	}
}

// SQS that can't be reached, or refuses, is tried again.
func TestReceiveFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.server.SetFaults(sqstest.Faults{Fail: []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 1, Times: 25}, Error: "ThrottlingException"}}}); err != nil {
		t.Fatal(err)
	}
	b := w.start(nil)
	w.eventually(100*time.Millisecond, "work", func() bool { return b.State().Ready() && w.server.Stats(mainQueue).Pollers == 2 })
	w.sendBodies(10)
	w.eventually(100*time.Millisecond, "the queue to be empty", w.drained)

	if err := w.server.SetFaults(sqstest.Faults{Fail: []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 1}, Actions: []string{"ReceiveMessage"}, Error: "AccessDeniedException"}}}); err != nil {
		t.Fatal(err)
	}
	w.eventually(time.Second, "the failure to show", func() bool {
		state := b.State()
		return !state.Ready() && state.Queues[0].Error != "" && !state.Queues[0].FailingSince.IsZero()
	})
	w.pass(time.Minute, time.Second)
	_ = w.server.SetFaults(sqstest.Faults{})
	w.eventually(time.Second, "recovery", func() bool { return b.State().Ready() })
	if n := strings.Count(w.log.String(), "can't receive"); n > 2 {
		t.Errorf("%d lines for one failure:\n%s", n, w.log)
	}
}

// A message whose body was damaged on the way is not used, and its neighbours are.
func TestDamagedBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var once sync.Once
	api := &hooks{API: w.api}
	api.receive = func(ctx context.Context, in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
		out, err := w.api.ReceiveMessage(ctx, in)
		if err == nil && len(out.Messages) > 1 {
			once.Do(func() { out.Messages[0].Body = aws.String(body(999)) })
		}
		return out, err
	}
	w.sendBodies(10)
	w.start(api)
	w.eventually(0, "the neighbours to be stored", func() bool { return w.store.count() == 9 })
	w.eventually(time.Second, "redelivery", func() bool { return w.store.count() == 10 && w.drained() })
	if _, ok := w.store.workflows[workflow.Key{UserID: "creator", WorkflowID: "wf-999", RecipientID: "fan-999"}]; ok {
		t.Error("the damaged body was used")
	}
}

// An endpoint without long polls is not asked in a tight loop.
func TestEmptyAnswersAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.Pollers = 1
	var mu sync.Mutex
	calls := 0
	api := &hooks{API: w.api, receive: func(context.Context, *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
		mu.Lock()
		defer mu.Unlock()
		calls++
		return &sqs.ReceiveMessageOutput{}, nil
	}}
	w.start(api)
	w.eventually(0, "the first call", func() bool { mu.Lock(); defer mu.Unlock(); return calls > 0 })
	time.Sleep(20 * time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	if calls != 1 {
		t.Errorf("%d calls while the clock stood still", calls)
	}
}
