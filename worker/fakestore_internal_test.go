package worker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// fakeStore answers as a test wants it to, and remembers what it was asked and when.
type fakeStore struct {
	began time.Time

	mu        sync.Mutex
	ingests   []ingestCall
	releases  []releaseCall
	begins    [][]db.Attempt
	finishes  []finishCall
	applies   [][]db.Apply
	plans     [][]db.PlanStep
	adoptions int

	// What answers; nil: the simplest success.
	ingest  func(batch []workflow.Delivery, release bool) (db.IntakeResult, error)
	release func(requests []db.Release) ([]db.Released, error)
	begin   func(attempts []db.Attempt) ([]db.Start, error)
	finish  func(reports []db.Finish, tokens bool) ([]db.Finished, error)
	apply   func(events []db.Apply) ([]db.Applied, error)
	plan    func(steps []db.PlanStep) ([]db.PlanNext, error)
	adopt   func() (time.Time, error)
	ping    error

	reconciled db.Reconciled
}

type ingestCall struct {
	at      time.Duration
	count   int
	release bool
}

type releaseCall struct {
	at       time.Duration
	requests []db.Release
}

func (c releaseCall) String() string {
	text := c.at.String()
	for _, r := range c.requests {
		text += " " + r.UserID
		if r.Bypass {
			text += fmt.Sprintf(" bypass %d", r.Allowance)
		}
	}
	return text
}

type finishCall struct {
	at      time.Duration
	reports []db.Finish
	tokens  bool
}

func (s *fakeStore) Reconcile(context.Context) (db.Reconciled, error) { return s.reconciled, nil }

func (s *fakeStore) Plan(_ context.Context, steps []db.PlanStep) ([]db.PlanNext, error) {
	s.mu.Lock()
	s.plans = append(s.plans, steps)
	s.mu.Unlock()
	if s.plan != nil {
		return s.plan(steps)
	}
	return make([]db.PlanNext, len(steps)), nil
}

func (s *fakeStore) Expand(context.Context, uuid.UUID, int) (db.Expanded, error) {
	return db.Expanded{}, nil
}

func (s *fakeStore) elapsed() time.Duration { return time.Since(s.began) }

func (s *fakeStore) Ingest(_ context.Context, batch []workflow.Delivery, release bool) (db.IntakeResult, error) {
	s.mu.Lock()
	s.ingests = append(s.ingests, ingestCall{s.elapsed(), len(batch), release})
	s.mu.Unlock()
	if s.ingest != nil {
		return s.ingest(batch, release)
	}
	return accepted(batch), nil
}

// accepted is an intake in which everything is new, and nothing waits.
func accepted(batch []workflow.Delivery) db.IntakeResult {
	result := db.IntakeResult{Answers: make([]workflow.Intake, len(batch))}
	for i := range batch {
		result.Answers[i].Outcome = workflow.IntakeAccepted
	}
	return result
}

// parked is what an intake without release says of an account.
func parked(user string) db.Released {
	return db.Released{UserID: user, Waiting: true, NextToken: -1}
}

func (s *fakeStore) Release(_ context.Context, requests []db.Release) ([]db.Released, error) {
	s.mu.Lock()
	s.releases = append(s.releases, releaseCall{s.elapsed(), append([]db.Release(nil), requests...)})
	s.mu.Unlock()
	if s.release != nil {
		return s.release(requests)
	}
	return idle(requests), nil
}

// idle says of every account that nothing of it waits.
func idle(requests []db.Release) []db.Released {
	released := make([]db.Released, len(requests))
	for i, r := range requests {
		released[i] = db.Released{UserID: r.UserID, Next: -1, NextToken: -1}
	}
	return released
}

func (s *fakeStore) Begin(_ context.Context, attempts []db.Attempt) ([]db.Start, error) {
	s.mu.Lock()
	s.begins = append(s.begins, append([]db.Attempt(nil), attempts...))
	s.mu.Unlock()
	if s.begin != nil {
		return s.begin(attempts)
	}
	starts := make([]db.Start, len(attempts))
	for i, a := range attempts {
		starts[i] = db.Start{Verdict: db.VerdictGo, Fence: int64(a.Sequence)}
	}
	return starts, nil
}

func (s *fakeStore) Finish(_ context.Context, reports []db.Finish, tokens bool) ([]db.Finished, error) {
	s.mu.Lock()
	s.finishes = append(s.finishes, finishCall{s.elapsed(), append([]db.Finish(nil), reports...), tokens})
	s.mu.Unlock()
	if s.finish != nil {
		return s.finish(reports, tokens)
	}
	done := make([]db.Finished, len(reports))
	for i := range reports {
		done[i] = db.Finished{Applied: true, Next: -1}
	}
	return done, nil
}

func (s *fakeStore) Apply(_ context.Context, events []db.Apply) ([]db.Applied, error) {
	s.mu.Lock()
	s.applies = append(s.applies, append([]db.Apply(nil), events...))
	s.mu.Unlock()
	if s.apply != nil {
		return s.apply(events)
	}
	return make([]db.Applied, len(events)), nil
}

func (s *fakeStore) AdoptDatabase(context.Context) (time.Time, error) {
	s.mu.Lock()
	s.adoptions++
	s.mu.Unlock()
	if s.adopt != nil {
		return s.adopt()
	}
	return time.Time{}, nil
}

func (s *fakeStore) Ping(context.Context) error { return s.ping }

// engineTest is an engine on a fake store, in virtual time.
type engineTest struct {
	*testing.T
	*Engine
	store    *fakeStore
	log      *logText
	registry *prometheus.Registry
	closed   bool // by the test itself
}

// withEngine runs a test in a bubble of virtual time. What the engine leaves behind fails it.
func withEngine(t *testing.T, do func(e *engineTest)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &engineTest{T: t, store: &fakeStore{began: time.Now()}, log: &logText{}, registry: prometheus.NewRegistry()}
		e.Engine = NewEngine(e.store, slog.New(slog.NewTextHandler(e.log, nil)), NewMetrics(e.registry), fallback.Default().Row(fallback.RateLimiterDown))
		defer func() {
			if !e.closed {
				e.Close()
			}
		}()
		do(e)
	})
}

type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// released is what the store was asked to release since the last time.
func (e *engineTest) released() []releaseCall {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	calls := e.store.releases
	e.store.releases = nil
	return calls
}

// looks says that the store was asked exactly once since the last time, for this account alone, at a time at which
// a timer of the given delay may go off.
func (e *engineTest) looks(user string, set, delay time.Duration) {
	e.Helper()
	calls := e.released()
	if len(calls) != 1 || len(calls[0].requests) != 1 || calls[0].requests[0].UserID != user ||
		calls[0].at < set+delay || calls[0].at > set+delay+delay/coarseness {
		e.Errorf("releases %v, want one of %s between %s and %s", calls, user, set+delay, set+delay+delay/coarseness)
	}
}

// quiet says that the store was not asked to release anything since the last time.
func (e *engineTest) quiet() {
	e.Helper()
	if calls := e.released(); len(calls) > 0 {
		e.Errorf("releases %v, want none", calls)
	}
}

// metric is the sum of a metric over its labels; a histogram counts what it has seen.
func (e *engineTest) metric(name string) (sum float64) {
	e.Helper()
	families, err := e.registry.Gather()
	if err != nil {
		e.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}
