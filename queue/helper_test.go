package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.uber.org/goleak"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Idle connections of the SDK's client; they end by themselves.
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

const (
	mainQueue  = "messages"
	retryQueue = "retry"
	deadQueue  = "dead"
)

// manual is one clock for the server and the bridge. It stands still until a test moves it.
type manual struct{ *sqstest.ManualClock }

func (m manual) After(d time.Duration) <-chan time.Time {
	c := make(chan time.Time, 1)
	m.AfterFunc(d, func() { c <- m.Now() })
	return c
}

// world is an SQS server, a store and what a bridge needs, on one clock.
type world struct {
	t      testing.TB
	clock  manual
	server *sqstest.Running
	api    *sqs.Client
	store  *store
	config queue.Config
	log    *logBuffer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	clock := manual{sqstest.NewManualClock(time.Time{})}
	server := sqstest.StartTB(t, sqstest.Options{Clock: clock.ManualClock})
	if err := server.ApplyProductionQueues(mainQueue, retryQueue, deadQueue); err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, clock: clock, server: server, api: once(t, server), store: newStore(), log: &logBuffer{},
		config: queue.Config{
			Queue: mainQueue, DeadLetterQueue: deadQueue,
			Pollers: 2, Linger: -1, Clock: clock,
		},
	}
}

// newClient is the client that the fleet uses.
func newClient(t testing.TB, server *sqstest.Running) *sqs.Client {
	t.Helper()
	client, err := queue.NewClient(t.Context(), "us-east-1", server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// once is a client that does not repeat by itself: its waits are real ones.
func once(t testing.TB, server *sqstest.Running) *sqs.Client {
	t.Helper()
	return sqs.New(newClient(t, server).Options(), func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
}

// running is a bridge at work.
type running struct {
	*queue.Bridge
	w      *world
	cancel context.CancelFunc
	done   chan error
}

// start runs a bridge over the API, or over the server itself when that is nil, and stops it with the test.
func (w *world) start(api queue.API) *running {
	w.t.Helper()
	if api == nil {
		api = w.api
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	r := &running{Bridge: queue.New(w.config, api, w.store, slog.New(slog.NewTextHandler(w.log, nil))), w: w, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- r.Run(ctx) }()
	w.t.Cleanup(func() {
		w.store.set(func(s *store) { s.down = false; s.block = nil })
		_ = w.server.SetFaults(sqstest.Faults{})
		r.stop()
	})
	return r
}

// stop ends the bridge, moving the clock so that its long polls end, and fails the test if it does not.
func (r *running) stop() {
	r.w.t.Helper()
	r.cancel()
	r.w.eventually(time.Second, "the bridge to stop", func() bool {
		select {
		case err := <-r.done:
			if err != nil {
				r.w.t.Errorf("Run: %v", err)
			}
			r.done <- nil // for the next stop
			return true
		default:
			return false
		}
	})
}

// eventually waits for a condition, moving the clock by step each time that it is not met.
func (w *world) eventually(step time.Duration, what string, met func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !met(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %s\n%s", what, w.log)
		}
		time.Sleep(time.Millisecond)
		if step > 0 {
			w.clock.Advance(step)
		}
	}
}

// pass moves the clock in steps and lets everybody work between them.
func (w *world) pass(total, step time.Duration) {
	for ; total > 0; total -= step {
		w.clock.Advance(step)
		time.Sleep(2 * time.Millisecond)
	}
}

// drained says whether nothing is left in the queues that are read.
func (w *world) drained() bool {
	for _, name := range []string{mainQueue, retryQueue} {
		if s := w.server.Stats(name); s.Visible+s.InFlight+s.Delayed > 0 {
			return false
		}
	}
	return true
}

// body is a good message.
func body(i int) string {
	return fmt.Sprintf(`{"workflowId":"wf-%d","recipientId":"fan-%d","userId":"creator","content":"Hello %d"}`, i, i, i)
}

func entry(body string) types.SendMessageBatchRequestEntry {
	return types.SendMessageBatchRequestEntry{MessageBody: aws.String(body)}
}

// send puts messages on a queue.
func (w *world) send(name string, entries ...types.SendMessageBatchRequestEntry) {
	w.t.Helper()
	url := w.url(name)
	for len(entries) > 0 {
		n := min(10, len(entries))
		if len(*entries[0].MessageBody) > 100_000 {
			n = 1
		}
		for i := range entries[:n] {
			entries[i].Id = aws.String(strconv.Itoa(i))
		}
		out, err := w.api.SendMessageBatch(context.Background(), &sqs.SendMessageBatchInput{QueueUrl: aws.String(url), Entries: entries[:n]})
		if err != nil || len(out.Failed) > 0 {
			w.t.Fatalf("send: %v %v", err, out)
		}
		entries = entries[n:]
	}
}

func (w *world) sendBodies(n int) {
	w.t.Helper()
	var entries []types.SendMessageBatchRequestEntry
	for i := range n {
		entries = append(entries, entry(body(i)))
	}
	w.send(mainQueue, entries...)
}

func (w *world) url(name string) string {
	w.t.Helper()
	out, err := w.api.GetQueueUrl(context.Background(), &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.QueueUrl
}

func (w *world) setAttributes(name string, attributes map[string]string) {
	w.t.Helper()
	if _, err := w.api.SetQueueAttributes(context.Background(), &sqs.SetQueueAttributesInput{QueueUrl: aws.String(w.url(name)), Attributes: attributes}); err != nil {
		w.t.Fatal(err)
	}
}

var errDown = errors.New("connection refused")

// store is a Store in memory, with faults.
type store struct {
	mu         sync.Mutex
	down       bool                         // Ingest and Ping fail
	ambiguous  int                          // so many Ingests commit, but fail
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
	ingests    int
	largest    int // batch
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
	s.ingests++
	s.largest = max(s.largest, len(batch))
	for _, d := range batch {
		s.mostSeen = max(s.mostSeen, d.ReceiveCount)
	}
	if s.down {
		return nil, errDown
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

// logBuffer is a log that tests may read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
