package sqstest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
)

// Stats are the figures of a queue. The last five count since the queue was made
// or loaded.
type Stats struct {
	Visible  int `json:"visible"`
	InFlight int `json:"inFlight"`
	Delayed  int `json:"delayed"`
	// Pollers is how many long polls wait.
	Pollers int `json:"pollers"`

	Sent         uint64 `json:"sent"`
	Received     uint64 `json:"received"` // deliveries, with those that faults made
	Deleted      uint64 `json:"deleted"`
	DeadLettered uint64 `json:"deadLettered"` // moved away to the dead-letter queue
	Expired      uint64 `json:"expired"`      // gone by the retention period
}

// Message is a message as it lies in its queue.
type Message struct {
	ID              string               `json:"messageId"`
	Body            string               `json:"body"`
	Attributes      map[string]Attribute `json:"attributes,omitempty"`
	State           State                `json:"state"`
	Due             time.Time            `json:"due,omitzero"` // end of the delay or of the visibility timeout
	Sent            time.Time            `json:"sent"`
	ReceiveCount    int                  `json:"receiveCount"`
	FirstReceived   time.Time            `json:"firstReceived,omitzero"`
	GroupID         string               `json:"messageGroupId,omitempty"`
	DeduplicationID string               `json:"messageDeduplicationId,omitempty"`
	SequenceNumber  string               `json:"sequenceNumber,omitempty"`
	TraceHeader     string               `json:"awsTraceHeader,omitempty"`
	DeadLetterOf    string               `json:"deadLetterQueueSourceArn,omitempty"`
}

// Stats returns the figures of the named queue, all zero if there is none. It
// receives nothing and wakes nobody.
func (s *Server) Stats(queue string) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[queue]
	if q == nil {
		return Stats{}
	}
	now := s.clock.Now()
	q.settle(now)
	s.flush(now)
	return Stats{
		Visible:      q.count[Visible],
		InFlight:     q.count[InFlight],
		Delayed:      q.count[Delayed],
		Pollers:      q.waiters.Len(),
		Sent:         q.stats.sent,
		Received:     q.stats.received,
		Deleted:      q.stats.deleted,
		DeadLettered: q.stats.deadLettered,
		Expired:      q.stats.expired,
	}
}

// Queues returns the names of the queues, in order.
func (s *Server) Queues() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.queues))
}

// Messages returns the messages of the named queue in order of arrival, without
// receiving them.
func (s *Server) Messages(queue string) []Message {
	s.mu.Lock()
	var all []message
	if q := s.queues[queue]; q != nil {
		now := s.clock.Now()
		q.settle(now)
		s.flush(now)
		all = make([]message, 0, len(q.bySeq))
		for _, m := range q.bySeq {
			all = append(all, *m)
		}
	}
	s.mu.Unlock()

	slices.SortFunc(all, func(a, b message) int { return cmp.Compare(a.seq, b.seq) })
	out := make([]Message, len(all))
	for i := range all {
		out[i] = all[i].export()
	}
	return out
}

func (m *message) export() Message {
	return Message{
		ID:              m.id,
		Body:            m.body,
		Attributes:      maps.Clone(m.attributes),
		State:           m.state,
		Due:             m.due,
		Sent:            m.sent,
		ReceiveCount:    m.receives,
		FirstReceived:   m.firstReceived,
		GroupID:         m.groupID,
		DeduplicationID: m.deduplication,
		SequenceNumber:  m.sequence,
		TraceHeader:     m.traceHeader,
		DeadLetterOf:    m.deadLetterOf,
	}
}

// AwaitPollers returns when exactly n long polls wait on the named queue, or with
// the error of ctx. Tests call it before they advance a clock or cancel a poll.
func (s *Server) AwaitPollers(ctx context.Context, queue string, n int) error {
	changed := make(chan struct{}, 1)
	s.mu.Lock()
	s.watchers[changed] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watchers, changed)
		s.mu.Unlock()
	}()
	for {
		s.mu.Lock()
		waiting := 0
		if q := s.queues[queue]; q != nil {
			waiting = q.waiters.Len()
		}
		s.mu.Unlock()
		if waiting == n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// notifyWatchers tells AwaitPollers to look again.
func (s *Server) notifyWatchers() {
	for changed := range s.watchers {
		select {
		case changed <- struct{}{}:
		default: // it will look anyway
		}
	}
}
