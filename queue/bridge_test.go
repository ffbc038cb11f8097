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

	"github.com/aws/aws-sdk-go-v2/aws"
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
	w.store.set(func(s *store) { s.ambiguous = 2 })
	w.start(api)
	w.eventually(100*time.Millisecond, "the queue to be empty", w.drained)
	if early > 0 {
		t.Errorf("%d messages were deleted before their commit", early)
	}
	if w.store.count() != 100 {
		t.Errorf("%d of 100 workflows", w.store.count())
	}
}

// I6: while the store is down nothing is received or deleted, and nothing gets into the dead-letter queue,
// however long it takes.
func TestStoreDownStopsThePolls(t *testing.T) {
	t.Parallel()
	const n = 200
	w := newWorld(t)
	w.config.RetryQueue = retryQueue
	w.store.set(func(s *store) { s.down = true })
	w.sendBodies(n)
	b := w.start(nil)
	w.eventually(0, "the polls to stop", func() bool { return b.State().Paused })
	w.eventually(time.Second, "the running polls to end", func() bool {
		return w.server.Stats(mainQueue).Pollers+w.server.Stats(retryQueue).Pollers == 0
	})
	if state := b.State(); state.Ready() || state.PauseReason == "" || state.PausedSince.IsZero() {
		t.Errorf("state during the outage %+v", state)
	}
	w.pass(10*time.Second, time.Second)
	before := w.server.Stats(mainQueue).Received
	w.pass(30*time.Minute, 5*time.Second) // many visibility timeouts, and more pings than a message has receives
	after := w.server.Stats(mainQueue)
	if after.Received != before {
		t.Errorf("%d messages were received while the store was down", after.Received-before)
	}
	if after.Deleted > 0 || after.DeadLettered > 0 {
		t.Errorf("the outage cost messages: %+v", after)
	}
	if after.InFlight > 0 {
		t.Errorf("%d messages are still kept from other processes after 30 minutes", after.InFlight)
	}
	if got := strings.Count(w.log.String(), "level=ERROR"); got != 1 {
		t.Errorf("%d errors were logged, want one for the outage:\n%s", got, w.log)
	}

	w.store.set(func(s *store) { s.down = false })
	w.eventually(time.Second, "the queue to be empty", w.drained)
	if w.store.count() != n {
		t.Errorf("%d of %d workflows", w.store.count(), n)
	}
	if dead := w.server.Stats(deadQueue); dead.Visible > 0 {
		t.Errorf("%d messages in the dead-letter queue", dead.Visible)
	}
	w.eventually(time.Second, "readiness", func() bool { return b.State().Ready() })
	if !strings.Contains(w.log.String(), "polls go on") {
		t.Error("the end of the outage was not logged")
	}
}

// A short outage costs no message one of its receives, however often there is one: what was received is held
// and tried again.
func TestShortOutagesUseUpNoReceives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.start(nil)
	for i := range 5 {
		w.store.set(func(s *store) { s.down = true })
		w.send(mainQueue, entry(body(2*i)), entry(body(2*i+1)))
		w.eventually(0, "the polls to stop", func() bool { return b.State().Paused })
		w.pass(20*time.Second, time.Second)
		w.store.set(func(s *store) { s.down = false })
		w.eventually(time.Second, "the queue to be empty", w.drained)
	}
	if w.store.mostSeen != 1 || w.store.count() != 10 {
		t.Errorf("%d workflows, most receives of a message %d; want 10 and 1", w.store.count(), w.store.mostSeen)
	}
	if stats := b.Stats(); stats.GivenBack != 0 || stats.Pauses != 5 {
		t.Errorf("stats %+v", stats)
	}
}

// A commit whose answer is lost costs nothing and doubles nothing.
func TestAmbiguousCommit(t *testing.T) {
	t.Parallel()
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("ping fails %v", deaf), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.sendBodies(50)
			w.store.set(func(s *store) { s.ambiguous, s.deaf = 3, deaf })
			b := w.start(nil)
			w.eventually(100*time.Millisecond, "the queue to be empty", w.drained)
			if w.store.count() != 50 || b.Stats().IngestFailures < 3 {
				t.Errorf("%d of 50 workflows, stats %+v", w.store.count(), b.Stats())
			}
		})
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

// A message that the store refuses, though it is up, does not fail its neighbours. It comes again after a
// while, and SQS moves it to the dead-letter queue in the end.
func TestPoisonDoesNotFailItsNeighbours(t *testing.T) {
	t.Parallel()
	const n = 100
	w := newWorld(t)
	w.config.Pollers, w.config.Linger = 8, time.Second // so that they meet in one batch
	w.store.set(func(s *store) {
		s.refuse = func(d workflow.Delivery) bool {
			return d.Message.WorkflowID == "wf-13" || d.Message.WorkflowID == "wf-77"
		}
	})
	w.sendBodies(n)
	b := w.start(nil)
	w.eventually(10*time.Millisecond, "the neighbours to be stored", func() bool { return w.store.count() == n-2 })
	if w.store.largest < 20 {
		t.Fatalf("the largest batch had %d messages: the test shows nothing", w.store.largest)
	}
	if at := w.clock.Now(); w.server.Stats(mainQueue).DeadLettered > 0 {
		t.Errorf("in the dead-letter queue at once, at %s", at)
	}
	w.eventually(time.Second, "the poison to be in the dead-letter queue", func() bool { return w.server.Stats(deadQueue).Visible == 2 })
	w.eventually(time.Second, "the queue to be empty", w.drained)
	for _, m := range w.server.Messages(deadQueue) {
		if !strings.Contains(m.Body, "wf-13") && !strings.Contains(m.Body, "wf-77") {
			t.Errorf("a neighbour is in the dead-letter queue: %s", m.Body)
		}
		if m.Sent.Add(2 * 30 * time.Second).After(w.clock.Now()) {
			t.Error("the receives were used up without a back-off")
		}
	}
	if b.Stats().Pauses > 0 || b.Stats().GivenBack != 6 {
		t.Errorf("stats %+v, want no pause and 2 x 3 given back", b.Stats())
	}
	if log := w.log.String(); !strings.Contains(log, "message_id=") || strings.Contains(log, "Hello") {
		t.Errorf("the log must name the message and not show it:\n%s", log)
	}
}

// A store that answers but takes nothing (read-only, disk full, a table missing) is down as well: its messages
// must not all go to the dead-letter queue.
func TestStoreThatRefusesAllStopsThePolls(t *testing.T) {
	t.Parallel()
	const n = 300
	w := newWorld(t)
	w.store.set(func(s *store) { s.refuse = func(workflow.Delivery) bool { return true } })
	w.sendBodies(n)
	b := w.start(nil)
	w.eventually(100*time.Millisecond, "the polls to stop", func() bool { return b.State().Paused })
	w.pass(30*time.Minute, time.Second)
	stats := w.server.Stats(mainQueue)
	// Trials begin after a second and soon come every few minutes, with at most ten messages each.
	if stats.Received > 350 {
		t.Errorf("%d receives in half an hour", stats.Received)
	}
	if stats.DeadLettered > n/10 {
		t.Errorf("%d messages went to the dead-letter queue", stats.DeadLettered)
	}
	w.store.set(func(s *store) { s.refuse = nil })
	w.eventually(time.Second, "the queue to be empty", w.drained)
	dead := w.server.Stats(deadQueue).Visible
	if w.store.count()+dead != n {
		t.Errorf("%d workflows and %d dead letters of %d", w.store.count(), dead, n)
	}
	if state := b.State(); state.Paused {
		t.Errorf("state %+v", state)
	}
}

// A trial in which there is nothing to receive goes on, with one poll at a time, until there is.
func TestTrialWithoutMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.set(func(s *store) { s.refuse = func(workflow.Delivery) bool { return true } })
	w.sendBodies(12)
	b := w.start(nil)
	w.eventually(100*time.Millisecond, "the polls to stop", func() bool { return b.State().Paused })
	w.eventually(time.Second, "all to be given back", func() bool { return b.State().Held == 0 && b.Stats().GivenBack >= 12 })
	if _, err := w.api.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: aws.String(w.url(mainQueue))}); err != nil {
		t.Fatal(err)
	}
	w.eventually(time.Second, "the poll of the trial", func() bool { return w.server.Stats(mainQueue).Pollers == 1 })
	for range 3 {
		w.clock.Advance(20 * time.Second)
		w.eventually(time.Second, "the next poll", func() bool { return w.server.Stats(mainQueue).Pollers == 1 })
		time.Sleep(5 * time.Millisecond)
		if got := w.server.Stats(mainQueue).Pollers; got != 1 {
			t.Fatalf("%d polls in a trial", got)
		}
	}
	w.store.set(func(s *store) { s.refuse = nil })
	w.send(mainQueue, entry(body(50)))
	w.eventually(0, "the message to be stored", func() bool { return w.store.count() == 1 })
	w.eventually(0, "the other polls", func() bool { return w.server.Stats(mainQueue).Pollers == 2 && !b.State().Paused })
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

// When the store is down at the stop, what is in hand goes back to the queue, soon but not at once.
func TestStopDuringOutageGivesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.set(func(s *store) { s.down = true })
	w.sendBodies(20)
	b := w.start(nil)
	w.eventually(0, "the polls to stop", func() bool { return b.State().Paused && b.State().Held == 20 })
	w.eventually(time.Second, "the running polls to end", func() bool { return w.server.Stats(mainQueue).Pollers == 0 })
	before := w.clock.Now()
	b.cancel()
	if err := <-b.done; err != nil { // at once: no poll is running, nothing waits for the clock
		t.Fatal(err)
	}
	b.done <- nil
	for _, m := range w.server.Messages(mainQueue) {
		if m.State != sqstest.InFlight || (m.Due.Before(before.Add(30*time.Second)) || m.Due.After(before.Add(90*time.Second))) {
			t.Errorf("visible again after %s", m.Due.Sub(before))
		}
	}
	if b.Stats().GivenBack == 0 {
		t.Errorf("stats %+v", b.Stats())
	}
}

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
