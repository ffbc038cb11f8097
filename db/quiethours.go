package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// QuietHours is when an account sends nothing.
type QuietHours struct {
	UserID    string
	Hours     string // as campaign.ParseQuiet reads it
	ChangedAt time.Time
	ChangedBy string
}

// QuietHours returns an account's quiet hours; found is false if it has none.
func (s *Store) QuietHours(ctx context.Context, userID string) (q QuietHours, found bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT user_id, hours, changed_at, changed_by FROM quiet_hours WHERE user_id = $1`, userID).Scan(&q.UserID, &q.Hours, &q.ChangedAt, &q.ChangedBy)
	if errors.Is(err, pgx.ErrNoRows) {
		return q, false, nil
	}
	if err != nil {
		return q, false, fmt.Errorf("quiet hours: %w", err)
	}
	return q, true, nil
}

// SetQuietHours changes an account's quiet hours and has the account looked at, which planned by the old ones.
func (s *Store) SetQuietHours(ctx context.Context, userID, hours, by string) (QuietHours, error) {
	q := QuietHours{UserID: userID, Hours: hours, ChangedBy: by}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `INSERT INTO quiet_hours AS q (user_id, hours, changed_at, changed_by) VALUES ($1, $2, hybrid_clock(), $3)
			ON CONFLICT (user_id) DO UPDATE SET hours = excluded.hours, changed_at = excluded.changed_at, changed_by = excluded.changed_by RETURNING changed_at`,
			userID, hours, by).Scan(&q.ChangedAt); err != nil {
			return err
		}
		return s.wake(ctx, tx, userID)
	})
	if err != nil {
		return q, fmt.Errorf("quiet hours: %w", err)
	}
	return q, nil
}

// ClearQuietHours removes an account's quiet hours. It says whether there were any.
func (s *Store) ClearQuietHours(ctx context.Context, userID string) (had bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM quiet_hours WHERE user_id = $1`, userID)
		if err != nil {
			return err
		}
		if had = tag.RowsAffected() == 1; !had {
			return nil
		}
		return s.wake(ctx, tx, userID)
	})
	if err != nil {
		return false, fmt.Errorf("quiet hours: %w", err)
	}
	return had, nil
}
