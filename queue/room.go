package queue

import (
	"context"
	"sync"
)

// room bounds what is held in memory. A poller takes room for a whole receive before it polls, so that what SQS
// hands over always has a place.
type room struct {
	mu        sync.Mutex
	free      int // messages
	used      int // messages that have arrived
	freeBytes int
	changed   chan struct{} // closed when room was given back
}

func newRoom(messages, bytes int) *room {
	return &room{free: messages, freeBytes: bytes, changed: make(chan struct{})}
}

// reserve waits for room for a receive of n messages. It returns false when ctx ends first.
func (r *room) reserve(ctx context.Context, n int) bool {
	for {
		r.mu.Lock()
		if r.free >= n && r.freeBytes > 0 {
			r.free -= n
			r.mu.Unlock()
			return true
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// arrived turns a reservation into what came: fewer messages, and their bytes. The bytes may go beyond the
// bound by what the running polls bring; then no further poll starts.
func (r *room) arrived(reserved, messages, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += reserved - messages
	r.used += messages
	r.freeBytes -= bytes
	r.wake()
}

// release gives back the room of settled messages.
func (r *room) release(messages, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += messages
	r.used -= messages
	r.freeBytes += bytes
	r.wake()
}

func (r *room) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *room) held() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}
