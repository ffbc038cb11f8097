package queue

import (
	"sync"
	"time"
)

// batcher gathers what the pollers bring into batches for the store. What one receive brought stays together
// and in order: messages of one group of a FIFO queue are then never in two transactions at once.
type batcher struct {
	in     chan []*item
	most   int
	linger time.Duration
	clock  Clock

	mu    sync.Mutex // one writer gathers at a time, the others write meanwhile
	carry []*item    // arrived last and did not fit
}

// newBatcher makes a batcher for batches of most messages. Room bounds how many messages there can be, so with
// a channel of that size no push ever waits.
func newBatcher(room, most int, linger time.Duration, clock Clock) *batcher {
	return &batcher{in: make(chan []*item, room), most: most, linger: linger, clock: clock}
}

func (b *batcher) push(items []*item) { b.in <- items }

// close ends the intake; next still returns what was pushed before.
func (b *batcher) close() { close(b.in) }

// next waits for messages and returns a batch, or nil after close when nothing is left.
func (b *batcher) next() []*item {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := b.carry
	b.carry = nil
	if batch == nil {
		var ok bool
		if batch, ok = <-b.in; !ok {
			return nil
		}
	}
	var enough <-chan time.Time
	for len(batch) < b.most {
		select { // first what is there already
		case items, ok := <-b.in:
			if !ok || !b.add(&batch, items) {
				return batch
			}
			continue
		default:
		}
		if b.linger <= 0 {
			return batch
		}
		if enough == nil {
			enough = b.clock.After(b.linger)
		}
		select {
		case items, ok := <-b.in:
			if !ok || !b.add(&batch, items) {
				return batch
			}
		case <-enough:
			return batch
		}
	}
	return batch
}

// add appends items to the batch, or carries them over to the next one.
func (b *batcher) add(batch *[]*item, items []*item) bool {
	if len(*batch)+len(items) > b.most {
		b.carry = items
		return false
	}
	*batch = append(*batch, items...)
	return true
}
