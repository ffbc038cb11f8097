package db

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/audit"
)

// auditPatience is how long after its deadline something is overdue: the reconciler comes every minute, and may have
// much to do after an outage.
const auditPatience = 5 * time.Minute

// auditCheck is a query for what must not be. {range:x} says that a time is in the range that is looked at. Its
// columns are those of auditRow.
type auditCheck struct {
	kind audit.Kind
	sql  string
}

const auditOpen = `('reserved', 'in_flight', 'unknown')`

// auditPairs are all attempts of the messages that have several, one of them in the range. Two attempts of a message
// differ in their number, so one of them is not its first: few rows are.
const auditPairs = `FROM (SELECT r.workflow FROM send_attempts r WHERE r.sequence <> 1 AND {range:coalesce(r.ended_at, r.reserved_at)}
		UNION SELECT f.workflow FROM send_attempts f WHERE f.sequence = 1 AND {range:coalesce(f.ended_at, f.reserved_at)}
			AND EXISTS (SELECT 1 FROM send_attempts o WHERE o.workflow = f.workflow AND o.sequence <> 1)) pairs
	JOIN send_attempts a ON a.workflow = pairs.workflow`

// auditBefore is how long before the range a gateway's message id is looked for that came again in it.
const auditBefore = `interval '24 hours'`

var auditChecks = []auditCheck{
	{audit.TwoAcceptances, `SELECT min(a.user_id), min(a.recipient_id), '', ARRAY[a.workflow], max(a.sequence), count(*), 1, max(a.ended_at), ''
		` + auditPairs + ` WHERE a.state = 'accepted' GROUP BY a.workflow HAVING count(*) > 1`},
	{audit.TwoMessageIDs, `SELECT min(a.user_id), min(a.recipient_id), '', ARRAY[a.workflow], max(a.sequence), count(DISTINCT a.gateway_message_id), 1, max(a.ended_at), ''
		` + auditPairs + ` WHERE a.gateway_message_id <> '' GROUP BY a.workflow HAVING count(DISTINCT a.gateway_message_id) > 1`},
	{audit.SharedMessageID, `SELECT min(a.user_id), '', '', (array_agg(DISTINCT a.workflow))[1:10], 0, count(DISTINCT a.workflow), 1, max(a.ended_at), 'gateway message id ' || left(a.gateway_message_id, 100)
		FROM send_attempts a WHERE coalesce(a.ended_at, a.reserved_at) >= @since::timestamptz - ` + auditBefore + ` AND a.gateway_message_id IN (
			SELECT o.gateway_message_id FROM send_attempts o WHERE o.gateway_message_id <> '' AND {range:coalesce(o.ended_at, o.reserved_at)})
		GROUP BY a.gateway_message_id HAVING count(DISTINCT a.workflow) > 1`},
	// Every doubt that an operator must settle is listed elsewhere, and has no deadline.
	{audit.OverdueAttempt, `SELECT a.user_id, a.recipient_id, '', ARRAY[a.workflow], a.sequence, 0, 0, CASE a.state WHEN 'reserved' THEN a.reservation_ends WHEN 'in_flight' THEN a.call_deadline ELSE a.look_up_at END, a.state
		FROM send_attempts a WHERE a.state IN ` + auditOpen + ` AND CASE a.state WHEN 'reserved' THEN a.reservation_ends
			WHEN 'in_flight' THEN coalesce(a.call_deadline, a.started_at, a.reserved_at) ELSE a.look_up_at END < @now::timestamptz - @patience::interval`},
	{audit.SentWithoutAcceptance, `SELECT w.user_id, w.recipient_id, w.campaign_id, ARRAY[w.id], w.send_sequence, 0, 1, w.updated_at, 'stage sent'
		FROM hybrid_workflows w WHERE w.stage = 'sent' AND {range:w.updated_at} AND NOT EXISTS (SELECT 1 FROM send_attempts a WHERE a.workflow = w.id AND a.state = 'accepted')`},
	{audit.AcceptedNotSent, `WITH touched AS (SELECT a.workflow FROM send_attempts a WHERE a.state = 'accepted' AND {range:coalesce(a.ended_at, a.reserved_at)}
			UNION SELECT w.id FROM hybrid_workflows w WHERE w.stage <> 'sent' AND {range:w.updated_at})
		SELECT w.user_id, w.recipient_id, w.campaign_id, ARRAY[w.id], a.sequence, 0, 0, a.ended_at, 'stage ' || w.stage
		FROM touched JOIN hybrid_workflows w ON w.id = touched.workflow JOIN send_attempts a ON a.workflow = w.id WHERE a.state = 'accepted' AND w.stage <> 'sent'`},
	{audit.WaitingWithOpenAttempt, `SELECT w.user_id, w.recipient_id, w.campaign_id, ARRAY[w.id], a.sequence, 0, 0, a.reserved_at, 'stage ' || w.stage || ', attempt ' || a.state
		FROM send_attempts a JOIN hybrid_workflows w ON w.id = a.workflow WHERE a.state IN ` + auditOpen + ` AND w.stage IN ('planning', 'queued')`},
	{audit.FinalWithOpenAttempt, `SELECT w.user_id, w.recipient_id, w.campaign_id, ARRAY[w.id], a.sequence, 0, 0, a.reserved_at, 'stage ' || w.stage || ', attempt ' || a.state
		FROM send_attempts a JOIN hybrid_workflows w ON w.id = a.workflow WHERE a.state IN ` + auditOpen + ` AND w.stage IN ('sent', 'failed', 'cancelled', 'expired')`},
	{audit.OnItsWayWithoutAttempt, `SELECT w.user_id, w.recipient_id, w.campaign_id, ARRAY[w.id], w.send_sequence, 0, 1, w.updated_at, 'stage ' || w.stage
		FROM hybrid_workflows w WHERE w.stage IN ('sending', 'in_doubt') AND NOT EXISTS (SELECT 1 FROM send_attempts a WHERE a.workflow = w.id AND a.sequence = w.send_sequence
			AND CASE w.stage WHEN 'sending' THEN a.state IN ('reserved', 'in_flight') ELSE a.state = 'unknown' END)`},
	{audit.AttemptWithoutWorkflow, `SELECT a.user_id, a.recipient_id, '', ARRAY[a.workflow], a.sequence, 0, 1, a.reserved_at, 'attempt ' || a.state
		FROM send_attempts a WHERE {range:coalesce(a.ended_at, a.reserved_at)} AND NOT EXISTS (SELECT 1 FROM hybrid_workflows w WHERE w.id = a.workflow)`},
	{audit.AttemptOfAnother, `SELECT a.user_id, a.recipient_id, w.campaign_id, ARRAY[a.workflow], a.sequence, 0, 0, a.reserved_at, format('the workflow says account %s, recipient %s', w.user_id, w.recipient_id)
		FROM send_attempts a JOIN hybrid_workflows w ON w.id = a.workflow WHERE {range:coalesce(a.ended_at, a.reserved_at)} AND (a.user_id, a.recipient_id) IS DISTINCT FROM (w.user_id, w.recipient_id)`},
	{audit.InboxWithoutWorkflow, `SELECT i.user_id, i.recipient_id, '', ARRAY[i.workflow], 0, 0, 1, i.received_at, ''
		FROM inbox i WHERE {range:i.received_at} AND NOT EXISTS (SELECT 1 FROM hybrid_workflows w
			WHERE w.id = i.workflow AND w.user_id = i.user_id AND w.workflow_id = i.workflow_id AND w.recipient_id = i.recipient_id)`},
	{audit.WorkflowWithoutInbox, `SELECT w.user_id, w.recipient_id, w.campaign_id, ARRAY[w.id], 0, 0, 1, w.created_at, 'stage ' || w.stage
		FROM hybrid_workflows w WHERE {range:w.created_at} AND NOT EXISTS (SELECT 1 FROM inbox i
			WHERE i.workflow_id = w.workflow_id AND i.user_id = w.user_id AND i.recipient_id = w.recipient_id AND i.workflow = w.id)`},
	{audit.TwoTexts, `SELECT t.user_id, '', min(t.campaign_id), '{}'::uuid[], 0, count(*), 1, max(t.updated_at), 'texts ' || string_agg(t.id::text, ', ' ORDER BY t.id)
		FROM (SELECT DISTINCT n.user_id, n.scope FROM texts n WHERE n.state <> 'failed' AND {range:n.updated_at}) touched JOIN texts t USING (user_id, scope)
		WHERE t.state <> 'failed' GROUP BY t.user_id, t.scope HAVING count(*) > 1`},
	{audit.TextWithoutBody, `SELECT t.user_id, '', t.campaign_id, '{}'::uuid[], 0, 0, 1, t.updated_at, 'text ' || t.id
		FROM texts t WHERE (t.state = 'ready') <> (t.body <> '') AND {range:t.updated_at}`},
	{audit.CallWithoutCost, `SELECT coalesce(t.user_id, ''), '', coalesce(t.campaign_id, ''), '{}'::uuid[], p.sequence, 0, 1, p.ended_at, format('call %s to %s', p.id, p.provider)
		FROM plan_attempts p LEFT JOIN texts t ON t.id = p.text WHERE p.state <> 'executing' AND {range:coalesce(p.ended_at, p.started_at)} AND NOT EXISTS (SELECT 1 FROM provider_costs c WHERE c.attempt = p.id)`},
	{audit.CostWithoutCall, `SELECT c.user_id, '', c.campaign_id, '{}'::uuid[], 0, 0, 1, c.at, format('call %s to %s', c.attempt, c.provider)
		FROM provider_costs c WHERE {range:c.at} AND NOT EXISTS (SELECT 1 FROM plan_attempts p WHERE p.id = c.attempt)`},
	{audit.CampaignCountDiffers, `WITH touched AS (` + auditTouched + `),
			truth AS (SELECT w.user_id, w.campaign_id, w.stage, count(*) AS n FROM touched JOIN hybrid_workflows w ON w.user_id || '' = touched.user_id AND w.campaign_id = touched.campaign_id
				WHERE w.campaign_id <> '' GROUP BY 1, 2, 3),
			kept AS (SELECT k.user_id, k.campaign_id, k.stage, sum(k.number) AS n
				FROM (SELECT * FROM campaign_counts UNION ALL SELECT user_id, campaign_id, stage, number FROM campaign_deltas) k JOIN touched USING (user_id, campaign_id) GROUP BY 1, 2, 3)
		SELECT user_id, '', campaign_id, '{}'::uuid[], 0, coalesce(kept.n, 0)::bigint, coalesce(truth.n, 0), NULL::timestamptz, 'stage ' || stage
		FROM truth FULL JOIN kept USING (user_id, campaign_id, stage) WHERE coalesce(truth.n, 0) <> coalesce(kept.n, 0)`},
	{audit.RecipientWithoutMessage, `SELECT c.user_id, min(r.recipient_id), c.campaign_id, '{}'::uuid[], 0, count(*), 0, NULL::timestamptz, 'the first is on line ' || min(r.line)
		FROM campaigns c JOIN (` + auditTouched + ` UNION SELECT o.user_id, o.campaign_id FROM campaigns o WHERE {range:o.created_at}) touched USING (user_id, campaign_id)
		JOIN campaign_expansions e ON e.campaign = c.id JOIN campaign_recipients r ON r.campaign = e.campaign AND r.line <= e.done
		LEFT JOIN inbox i ON i.workflow_id = c.id || '-' || r.line AND i.user_id = c.user_id AND i.recipient_id = r.recipient_id
		WHERE i.workflow IS NULL GROUP BY c.user_id, c.campaign_id`},
}

// auditTouched lists the campaigns of which a message changed in the range.
const auditTouched = `SELECT m.user_id, m.campaign_id FROM hybrid_workflows m WHERE m.campaign_id <> '' AND {range:m.updated_at} GROUP BY 1, 2
	UNION SELECT n.user_id, n.campaign_id FROM campaign_counts n WHERE @since::timestamptz = 'epoch'`

// inRange puts in the condition that a time is in the range.
func inRange(sql string) string {
	parts := strings.Split(sql, "{range:")
	for i, part := range parts[1:] {
		column, rest, _ := strings.Cut(part, "}")
		parts[i+1] = "(" + column + " >= @since::timestamptz AND " + column + " <= @until::timestamptz)" + rest
	}
	return strings.Join(parts, "")
}

func (a *auditing) runChecks(ctx context.Context, tx pgx.Tx) error {
	for _, check := range auditChecks {
		if err := a.runCheck(ctx, tx, check); err != nil {
			return fmt.Errorf("%s: %w", check.kind, err)
		}
	}
	return nil
}

func (a *auditing) runCheck(ctx context.Context, tx pgx.Tx, check auditCheck) error {
	rows, err := tx.Query(ctx, inRange(check.sql), pgx.NamedArgs{"since": a.since, "until": a.report.Until, "now": a.report.At, "patience": auditPatience})
	if err != nil {
		return err
	}
	var r auditRow
	_, err = pgx.ForEachRow(rows, []any{&r.account, &r.recipient, &r.campaign, &r.workflows, &r.attempt, &r.found, &r.allowed, &r.at, &r.detail}, func() error {
		f := audit.Finding{Kind: check.kind, Account: r.account, Recipient: r.recipient, Campaign: r.campaign, Found: r.found, Allowed: r.allowed, Detail: r.detail}
		if r.at != nil {
			f.From = r.at.UTC()
		}
		for _, id := range r.workflows {
			f.Messages = append(f.Messages, audit.Message{ClientRef: id, Attempt: r.attempt})
		}
		a.report.Add(f)
		return nil
	})
	return err
}
