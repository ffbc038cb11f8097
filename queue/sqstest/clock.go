package sqstest

import (
	"container/heap"
	"sync"
	"time"
)

// Clock is the only source of time of a server.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f on another goroutine, or from [ManualClock.Advance],
	// once d has passed. It must not call f before it returns.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is what [Clock.AfterFunc] returns; *time.Timer is one.
type Timer interface {
	// Stop prevents the call and reports whether it did.
	Stop() bool
}

type realClock struct{}

func (realClock) Now() time.Time                            { return time.Now() }
func (realClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

// ManualClock is a [Clock] for tests: it stands still until it is advanced.
type ManualClock struct {
	mu     sync.Mutex
	now    time.Time
	timers manualTimers
	made   uint64
}

// NewManualClock returns a clock that stands at start. The zero time means a
// fixed date, so that tests which do not care need no constant of their own.
func NewManualClock(start time.Time) *ManualClock {
	if start.IsZero() {
		start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	}
	return &ManualClock{now: start}
}

// Now returns where the clock stands.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc implements [Clock]. A timer that is due at once runs on its own
// goroutine, like one of package time, because the caller may hold locks.
func (c *ManualClock) AfterFunc(d time.Duration, f func()) Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &manualTimer{clock: c, f: f, at: c.now.Add(d), order: c.made, index: -1}
	c.made++
	if d <= 0 {
		go f()
		return t
	}
	heap.Push(&c.timers, t)
	return t
}

// Advance moves the clock by d and runs every timer on the way, each with the
// clock standing at its own instant. When it returns, polls that could be
// answered have been given their messages.
func (c *ManualClock) Advance(d time.Duration) {
	c.mu.Lock()
	target := c.now.Add(d)
	for len(c.timers) > 0 && !c.timers[0].at.After(target) {
		t := heap.Pop(&c.timers).(*manualTimer)
		c.now = t.at
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	if target.After(c.now) {
		c.now = target
	}
	c.mu.Unlock()
}

type manualTimer struct {
	clock *ManualClock
	f     func()
	at    time.Time
	order uint64
	index int
}

func (t *manualTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if t.index < 0 {
		return false
	}
	heap.Remove(&t.clock.timers, t.index)
	return true
}

// manualTimers is a heap by instant; equal instants keep the order of creation.
type manualTimers []*manualTimer

func (h manualTimers) Len() int { return len(h) }
func (h manualTimers) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].order < h[j].order
	}
	return h[i].at.Before(h[j].at)
}
func (h manualTimers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *manualTimers) Push(x any) {
	t := x.(*manualTimer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *manualTimers) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
