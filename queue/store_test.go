package queue_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

var errDown = errors.New("connection refused")

// store is a Store in memory, with faults.
type store struct {
	mu         sync.Mutex
	down       bool                         // Ingest and Ping fail
	ambiguous  int                          // so many Ingests commit, but fail
	terminated int                          // so many Ingests are ended by the server, which answers
	deaf       bool                         // with ambiguous: Ping fails for once after it
	refuse     func(workflow.Delivery) bool // Ingest of a batch with such a delivery fails, Ping does not
	unknown    func(workflow.Delivery) bool // such a delivery is quarantined by the store itself
	block      chan struct{}                // Ingest waits for it
	uneven     bool                         // Ingests take from 0 to 3 ms
	workflows  map[workflow.Key]workflow.Delivery
	order      []workflow.Key
	quarantine map[string]workflow.Delivery // by message id
	committed  map[string]bool              // message ids that may be deleted
	mostSeen   int                          // highest receive count
	batches    [][]string                   // message ids of each Ingest
	largest    int                          // batch
	pings      int
}

func newStore() *store {
	return &store{workflows: map[workflow.Key]workflow.Delivery{}, quarantine: map[string]workflow.Delivery{}, committed: map[string]bool{}}
}

func (s *store) set(change func(*store)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *store) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.workflows)
}

func (s *store) Ping(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pings++
	if s.down {
		return errDown
	}
	if s.deaf {
		s.deaf = false
		return errDown
	}
	return nil
}

func (s *store) Ingest(ctx context.Context, batch []workflow.Delivery) ([]workflow.Intake, error) {
	s.mu.Lock()
	block, uneven := s.block, s.uneven
	s.mu.Unlock()
	if uneven {
		time.Sleep(rand.N(3 * time.Millisecond))
	}
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.largest = max(s.largest, len(batch))
	var ids []string
	for _, d := range batch {
		s.mostSeen = max(s.mostSeen, d.ReceiveCount)
		ids = append(ids, d.MessageID)
	}
	s.batches = append(s.batches, ids)
	if s.down {
		return nil, errDown
	}
	if s.terminated > 0 {
		s.terminated--
		return nil, interruption{errors.New("terminating connection due to administrator command")}
	}
	for _, d := range batch {
		if s.refuse != nil && s.refuse(d) {
			return nil, errors.New("violates check constraint")
		}
	}
	intakes := make([]workflow.Intake, len(batch))
	for i, d := range batch {
		s.committed[d.MessageID] = true
		_, known := s.workflows[d.Message.Key()]
		switch {
		case d.Problem != nil:
			s.quarantine[d.MessageID] = d
			intakes[i] = workflow.Intake{Outcome: workflow.IntakeQuarantined, Problem: d.Problem}
		case s.unknown != nil && s.unknown(d):
			s.quarantine[d.MessageID] = d
			intakes[i] = workflow.Intake{Outcome: workflow.IntakeQuarantined, Problem: &workflow.Problem{Field: "userId", Reason: "names no account\x00", Remedy: "set DEFAULT_USER_ID"}}
		case known:
			intakes[i].Outcome = workflow.IntakeDuplicate
		default:
			s.workflows[d.Message.Key()] = d
			s.order = append(s.order, d.Message.Key())
			intakes[i].Outcome = workflow.IntakeAccepted
		}
	}
	if s.ambiguous > 0 {
		s.ambiguous--
		return nil, errors.New("unexpected EOF")
	}
	return intakes, nil
}

type interruption struct{ error }

func (interruption) Interrupted() bool { return true }

// hooks is an API that tells, changes or refuses what passes through it.
type hooks struct {
	queue.API
	receive    func(context.Context, *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error)
	delete     func(context.Context, *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error)
	attributes func(context.Context, *sqs.GetQueueAttributesInput) (*sqs.GetQueueAttributesOutput, error)
	move       func(context.Context, *sqs.StartMessageMoveTaskInput) (*sqs.StartMessageMoveTaskOutput, error)
}

func (h *hooks) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if h.receive != nil {
		return h.receive(ctx, in)
	}
	return h.API.ReceiveMessage(ctx, in, o...)
}

func (h *hooks) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	if h.delete != nil {
		return h.delete(ctx, in)
	}
	return h.API.DeleteMessageBatch(ctx, in, o...)
}

func (h *hooks) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, o ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	if h.attributes != nil {
		return h.attributes(ctx, in)
	}
	return h.API.GetQueueAttributes(ctx, in, o...)
}

func (h *hooks) StartMessageMoveTask(ctx context.Context, in *sqs.StartMessageMoveTaskInput, o ...func(*sqs.Options)) (*sqs.StartMessageMoveTaskOutput, error) {
	if h.move != nil {
		return h.move(ctx, in)
	}
	return h.API.StartMessageMoveTask(ctx, in, o...)
}
