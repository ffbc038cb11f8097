package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// How far a load is read.
const (
	loadCampaigns = 500    // of an account that have something to send, and as many that were created last
	loadMessages  = 20_000 // without a campaign, of each priority
	loadLatency   = 50     // sends whose time is averaged
)

// typicalLatency stands in where an account has sent nothing yet.
const typicalLatency = 500 * time.Millisecond

// AccountLoad is what an account may send, and everything of it that waits: what a forecast needs.
type AccountLoad struct {
	State       AccountState
	Now         time.Time
	Quiet       campaign.Quiet
	QuietHours  string // empty: none
	FrozenUntil time.Time
	Latency     time.Duration // mean time from a token's take to the end of its call
	Queues      []LoadQueue
	Certainty   Certainty // AtLeast: not everything that waits was counted
}

// LoadQueue are the messages of a campaign that wait, those that its recipients still become among them.
type LoadQueue struct {
	Campaign   uuid.UUID // nil: of messages without a campaign, or of one that the API did not make
	CampaignID string
	Priority   workflow.Priority
	Share      int // 1 if it has none
	Messages   int64
	NotBefore  time.Time // zero: now
	ExpiresAt  time.Time // zero: never
}

// Account is what the account's limits let through, for a forecast.
func (l AccountLoad) Account() campaign.Account {
	a := campaign.Account{Guard: l.State.Policy.Guard, Latency: l.Latency, Quiet: l.Quiet, Rests: l.State.RestUntil}
	if l.FrozenUntil.After(a.Rests) {
		a.Rests = l.FrozenUntil
	}
	for _, tokens := range l.State.Tokens {
		a.Rules = append(a.Rules, campaign.Rule{Capacity: tokens.Rule.Capacity, Window: tokens.Rule.Window, InUse: tokens.returns})
	}
	return a
}

// Waiting is how many messages wait.
func (l AccountLoad) Waiting() (n int64) {
	for _, q := range l.Queues {
		n += q.Messages
	}
	return n
}

// AccountLoad reads an account's load at one moment, in a bounded number of rows whatever its backlog.
func (s *Store) AccountLoad(ctx context.Context, userID string) (AccountLoad, error) {
	load := AccountLoad{Certainty: Exactly}
	err := s.readTx(ctx, func(tx pgx.Tx) error {
		f, err := readFleet(ctx, tx)
		if err != nil {
			return err
		}
		states, err := readAccountStates(ctx, tx, []string{userID}, f.now)
		if err != nil {
			return err
		}
		load.State, load.Now, load.FrozenUntil, load.Latency = *states[userID], f.now, f.frozenUntil, typicalLatency
		return load.read(ctx, tx, userID)
	})
	return load, err
}

func (l *AccountLoad) read(ctx context.Context, tx pgx.Tx, userID string) error {
	var st statements
	st.query("quiet hours", func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&l.QuietHours}, func() (err error) {
			l.Quiet, err = campaign.ParseQuiet(l.QuietHours)
			return err
		})
		return err
	}, `SELECT hours FROM quiet_hours WHERE user_id = $1`, userID)
	st.query("latency", func(rows pgx.Rows) error {
		var mean *time.Duration
		_, err := pgx.ForEachRow(rows, []any{&mean}, func() error {
			if mean != nil {
				l.Latency = max(0, *mean)
			}
			return nil
		})
		return err
	}, latencySQL, userID, loadLatency)
	st.query("campaigns", l.collect, loadSQL, userID, loadCampaigns)
	st.query("campaigns of messages", l.collect, loadOthersSQL, userID, loadCampaigns)
	st.query("messages without a campaign", func(rows pgx.Rows) error {
		var priority workflow.Priority
		var n int64
		_, err := pgx.ForEachRow(rows, []any{&priority, &n}, func() error {
			count := bounded(n, loadMessages)
			if count.Certainty != Exactly {
				l.Certainty = AtLeast
			}
			if count.Number > 0 {
				l.Queues = append(l.Queues, LoadQueue{Priority: priority, Share: 1, Messages: count.Number})
			}
			return nil
		})
		return err
	}, `SELECT p::smallint, (SELECT count(*) FROM (SELECT 1 FROM hybrid_workflows w WHERE w.user_id = $1 AND w.stage = 'queued' AND w.campaign_id = '' AND w.priority = p LIMIT $2) w)
		FROM generate_series(1, 4) p`, userID, loadMessages+1)
	if err := st.run(ctx, tx); err != nil {
		return fmt.Errorf("load of the account: %w", err)
	}
	return nil
}

func (l *AccountLoad) collect(rows pgx.Rows) error {
	n := 0
	defer func() {
		if n == loadCampaigns {
			l.Certainty = AtLeast
		}
	}()
	var q LoadQueue
	var id *uuid.UUID
	var notBefore, expires *time.Time
	_, err := pgx.ForEachRow(rows, []any{&id, &q.CampaignID, &q.Priority, &q.Share, &q.Messages, &notBefore, &expires}, func() error {
		n++
		one := q
		if id != nil {
			one.Campaign = *id
		}
		if notBefore != nil && notBefore.After(l.Now) {
			one.NotBefore = *notBefore
		}
		if expires != nil {
			one.ExpiresAt = *expires
		}
		if one.Messages > 0 {
			l.Queues = append(l.Queues, one)
		}
		return nil
	})
	return err
}

// waitingOfSQL is how many messages of a campaign c wait: the sum, and what changed since.
const waitingOfSQL = `(SELECT coalesce(sum(a.number), 0)::bigint FROM (
		SELECT k.stage, k.number FROM campaign_counts k WHERE k.user_id = c.user_id AND k.campaign_id = c.campaign_id
		UNION ALL SELECT d.stage, d.number FROM campaign_deltas d WHERE d.user_id = c.user_id AND d.campaign_id = c.campaign_id) a
	WHERE a.stage IN `

// loadSQL reads the campaigns of the API that run or will: how many of their messages wait, and how many recipients are
// not messages yet.
const loadSQL = `
SELECT c.id, c.campaign_id, c.priority, coalesce(c.share, 1)::int,
	greatest(0, ` + waitingOfSQL + `('planning', 'queued')) + greatest(0, coalesce(e.recipients, 0) - ` + waitingOfSQL + `('planning', 'queued', 'sending', 'in_doubt', 'sent', 'failed', 'cancelled', 'expired')))),
	c.scheduled_for, c.expires_at
FROM (SELECT * FROM campaigns c WHERE c.user_id = $1 ORDER BY c.created_at DESC, c.id DESC LIMIT $2) c
LEFT JOIN LATERAL (SELECT * FROM campaign_expansions e WHERE e.campaign = c.id LIMIT 1) e ON true
WHERE c.source = 'api' AND c.state IN ('running', 'scheduled')`

// loadOthersSQL reads the campaigns that are known from messages only, and those of the API that loadSQL is too far from
// to see. Their urgency is that of their most urgent message.
const loadOthersSQL = `
WITH RECURSIVE queued(campaign_id, n) AS (
    (SELECT q.campaign_id, 1 FROM hybrid_workflows q WHERE q.user_id = $1 AND q.stage = 'queued' AND q.campaign_id > '' ORDER BY q.campaign_id LIMIT 1)
    UNION ALL
    SELECT (SELECT n.campaign_id FROM hybrid_workflows n WHERE n.user_id = $1 AND n.stage = 'queued' AND n.campaign_id > queued.campaign_id
            ORDER BY n.campaign_id LIMIT 1), queued.n + 1
    FROM queued WHERE queued.campaign_id IS NOT NULL AND queued.n < $2)
SELECT NULL::uuid, c.campaign_id, (SELECT w.priority FROM hybrid_workflows w WHERE w.user_id = $1 AND w.stage = 'queued' AND w.campaign_id = c.campaign_id
		ORDER BY w.priority LIMIT 1), coalesce(c.share, 1)::int, greatest(0, ` + waitingOfSQL + `('queued'))), NULL::timestamptz, c.expires_at
FROM queued CROSS JOIN LATERAL (SELECT * FROM campaigns c WHERE c.user_id = $1 AND c.campaign_id = queued.campaign_id AND c.state IN ('running', 'completed') LIMIT 1) c
WHERE c.source <> 'api' OR c.state = 'completed'`

// latencySQL averages the calls that the account's tokens paid for last.
const latencySQL = `
SELECT avg(a.ended_at - a.reserved_at) FROM (SELECT workflow, sequence FROM account_tokens WHERE user_id = $1 ORDER BY rule, slot LIMIT $2) t
CROSS JOIN LATERAL (SELECT * FROM send_attempts a WHERE a.workflow = t.workflow AND a.sequence = t.sequence AND a.state IN ('accepted', 'rejected') LIMIT 1) a`

// WorkflowAccounts lists those of the given accounts that have a workflow with the public id; two at most, which is
// enough to know that one must be chosen.
func (s *Store) WorkflowAccounts(ctx context.Context, which Which, accounts []string) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT a.user_id FROM unnest($2::text[]) AS a(user_id)
		CROSS JOIN LATERAL (SELECT 1 FROM inbox i WHERE i.workflow_id = $1 AND i.user_id = a.user_id AND ($3 = '' OR i.recipient_id = $3) LIMIT 1) i LIMIT 2`,
		which.WorkflowID, accounts, which.RecipientID)
	if err != nil {
		return nil, fmt.Errorf("accounts of the workflow: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
