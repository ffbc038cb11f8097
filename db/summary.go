package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// How far a summary counts what is not kept as a sum. Beyond it "at least" stands.
const (
	summaryRows     = 10_000 // of anything
	summaryAccounts = 5_000  // pairs of account and campaign that are searched for the oldest message
)

// Summary is the fleet at one moment. It costs a bounded number of rows, whatever the backlog and the history;
// only the accounts, which are few, may be read as a whole.
type Summary struct {
	Now             time.Time
	FrozenUntil     time.Time // zero: the fleet is not frozen
	FrozenReason    string
	Stages          map[workflow.Stage]Count
	WaitingAccounts Count   // accounts with parked messages
	Oldest          *Oldest // nil: no message is due
	Resting         Count   // accounts
	InDoubt         Count
	NeedOperator    Count // of those in doubt
	OldestDoubt     *time.Time
	Quarantined     Count
	LastQuarantined *time.Time
	Jobs            []JobCount
}

// Oldest is the message that has been due for longest.
type Oldest struct {
	UserID     string
	WorkflowID string
	DueSince   time.Time
	Certainty  Certainty // AtLeast: only the first accounts were searched, there may be an older one
}

// JobCount counts River's jobs of a queue in a state.
type JobCount struct {
	Queue string `json:"queue"`
	State string `json:"state"`
	Count Count  `json:"count"`
}

// Summarise reads the summary of the fleet.
func (s *Store) Summarise(ctx context.Context) (Summary, error) {
	sum := Summary{Stages: map[workflow.Stage]Count{}}
	err := s.readTx(ctx, func(tx pgx.Tx) error {
		f, err := readFleet(ctx, tx)
		if err != nil {
			return err
		}
		sum.Now = f.now
		if f.frozenUntil.After(f.now) {
			sum.FrozenUntil, sum.FrozenReason = f.frozenUntil, f.frozenReason
		}
		for _, part := range []struct {
			name string
			read func(context.Context, pgx.Tx) error
		}{{"stages", sum.readStages}, {"waiting", sum.readWaiting}, {"doubts", sum.readDoubts}, {"quarantine", sum.readQuarantine}, {"jobs", sum.readJobs}} {
			if err := part.read(ctx, tx); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
		return nil
	})
	return sum, err
}

// readStages reads how many messages are in each stage, as the triggers keep it: the sum, and what changed since.
func (sum *Summary) readStages(ctx context.Context, tx pgx.Tx) error {
	for _, stage := range workflow.Stages {
		sum.Stages[stage] = Count{Certainty: Exactly}
	}
	rows, err := tx.Query(ctx, `SELECT n.stage, sum(n.number)::bigint FROM (SELECT stage, number FROM stage_counts UNION ALL SELECT stage, number FROM stage_deltas) n GROUP BY n.stage`)
	if err != nil {
		return err
	}
	var stage workflow.Stage
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&stage, &n}, func() error { sum.Stages[stage] = Count{Number: n, Certainty: Exactly}; return nil })
	return err
}

// pairsSQL steps through the index of parked messages from one pair of account and campaign to the next, up to $1 of them.
const pairsSQL = `
WITH RECURSIVE pairs(user_id, campaign_id, n) AS (
    (SELECT w.user_id, w.campaign_id, 1 FROM hybrid_workflows w WHERE w.stage = 'queued' ORDER BY w.user_id, w.campaign_id LIMIT 1)
    UNION ALL
    SELECT n.user_id, n.campaign_id, p.n + 1 FROM pairs p CROSS JOIN LATERAL (
        SELECT w.user_id, w.campaign_id FROM hybrid_workflows w WHERE w.stage = 'queued' AND (w.user_id, w.campaign_id) > (p.user_id, p.campaign_id)
        ORDER BY w.user_id, w.campaign_id LIMIT 1) n
    WHERE p.n < $1)`

// oldestSQL takes the earliest message of each pair and priority.
const oldestSQL = pairsSQL + `
SELECT p.accounts, p.searched, o.user_id, o.workflow_id, o.not_before
FROM (SELECT count(DISTINCT user_id) AS accounts, count(*) AS searched FROM pairs) p
LEFT JOIN LATERAL (
    SELECT w.user_id, w.id, w.not_before, w.workflow_id FROM pairs q
    CROSS JOIN (VALUES (1::smallint), (2::smallint), (3::smallint), (4::smallint)) AS r(priority)
    CROSS JOIN LATERAL (SELECT w.user_id, w.id, w.not_before, w.workflow_id FROM hybrid_workflows w
        WHERE w.user_id = q.user_id AND w.stage = 'queued' AND w.campaign_id = q.campaign_id AND w.priority = r.priority AND w.not_before <= $2
        ORDER BY w.not_before, w.id LIMIT 1) w
    ORDER BY w.not_before, w.id LIMIT 1) o ON true`

func (sum *Summary) readWaiting(ctx context.Context, tx pgx.Tx) (err error) {
	var accounts, searched int64
	var userID, workflowID *string
	var due *time.Time
	if err := tx.QueryRow(ctx, oldestSQL, summaryAccounts+1, sum.Now).Scan(&accounts, &searched, &userID, &workflowID, &due); err != nil {
		return err
	}
	sum.WaitingAccounts = Count{Number: accounts, Certainty: bounded(searched, summaryAccounts).Certainty}
	if due != nil {
		sum.Oldest = &Oldest{UserID: *userID, WorkflowID: *workflowID, DueSince: *due, Certainty: sum.WaitingAccounts.Certainty}
	}
	sum.Resting, err = countRows(ctx, tx, `SELECT 1 FROM accounts WHERE rest_until > $1 LIMIT $2`, summaryRows, sum.Now)
	return err
}

func (sum *Summary) readDoubts(ctx context.Context, tx pgx.Tx) (err error) {
	if sum.InDoubt, err = countRows(ctx, tx, `SELECT 1 FROM send_attempts WHERE state = 'unknown' LIMIT $1`, summaryRows); err != nil {
		return err
	}
	if sum.NeedOperator, err = countRows(ctx, tx, `SELECT 1 FROM send_attempts WHERE state = 'unknown' AND look_up_at IS NULL LIMIT $1`, summaryRows); err != nil {
		return err
	}
	return tx.QueryRow(ctx, `SELECT (SELECT reserved_at FROM send_attempts WHERE state = 'unknown' ORDER BY reserved_at LIMIT 1)`).Scan(&sum.OldestDoubt)
}

func (sum *Summary) readQuarantine(ctx context.Context, tx pgx.Tx) (err error) {
	if sum.Quarantined, err = countRows(ctx, tx, `SELECT 1 FROM quarantine ORDER BY id LIMIT $1`, summaryRows); err != nil {
		return err
	}
	return tx.QueryRow(ctx, `SELECT (SELECT received_at FROM quarantine ORDER BY id DESC LIMIT 1)`).Scan(&sum.LastQuarantined)
}

// readJobs counts the jobs that are not over, by River's queue and state.
func (sum *Summary) readJobs(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		SELECT q.queue, s.state, (SELECT count(*) FROM (SELECT 1 FROM `+RiverSchema+`.river_job j
			WHERE j.state = s.state::`+RiverSchema+`.river_job_state AND j.queue = q.queue LIMIT $1) j)
		FROM (VALUES ('send'), ('default'), ('plan')) AS q(queue)
		CROSS JOIN (VALUES (1, 'available'), (2, 'running'), (3, 'retryable'), (4, 'scheduled')) AS s(position, state)
		ORDER BY q.queue DESC, s.position`, summaryRows+1)
	if err != nil {
		return err
	}
	sum.Jobs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (j JobCount, err error) {
		var n int64
		err = row.Scan(&j.Queue, &j.State, &n)
		j.Count = bounded(n, summaryRows)
		return j, err
	})
	return err
}
