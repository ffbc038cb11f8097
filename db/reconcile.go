package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Reconciled counts what the reconciler had to put right. Expired and Abandoned follow from crashes; Orphaned
// and Unwoken should stay 0: they mean that a step was lost in another way.
type Reconciled struct {
	Expired    int // reservations that no worker came for: given back
	Abandoned  int // calls whose worker died: now in doubt
	Unasked    int // doubts whose look-up was lost: asked again
	Orphaned   int // messages "sending" without an open attempt: parked again
	Unwoken    int // accounts with parked messages and no wake-up: woken
	Unplanned  int // texts whose job was lost: given another
	Unexpanded int // campaigns whose job was lost: given another
	Outdated   int // messages whose time ran out: closed
	Cancelled  int // messages of cancelled campaigns: closed
	Pruned     int // rows nobody needs any more: deleted
}

const (
	// reconcileMost bounds one pass; the next one goes on.
	reconcileMost = 1000
	// abandonedAfter is how long after its deadline a call is taken for lost: its worker may be slow to
	// report, and a report is better than a doubt.
	abandonedAfter = 15 * time.Second
	// reconcileLease is how long others wait for a pass that says nothing: for one whose process died, or for a step that
	// hangs. It is renewed between steps.
	reconcileLease = 10 * time.Second
	letGoWithin    = 2 * time.Second
)

// Reconcile finds what a crash left behind and puts it back on its way. It is safe to run at any time. While
// another pass is under way anywhere it does nothing: passes that are slow because the database has much to do would gather,
// lock the same rows, take all connections, and make it slower.
func (s *Store) Reconcile(ctx context.Context) (r Reconciled, err error) {
	pass, renewed := uuid.NewString(), time.Time{}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), letGoWithin)
		defer cancel()
		_ = s.letGo(ctx, leaseReconcile, pass) // it ends by itself
	}()
	for _, step := range []struct {
		name string
		do   func(context.Context, *Reconciled) error
	}{
		{"expired reservations", s.returnExpired}, {"abandoned calls", s.doubtAbandoned}, {"unasked doubts", s.askUnasked},
		{"orphans", s.requeueOrphans}, {"lost plans", s.replanLost}, {"cancelled campaigns", s.closeCancelled}, {"lost expansions", s.expandLost}, {"expired messages", s.closeExpired}, {"completed campaigns", s.completeCampaigns}, {"counts", s.sumCounts}, {"tokens", s.syncTokens},
		{"unwoken accounts", s.wakeUnwoken}, {"old rows", s.prune},
	} {
		if time.Since(renewed) > reconcileLease/3 {
			held, leaseErr := s.hold(ctx, leaseReconcile, pass, reconcileLease)
			if leaseErr == nil && !held {
				return r, err
			}
			renewed, err = time.Now(), errors.Join(err, leaseErr)
		}
		// One that fails must not keep the others from their work: a limiter that is down is no reason not to
		// settle what a crash left behind.
		if stepErr := step.do(ctx, &r); stepErr != nil {
			err = errors.Join(err, fmt.Errorf("reconcile %s: %w", step.name, stepErr))
		}
	}
	return r, err
}

func (s *Store) attemptsWhere(ctx context.Context, where string, args ...any) ([]Finish, error) {
	rows, err := s.pool.Query(ctx, `SELECT workflow, sequence, coalesce(fence, 0) FROM send_attempts WHERE `+where+fmt.Sprintf(" LIMIT %d", reconcileMost), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f Finish, err error) {
		return f, row.Scan(&f.Workflow, &f.Sequence, &f.Fence)
	})
}

// finishEach reports one outcome for many attempts, a bad one not failing the others.
func (s *Store) finishEach(ctx context.Context, reports []Finish, applied *int) error {
	for start := 0; start < len(reports); start += 100 {
		part := reports[start:min(start+100, len(reports))]
		finished, err := s.Finish(ctx, part, true)
		if errors.Is(err, ErrLimiterDown) {
			finished, err = s.Finish(ctx, part, false)
		}
		if err != nil {
			return err
		}
		for _, f := range finished {
			if f.Applied {
				*applied++
			}
		}
	}
	return nil
}

func (s *Store) returnExpired(ctx context.Context, r *Reconciled) error {
	reports, err := s.attemptsWhere(ctx, `state = 'reserved' AND reservation_ends < hybrid_clock() - interval '1 second'`)
	if err != nil {
		return err
	}
	for i := range reports {
		reports[i].Outcome, reports[i].Reason = workflow.EventWithdrawn, "reservation_expired"
	}
	return s.finishEach(ctx, reports, &r.Expired)
}

func (s *Store) doubtAbandoned(ctx context.Context, r *Reconciled) error {
	reports, err := s.attemptsWhere(ctx, `state = 'in_flight' AND call_deadline < hybrid_clock() - $1::interval`, abandonedAfter)
	if err != nil {
		return err
	}
	for i := range reports {
		reports[i].Outcome, reports[i].Reason = workflow.EventUnknown, "worker_lost"
	}
	return s.finishEach(ctx, reports, &r.Abandoned)
}

func (s *Store) askUnasked(ctx context.Context, r *Reconciled) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE send_attempts SET look_up_at = hybrid_clock()
			WHERE (workflow, sequence) IN (SELECT workflow, sequence FROM send_attempts
				WHERE state = 'unknown' AND look_up_at < hybrid_clock() - interval '60 seconds' LIMIT $1 FOR UPDATE SKIP LOCKED)
			RETURNING workflow, sequence, (SELECT w.trace_context FROM hybrid_workflows w WHERE w.id = send_attempts.workflow)`, reconcileMost)
		if err != nil {
			return err
		}
		jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Job, error) {
			j := Job{Kind: workflow.StepResolve}
			var trace []byte
			err := row.Scan(&j.Workflow, &j.Sequence, &trace)
			j.Trace = traceOf(trace)
			return j, err
		})
		if err != nil || len(jobs) == 0 {
			return err
		}
		r.Unasked = len(jobs)
		return s.enqueuer.EnqueueTx(ctx, tx, jobs)
	})
}

// requeueOrphans parks messages that are "sending" though their ledger has no open or accepted attempt.
func (s *Store) requeueOrphans(ctx context.Context, r *Reconciled) error {
	tag, err := s.pool.Exec(ctx, `
		UPDATE hybrid_workflows w SET stage = 'queued', version = version + 1, updated_at = hybrid_clock(), last_error = 'put back by the reconciler'
		WHERE w.id IN (SELECT o.id FROM hybrid_workflows o WHERE o.stage IN ('sending', 'in_doubt') AND o.updated_at < hybrid_clock() - interval '60 seconds'
			AND (SELECT a.state FROM send_attempts a WHERE a.workflow = o.id AND a.state IN ('reserved', 'in_flight', 'unknown', 'accepted') LIMIT 1) IS NULL
			LIMIT $1 FOR UPDATE SKIP LOCKED)`, reconcileMost)
	r.Orphaned = int(tag.RowsAffected())
	return err
}

// closeCancelled ends the parked messages of cancelled campaigns. They could not be sent any more from the
// moment the campaign was cancelled; here they get their final stage.
func (s *Store) closeCancelled(ctx context.Context, r *Reconciled) error {
	// One statement for each stage, so that the partial index of the stage fits: from the few campaigns to their
	// messages, and never through all messages.
	for _, stage := range []workflow.Stage{workflow.StageQueued, workflow.StagePlanning} {
		tag, err := s.pool.Exec(ctx, fmt.Sprintf(`
			WITH closed AS (
				UPDATE hybrid_workflows w SET stage = 'cancelled', version = version + 1, wait_reason = '', last_error = 'campaign cancelled', updated_at = hybrid_clock()
				WHERE w.id IN (SELECT q.id FROM campaigns c CROSS JOIN LATERAL (SELECT p.id FROM hybrid_workflows p
						WHERE p.user_id = c.user_id AND p.campaign_id = c.campaign_id AND p.stage = '%s' LIMIT $1 FOR UPDATE SKIP LOCKED) q
					WHERE c.state = 'cancelled' LIMIT $1)
				RETURNING w.id)
			INSERT INTO workflow_events (workflow, at, kind, detail) SELECT id, hybrid_clock(), 'cancelled', '{}' FROM closed`, stage), 10*reconcileMost)
		r.Cancelled += int(tag.RowsAffected())
		if err != nil {
			return err
		}
	}
	return nil
}

// syncTokens tells the buckets what the ledger knows better, for the accounts that have calls which a worker
// without access to the buckets has ended.
func (s *Store) syncTokens(ctx context.Context, _ *Reconciled) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT DISTINCT t.user_id FROM account_tokens t JOIN send_attempts a ON a.workflow = t.workflow AND a.sequence = t.sequence
			WHERE t.busy_until > hybrid_clock() AND a.state NOT IN ('reserved', 'in_flight', 'unknown') LIMIT $1`, reconcileMost)
		if err != nil {
			return limiterError(err)
		}
		users, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(users) == 0 {
			return limiterError(err)
		}
		var st statements
		st.exec("lock accounts", "SELECT 1 FROM accounts WHERE user_id = ANY($1) ORDER BY user_id FOR UPDATE", users)
		queueSync(&st, users)
		return st.run(ctx, tx)
	})
}

// unwokenSQL steps from one account with parked messages to the next, and looks at their campaigns only when there is
// no wake-up.
var unwokenSQL = `
WITH RECURSIVE waiting(user_id) AS (
    (SELECT user_id FROM hybrid_workflows WHERE stage = 'queued' ORDER BY user_id LIMIT 1)
    UNION ALL
    SELECT (SELECT n.user_id FROM hybrid_workflows n WHERE n.stage = 'queued' AND n.user_id > w.user_id ORDER BY n.user_id LIMIT 1)
    FROM waiting w WHERE w.user_id IS NOT NULL)
UPDATE accounts a SET wake_at = hybrid_clock()
WHERE a.user_id = ANY(ARRAY(
    SELECT w.user_id FROM waiting w
    CROSS JOIN LATERAL (SELECT o.wake_at FROM accounts o WHERE o.user_id = w.user_id LIMIT 1) o
    WHERE (o.wake_at IS NULL OR o.wake_at < hybrid_clock() - interval '60 seconds') AND EXISTS (` + runningCampaignsOf("w.user_id") + `)))
  AND (a.wake_at IS NULL OR a.wake_at < hybrid_clock() - interval '60 seconds')
  AND NOT EXISTS (SELECT 1 FROM ` + RiverSchema + `.river_job j WHERE j.state = 'available' AND j.queue = 'send' AND j.priority = 1
    AND j.scheduled_at < clock_timestamp() - interval '60 seconds' AND j.kind = 'release')
RETURNING a.user_id, a.wake_at`

// wakeUnwoken wakes accounts that have messages which may go but no wake-up, or one that is long overdue. While
// wake-ups wait in River for so long, as when no process may send, more of them would only pile up behind.
func (s *Store) wakeUnwoken(ctx context.Context, r *Reconciled) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, unwokenSQL)
		if err != nil {
			return err
		}
		jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Job, error) {
			j := Job{Kind: workflow.StepRelease, Due: true}
			return j, row.Scan(&j.UserID, &j.At)
		})
		if err != nil || len(jobs) == 0 {
			return err
		}
		r.Unwoken = len(jobs)
		return s.enqueuer.EnqueueTx(ctx, tx, jobs)
	})
}

func (s *Store) prune(ctx context.Context, r *Reconciled) error {
	tag, err := s.pool.Exec(ctx, `DELETE FROM recipient_limits WHERE recipient_id IN
		(SELECT recipient_id FROM recipient_limits WHERE booked_until < hybrid_clock() LIMIT $1 FOR UPDATE SKIP LOCKED)`, 10*reconcileMost)
	r.Pruned = int(tag.RowsAffected())
	return err
}
