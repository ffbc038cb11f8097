package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Doubt is an attempt whose outcome nobody knows.
type Doubt struct {
	Attempt
	Fence       int64
	UserID      string
	WorkflowID  string
	RecipientID string
	CampaignID  string
	Since       time.Time
	Reason      string
	Detail      string
	LookUps     int
	LookUpAt    *time.Time // when the gateway is asked next; nil: an operator must decide
	// Settled is how long ago the request can last have been on its way: negative while it still may be.
	// Only after that does "never accepted" prove anything.
	Settled time.Duration
}

const doubtsSQL = `
SELECT a.workflow, a.sequence, a.fence, w.user_id, w.workflow_id, w.recipient_id, w.campaign_id, coalesce(a.started_at, a.reserved_at), a.reason, a.detail,
       a.look_ups, a.look_up_at, hybrid_clock() - (greatest(a.call_deadline, a.ended_at) + $1::interval)
FROM send_attempts a JOIN hybrid_workflows w ON w.id = a.workflow
WHERE a.state = 'unknown'`

func scanDoubt(row pgx.CollectableRow) (d Doubt, err error) {
	return d, row.Scan(&d.Workflow, &d.Sequence, &d.Fence, &d.UserID, &d.WorkflowID, &d.RecipientID, &d.CampaignID, &d.Since, &d.Reason, &d.Detail, &d.LookUps, &d.LookUpAt, &d.Settled)
}

// Doubt returns one attempt that is in doubt; ok is false when it is settled.
func (s *Store) Doubt(ctx context.Context, a Attempt) (d Doubt, ok bool, err error) {
	rows, err := s.pool.Query(ctx, doubtsSQL+" AND a.workflow = $2 AND a.sequence = $3", s.config.Timing.Settle, a.Workflow, a.Sequence)
	if err != nil {
		return d, false, err
	}
	all, err := pgx.CollectRows(rows, scanDoubt)
	if err != nil || len(all) == 0 {
		return d, false, err
	}
	return all[0], true, nil
}

// Doubts lists what is in doubt, the oldest first, at most limit.
func (s *Store) Doubts(ctx context.Context, limit int) ([]Doubt, error) {
	rows, err := s.pool.Query(ctx, doubtsSQL+" ORDER BY a.reserved_at LIMIT $2", s.config.Timing.Settle, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanDoubt)
}

// DoubtsOf lists what is in doubt of one workflow id, of one account when userID is not empty.
func (s *Store) DoubtsOf(ctx context.Context, userID, workflowID string) ([]Doubt, error) {
	rows, err := s.pool.Query(ctx, doubtsSQL+" AND w.workflow_id = $2 AND ($3 = '' OR w.user_id = $3) ORDER BY a.reserved_at", s.config.Timing.Settle, workflowID, userID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanDoubt)
}

// AskAgain notes a look-up that settled nothing and enqueues the next one. Without a delay there is none: an
// operator must decide.
func (s *Store) AskAgain(ctx context.Context, a Attempt, in time.Duration, detail string) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var at *time.Time
		err := tx.QueryRow(ctx, `UPDATE send_attempts SET look_ups = look_ups + 1, detail = $3, look_up_at = CASE WHEN $4::interval > interval '0' THEN hybrid_clock() + $4 END
			WHERE workflow = $1 AND sequence = $2 AND state = 'unknown' RETURNING look_up_at`, a.Workflow, a.Sequence, detail, in).Scan(&at)
		if err == pgx.ErrNoRows || err == nil && at == nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ask again: %w", err)
		}
		return s.enqueuer.EnqueueTx(ctx, tx, []Job{{Kind: "resolve", Workflow: a.Workflow, Sequence: a.Sequence, At: *at}})
	})
}

// WorkflowIDs returns the internal ids of the workflows that have a public id.
func (s *Store) WorkflowIDs(ctx context.Context, userID, workflowID string) ([]uuid.UUID, error) {
	rows, err := s.pool.Query(ctx, `SELECT workflow FROM inbox WHERE workflow_id = $1 AND ($2 = '' OR user_id = $2) ORDER BY received_at`, workflowID, userID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}
