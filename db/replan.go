package db

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// livePlansSQL are the texts that a job still waits for, in whatever process.
const livePlansSQL = `
live AS MATERIALIZED (SELECT (j.args->>'text')::uuid AS text FROM {river}.river_job j
    WHERE j.kind = 'plan' AND j.state IN ('available', 'pending', 'retryable', 'scheduled') AND j.args ? 'text')`

// lostPlansSQL finds texts that nobody writes any more: they are overdue, a call included, and no job waits.
var lostPlansSQL = withRiver(`WITH ` + livePlansSQL + `
UPDATE texts SET step = step + 1, due_at = hybrid_clock(), updated_at = hybrid_clock()
WHERE id IN (SELECT t.id FROM texts t WHERE t.state = 'planning' AND t.due_at < hybrid_clock() - $2::interval AND t.waits_for <> '` + parked + `' AND (t.waits_for <> '` + disabled + `' OR planning_enabled(t.user_id))
    AND t.id NOT IN (SELECT text FROM live) ORDER BY t.due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id, step, '', updated_at, ` + traceOfText("texts.id"))

// unspreadSQL finds texts that have ended while messages still wait for them, stepping from one text that is waited
// for to the next.
var unspreadSQL = withRiver(`WITH RECURSIVE waiting(text) AS (
    (SELECT m.text FROM hybrid_workflows m WHERE m.stage = 'planning' AND m.text IS NOT NULL ORDER BY m.text LIMIT 1)
    UNION ALL
    SELECT (SELECT n.text FROM hybrid_workflows n WHERE n.stage = 'planning' AND n.text > w.text ORDER BY n.text LIMIT 1)
    FROM waiting w WHERE w.text IS NOT NULL), ` + livePlansSQL + `
SELECT t.id, t.step, '', t.updated_at, ` + traceOfText("t.id") + ` FROM (SELECT text FROM waiting WHERE text IS NOT NULL LIMIT 10 * $1) w JOIN texts t ON t.id = w.text
WHERE t.state <> 'planning' AND t.updated_at < hybrid_clock() - $2::interval AND t.id NOT IN (SELECT text FROM live)
  AND EXISTS (SELECT 1 FROM hybrid_workflows m WHERE m.text = t.id AND m.stage = 'planning' AND m.updated_at < hybrid_clock() - $2::interval)
LIMIT $1`)

// untextedSQL gives texts of their own to messages that were taken in by a release without them.
var untextedSQL = `WITH found AS (
    SELECT id, user_id, campaign_id, brief, provider_states, retry_attempts, gen_random_uuid() AS text FROM hybrid_workflows
    WHERE stage = 'planning' AND text IS NULL LIMIT $1 FOR UPDATE SKIP LOCKED),
made AS (
    INSERT INTO texts (id, user_id, campaign_id, scope, workflow, brief, fields, provider_states, retry_attempts, due_at, created_at, updated_at)
    SELECT text, user_id, campaign_id, 'workflow:' || id, id, brief, '[]', provider_states, retry_attempts, hybrid_clock(), hybrid_clock(), hybrid_clock() FROM found
    RETURNING id, step, workflow),
given AS (UPDATE hybrid_workflows w SET text = f.text FROM found f WHERE w.id = f.id)
SELECT made.id, made.step, '', hybrid_clock(), (SELECT m.trace_context FROM hybrid_workflows m WHERE m.id = made.workflow) FROM made`

func withRiver(sql string) string { return strings.ReplaceAll(sql, "{river}", RiverSchema) }

// replanLost writes jobs for texts whose own job was lost with its process, or never was.
func (s *Store) replanLost(ctx context.Context, r *Reconciled) error {
	for _, part := range []struct {
		sql  string
		args []any
	}{{lostPlansSQL, []any{reconcileMost, planLost}}, {unspreadSQL, []any{reconcileMost, planLost}}, {untextedSQL, []any{reconcileMost}}} {
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, part.sql, part.args...)
			if err != nil {
				return err
			}
			jobs, err := pgx.CollectRows(rows, scanReplanned)
			if err != nil || len(jobs) == 0 {
				return err
			}
			r.Unplanned += len(jobs)
			return s.enqueuer.EnqueueTx(ctx, tx, jobs)
		})
		if err != nil {
			return fmt.Errorf("texts: %w", err)
		}
	}
	return nil
}
