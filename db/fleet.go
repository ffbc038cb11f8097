package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

// ErrFailover says that this is not the Postgres that wrote the ledger: it failed over or was restored, and
// may have forgotten the latest sends. Nothing is sent until AdoptDatabase has frozen the fleet.
var ErrFailover = errors.New("the database failed over or was restored")

// fleet is the state that every release and every start of a call looks at.
type fleet struct {
	now          time.Time
	frozenUntil  time.Time
	frozenReason string
	sameDatabase bool
}

const fleetSQL = `SELECT hybrid_clock(), f.frozen_until, f.frozen_reason,
	f.system_identifier = s.system_identifier AND f.timeline = current_timeline()
	FROM fleet_state f, pg_control_system() s`

func scanFleet(row pgx.CollectableRow) (f fleet, err error) {
	return f, row.Scan(&f.now, &f.frozenUntil, &f.frozenReason, &f.sameDatabase)
}

func readFleet(ctx context.Context, q querier) (fleet, error) {
	rows, err := q.Query(ctx, fleetSQL)
	if err != nil {
		return fleet{}, fmt.Errorf("fleet state: %w", err)
	}
	f, err := pgx.CollectExactlyOneRow(rows, scanFleet)
	if err != nil {
		return fleet{}, fmt.Errorf("fleet state: %w", err)
	}
	return f, nil
}

func (f fleet) check() error {
	if !f.sameDatabase {
		return ErrFailover
	}
	return nil
}

// AdoptDatabase makes the fleet go on with a database that failed over or was restored: it freezes all sends for
// as long as a forgotten send could still count, and returns until when. It does nothing, and returns the
// zero time, when the database is the one that wrote the ledger.
func (s *Store) AdoptDatabase(ctx context.Context) (frozenUntil time.Time, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT 1 FROM fleet_state FOR UPDATE"); err != nil {
			return err
		}
		f, err := readFleet(ctx, tx)
		if err != nil || f.sameDatabase {
			return err
		}
		var longest time.Duration
		if err := tx.QueryRow(ctx, `SELECT coalesce(max(w + p.guard), interval '0') FROM limit_policies p, unnest(p.windows) w WHERE p.scope = $1`,
			limit.ScopeAccount).Scan(&longest); err != nil {
			return err
		}
		frozenUntil = f.now.Add(s.config.Timing.hold() + longest)
		_, err = tx.Exec(ctx, `UPDATE fleet_state SET frozen_until = greatest(frozen_until, $1), frozen_reason = $2,
			system_identifier = (SELECT system_identifier FROM pg_control_system()), timeline = current_timeline()`,
			frozenUntil, "the database failed over or was restored")
		return err
	})
	return frozenUntil, err
}

// Frozen says until when and why the whole fleet sends nothing; the zero time when it is not frozen.
func (s *Store) Frozen(ctx context.Context) (until time.Time, reason string, err error) {
	f, err := readFleet(ctx, s.pool)
	if err != nil || !f.frozenUntil.After(f.now) {
		return time.Time{}, "", err
	}
	return f.frozenUntil, f.frozenReason, nil
}
