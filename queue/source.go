package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// source is a queue that the bridge reads.
type source struct {
	name string
	url  string
	fifo bool
	hold time.Duration // how long its messages may be kept while the store is down

	mu           sync.Mutex
	lastReceive  time.Time
	failingSince time.Time
	lastError    error
}

// polled notes how a poll ended and says whether that is a change.
func (s *source) polled(now time.Time, err error) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.failingSince
	if err == nil {
		s.lastReceive, s.failingSince, s.lastError = now, time.Time{}, nil
		return !was.IsZero()
	}
	if was.IsZero() {
		s.failingSince = now
	}
	s.lastError = err
	return was.IsZero()
}

func (s *source) state() QueueState {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := QueueState{Name: s.name, LastReceive: s.lastReceive, FailingSince: s.failingSince}
	if s.lastError != nil {
		state.Error = s.lastError.Error()
	}
	return state
}

// poll receives until ctx ends. A receive that is running then is not cancelled: what SQS has handed over to a
// caller who hung up stays hidden for the whole visibility timeout.
func (b *Bridge) poll(ctx context.Context, from *source) {
	failures := 0
	for b.room.reserve(ctx, maxBatchEntries) {
		if !b.gate.enter(ctx) {
			b.room.arrived(maxBatchEntries, 0, 0)
			return
		}
		started := b.config.Clock.Now()
		messages, err := b.receive(context.WithoutCancel(ctx), from)
		now := b.config.Clock.Now()
		changed := from.polled(now, err)
		items, bytes := b.decode(from, messages, now)
		b.room.arrived(maxBatchEntries, len(items), bytes)
		if len(items) > 0 {
			b.batcher.push(items)
		} else {
			b.gate.leave()
		}

		wait := time.Duration(0)
		switch {
		case err != nil:
			if changed {
				b.logger.Error("can't receive from the queue; trying on", "queue", from.name, "error", err)
			}
			b.count.receiveFailures.Add(1)
			b.config.Observer.Failed(from.name, "ReceiveMessage", 0)
			wait = backoff(pingFirst, pingMost, failures)
			failures++
		default:
			if changed {
				b.logger.Info("receiving from the queue again", "queue", from.name)
			}
			failures = 0
			b.config.Observer.Received(from.name, len(messages), now.Sub(started))
			if len(messages) == 0 && now.Sub(started) < b.config.WaitTime/20 {
				wait = pingFirst // a server without long polls must not be asked in a tight loop
			}
		}
		if wait > 0 {
			b.pause(ctx, wait)
		}
	}
}

func (b *Bridge) receive(ctx context.Context, from *source) ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.WaitTime+receiveAllowance)
	defer cancel()
	out, err := b.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    aws.String(from.url),
		MaxNumberOfMessages:         maxBatchEntries,
		WaitTimeSeconds:             int32(b.config.WaitTime / time.Second),
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	}, func(o *sqs.Options) { o.DisableMessageChecksumValidation = true }) // see intact
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w", from.name, err)
	}
	return out.Messages, nil
}

// decode makes items of messages. One that was damaged on the way is left out: it comes again.
func (b *Bridge) decode(from *source, messages []types.Message, now time.Time) (items []*item, bytes int) {
	b.count.received.Add(int64(len(messages)))
	for _, message := range messages {
		if !intact(message) {
			b.logger.Warn("a message's body does not fit its checksum; left for redelivery",
				"queue", from.name, "message_id", aws.ToString(message.MessageId))
			continue
		}
		it := newItem(from, message, b.config.Limits, now)
		items = append(items, it)
		bytes += len(it.delivery.Body)
	}
	return items, bytes
}

func isMissingQueue(err error) bool {
	var missing *types.QueueDoesNotExist
	return errors.As(err, &missing)
}
