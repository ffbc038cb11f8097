package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/middleware"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.WithLeakCheck()) }

var schema = pgtest.Template{Name: "schema", Migrate: func(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	return db.Migrate(ctx, pool)
}}

// noJobs is an enqueuer for messages that are only parked.
type noJobs struct{}

func (noJobs) EnqueueTx(context.Context, pgx.Tx, []db.Job) error { return nil }

func newStore(t *testing.T) (*db.Store, *db.Pool) {
	t.Helper()
	pool, err := db.Open(t.Context(), pgtest.New(t, schema).URL, 8, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return db.NewStore(pool, noJobs{}, db.Config{Timing: db.Timing{Reservation: time.Second, CallTimeout: time.Second, Settle: time.Second}, Worker: "test"}), pool
}

// parking is a store as the bridge sees it: it takes in and lets nothing go.
type parking struct{ *db.Store }

func (p parking) Ingest(ctx context.Context, batch []workflow.Delivery) ([]workflow.Intake, error) {
	result, err := p.Store.Ingest(ctx, batch, false)
	return result.Answers, err
}

// memoryRoutes are routes without a database.
type memoryRoutes struct {
	mu     sync.Mutex
	sides  map[[2]string]flags.Side
	owners map[string]string
	fails  error
}

func (r *memoryRoutes) Known(_ context.Context, userID, workflowID string) (flags.Side, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	side, known := r.sides[[2]string{userID, workflowID}]
	return side, known, r.fails
}

func (r *memoryRoutes) ClaimRoutes(_ context.Context, claims []flags.Claim) ([]flags.Side, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sides == nil {
		r.sides = map[[2]string]flags.Side{}
	}
	var answers []flags.Side
	for _, c := range claims {
		key := [2]string{c.UserID, c.WorkflowID}
		if r.sides[key] == "" {
			r.sides[key] = c.Wanted
		}
		answers = append(answers, r.sides[key])
	}
	return answers, r.fails
}

func (r *memoryRoutes) Owners(context.Context, []string) (map[string]string, error) {
	return r.owners, r.fails
}

func (r *memoryRoutes) CampaignHere(_ context.Context, _, campaignID string) (bool, error) {
	return campaignID == "ours", r.fails
}

// switchboard is the flags of a test.
type switchboard struct {
	mu       sync.Mutex
	snapshot *flags.Snapshot
}

func (s *switchboard) Snapshot() *flags.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot
}

// set says which value is for all, and which accounts are here.
func (s *switchboard) set(value string, here ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := []flags.Row{{Name: flags.OrchestratorEnabled, Value: value}}
	for _, user := range here {
		rows = append(rows, flags.Row{Name: flags.OrchestratorEnabled, UserID: user, Value: "on"})
	}
	s.snapshot = flags.New(flags.Table{Rows: rows}, nil, true)
}

// seen is a request as the legacy orchestrator got it.
type seen struct {
	Method, URI, Host string
	Header            http.Header
	Body              string
	Length            int64
	Encoding          []string
	Trailer           http.Header
}

// legacy is a small legacy orchestrator.
type legacy struct {
	*httptest.Server
	mu     sync.Mutex
	got    []seen
	answer http.HandlerFunc // after the request was read
}

func newLegacy(t *testing.T) *legacy {
	t.Helper()
	l := &legacy{answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		l.got = append(l.got, seen{r.Method, r.RequestURI, r.Host, r.Header.Clone(), string(body), r.ContentLength, r.TransferEncoding, r.Trailer.Clone()})
		answer := l.answer
		l.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *legacy) answers(answer http.HandlerFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = answer
}

// take returns what came since the last time.
func (l *legacy) take() []seen {
	l.mu.Lock()
	defer l.mu.Unlock()
	got := l.got
	l.got = nil
	return got
}

// rig is a middleware between a legacy orchestrator and this one.
type rig struct {
	*middleware.Middleware
	flags  *switchboard
	routes *memoryRoutes
	legacy *legacy
	log    *syncBuffer
}

func newRig(t *testing.T, adjust ...func(*middleware.Config)) *rig {
	t.Helper()
	r := &rig{flags: &switchboard{}, routes: &memoryRoutes{}, legacy: newLegacy(t), log: &syncBuffer{}}
	r.flags.set("off")
	config := middleware.Config{Flags: r.flags, Routes: r.routes, LegacyURL: r.legacy.URL, Logger: slog.New(slog.NewTextHandler(r.log, nil))}
	for _, change := range adjust {
		change(&config)
	}
	m, err := middleware.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	r.Middleware = m
	return r
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var errAway = errors.New("no database")

// delivery is one that a bridge hands over.
func delivery(userID string, n int) workflow.Delivery {
	id := fmt.Sprint("wf-", n)
	return workflow.Delivery{Source: "messages", MessageID: fmt.Sprint("sqs-", userID, "-", n), ReceiveCount: 1,
		Message: workflow.Message{WorkflowID: id, UserID: userID, RecipientID: fmt.Sprint("fan-", n), Content: "Hello", Priority: 3, MaxRetries: 3,
			Trace: workflow.TraceContext{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7", TraceState: "a=b"}},
		Body: fmt.Appendf(nil, ` {"workflowId":%q,"odd": "Ünï\u0041", "recipientId":"fan-%d"}`+"\n", id, n)}
}
