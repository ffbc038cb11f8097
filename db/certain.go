package db

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// A connection that breaks at a commit leaves open whether it happened. Who then says "it failed" counts nothing for
// what is durable, and has a call in the ledger that nobody makes. So the transaction's number is read before the commit, and
// Postgres is asked afterwards what became of it.
//
// A server that crashes may give the number of a transaction that it forgot to another one. A crash resets the
// server's statistics, and a failover begins a timeline: an answer is believed only if there was neither. Otherwise the
// outcome stays unknown, as if nobody had asked.

const (
	// fateWithin is for how long Postgres is asked. Whoever waits is told of an error then: a database that is away must be noticed.
	fateWithin = 10 * time.Second
	fatePause  = 500 * time.Millisecond // the longest between two tries
)

// fate is what is needed to ask for the outcome of a transaction.
type fate struct {
	transaction *string // nil: it wrote nothing
	statistics  *time.Time
}

// readFate must be the last statement before the commit.
func readFate(ctx context.Context, tx pgx.Tx) (f fate, err error) {
	err = tx.QueryRow(ctx, `SELECT pg_current_xact_id_if_assigned()::text, stats_reset FROM pg_stat_bgwriter`).Scan(&f.transaction, &f.statistics)
	return f, err
}

// committed says whether the transaction is known to have been committed.
func (s *Store) committed(ctx context.Context, f fate) bool {
	if f.transaction == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, fateWithin)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, fatePause) {
		status, err := s.ask(ctx, f)
		if err == nil && status != "in progress" || Refused(err) {
			return err == nil && status == "committed"
		}
		// The server is away, or has not noticed yet that the connection is.
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// ask returns what became of the transaction; empty: that can't be known. It has a connection of its own: when the database has so much
// to do that commits are lost, all others of the pool may be waiting for locks.
func (s *Store) ask(ctx context.Context, f fate) (status string, err error) {
	connection, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return "", err
	}
	defer func() { _ = connection.Close(ctx) }() // without a deadline it would wait for a server that hangs
	err = connection.QueryRow(ctx, `SELECT CASE WHEN b.stats_reset = $2 AND f.system_identifier = s.system_identifier AND f.timeline = current_timeline()
			THEN coalesce(pg_xact_status($1::text::xid8), '') ELSE '' END
		FROM pg_stat_bgwriter b, pg_control_system() s, fleet_state f`, *f.transaction, f.statistics).Scan(&status)
	return status, err
}
