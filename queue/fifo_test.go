package queue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

func fifo(b, group string, i int) types.SendMessageBatchRequestEntry {
	e := entry(b)
	e.MessageGroupId, e.MessageDeduplicationId = aws.String(group), aws.String(fmt.Sprint(group, "-", i))
	return e
}

func newFIFOWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	if err := w.server.CreateQueue("dead.fifo", map[string]string{"FifoQueue": "true"}); err != nil {
		t.Fatal(err)
	}
	if err := w.server.CreateQueue("messages.fifo", map[string]string{"FifoQueue": "true", "VisibilityTimeout": "300",
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":3}`, w.server.QueueARN("dead.fifo"))}); err != nil {
		t.Fatal(err)
	}
	w.config.Queue, w.config.DeadLetterQueue = "messages.fifo", "dead.fifo"
	w.config.Pollers, w.config.Writers, w.config.BatchMax = 8, 2, 10 // so that receives wait, and would be split if they could be
	return w
}

// On a FIFO queue the messages of a group reach the store in their order, whatever fails on the way.
func TestFIFOKeepsOrder(t *testing.T) {
	t.Parallel()
	const groups, each = 24, 17 // not a multiple of ten: what is received must not fit into batches evenly
	w := newFIFOWorld(t)
	var entries []types.SendMessageBatchRequestEntry
	for i := range each {
		for g := range groups {
			b := fmt.Sprintf(`{"workflowId":"wf-%d","recipientId":"fan","userId":"creator-%d","content":"Hello"}`, i, g)
			if i == 7 {
				b = "bad"
			}
			entries = append(entries, fifo(b, fmt.Sprint("g", g), i))
		}
	}
	w.send("messages.fifo", entries...)
	// The third message of group 1 is refused at its first delivery, and some deletes and commits fail.
	refusals := 0
	w.store.set(func(s *store) {
		s.ambiguous, s.uneven = 2, true
		s.refuse = func(d workflow.Delivery) bool {
			if d.Message.UserID == "creator-1" && d.Message.WorkflowID == "wf-3" && d.ReceiveCount == 1 {
				refusals++
				return true
			}
			return false
		}
	})
	if err := w.server.SetFaults(sqstest.Faults{Seed: 5, PartialBatch: []sqstest.ActionFault{{Rate: sqstest.Rate{Probability: 0.3}, Actions: []string{"DeleteMessageBatch"}}}}); err != nil {
		t.Fatal(err)
	}
	w.start(nil)
	w.eventually(100*time.Millisecond, "the queue to be empty", func() bool {
		s := w.server.Stats("messages.fifo")
		return s.Visible+s.InFlight == 0
	})
	if refusals == 0 {
		t.Fatal("nothing was refused: the test shows nothing")
	}
	next := map[string]int{}
	for _, key := range w.store.order {
		var i int
		if _, err := fmt.Sscanf(key.WorkflowID, "wf-%d", &i); err != nil {
			t.Fatal(err)
		}
		want := next[key.UserID]
		if want == 7 {
			want++ // the bad one
		}
		if i != want {
			t.Fatalf("%s: message %d came after %d", key.UserID, i, want-1)
		}
		next[key.UserID] = want + 1
	}
	if len(w.store.order) != groups*(each-1) {
		t.Errorf("%d of %d workflows", len(w.store.order), groups*(each-1))
	}
	dead := map[string]bool{} // a copy may be there twice, after a delete that failed for good
	for _, m := range w.server.Messages("dead.fifo") {
		dead[m.Attributes["sourceMessageId"].StringValue] = true
	}
	if len(dead) != groups {
		t.Errorf("%d of %d bad ones in the FIFO dead-letter queue", len(dead), groups)
	}
}
