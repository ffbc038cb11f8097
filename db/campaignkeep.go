package db

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// closeExpired ends the waiting messages whose time has run out. They could not be sent any more from that moment on.
func (s *Store) closeExpired(ctx context.Context, r *Reconciled) error {
	tag, err := s.pool.Exec(ctx, `
		WITH closed AS (
			UPDATE hybrid_workflows w SET stage = 'expired', version = version + 1, wait_reason = '', last_error = 'expired', updated_at = hybrid_clock()
			WHERE w.id IN (SELECT id FROM hybrid_workflows WHERE expires_at <= hybrid_clock() AND stage IN ('planning', 'queued') ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)
			RETURNING w.id)
		INSERT INTO workflow_events (workflow, at, kind, detail) SELECT id, hybrid_clock(), 'expired', '{}' FROM closed`, 10*reconcileMost)
	r.Outdated = int(tag.RowsAffected())
	return err
}

// sumCounts adds what changed in the counts of campaigns and stages to the sums.
func (s *Store) sumCounts(ctx context.Context, r *Reconciled) error {
	_, err := s.pool.Exec(ctx, `
		WITH gone AS (
			DELETE FROM campaign_deltas WHERE ctid = ANY(ARRAY(SELECT ctid FROM campaign_deltas LIMIT 100000 FOR UPDATE SKIP LOCKED)) RETURNING *)
		INSERT INTO campaign_counts AS c (user_id, campaign_id, stage, number)
		SELECT user_id, campaign_id, stage, sum(number) FROM gone GROUP BY 1, 2, 3 HAVING sum(number) <> 0 ORDER BY 1, 2, 3
		ON CONFLICT (user_id, campaign_id, stage) DO UPDATE SET number = c.number + excluded.number`)
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, `
		WITH gone AS (
			DELETE FROM stage_deltas WHERE ctid = ANY(ARRAY(SELECT ctid FROM stage_deltas LIMIT 100000 FOR UPDATE SKIP LOCKED)) RETURNING *)
		INSERT INTO stage_counts AS c (stage, number)
		SELECT stage, sum(number) FROM gone GROUP BY 1 HAVING sum(number) <> 0 ORDER BY 1
		ON CONFLICT (stage) DO UPDATE SET number = c.number + excluded.number`)
	return err
}

// completeCampaigns ends the campaigns whose every message has ended.
func (s *Store) completeCampaigns(ctx context.Context, r *Reconciled) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE campaigns c SET state = 'completed', changed_at = hybrid_clock(), ended_at = hybrid_clock()
		WHERE c.state = 'running' AND c.source = 'api'
		  AND EXISTS (SELECT 1 FROM campaign_expansions e WHERE e.campaign = c.id AND e.due_at IS NULL AND e.done > 0)
		  AND NOT EXISTS (SELECT 1 FROM hybrid_workflows w WHERE w.user_id || '' = c.user_id AND w.campaign_id = c.campaign_id AND w.campaign_id <> ''
			AND w.stage IN ('planning', 'queued', 'sending', 'in_doubt'))`)
	return err
}

// expandLost writes jobs for campaigns whose own was lost.
func (s *Store) expandLost(ctx context.Context, r *Reconciled) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, withRiver(`WITH live AS MATERIALIZED (SELECT (j.args->>'campaign')::uuid AS campaign FROM {river}.river_job j
				WHERE j.kind = 'expand' AND j.state IN ('available', 'pending', 'retryable', 'scheduled') AND j.args ? 'campaign')
			UPDATE campaign_expansions SET step = step + 1, due_at = hybrid_clock()
			WHERE campaign IN (SELECT e.campaign FROM campaign_expansions e WHERE e.due_at < hybrid_clock() - $2::interval
				AND e.campaign NOT IN (SELECT campaign FROM live) ORDER BY e.due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
			RETURNING campaign, step`), reconcileMost, planLost)
		if err != nil {
			return err
		}
		jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Job, error) {
			j := Job{Kind: workflow.StepExpand}
			return j, row.Scan(&j.Text, &j.Sequence)
		})
		if err != nil || len(jobs) == 0 {
			return err
		}
		r.Unexpanded = len(jobs)
		return s.enqueuer.EnqueueTx(ctx, tx, jobs)
	})
}
