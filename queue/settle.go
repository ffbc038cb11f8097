package queue

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// The time after which a message that could not be stored becomes visible again, for its first receive; later
// ones wait longer. Random, so that a batch does not come back as one.
const (
	returnLeast = 30 * time.Second
	returnMost  = 90 * time.Second
	returnCap   = 15 * time.Minute
)

// settle ends the life of taken messages in SQS: copies the quarantined ones to the dead-letter queue, then
// deletes them all. It works in the background; the next batch need not wait for it.
func (b *Bridge) settle(taken []*item) {
	if len(taken) == 0 {
		return
	}
	now := b.config.Clock.Now()
	var quarantined, done []*item
	for _, it := range taken {
		switch it.intake.Outcome {
		case workflow.IntakeQuarantined:
			b.count.quarantined.Add(1)
			quarantined = append(quarantined, it)
		case workflow.IntakeDuplicate:
			b.count.duplicates.Add(1)
			done = append(done, it)
		default:
			b.count.accepted.Add(1)
			done = append(done, it)
		}
		b.config.Observer.Settled(it.source.name, it.intake.Outcome, it.delivery.ReceiveCount, now.Sub(it.delivery.SentAt))
	}
	b.settles.Go(func() {
		defer b.vacate(taken)
		var both sync.WaitGroup
		both.Go(func() { b.remove(done) })
		both.Go(func() { b.remove(b.copyToDeadLetters(quarantined)) })
		both.Wait()
	})
}

// vacate gives back the room of messages that the bridge is done with.
func (b *Bridge) vacate(items []*item) {
	bytes := 0
	for _, it := range items {
		bytes += len(it.delivery.Body)
	}
	b.room.release(len(items), bytes)
}

// remove deletes messages from their queues.
func (b *Bridge) remove(items []*item) {
	b.inTens(items, "DeleteMessageBatch", &b.count.deleted, &b.count.deleteFailures,
		func(ctx context.Context, from *source, tens []*item) (failures, error) {
			input := &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(from.url)}
			for i, it := range tens {
				input.Entries = append(input.Entries, types.DeleteMessageBatchRequestEntry{
					Id: entryID(i), ReceiptHandle: it.message.ReceiptHandle,
				})
			}
			out, err := b.api.DeleteMessageBatch(ctx, input)
			if err != nil {
				return nil, err
			}
			return out.Failed, nil
		})
}

// giveBack makes messages visible again after a while, and gives back their room. Not at once: three receives
// in a second would bring them to the dead-letter queue.
func (b *Bridge) giveBack(items []*item) {
	if len(items) == 0 {
		return
	}
	b.settles.Go(func() {
		defer b.vacate(items)
		b.inTens(items, "ChangeMessageVisibilityBatch", &b.count.givenBack, &b.count.visibilityErrors,
			func(ctx context.Context, from *source, tens []*item) (failures, error) {
				input := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aws.String(from.url)}
				for i, it := range tens {
					input.Entries = append(input.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
						Id: entryID(i), ReceiptHandle: it.message.ReceiptHandle,
						VisibilityTimeout: int32(returnAfter(it.delivery.ReceiveCount) / time.Second),
					})
				}
				out, err := b.api.ChangeMessageVisibilityBatch(ctx, input)
				if err != nil {
					return nil, err
				}
				return out.Failed, nil
			})
	})
}

func returnAfter(receives int) time.Duration {
	once := returnLeast + rand.N(returnMost-returnLeast)
	return min(once*time.Duration(min(max(receives, 1), 10)), returnCap)
}

// inTens makes a batch call for all items, ten of one queue at a time, several calls at once, and counts the
// messages for which it succeeded and for which it failed for good.
func (b *Bridge) inTens(items []*item, operation string, succeeded, failed interface{ Add(int64) int64 },
	call func(context.Context, *source, []*item) (failures, error)) {
	bySource := map[*source][]*item{}
	for _, it := range items {
		bySource[it.source] = append(bySource[it.source], it)
	}
	var all sync.WaitGroup
	for from, rest := range bySource {
		for len(rest) > 0 {
			tens := rest[:min(maxBatchEntries, len(rest))]
			rest = rest[len(tens):]
			b.calls <- struct{}{}
			all.Go(func() {
				defer func() { <-b.calls }()
				// Not cut short when the bridge stops: it takes seconds, and leaves less to do again.
				left := inBatch(context.Background(), b.config.Clock, tens, func(ctx context.Context, tens []*item) (failures, error) {
					return call(ctx, from, tens)
				})
				succeeded.Add(int64(len(tens) - len(left)))
				if len(left) == 0 {
					return
				}
				failed.Add(int64(len(left)))
				b.config.Observer.Failed(from.name, operation, len(left))
				b.logger.Warn("messages could not be settled; they will come again", "operation", operation,
					"queue", from.name, "messages", len(left), "first_message_id", left[0].entry.delivery.MessageID, "error", left[0].err)
			})
		}
	}
	all.Wait()
}
