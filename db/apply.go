package db

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Apply reports an event of a step other than a send.
type Apply struct {
	Workflow uuid.UUID
	Event    workflow.EventKind
	Reason   string
}

// Applied is the answer to an Apply.
type Applied struct {
	Changed bool // false: the workflow is past this event, or unknown; nothing was written
	Stage   workflow.Stage
	UserID  string
	Next    time.Duration // how long from now on its account should be looked at; negative: no need
}

// Apply moves workflows by events, with the jobs that follow, in one transaction. An event that does not
// apply to the stage a workflow is in changes nothing: a step that River runs again finds its work done.
func (s *Store) Apply(ctx context.Context, events []Apply) ([]Applied, error) {
	applied := make([]Applied, len(events))
	err := s.releasing(ctx, func(tx pgx.Tx, _ bool) error {
		ids := make([]uuid.UUID, len(events))
		for i, e := range events {
			ids[i] = e.Workflow
		}
		var now time.Time
		records := map[uuid.UUID]record{}
		var read statements
		read.query("workflows", into(scanRecord, func(r record) error { records[r.id] = r; return nil }), readRecordsSQL, ids)
		read.query("clock", into(pgx.RowTo[time.Time], func(t time.Time) error { now = t; return nil }), "SELECT hybrid_clock()")
		if err := read.run(ctx, tx); err != nil {
			return err
		}
		var moves updates
		var history timeline
		wakes := map[string]time.Time{}
		for i, e := range events {
			applied[i].Next = -1
			r, known := records[e.Workflow]
			if !known {
				continue
			}
			next, steps, err := workflow.Transition(r.state, workflow.Event{Kind: e.Event, At: now, Reason: e.Reason})
			applied[i].Stage, applied[i].UserID = r.state.Stage, r.userID
			if errors.Is(err, workflow.ErrNotApplicable) {
				continue
			}
			if err != nil {
				return err
			}
			applied[i].Changed, applied[i].Stage = true, next.Stage
			moves.add(r, next, r.sequence)
			history.add(r.id, e.Event, reasonDetail(e.Reason))
			delete(records, e.Workflow) // the same workflow twice in a batch: the second finds it moved
			for _, step := range steps {
				applied[i].Next = max(0, step.At.Sub(now))
				if at, ok := wakes[r.userID]; !ok || step.At.Before(at) {
					wakes[r.userID] = step.At
				}
			}
		}
		if len(moves.ids) == 0 {
			return nil
		}
		var jobs []Job
		var st statements
		st.count("move", func(n int64) error {
			if n != int64(len(moves.ids)) {
				return errChanged
			}
			return nil
		}, updateRecordsSQL, moves.args(now)...)
		history.queue(&st, now)
		queueWakeUps(&st, wakes, now, &jobs)
		if err := st.run(ctx, tx); err != nil || len(jobs) == 0 {
			return err
		}
		return s.enqueuer.EnqueueTx(ctx, tx, jobs)
	})
	return applied, err
}

func reasonDetail(reason string) map[string]any {
	if reason == "" {
		return nil
	}
	return map[string]any{"reason": reason}
}

// queueWakeUps makes sure that accounts are looked at by the given times even if this process ends now.
func queueWakeUps(st *statements, wakes map[string]time.Time, now time.Time, jobs *[]Job) {
	if len(wakes) == 0 {
		return
	}
	users := slices.Sorted(maps.Keys(wakes))
	due := make([]time.Time, len(users))
	for i, user := range users {
		due[i] = wakeUpTime(wakes[user], now)
	}
	st.query("wake-ups", func(rows pgx.Rows) error {
		var user string
		var at time.Time
		_, err := pgx.ForEachRow(rows, []any{&user, &at}, func() error {
			*jobs = append(*jobs, Job{Kind: workflow.StepRelease, UserID: user, At: at})
			return nil
		})
		return err
	}, `UPDATE accounts a SET wake_at = u.due
		FROM `+few("user_id, due", "$1::text[]", "$2::timestamptz[]")+` u
		WHERE a.user_id = u.user_id AND (a.wake_at IS NULL OR a.wake_at > u.due + $3::interval OR a.wake_at < $4::timestamptz - $5::interval)
		RETURNING a.user_id, a.wake_at`, users, due, backupDelay, now, lostJob)
}
