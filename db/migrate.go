package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/huntaze/hybrid-orchestrator/migrations"
)

// RiverSchema is where River's own tables live.
const RiverSchema = "river"

// migrationLock is the advisory lock under which one process at a time changes the schema.
const migrationLock = 0x6875_6e74_617a_6500

// ErrNewerSchema says that the database was migrated by a newer binary.
var ErrNewerSchema = errors.New("the database is newer than this binary; deploy a binary at least as new as the one that migrated it")

// MigrationStatus is one line of `huntaze migrate status`.
type MigrationStatus struct {
	Line    string // "fleet" or "river"
	Version int
	Name    string
	Applied bool
}

// Migrate brings the schema up to this binary: the fleet's tables, then River's. It may be called by many
// processes at once (one works, the others wait and find nothing to do) and refuses a newer database.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	return withMigrationLock(ctx, pool, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations (
			version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`); err != nil {
			return fmt.Errorf("table schema_migrations: %w", err)
		}
		status, err := migrationStatus(ctx, conn, pool)
		if err != nil {
			return err
		}
		all, err := migrations.All()
		if err != nil {
			return err
		}
		for i, m := range all {
			if status[i].Applied {
				continue
			}
			if err := applyMigration(ctx, conn, m); err != nil {
				return fmt.Errorf("migration %04d_%s: %w", m.Version, m.Name, err)
			}
		}
		if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+RiverSchema); err != nil {
			return fmt.Errorf("create schema %s: %w", RiverSchema, err)
		}
		migrator, err := riverMigrator(pool)
		if err != nil {
			return err
		}
		if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return fmt.Errorf("river's migrations: %w", err)
		}
		return nil
	})
}

// MigrationState lists every migration this binary knows and whether the database has it.
func MigrationState(ctx context.Context, pool *pgxpool.Pool) ([]MigrationStatus, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	return migrationStatus(ctx, conn.Conn(), pool)
}

// ErrOlderSchema says that a migration of this program was not applied yet.
var ErrOlderSchema = errors.New("the database lacks migration")

// CheckSchema is the function of that name, on the store's database.
func (s *Store) CheckSchema(ctx context.Context) error { return CheckSchema(ctx, s.pool) }

// CheckSchema fails when the database lacks a migration of this binary or is newer than it.
func CheckSchema(ctx context.Context, pool *pgxpool.Pool) error {
	status, err := MigrationState(ctx, pool)
	if err != nil {
		return err
	}
	for _, s := range status {
		if !s.Applied {
			return fmt.Errorf("%w %s %d (%s); run `huntaze migrate up`", ErrOlderSchema, s.Line, s.Version, s.Name)
		}
	}
	return nil
}

// withMigrationLock holds the lock on a connection of its own: those who wait for it must not keep the pool's
// connections from the one who works.
func withMigrationLock(ctx context.Context, pool *pgxpool.Pool, do func(*pgx.Conn) error) error {
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // which gives the lock back
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for other migrations: %w", err)
	}
	return do(conn)
}

func applyMigration(ctx context.Context, conn *pgx.Conn, m migrations.Migration) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, m.SQL); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)`, m.Version, m.Name, m.Checksum)
		return err
	})
}

func migrationStatus(ctx context.Context, conn *pgx.Conn, pool *pgxpool.Pool) ([]MigrationStatus, error) {
	ours, err := fleetStatus(ctx, conn)
	if err != nil {
		return nil, err
	}
	rivers, err := riverStatus(ctx, conn, pool)
	if err != nil {
		return nil, err
	}
	return append(ours, rivers...), nil
}

func fleetStatus(ctx context.Context, conn *pgx.Conn) ([]MigrationStatus, error) {
	all, err := migrations.All()
	if err != nil {
		return nil, err
	}
	// It only reads: a worker's role need not own the schema.
	var applied []migrations.Migration
	rows, err := conn.Query(ctx, `SELECT version, name, checksum FROM schema_migrations ORDER BY version`)
	if err == nil {
		applied, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m migrations.Migration, err error) {
			return m, row.Scan(&m.Version, &m.Name, &m.Checksum)
		})
	}
	if err != nil && !undefinedTable(err) {
		return nil, fmt.Errorf("table schema_migrations: %w", err)
	}
	status := make([]MigrationStatus, len(all))
	for i, m := range all {
		status[i] = MigrationStatus{Line: "fleet", Version: m.Version, Name: m.Name}
	}
	for _, a := range applied {
		if a.Version > len(all) {
			return nil, fmt.Errorf("migration %d (%s): %w", a.Version, a.Name, ErrNewerSchema)
		}
		if a.Checksum != all[a.Version-1].Checksum {
			return nil, fmt.Errorf("migration %d (%s) was applied with another text than this binary has; a released migration must not change", a.Version, a.Name)
		}
		status[a.Version-1].Applied = true
	}
	return status, nil
}

func riverStatus(ctx context.Context, conn *pgx.Conn, pool *pgxpool.Pool) ([]MigrationStatus, error) {
	migrator, err := riverMigrator(pool)
	if err != nil {
		return nil, err
	}
	var existing []int
	rows, err := conn.Query(ctx, "SELECT version FROM "+RiverSchema+".river_migration WHERE line = 'main'")
	if err == nil {
		existing, err = pgx.CollectRows(rows, pgx.RowTo[int])
	}
	if err != nil && !undefinedTable(err) {
		return nil, err
	}
	has := map[int]bool{}
	for _, v := range existing {
		has[v] = true
	}
	var status []MigrationStatus
	for _, m := range migrator.AllVersions() {
		status = append(status, MigrationStatus{Line: "river", Version: m.Version, Name: m.Name, Applied: has[m.Version]})
		delete(has, m.Version)
	}
	for v := range has {
		return nil, fmt.Errorf("river's migration %d: %w", v, ErrNewerSchema)
	}
	return status, nil
}

func riverMigrator(pool *pgxpool.Pool) (*rivermigrate.Migrator[pgx.Tx], error) {
	return rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: RiverSchema, Logger: slog.New(slog.DiscardHandler)})
}

func undefinedTable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000" || pg.Code == "42703")
}
