package db

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/audit"
)

// auditSumsSQL counts what each account received, and what it has. Both times are those of the intake's
// transaction, so a message is in both or in none of them.
const auditSumsSQL = `
WITH received AS (SELECT i.user_id, count(*) AS n FROM inbox i WHERE {range:i.received_at} GROUP BY 1),
    there AS (SELECT w.user_id, count(*) FILTER (WHERE w.stage = 'sent') AS sent, count(*) FILTER (WHERE w.stage = 'failed') AS failed,
        count(*) FILTER (WHERE w.stage = 'cancelled') AS cancelled, count(*) FILTER (WHERE w.stage = 'expired') AS expired,
        count(*) FILTER (WHERE w.stage IN ('planning', 'queued', 'sending', 'in_doubt')) AS live
        FROM hybrid_workflows w WHERE {range:w.created_at} GROUP BY 1)
SELECT user_id, coalesce(r.n, 0), coalesce(t.sent, 0), coalesce(t.failed, 0), coalesce(t.cancelled, 0), coalesce(t.expired, 0), coalesce(t.live, 0)
FROM received r FULL JOIN there t USING (user_id)`

// readSums adds up what was received in the range and where it is. What is quarantined belongs to no account.
func (a *auditing) readSums(ctx context.Context, tx pgx.Tx) error {
	rangeArgs := pgx.NamedArgs{"since": a.since, "until": a.report.Until}
	rows, err := tx.Query(ctx, inRange(auditSumsSQL), rangeArgs)
	if err != nil {
		return err
	}
	var account string
	var one audit.Sums
	sum := &a.report.Sums
	_, err = pgx.ForEachRow(rows, []any{&account, &one.Received, &one.Sent, &one.Failed, &one.Cancelled, &one.Expired, &one.Live}, func() error {
		sum.Received += one.Received
		sum.Sent += one.Sent
		sum.Failed += one.Failed
		sum.Cancelled += one.Cancelled
		sum.Expired += one.Expired
		sum.Live += one.Live
		if !one.Balanced() {
			a.report.Add(audit.Finding{Kind: audit.SumDiffers, Account: account, Allowed: one.Received, Found: one.Sent + one.Failed + one.Cancelled + one.Expired + one.Live})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, inRange(`SELECT count(*) FROM quarantine q WHERE {range:q.received_at}`), rangeArgs).Scan(&sum.Quarantined); err != nil {
		return err
	}
	sum.Received += sum.Quarantined
	return nil
}
