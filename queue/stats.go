package queue

import (
	"sync/atomic"
	"time"
)

// Stats are counts since the bridge was made.
type Stats struct {
	Received    int64 // messages, duplicates included
	Accepted    int64 // new workflows
	Duplicates  int64 // of workflows that existed
	Quarantined int64 // unusable messages
	Copied      int64 // quarantined ones copied to the dead-letter queue
	Deleted     int64
	GivenBack   int64 // made visible again because they could not be stored

	ReceiveFailures    int64 // calls
	IngestFailures     int64 // calls
	DeleteFailures     int64 // messages whose delete failed for good; they come again and are duplicates
	CopyFailures       int64 // messages that could not be copied to the dead-letter queue; they come again
	VisibilityFailures int64 // messages that could not be given back; they come again after the queue's timeout

	Pauses int64 // times that polls were stopped because of the store
}

// counters is Stats while it is being counted.
type counters struct {
	received, accepted, duplicates, quarantined, copied, deleted, givenBack         atomic.Int64
	receiveFailures, ingestFailures, deleteFailures, copyFailures, visibilityErrors atomic.Int64
}

// Stats returns the counts so far.
func (b *Bridge) Stats() Stats {
	return Stats{
		Received:           b.count.received.Load(),
		Accepted:           b.count.accepted.Load(),
		Duplicates:         b.count.duplicates.Load(),
		Quarantined:        b.count.quarantined.Load(),
		Copied:             b.count.copied.Load(),
		Deleted:            b.count.deleted.Load(),
		GivenBack:          b.count.givenBack.Load(),
		ReceiveFailures:    b.count.receiveFailures.Load(),
		IngestFailures:     b.count.ingestFailures.Load(),
		DeleteFailures:     b.count.deleteFailures.Load(),
		CopyFailures:       b.count.copyFailures.Load(),
		VisibilityFailures: b.count.visibilityErrors.Load(),
		Pauses:             b.gate.pauses(),
	}
}

// Phase is where a bridge is in its life.
type Phase string

// The phases, in their order.
const (
	PhaseNew      Phase = "new"      // Run has not been called
	PhaseStarting Phase = "starting" // looking for its queues
	PhaseRunning  Phase = "running"
	PhaseStopping Phase = "stopping" // no further poll is started; what is in flight is finished
	PhaseStopped  Phase = "stopped"
)

// State is what a health check wants to know.
type State struct {
	Phase       Phase
	Paused      bool      // polls are stopped because of the store
	PausedSince time.Time // zero unless paused
	PauseReason string    // "" unless paused
	Held        int       // messages received and not yet settled
	Queues      []QueueState
}

// QueueState is how the polls of one queue do.
type QueueState struct {
	Name         string
	LastReceive  time.Time // when a poll last ended well; zero if none has
	FailingSince time.Time // zero unless the last poll failed
	Error        string    // of the last poll, "" if it ended well
}

// Ready says whether the bridge is doing its work: running, with the store and every queue reachable.
func (s State) Ready() bool {
	for _, q := range s.Queues {
		if !q.FailingSince.IsZero() {
			return false
		}
	}
	return s.Phase == PhaseRunning && !s.Paused
}

// State returns how the bridge does now.
func (b *Bridge) State() State {
	state := State{Held: b.room.held()}
	state.Paused, state.PausedSince, state.PauseReason = b.gate.paused()
	b.mu.Lock()
	defer b.mu.Unlock()
	state.Phase = b.phase
	for _, s := range b.sources {
		state.Queues = append(state.Queues, s.state())
	}
	return state
}
