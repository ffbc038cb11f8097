package db_test

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// sim is a small fleet in the time of the test: it runs the jobs of a database when they are due, by a gateway that
// accepts everything. Its store may fail at any call.
type sim struct {
	*fleet
	store    *db.Store
	received map[uuid.UUID]int
	crash    func() bool // the worker dies after a call, before it reports; nil: never
	failures int         // calls of the store that failed
	done     db.Reconciled
}

func newSim(f *fleet, store *db.Store) *sim {
	return &sim{fleet: f, store: store, received: map[uuid.UUID]int{}}
}

// drain runs until every message has come to its end. It goes from one job to the next, and lets the reconciler run in
// between as often as in production.
func (s *sim) drain() {
	s.t.Helper()
	for range 3000 {
		jobs := s.takeJobs()
		for _, j := range jobs {
			if err := s.run(j); err != nil {
				if errors.Is(err, db.ErrFailover) {
					_, _ = s.store.AdoptDatabase(s.ctx)
				}
				s.failures++
				s.exec(`UPDATE test_job_log SET taken = false WHERE id = $1`, j.ID) // River runs it again
			}
		}
		if len(jobs) > 0 {
			continue
		}
		open := 0
		for stage, n := range s.stages() {
			if !stage.Final() {
				open += n
			}
		}
		if open == 0 {
			return
		}
		s.skipAhead()
	}
	s.t.Fatalf("messages are left: %v", s.stages())
}

func (s *sim) skipAhead() {
	s.t.Helper()
	d := time.Minute
	if next := one[*time.Time](s.fleet, `SELECT min(at) FROM test_job_log WHERE NOT taken`); next != nil {
		d = min(d, max(next.Sub(s.Clock(s.t)), 0))
	}
	s.AdvanceClock(s.t, d)
	done, err := s.store.Reconcile(s.ctx)
	if err != nil {
		s.failures++
	}
	s.done.Expired += done.Expired
	s.done.Abandoned += done.Abandoned
	s.done.Unasked += done.Unasked
	s.done.Orphaned += done.Orphaned
	s.done.Unwoken += done.Unwoken
	s.done.Cancelled += done.Cancelled
}

// run does what a worker does with a job.
func (s *sim) run(j job) error {
	switch j.Kind {
	case workflow.StepRelease:
		_, err := s.store.Release(s.ctx, []db.Release{{UserID: j.UserID, WakeUps: []time.Time{j.At}}})
		return err
	case workflow.StepResolve:
		return s.resolve(j.Attempt)
	}
	starts, err := s.store.Begin(s.ctx, []db.Attempt{j.Attempt})
	if err != nil {
		return err
	}
	report := db.Finish{Attempt: j.Attempt, Fence: starts[0].Fence, Outcome: workflow.EventAccepted}
	switch starts[0].Verdict {
	case db.VerdictDone:
		return nil
	case db.VerdictWithdraw:
		report.Outcome, report.Reason = workflow.EventWithdrawn, starts[0].Reason
	case db.VerdictGo:
		if s.crash != nil && s.crash() {
			return nil
		}
		s.received[j.Attempt.Workflow]++
		if s.crash != nil && s.crash() {
			return nil
		}
	}
	return s.report(report)
}

// report writes an outcome down, for as long as it takes or until the worker dies.
func (s *sim) report(r db.Finish) error {
	for {
		_, err := s.store.Finish(s.ctx, []db.Finish{r}, true)
		if err == nil || s.crash != nil && s.crash() {
			return err
		}
		s.failures++
	}
}

func (s *sim) resolve(a db.Attempt) error {
	doubt, open, err := s.store.Doubt(s.ctx, a)
	if err != nil || !open {
		return err
	}
	r := db.Finish{Attempt: a, Fence: doubt.Fence, Outcome: workflow.EventAccepted, ResolvedBy: "look-up"}
	switch {
	case s.received[a.Workflow] > 0:
	case doubt.Settled < 0:
		return s.store.AskAgain(s.ctx, a, -doubt.Settled, "not accepted so far")
	default:
		r.Outcome, r.Reason = workflow.EventNotSent, "never_accepted"
	}
	_, err = s.store.Finish(s.ctx, []db.Finish{r}, true)
	return err
}

// checkEnd fails unless every message was sent, and arrived once.
func (s *sim) checkEnd() {
	s.t.Helper()
	s.check()
	for _, id := range column[uuid.UUID](s.fleet, `SELECT id FROM hybrid_workflows`) {
		stage, n := s.stage(id), s.received[id]
		if n > 1 || (stage == workflow.StageSent) != (n == 1) {
			s.t.Errorf("workflow %s is %s and arrived %d times", id, stage, n)
		}
	}
}
