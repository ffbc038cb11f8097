package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// write takes batches from the batcher until it is closed and empty.
func (b *Bridge) write(stop context.Context) {
	for batch := b.batcher.next(); batch != nil; batch = b.batcher.next() {
		b.ingest(stop, batch)
	}
}

// ingest brings a batch into the store and starts to settle what was taken. While the store is down it holds
// the rest; when that takes too long, or the bridge is to stop, the rest is given back to its queue.
func (b *Bridge) ingest(stop context.Context, batch []*item) {
	for pending := batch; ; {
		round := b.newRound()
		round.run(pending)
		b.settle(round.taken)
		b.giveBack(round.left)
		pending = append(round.refused, round.untried...)
		if round.pause == "" {
			for _, it := range round.refused {
				b.logger.Warn("the store refuses a message; left for redelivery", "queue", it.source.name,
					"message_id", it.delivery.MessageID, "receive_count", it.delivery.ReceiveCount, "error", round.cause)
			}
			b.giveBack(pending)
			return
		}
		b.gate.close(round.pause, round.cause)
		if !b.gate.awaitRetry(stop, holdDeadline(pending)) {
			b.giveBack(pending)
			return
		}
	}
}

// holdDeadline is the moment until which all of the messages may be kept.
func holdDeadline(items []*item) time.Time {
	var first time.Time
	for _, it := range items {
		if deadline := it.receivedAt.Add(it.source.hold); first.IsZero() || deadline.Before(first) {
			first = deadline
		}
	}
	return first
}

// round is one try to bring messages into the store. If the store refuses a batch although it is up, the batch
// is halved down to the messages at fault, so that they don't hold up their neighbours.
type round struct {
	b       *Bridge
	taken   []*item // with their intake
	refused []*item // one by one
	left    []*item // another system has to take them, and does not: they come again
	untried []*item // because of the pause, or behind a refused one of their group
	pause   string  // why polls must stop; "" if they need not
	cause   error   // the last error
	blocked map[string]bool

	interruptions int
}

// interruptionsMost is how often a round goes on after an interruption before it waits for the store to be well again.
const interruptionsMost = 3

func (b *Bridge) newRound() *round { return &round{b: b, blocked: map[string]bool{}} }

func (r *round) run(items []*item) {
	items = r.withoutBlocked(items)
	if len(items) == 0 {
		return
	}
	if r.pause != "" {
		r.untried = append(r.untried, items...)
		return
	}
	err := r.try(items)
	if errors.Is(err, errTaken) {
		r.b.gate.accepted()
		return
	}
	if err == nil {
		r.taken = append(r.taken, items...)
		r.b.gate.accepted()
		return
	}
	r.cause = err
	switch {
	case errors.Is(err, context.DeadlineExceeded) || !r.b.storeAnswers():
		// Too slow is down: to halve the batch would only ask more of a store that is busy.
		r.pause = reasonDown
		r.untried = append(r.untried, items...)
	case interrupted(err):
		if r.interruptions++; r.interruptions <= interruptionsMost {
			r.run(items)
			return
		}
		r.pause = reasonDown
		r.untried = append(r.untried, items...)
	case len(items) > 1:
		half := len(items) / 2
		r.run(items[:half])
		r.run(items[half:])
	default:
		r.refuse(items[0])
	}
}

func (r *round) try(items []*item) error {
	deliveries := make([]workflow.Delivery, len(items))
	for i, it := range items {
		deliveries[i] = it.delivery
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.b.config.IngestTimeout)
	defer cancel()
	started := r.b.config.Clock.Now()
	intakes, err := r.b.store.Ingest(ctx, deliveries)
	var some leftBehind
	if errors.As(err, &some) && len(intakes) == len(items) {
		r.b.config.Observer.Ingested(len(items), r.b.config.Clock.Now().Sub(started), nil)
		return r.takeSome(items, intakes, some.Left())
	}
	if err == nil && len(intakes) != len(items) {
		err = fmt.Errorf("the store answered %d of %d deliveries", len(intakes), len(items))
	}
	r.b.config.Observer.Ingested(len(items), r.b.config.Clock.Now().Sub(started), err)
	if err != nil {
		r.b.count.ingestFailures.Add(1)
		return err
	}
	for i, it := range items {
		it.intake = intakes[i]
	}
	return nil
}

// leftBehind is the error of a store that took some of a batch, and says which others stay on their queue: those that
// another system has to take, which does not answer. It is neither down nor are the messages at fault.
type leftBehind interface{ Left() map[int]error }

// interrupted says whether an error tells of itself that no message is to blame: a connection that was lost, a conflict with
// another transaction. Nobody looks for one, and none uses up a receive for it.
func interrupted(err error) bool {
	var told interface{ Interrupted() bool }
	return errors.As(err, &told) && told.Interrupted()
}

// errTaken says that what was taken of a batch is noted already.
var errTaken = errors.New("taken in part")

func (r *round) takeSome(items []*item, intakes []workflow.Intake, left map[int]error) error {
	for i, it := range items {
		if cause, stays := left[i]; stays {
			r.cause = cause
			r.left = append(r.left, it)
			if it.source.fifo {
				r.blocked[it.source.name+"\x00"+it.group()] = true
			}
			continue
		}
		it.intake = intakes[i]
		r.taken = append(r.taken, it)
	}
	return errTaken
}

func (r *round) refuse(it *item) {
	r.refused = append(r.refused, it)
	if it.source.fifo {
		r.blocked[it.source.name+"\x00"+it.group()] = true
	}
	if len(r.taken) == 0 && r.b.gate.hopeless(it.delivery.MessageID) {
		r.pause = reasonRefuses
	}
}

// withoutBlocked takes out what must wait for an earlier message of its group.
func (r *round) withoutBlocked(items []*item) []*item {
	if len(r.blocked) == 0 {
		return items
	}
	var free []*item
	for _, it := range items {
		if r.blocked[it.source.name+"\x00"+it.group()] {
			r.untried = append(r.untried, it)
		} else {
			free = append(free, it)
		}
	}
	return free
}

func (b *Bridge) storeAnswers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), pingWithin)
	defer cancel()
	return b.store.Ping(ctx) == nil
}
