package sqstest

import (
	"container/list"
	"math/rand/v2"
	"time"
)

// maxInFlight is the quota of messages in flight per queue.
const maxInFlight = 120_000

// queue holds messages. Everything in it is guarded by Server.mu: the work under
// the lock is small (texts are parsed, hashed and written outside of it), and one
// lock makes redrive between queues atomic.
type queue struct {
	server *Server
	name   string
	uid    uint64 // marks receipts; differs for a queue that is made again
	config settings
	tags   map[string]string

	created, modified time.Time
	purged            time.Time
	deleted           bool

	bySeq map[uint64]*message
	due   *messageHeap // delayed and in flight, by the end of it
	sent  *messageHeap // all, by the time of sending: retention
	count map[State]int
	stats counters

	ready messageList // visible messages of a standard queue
	fifo  *fifo       // nil for a standard queue

	ghosts  []ghost    // deliveries that only a fault makes
	waiters *list.List // of *waiter, in order of arrival
	touched bool       // is in Server.touched
	alarm   Timer      // wakes the waiters at alarmAt
	alarmAt time.Time
}

type counters struct {
	sent, received, deleted, deadLettered, expired uint64
}

func newQueue(s *Server, name string, config settings, now time.Time) *queue {
	q := &queue{
		server:   s,
		name:     name,
		uid:      rand.Uint64(),
		config:   config,
		tags:     map[string]string{},
		created:  now,
		modified: now,
		bySeq:    map[uint64]*message{},
		due:      newMessageHeap(func(m *message) time.Time { return m.due }, func(m *message) *int { return &m.dueIndex }),
		sent:     newMessageHeap(func(m *message) time.Time { return m.sent }, func(m *message) *int { return &m.sentIndex }),
		count:    map[State]int{},
		waiters:  list.New(),
	}
	if config.fifo {
		q.fifo = newFIFO()
	}
	return q
}

// add puts a message that is new to this queue into it.
func (q *queue) add(m *message, state State, due time.Time) {
	q.bySeq[m.seq] = m
	q.sent.add(m)
	if q.fifo != nil {
		q.fifo.join(m)
	}
	q.place(m, state, due, false)
}

// drop takes a message out of the queue for good.
func (q *queue) drop(m *message) {
	q.lift(m)
	delete(q.bySeq, m.seq)
	q.sent.remove(m)
	if q.fifo != nil {
		q.fifo.leave(m)
		q.touch()
	}
}

// place gives a message a state; lift takes it out of the one it has. front puts
// a visible message before the others (FIFO queues keep their own order).
func (q *queue) place(m *message, state State, due time.Time, front bool) {
	m.state = state
	q.count[state]++
	if state == Visible {
		m.due = time.Time{}
		if q.fifo == nil && front {
			q.ready.pushFront(m)
		} else if q.fifo == nil {
			q.ready.pushBack(m)
		}
	} else {
		m.due = due
		q.due.add(m)
	}
	q.touch()
	if q.fifo != nil {
		if state == InFlight {
			m.group.inFlight++
		}
		q.fifo.refresh(m.group)
	}
}

func (q *queue) lift(m *message) {
	q.count[m.state]--
	if m.state != Visible {
		q.due.remove(m)
	} else if q.fifo == nil {
		q.ready.remove(m)
	}
	if q.fifo != nil && m.state == InFlight {
		m.group.inFlight--
	}
}

func (q *queue) move(m *message, state State, due time.Time, front bool) {
	q.lift(m)
	q.place(m, state, due, front)
}

// settle brings the queue to now: what was due becomes visible, what is too old
// is gone.
func (q *queue) settle(now time.Time) {
	for m := q.sent.first(); m != nil && !m.sent.Add(q.config.retention).After(now); m = q.sent.first() {
		q.drop(m)
		q.stats.expired++
	}
	for m := q.due.first(); m != nil && !m.due.After(now); m = q.due.first() {
		q.move(m, Visible, time.Time{}, false)
	}
	if q.fifo != nil {
		q.fifo.forget(now)
	}
}

// nextChange is when settle will next have something to do.
func (q *queue) nextChange() (time.Time, bool) {
	var at time.Time
	if m := q.due.first(); m != nil {
		at = m.due
	}
	if m := q.sent.first(); m != nil {
		if gone := m.sent.Add(q.config.retention); at.IsZero() || gone.Before(at) {
			at = gone
		}
	}
	return at, !at.IsZero()
}

// hasReady says whether take has something to look at.
func (q *queue) hasReady() bool {
	if len(q.ghosts) > 0 {
		return true
	}
	if q.fifo != nil {
		return q.fifo.available.Len() > 0
	}
	return q.ready.front != nil
}

// touch notes that the queue changed: waiting receivers may be served, or have
// something to wait for. Server.flush acts on it at the end of every operation.
func (q *queue) touch() {
	if q.waiters.Len() > 0 && !q.touched {
		q.touched = true
		q.server.touched = append(q.server.touched, q)
	}
}

// take hands over up to max messages. Those that were received too often go to
// the dead-letter queue instead, so it may return none although some were ready.
func (q *queue) take(now time.Time, max int, visibility time.Duration) []delivery {
	out := q.takeGhosts(now, max)
	max = min(max, len(out)+maxInFlight-q.count[InFlight])
	for len(out) < max {
		m := q.first()
		if m == nil {
			break
		}
		// A FIFO group is locked by its first message in flight, but one call
		// may take several of them, in order.
		for m != nil && m.state == Visible && len(out) < max {
			var next *message
			if q.fifo != nil {
				next = m.next
			}
			if !q.deadLetter(m, now) {
				out = append(out, q.receive(m, now, visibility))
				out = q.duplicate(out, m, now, max)
			}
			m = next
		}
	}
	return out
}

// first returns the message to hand over next, or nil.
func (q *queue) first() *message {
	if q.fifo != nil {
		if g := q.fifo.next(); g != nil {
			return g.messages.front
		}
		return nil
	}
	return q.server.faults.pick(q)
}

func (q *queue) receive(m *message, now time.Time, visibility time.Duration) delivery {
	m.attempts++
	m.deliveryValid = m.delivery + 1
	m.received = now
	d := q.deliver(m, now)
	q.move(m, InFlight, now.Add(visibility), false)
	return d
}

// deliver numbers a delivery of a message and copies what may change later.
func (q *queue) deliver(m *message, now time.Time) delivery {
	m.delivery++
	m.receives++
	if m.firstReceived.IsZero() {
		m.firstReceived = now
	}
	q.stats.received++
	return delivery{
		message:       m,
		content:       &m.content,
		number:        m.delivery,
		handle:        receipt{queue: q.uid, message: m.seq, delivery: m.delivery}.handle(),
		receives:      m.receives,
		firstReceived: m.firstReceived,
	}
}

// takeBack undoes a delivery whose receiver was gone before it had the reply.
func (q *queue) takeBack(d delivery) {
	q.stats.received--
	m := d.message
	if d.ghost != nil {
		m.receives--
		q.ghosts = append(q.ghosts, *d.ghost)
		q.touch()
		return
	}
	if q.bySeq[m.seq] != m || m.delivery != d.number || m.state != InFlight {
		return
	}
	m.receives--
	m.attempts--
	if m.receives == 0 {
		m.firstReceived = time.Time{}
	}
	q.move(m, Visible, time.Time{}, true)
}

// deadLetter moves a message that was received too often, and says whether it did.
func (q *queue) deadLetter(m *message, now time.Time) bool {
	policy := q.config.redrive
	if policy == nil || m.attempts < policy.maxReceives {
		return false
	}
	target := q.server.queues[policy.target]
	if target == nil || target == q {
		// Nowhere to move it: deliver it, rather than lose it.
		return false
	}
	q.drop(m)
	q.stats.deadLettered++

	moved := &message{
		content:       m.content,
		seq:           q.server.nextSeq(),
		receives:      m.receives,
		firstReceived: m.firstReceived,
	}
	moved.deadLetterOf = q.server.arn(q.name)
	if target.fifo != nil {
		// A FIFO dead-letter queue counts retention from the move.
		moved.sent = now
		moved.sequence = q.server.nextSequence()
	}
	target.add(moved, Visible, time.Time{})
	return true
}

// purge forgets every message, and every receiver's claim on one.
func (q *queue) purge() {
	for _, m := range q.bySeq {
		q.drop(m)
	}
	q.ghosts = nil
}
