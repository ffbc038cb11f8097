package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Rest is an account that sends nothing for now.
type Rest struct {
	UserID string
	Until  time.Time
	Reason string
	Count  int // rests in a row
}

// Resting lists the accounts that rest, the shortest rest first, at most limit, and the database's time.
func (s *Store) Resting(ctx context.Context, limit int) (rests []Rest, now time.Time, err error) {
	err = s.readTx(ctx, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT hybrid_clock()").Scan(&now); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT user_id, rest_until, rest_reason, rest_count FROM accounts WHERE rest_until > $1 ORDER BY rest_until, user_id LIMIT $2`, now, limit)
		if err != nil {
			return fmt.Errorf("accounts that rest: %w", err)
		}
		rests, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Rest, err error) {
			return r, row.Scan(&r.UserID, &r.Until, &r.Reason, &r.Count)
		})
		return err
	})
	return rests, now, err
}

// EndRest lets an account send again now, and has it looked at. One message goes first; when the gateway takes
// it the others follow. It returns false when the account was not resting.
func (s *Store) EndRest(ctx context.Context, userID string) (rested bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE accounts SET rest_until = 'epoch' WHERE user_id = $1 AND rest_until > hybrid_clock()`, userID)
		if err != nil {
			return fmt.Errorf("end the rest: %w", err)
		}
		if rested = tag.RowsAffected() > 0; !rested {
			return nil
		}
		return s.wake(ctx, tx, userID)
	})
	return rested, err
}

// wakeAtOnce is how many accounts share a transaction in WakeWaiting.
const wakeAtOnce = 500

// WakeWaiting has accounts looked at now instead of at the time that was planned, because a rule has changed: one
// account, or all that have a wake-up pending when userID is empty. It returns how many. An account that nobody
// waits for is left alone.
func (s *Store) WakeWaiting(ctx context.Context, userID string) (woken int, err error) {
	after := ""
	for {
		var users []string
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			// Locked in the order of the key, as releases do.
			rows, err := tx.Query(ctx, `SELECT user_id FROM accounts WHERE wake_at IS NOT NULL AND user_id > $1 AND ($2 = '' OR user_id = $2)
				ORDER BY user_id LIMIT $3 FOR UPDATE`, after, userID, wakeAtOnce)
			if err != nil {
				return fmt.Errorf("accounts that wait: %w", err)
			}
			if users, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(users) == 0 {
				return err
			}
			rows, err = tx.Query(ctx, `UPDATE accounts SET wake_at = hybrid_clock() WHERE user_id = ANY($1) RETURNING user_id, wake_at`, users)
			if err != nil {
				return fmt.Errorf("wake accounts: %w", err)
			}
			jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Job, error) {
				j := Job{Kind: workflow.StepRelease, Due: true}
				return j, row.Scan(&j.UserID, &j.At)
			})
			if err != nil {
				return err
			}
			return s.enqueuer.EnqueueTx(ctx, tx, jobs)
		})
		if err != nil {
			return woken, err
		}
		woken += len(users)
		if len(users) < wakeAtOnce {
			return woken, nil
		}
		after = users[len(users)-1]
	}
}
