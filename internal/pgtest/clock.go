package pgtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// clock replaces the clock of a database. The schema reads the time from hybrid_clock() alone, which is
// clock_timestamp() until a test takes it over.
type clock struct {
	mu         sync.Mutex
	connection *pgx.Conn
	schema     string // where hybrid_clock is, quoted
}

// clockTimeout bounds one statement about the clock.
const clockTimeout = 30 * time.Second

// SetClock lets the clock of the database run, ahead of the real one by the offset (behind when negative).
func (db *Database) SetClock(t testing.TB, offset time.Duration) {
	t.Helper()
	db.changeClock(t, "UPDATE %s.test_clock SET frozen = NULL, shift = $1", offset)
}

// FreezeClock stops the clock of the database at that time, to the microsecond. It then moves by AdvanceClock only.
func (db *Database) FreezeClock(t testing.TB, at time.Time) {
	t.Helper()
	db.changeClock(t, "UPDATE %s.test_clock SET frozen = $1, shift = interval '0'", at)
}

// AdvanceClock moves the clock of the database, frozen or running, by d. Every statement that begins after the return sees
// the new time.
func (db *Database) AdvanceClock(t testing.TB, d time.Duration) {
	t.Helper()
	db.changeClock(t, "UPDATE %s.test_clock SET shift = shift + $1", d)
}

// Clock returns the time that the schema sees now.
func (db *Database) Clock(t testing.TB) time.Time {
	t.Helper()
	var now time.Time
	db.withClock(t, func(ctx context.Context, connection *pgx.Conn, schema string) error {
		return connection.QueryRow(ctx, "SELECT "+schema+".hybrid_clock()").Scan(&now)
	})
	return now
}

func (db *Database) changeClock(t testing.TB, statement string, argument any) {
	t.Helper()
	db.withClock(t, func(ctx context.Context, connection *pgx.Conn, schema string) error {
		_, err := connection.Exec(ctx, fmt.Sprintf(statement, schema), argument)
		return err
	})
}

func (db *Database) withClock(t testing.TB, do func(context.Context, *pgx.Conn, string) error) {
	t.Helper()
	// Not the test's context, which is over in its cleanups.
	ctx, cancel := context.WithTimeout(context.Background(), clockTimeout)
	defer cancel()
	db.clock.mu.Lock()
	defer db.clock.mu.Unlock()
	if err := db.clock.install(ctx, db.URL); err != nil {
		t.Fatalf("pgtest: take over the clock: %v", err)
	}
	if err := do(ctx, db.clock.connection, db.clock.schema); err != nil {
		t.Fatalf("pgtest: the clock: %v", err)
	}
}

// install connects, and replaces the function at the first call.
func (c *clock) install(ctx context.Context, url string) error {
	if c.connection == nil || c.connection.IsClosed() {
		connection, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		c.connection = connection
	}
	if c.schema != "" {
		return nil
	}
	var schema string
	err := c.connection.QueryRow(ctx, `
		SELECT quote_ident(n.nspname) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE p.proname = 'hybrid_clock' AND p.pronargs = 0`).Scan(&schema)
	if errors.Is(err, pgx.ErrNoRows) {
		return errors.New("the schema has no function hybrid_clock(), so nothing would obey the clock")
	}
	if err != nil {
		return err
	}
	// Volatile, so that each call sees what was committed before it, as it would see the time.
	_, err = c.connection.Exec(ctx, fmt.Sprintf(`
		CREATE TABLE %[1]s.test_clock (frozen timestamptz, shift interval NOT NULL);
		CREATE UNIQUE INDEX test_clock_one_row ON %[1]s.test_clock ((true));
		INSERT INTO %[1]s.test_clock VALUES (NULL, interval '0');
		CREATE OR REPLACE FUNCTION %[1]s.hybrid_clock() RETURNS timestamptz LANGUAGE sql VOLATILE
		AS $$ SELECT coalesce(frozen, clock_timestamp()) + shift FROM %[1]s.test_clock $$`, schema))
	if err == nil {
		c.schema = schema
	}
	return err
}

func (c *clock) close(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connection != nil {
		_ = c.connection.Close(ctx)
	}
}
