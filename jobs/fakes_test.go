package jobs_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway"
	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

const (
	content   = "Meet me at the pier"
	recipient = "fan-42-of-nobody-else"
)

var (
	workflowID = uuid.MustParse("0190f5a4-0000-7000-8000-000000000001")
	attempt    = db.Attempt{Workflow: workflowID, Sequence: 3}
	trace      = workflow.TraceContext{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7"}
	going      = db.Start{Verdict: db.VerdictGo, Fence: 77, UserID: "creator-7", WorkflowID: "wf-1", RecipientID: recipient, Content: content,
		Trace: trace, Attempt: 3, Capacity: 10, Window: time.Minute}
)

// fakeLedger answers as a test wants it to, and remembers what it was told.
type fakeLedger struct {
	begin  func(ctx context.Context) (db.Start, error)
	finish func(ctx context.Context) error

	mu       sync.Mutex
	begun    []db.Attempt
	finished []db.Finish
	times    []time.Time // of each Finish
}

func (l *fakeLedger) Begin(ctx context.Context, a db.Attempt) (db.Start, error) {
	l.mu.Lock()
	l.begun = append(l.begun, a)
	l.mu.Unlock()
	if l.begin != nil {
		return l.begin(ctx)
	}
	return going, nil
}

func (l *fakeLedger) Finish(ctx context.Context, f db.Finish) (db.Finished, error) {
	l.mu.Lock()
	l.finished = append(l.finished, f)
	l.times = append(l.times, time.Now())
	l.mu.Unlock()
	if l.finish != nil {
		if err := l.finish(ctx); err != nil {
			return db.Finished{}, err
		}
	}
	return db.Finished{Applied: true}, nil
}

// fakeGateway remembers what it got.
type fakeGateway struct {
	send func(ctx context.Context) gateway.Outcome

	mu       sync.Mutex
	messages []gateway.Message
}

func (g *fakeGateway) Send(ctx context.Context, m gateway.Message) gateway.Outcome {
	g.mu.Lock()
	g.messages = append(g.messages, m)
	g.mu.Unlock()
	if g.send != nil {
		return g.send(ctx)
	}
	return gateway.Outcome{Class: gateway.Accepted, MessageID: "m-1", Status: 200}
}

// fakeGuard allows everything unless it refuses.
type fakeGuard struct {
	refuses bool

	mu       sync.Mutex
	asked    []guardQuestion
	returned []string
}

type guardQuestion struct {
	UserID   string
	Capacity int
	Window   time.Duration
}

func (g *fakeGuard) Allow(userID string, capacity int, window time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, guardQuestion{userID, capacity, window})
	return !g.refuses
}

func (g *fakeGuard) Return(userID string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.returned = append(g.returned, userID)
}

// sendTest is the send step with everything around it fake.
type sendTest struct {
	ledger  fakeLedger
	gateway fakeGateway
	guard   fakeGuard
	log     bytes.Buffer
}

const rateLimitedDelay = 45 * time.Second

func (s *sendTest) worker() *jobs.SendWorker {
	return jobs.NewSendWorker(&s.ledger, &s.gateway, &s.guard, rateLimitedDelay, slog.New(slog.NewTextHandler(&s.log, nil)), time.Now)
}

// work runs the step and writes the line of the run to the log.
func (s *sendTest) work(ctx context.Context) error {
	logger := slog.New(slog.NewTextHandler(&s.log, nil))
	ctx, line := steplog.With(ctx, slog.LevelInfo)
	defer line.Write(ctx, logger)
	return s.worker().Work(ctx, sendJob())
}

func sendJob() *river.Job[jobs.SendArgs] {
	return &river.Job[jobs.SendArgs]{JobRow: &rivertype.JobRow{ID: 1, Attempt: 1}, Args: jobs.SendArgs{Workflow: attempt.Workflow, Sequence: attempt.Sequence}}
}
