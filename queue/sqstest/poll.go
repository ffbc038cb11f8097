package sqstest

import (
	"container/list"
	"context"
	"time"
)

// delivery is one message handed to one receiver, with what the reply needs of
// the state that changes.
type delivery struct {
	message       *message
	content       *content
	number        uint64 // message.delivery at the time
	handle        string
	receives      int
	firstReceived time.Time
	ghost         *ghost
}

// waiter is a long poll. Whoever makes messages ready hands them to it, under
// the lock, so that they go to receivers in order of arrival and none is marked
// received for a receiver that has gone.
type waiter struct {
	ctx        context.Context
	max        int
	visibility func(*queue) time.Duration

	got     []delivery
	err     *apiError
	done    chan struct{}
	element *list.Element
	timer   Timer
}

// gone says whether the receiver has hung up. The context is not enough: net/http
// notices a closed connection only when its goroutine runs.
func gone(ctx context.Context) bool {
	return ctx.Err() != nil || connectionClosed(ctx)
}

// poll takes up to max messages, waiting for the first one if there is none.
func (s *Server) poll(ctx context.Context, q *queue, max int, visibility func(*queue) time.Duration, wait time.Duration) ([]delivery, *apiError) {
	// The caller holds s.mu, and has it again on return.
	now := s.clock.Now()
	q.settle(now)
	if gone(ctx) {
		s.flush(now)
		return nil, nil
	}
	out := q.take(now, max, visibility(q))
	s.flush(now)
	if len(out) > 0 || s.closed {
		return out, nil
	}
	if wait == 0 {
		if q.count[InFlight] >= maxInFlight && q.fifo == nil {
			return nil, newError("OverLimit", "Too many messages in flight.")
		}
		return nil, nil
	}

	w := &waiter{ctx: ctx, max: max, visibility: visibility, done: make(chan struct{})}
	w.element = q.waiters.PushBack(w)
	w.timer = s.clock.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		q.finish(w)
	})
	q.touch()
	s.flush(now)
	s.notifyWatchers()
	s.mu.Unlock()
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	s.mu.Lock()
	q.finish(w)
	s.notifyWatchers()
	now = s.clock.Now()
	if ctx.Err() != nil {
		q.takeBackAll(w.got)
		w.got = nil
	}
	q.rearm(now)
	s.flush(now)
	return w.got, w.err
}

// handOver gives ready messages to the waiting receivers.
func (q *queue) handOver(now time.Time) {
	for e := q.waiters.Front(); e != nil && q.hasReady(); {
		w := e.Value.(*waiter)
		e = e.Next()
		if gone(w.ctx) {
			q.finish(w)
			continue
		}
		if w.got = q.take(now, w.max, w.visibility(q)); len(w.got) > 0 {
			q.finish(w)
		}
	}
}

// finish ends a wait; the second time it does nothing.
func (q *queue) finish(w *waiter) {
	if w.element == nil {
		return
	}
	q.waiters.Remove(w.element)
	w.element = nil
	w.timer.Stop()
	close(w.done)
}

// takeBackAll keeps the order: the first delivery becomes the first message.
func (q *queue) takeBackAll(ds []delivery) {
	for i := len(ds) - 1; i >= 0; i-- {
		q.takeBack(ds[i])
	}
}

// undoDeliveries is for a reply that could not be written.
func (s *Server) undoDeliveries(q *queue, ds []delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	q.settle(now)
	q.takeBackAll(ds)
	s.flush(now)
}

// rearm sets the alarm for the next moment at which a waiting receiver may be
// served. Without receivers there is none: everybody settles the queue first.
func (q *queue) rearm(now time.Time) {
	at, ok := q.nextChange()
	if q.waiters.Len() == 0 || q.deleted {
		ok = false
	}
	if q.alarm != nil {
		if ok && at.Equal(q.alarmAt) {
			return
		}
		q.alarm.Stop()
		q.alarm = nil
	}
	if !ok {
		return
	}
	s := q.server
	q.alarmAt = at
	var alarm Timer
	alarm = s.clock.AfterFunc(at.Sub(now), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if q.alarm != alarm {
			return // stopped too late
		}
		q.alarm = nil
		now := s.clock.Now()
		q.settle(now)
		q.touch()
		s.flush(now)
	})
	q.alarm = alarm
}
