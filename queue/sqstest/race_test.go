package sqstest_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// tally counts deliveries by body.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) add(ms []types.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range ms {
		c.counts[*m.Body]++
	}
}

func sendBatches(ctx context.Context, client *sqs.Client, url string, sender, batches int) error {
	for b := range batches {
		var left []types.SendMessageBatchRequestEntry
		for i := range 10 {
			left = append(left, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(fmt.Sprintf("%d-%d-%d", sender, b, i))})
		}
		for len(left) > 0 {
			out, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(url), Entries: left})
			if err != nil {
				if ctx.Err() != nil {
					return err
				}
				continue // a fault; a message may now be there twice
			}
			failed := map[string]bool{}
			for _, f := range out.Failed {
				failed[*f.Id] = true
			}
			var again []types.SendMessageBatchRequestEntry
			for _, e := range left {
				if failed[*e.Id] {
					again = append(again, e)
				}
			}
			left = again
		}
	}
	return nil
}

func deleteAll(ctx context.Context, client *sqs.Client, url string, ms []types.Message) (*sqs.DeleteMessageBatchOutput, error) {
	var entries []types.DeleteMessageBatchRequestEntry
	for i, m := range ms {
		entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), ReceiptHandle: m.ReceiptHandle})
	}
	return client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(url), Entries: entries})
}

func TestConcurrentExactlyOnce(t *testing.T) {
	e := ownEnv(t)
	const senders, batches, receivers = 4, 40, 6
	const total = senders * batches * 10
	url := e.queue("q", map[string]string{"VisibilityTimeout": "300"})
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	got := tally{counts: map[string]int{}}
	var deleted atomic.Int64
	received := make(chan []types.Message, receivers)
	var wg, deleters sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			if err := sendBatches(ctx, e.client, url, sender, batches); err != nil {
				t.Error(err)
				cancel()
			}
		})
	}
	for range receivers {
		wg.Go(func() {
			for ctx.Err() == nil {
				out, err := e.client.ReceiveMessage(ctx, receiveInput(url))
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				got.add(out.Messages)
				received <- out.Messages
			}
		})
	}
	for range 3 {
		deleters.Go(func() {
			for ms := range received {
				if len(ms) == 0 {
					continue
				}
				if out, err := deleteAll(e.ctx, e.client, url, ms); err != nil || len(out.Failed) > 0 {
					t.Errorf("delete: %v, %+v", err, out)
				}
				if deleted.Add(int64(len(ms))) == total {
					cancel()
				}
			}
		})
	}
	wg.Wait()
	close(received)
	deleters.Wait()

	if len(got.counts) != total {
		t.Errorf("received %d messages, want %d", len(got.counts), total)
	}
	for body, n := range got.counts {
		if n != 1 {
			t.Errorf("message %s was delivered %d times", body, n)
		}
	}
	e.awaitPollers(url, 0) // the server knows that the last polls are gone
	stats := e.server.Stats(nameOf(url))
	if want := (sqstest.Stats{Sent: total, Received: total, Deleted: total}); stats != want {
		t.Errorf("stats are %+v, want %+v", stats, want)
	}
}

// With every fault, cancelled polls and a clock that runs, every message still
// arrives at least once.
func TestConcurrentAtLeastOnceUnderFaults(t *testing.T) {
	e := ownEnv(t)
	const senders, batches, receivers = 3, 15, 4
	const total = senders * batches * 10
	url := e.queue("q", map[string]string{"VisibilityTimeout": "30"})
	one := func(p float64) []sqstest.ActionFault {
		return []sqstest.ActionFault{{Rate: sqstest.Rate{Probability: p}, Actions: []string{
			"SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch",
		}}}
	}
	e.setFaults(sqstest.Faults{
		Seed:                 42,
		Duplicate:            sqstest.Rate{Probability: 0.1},
		Reorder:              sqstest.Rate{Probability: 0.5},
		RedeliverAfterDelete: sqstest.Rate{Probability: 0.1},
		Fail:                 one(0.05),
		PartialBatch:         one(0.05),
		DropReply:            one(0.05),
	})
	client := e.patient()
	got := tally{counts: map[string]int{}}
	handle := func(ms []types.Message) {
		got.add(ms)
		if len(ms) > 0 {
			_, _ = deleteAll(e.ctx, client, url, ms) // a fault may refuse; then it comes again
		}
	}
	var sending, receiving, cancelling sync.WaitGroup
	for sender := range senders {
		sending.Go(func() {
			if err := sendBatches(e.ctx, client, url, sender, batches); err != nil {
				t.Error(err)
			}
		})
	}
	var sent, done atomic.Bool
	for range receivers {
		receiving.Go(func() {
			for e.ctx.Err() == nil {
				in := receiveInput(url)
				in.WaitTimeSeconds = 0
				out, err := client.ReceiveMessage(e.ctx, in)
				if err != nil {
					continue // a fault
				}
				handle(out.Messages)
				if len(out.Messages) > 0 {
					continue
				}
				if s := e.server.Stats(nameOf(url)); sent.Load() && s.Visible+s.InFlight == 0 {
					return
				}
				e.clock.Advance(time.Second) // towards the visibility timeouts
			}
		})
	}
	// Long polls that are cancelled somewhere in the middle.
	cancelling.Go(func() {
		for !done.Load() {
			ctx, cancel := context.WithCancel(e.ctx)
			in := receiveInput(url)
			in.WaitTimeSeconds = 20
			go func() {
				e.server.Stats(nameOf(url))
				cancel()
			}()
			if out, err := client.ReceiveMessage(ctx, in); err == nil {
				handle(out.Messages)
			}
			cancel()
		}
	})
	sending.Wait()
	sent.Store(true)
	receiving.Wait()
	done.Store(true)
	cancelling.Wait()

	if len(got.counts) != total {
		t.Errorf("received %d messages, want %d", len(got.counts), total)
	}
	_, counts := e.server.Faults()
	for name, n := range map[string]int{
		"duplicate": counts.Duplicate, "reorder": counts.Reorder, "redeliver": counts.RedeliverAfterDelete,
		"fail": counts.Fail, "partial": counts.PartialBatch, "drop": counts.DropReply,
	} {
		if n == 0 {
			t.Errorf("fault %s never happened", name)
		}
	}
}
