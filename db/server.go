package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is what the fleet relies on in the Postgres server, for a check.
type Server struct {
	Version           string
	VersionNumber     int               // as in 150004
	Durability        map[string]string // fsync, full_page_writes and synchronous_commit: each must not be off
	ReadOnly          bool              // a standby, or set so
	MaxConnections    int               // for everybody but superusers
	ClockAhead        time.Duration     // how far the database's clock is ahead of this machine's
	ClockUncertainty  time.Duration     // half of the time that asking took
	SameDatabase      bool              // the Postgres that wrote the ledger; false: it failed over or was restored
	FrozenUntil       time.Time         // zero: the fleet is not frozen
	FrozenReason      string
	WorkersActive     bool // some worker leads the fleet's jobs now
	LimitsSeeded      bool
	DoubtsForOperator Count
}

// durabilitySettings are the settings without which a commit that was answered may be forgotten.
var durabilitySettings = []string{"fsync", "full_page_writes", "synchronous_commit"}

// InspectServer reads the server's settings. It needs no schema of ours.
func InspectServer(ctx context.Context, pool *Pool) (server Server, err error) {
	server.Durability = map[string]string{}
	for _, name := range durabilitySettings {
		var value string
		if err := pool.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return server, fmt.Errorf("setting %s: %w", name, err)
		}
		server.Durability[name] = value
	}
	err = pool.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('server_version_num')::int,
		pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on',
		current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`).
		Scan(&server.Version, &server.VersionNumber, &server.ReadOnly, &server.MaxConnections)
	if err != nil {
		return server, fmt.Errorf("settings: %w", err)
	}
	before := time.Now()
	var now time.Time
	if err := pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return server, fmt.Errorf("clock: %w", err)
	}
	took := time.Since(before)
	server.ClockAhead, server.ClockUncertainty = now.Sub(before.Add(took/2)), took/2
	return server, nil
}

// InspectFleet adds what the schema tells.
func (s *Store) InspectFleet(ctx context.Context, server *Server) error {
	return s.readTx(ctx, func(tx pgx.Tx) (err error) {
		f, err := readFleet(ctx, tx)
		if err != nil {
			return err
		}
		server.SameDatabase = f.sameDatabase
		if f.frozenUntil.After(f.now) {
			server.FrozenUntil, server.FrozenReason = f.frozenUntil, f.frozenReason
		}
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM `+RiverSchema+`.river_leader WHERE expires_at > clock_timestamp()),
			EXISTS (SELECT 1 FROM limit_policies WHERE user_id = '')`).Scan(&server.WorkersActive, &server.LimitsSeeded); err != nil {
			return err
		}
		server.DoubtsForOperator, err = countRows(ctx, tx, `SELECT 1 FROM send_attempts WHERE state = 'unknown' AND look_up_at IS NULL LIMIT $1`, summaryRows)
		return err
	})
}
