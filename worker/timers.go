package worker

import (
	"container/heap"
	"sync"
	"time"
)

// timers wake accounts at the moment when a token of theirs returns or a message comes due, within a few
// milliseconds. They are the precise twin of the durable wake-up and may be forgotten at any time.
type timers struct {
	wake func(users []string)
	now  func() time.Duration // monotonic

	mu      sync.Mutex
	due     alarms
	pending map[alarm]bool
	changed chan struct{}
	stopped chan struct{}
	ended   chan struct{}
}

type alarm struct {
	at   time.Duration
	user string
}

func newTimers(now func() time.Duration, wake func(users []string)) *timers {
	t := &timers{wake: wake, now: now, pending: map[alarm]bool{}, changed: make(chan struct{}, 1), stopped: make(chan struct{}), ended: make(chan struct{})}
	go t.loop()
	return t
}

// coarseness is how many steps a delay is divided into: tokens that return within a five-hundredth of their
// window are woken for together, in one transaction, at the cost of two thousandths of the rate.
const coarseness = 500

// set wakes the account after the delay, rounded up to a step of it. Setting the same time twice wakes once.
func (t *timers) set(user string, delay time.Duration) {
	if delay < 0 {
		return
	}
	at := t.now() + delay
	if step := delay / coarseness; step > 0 {
		at = (at/step + 1) * step
	}
	a := alarm{at: at, user: user}
	t.mu.Lock()
	if t.pending[a] {
		t.mu.Unlock()
		return
	}
	t.pending[a] = true
	heap.Push(&t.due, a)
	first := t.due[0] == a
	t.mu.Unlock()
	if first {
		select {
		case t.changed <- struct{}{}:
		default:
		}
	}
}

func (t *timers) close() {
	close(t.stopped)
	<-t.ended
}

func (t *timers) loop() {
	defer close(t.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		users, next := t.take()
		if len(users) > 0 {
			t.wake(users)
			continue
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-t.changed:
		case <-t.stopped:
			return
		}
	}
}

// take removes what is due now and says how long the next one takes.
func (t *timers) take() (users []string, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for len(t.due) > 0 && t.due[0].at <= now {
		a := heap.Pop(&t.due).(alarm)
		delete(t.pending, a)
		users = append(users, a.user)
	}
	if len(t.due) == 0 {
		return users, time.Hour
	}
	return users, t.due[0].at - now
}

// alarms is a heap, the earliest first.
type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at < a[j].at }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	old := *a
	last := old[len(old)-1]
	*a = old[:len(old)-1]
	return last
}
