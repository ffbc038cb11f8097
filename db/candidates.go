package db

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// runningCampaignsOf lists the campaigns of an account that have parked messages and are not paused, stepping through
// the index from one to the next: a bounded number of entries, whatever the backlog.
func runningCampaignsOf(account string) string {
	return strings.ReplaceAll(`
    WITH RECURSIVE queued(campaign_id) AS (
        (SELECT q.campaign_id FROM hybrid_workflows q WHERE q.user_id = {account} AND q.stage = 'queued'
         ORDER BY q.campaign_id LIMIT 1)
        UNION ALL
        SELECT (SELECT n.campaign_id FROM hybrid_workflows n
                WHERE n.user_id = {account} AND n.stage = 'queued' AND n.campaign_id > queued.campaign_id
                ORDER BY n.campaign_id LIMIT 1)
        FROM queued WHERE queued.campaign_id IS NOT NULL)
    SELECT queued.campaign_id FROM queued WHERE queued.campaign_id IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM campaigns c WHERE c.user_id = {account} AND c.campaign_id = queued.campaign_id AND c.state NOT IN ('running', 'completed'))`, "{account}", account)
}

// candidatesSQL finds for each account the first messages of each campaign that is not paused and each
// priority, in the order of their time.
var candidatesSQL = `
SELECT ` + recordColumns + `,
    CASE WHEN w.expires_at <= hybrid_clock() THEN 'expired'
         WHEN EXISTS (SELECT 1 FROM opt_outs o WHERE o.user_id = w.user_id AND o.recipient_id = w.recipient_id) THEN 'opted_out'
         ELSE '' END,
    (SELECT c.changed_at FROM campaigns c WHERE c.user_id = w.user_id AND c.campaign_id = w.campaign_id AND c.state || '' = 'running' LIMIT 1)
FROM ` + few("user_id, most", "$1::text[]", "$2::int[]") + ` a
CROSS JOIN LATERAL (` + runningCampaignsOf("a.user_id") + `
) q
CROSS JOIN (VALUES (1::smallint), (2::smallint), (3::smallint), (4::smallint)) AS p(priority)
CROSS JOIN LATERAL (
    SELECT * FROM hybrid_workflows w
    WHERE w.user_id = a.user_id AND w.stage = 'queued' AND w.campaign_id = q.campaign_id AND w.priority = p.priority
    ORDER BY w.not_before, w.id LIMIT a.most
) w`

func readCandidates(ctx context.Context, tx pgx.Tx, accounts []*account, now time.Time) error {
	users, most := make([]string, len(accounts)), make([]int32, len(accounts))
	byUser := map[string]*account{}
	for i, a := range accounts {
		users[i], most[i] = a.request.UserID, int32(a.readMost())
		byUser[users[i]] = a
	}
	rows, err := tx.Query(ctx, candidatesSQL, users, most)
	if err != nil {
		return fmt.Errorf("candidates: %w", err)
	}
	candidates, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c closing, err error) {
		c.record, err = scanRecord(extraColumns{row, []any{&c.why, &c.record.resumed}})
		return c, err
	})
	if err != nil {
		return fmt.Errorf("candidates: %w", err)
	}
	for _, c := range candidates {
		a := byUser[c.userID]
		switch {
		case c.why != "" && a.wanted > 0:
			a.closing = append(a.closing, c)
		case c.state.NotBefore.After(now):
			a.nextLook(c.state.NotBefore)
		default:
			a.due = append(a.due, c.record)
		}
	}
	for _, a := range accounts {
		slices.SortFunc(a.due, byUrgency)
	}
	return nil
}

// closing is a message that is not sent any more, and why.
type closing struct {
	record
	why string // expired, opted_out
}

// event closes it.
func (c closing) event(now time.Time) workflow.Event {
	if c.why == "expired" {
		return workflow.Event{Kind: workflow.EventExpired, At: now, Reason: c.why}
	}
	return workflow.Event{Kind: workflow.EventCancelled, At: now, Reason: c.why}
}

// readMost is how many messages of each campaign and priority are looked at: some more than can go, in case
// that recipients have no token, and one to see whether anything waits.
func (a *account) readMost() int {
	if a.wanted == 0 {
		return 1
	}
	return a.wanted + 10
}

func byUrgency(a, b record) int {
	if a.priority != b.priority {
		return int(a.priority - b.priority)
	}
	if c := a.state.NotBefore.Compare(b.state.NotBefore); c != 0 {
		return c
	}
	return slices.Compare(a.id[:], b.id[:])
}
