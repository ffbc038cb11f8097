package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// OptOut is a recipient who gets nothing more from an account.
type OptOut struct {
	UserID      string
	RecipientID string
	Reason      string
	CreatedAt   time.Time
	CreatedBy   string
}

func scanOptOut(row pgx.CollectableRow) (o OptOut, err error) {
	return o, row.Scan(&o.UserID, &o.RecipientID, &o.Reason, &o.CreatedAt, &o.CreatedBy)
}

// sendsSwitch is the lock that a transaction which is about to start sends holds, see hold_sends_switch in the migrations.
const sendsSwitch = 7527043798650941028

// OptOut notes that a recipient wants nothing more: once it returns, no call that has not begun yet begins any more. Who
// opted out already stays so, as it was written first.
func (s *Store) OptOut(ctx context.Context, o OptOut) (OptOut, error) {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO opt_outs (user_id, recipient_id, reason, created_at, created_by) VALUES ($1, $2, $3, hybrid_clock(), $4) ON CONFLICT DO NOTHING`,
			o.UserID, o.RecipientID, o.Reason, o.CreatedBy); err != nil {
			return err
		}
		// Those that read before this was written are waited for; those that come read it.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(sendsSwitch)); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT user_id, recipient_id, reason, created_at, created_by FROM opt_outs WHERE user_id = $1 AND recipient_id = $2`, o.UserID, o.RecipientID)
		if err != nil {
			return err
		}
		o, err = pgx.CollectExactlyOneRow(rows, scanOptOut)
		return err
	})
	if err != nil {
		return o, fmt.Errorf("opt-out: %w", err)
	}
	return o, nil
}

// OptIn lets a recipient get messages again; what was cancelled meanwhile stays so. It says whether there was an opt-out.
func (s *Store) OptIn(ctx context.Context, userID, recipientID string) (bool, error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM opt_outs WHERE user_id = $1 AND recipient_id = $2`, userID, recipientID)
	if err != nil {
		return false, fmt.Errorf("opt-out: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// FindOptOut returns one opt-out; found is false if there is none.
func (s *Store) FindOptOut(ctx context.Context, userID, recipientID string) (o OptOut, found bool, err error) {
	rows, err := s.pool.Query(ctx, `SELECT user_id, recipient_id, reason, created_at, created_by FROM opt_outs WHERE user_id = $1 AND recipient_id = $2`, userID, recipientID)
	if err == nil {
		o, err = pgx.CollectExactlyOneRow(rows, scanOptOut)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return o, false, nil
	}
	if err != nil {
		return o, false, fmt.Errorf("opt-out: %w", err)
	}
	return o, true, nil
}

// OptOuts lists an account's opt-outs by recipient, those after the given one (empty: from the first).
func (s *Store) OptOuts(ctx context.Context, userID, after string, limit int) ([]OptOut, error) {
	rows, err := s.pool.Query(ctx, `SELECT user_id, recipient_id, reason, created_at, created_by FROM opt_outs WHERE user_id = $1 AND recipient_id > $2 ORDER BY recipient_id LIMIT $3`, userID, after, limit)
	if err != nil {
		return nil, fmt.Errorf("opt-outs: %w", err)
	}
	return pgx.CollectRows(rows, scanOptOut)
}

// OptedOut counts the recipients of a list that opted out of an account's messages.
func (s *Store) OptedOut(ctx context.Context, userID string, recipients []string) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM unnest($2::text[]) AS r(id)
		CROSS JOIN LATERAL (SELECT 1 FROM opt_outs o WHERE o.user_id = $1 AND o.recipient_id = r.id LIMIT 1) o`, userID, recipients).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("opt-outs: %w", err)
	}
	return n, nil
}

// optedOutMost is how many opt-outs of an account are compared with a campaign's recipients.
const optedOutMost = 100_000

// CampaignOptedOut counts the recipients of a campaign that opted out of its account's messages.
func (s *Store) CampaignOptedOut(ctx context.Context, campaign uuid.UUID, userID string) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT recipient_id FROM opt_outs WHERE user_id = $2 ORDER BY recipient_id LIMIT $3) o
		CROSS JOIN LATERAL (SELECT 1 FROM campaign_recipients r WHERE r.campaign = $1 AND r.recipient_id = o.recipient_id LIMIT 1) r`, campaign, userID, optedOutMost).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("opt-outs: %w", err)
	}
	return n, nil
}
