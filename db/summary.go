package db

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// How far a summary counts. Beyond it Postgres' estimate stands, or "at least".
const (
	summaryTable    = 20_000  // workflows: a smaller table is counted exactly
	summaryQueued   = 100_000 // parked messages: read from their index alone
	summaryRows     = 10_000  // anything else
	summaryAccounts = 5_000   // pairs of account and campaign that are searched for the oldest message
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

func (sum *Summary) readStages(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT w.stage, count(*) FROM (SELECT stage FROM hybrid_workflows ORDER BY id LIMIT $1) w GROUP BY w.stage`, summaryTable+1)
	if err != nil {
		return err
	}
	counts, total := map[workflow.Stage]int64{}, int64(0)
	var stage workflow.Stage
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&stage, &n}, func() error { counts[stage] = n; total += n; return nil }); err != nil {
		return err
	}
	for _, stage := range workflow.Stages {
		sum.Stages[stage] = Count{Number: counts[stage], Certainty: Exactly}
	}
	if total <= summaryTable {
		return nil
	}
	return sum.estimateStages(ctx, tx)
}

// estimateStages is for a table that is too large to count: what is live is counted in its indexes up to a
// bound, and what is over is estimated from the statistics that autovacuum keeps.
func (sum *Summary) estimateStages(ctx context.Context, tx pgx.Tx) error {
	for _, live := range []struct {
		stage workflow.Stage
		most  int
	}{{workflow.StagePlanning, summaryRows}, {workflow.StageQueued, summaryQueued}, {workflow.StageSending, summaryRows}, {workflow.StageInDoubt, summaryRows}} {
		// The stage is written out: with a parameter Postgres could not use the partial index.
		n, err := countRows(ctx, tx, `SELECT 1 FROM hybrid_workflows WHERE stage = '`+string(live.stage)+`' LIMIT $1`, live.most)
		if err != nil {
			return err
		}
		sum.Stages[live.stage] = n
	}
	// Rows per page as of the last vacuum, times the pages of now: what the planner does.
	rows, err := tx.Query(ctx, `
		SELECT v.stage, v.part * c.reltuples / greatest(c.relpages, 1) * (pg_relation_size(c.oid) / current_setting('block_size')::int)
		FROM pg_class c, pg_stats s, unnest(s.most_common_vals::text::text[], s.most_common_freqs) AS v(stage, part)
		WHERE c.oid = 'hybrid_workflows'::regclass AND c.reltuples > 0
		  AND s.schemaname = c.relnamespace::regnamespace::text AND s.tablename = 'hybrid_workflows' AND s.attname = 'stage'`)
	if err != nil {
		return err
	}
	estimates := map[workflow.Stage]float64{}
	var stage workflow.Stage
	var n float64
	if _, err := pgx.ForEachRow(rows, []any{&stage, &n}, func() error { estimates[stage] = n; return nil }); err != nil {
		return err
	}
	for stage, count := range sum.Stages {
		switch {
		case stage.Final() && len(estimates) == 0:
			sum.Stages[stage] = Count{Number: count.Number, Certainty: AtLeast} // of the rows that were looked at
		case stage.Final(), count.Certainty == AtLeast && int64(estimates[stage]) > count.Number:
			sum.Stages[stage] = Count{Number: roundOff(estimates[stage]), Certainty: About}
		}
	}
	return nil
}

// roundOff keeps three digits: an estimate that looks exact misleads.
func roundOff(n float64) int64 {
	if n < 1000 {
		return int64(math.Round(n))
	}
	unit := math.Pow(10, math.Floor(math.Log10(n))-2)
	return int64(math.Round(n/unit) * unit)
}

// oldestSQL steps through the index of parked messages from one pair of account and campaign to the next, and
// takes the earliest of each priority.
const oldestSQL = `
WITH RECURSIVE pairs(user_id, campaign_id, n) AS (
    (SELECT w.user_id, w.campaign_id, 1 FROM hybrid_workflows w WHERE w.stage = 'queued' ORDER BY w.user_id, w.campaign_id LIMIT 1)
    UNION ALL
    SELECT n.user_id, n.campaign_id, p.n + 1 FROM pairs p CROSS JOIN LATERAL (
        SELECT w.user_id, w.campaign_id FROM hybrid_workflows w WHERE w.stage = 'queued' AND (w.user_id, w.campaign_id) > (p.user_id, p.campaign_id)
        ORDER BY w.user_id, w.campaign_id LIMIT 1) n
    WHERE p.n < $1)
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
		FROM (VALUES ('send'), ('default')) AS q(queue)
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
