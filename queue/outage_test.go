package queue_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

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

// A message that was alone when its connections were ended is not taken for one that the store refuses, however often
// that happens: it uses up none of its receives.
func TestInterruptionsUseUpNoReceives(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ times, pauses int }{{3, 0}, {9, 2}} {
		t.Run(fmt.Sprint(c.times), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.store.set(func(s *store) { s.terminated = c.times })
			w.sendBodies(1)
			b := w.start(nil)
			w.eventually(time.Second, "the queue to be empty", w.drained)
			if stats := b.Stats(); w.store.count() != 1 || w.store.mostSeen != 1 || stats.GivenBack != 0 || stats.IngestFailures != int64(c.times) || stats.Pauses != int64(c.pauses) {
				t.Errorf("%d workflows, most receives %d, stats %+v", w.store.count(), w.store.mostSeen, stats)
			}
		})
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
