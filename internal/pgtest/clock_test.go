package pgtest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var someTime = time.Date(2026, 3, 29, 1, 30, 0, 123456000, time.UTC)

// made inserts a row in the transaction or pool and returns the time that the schema gave it.
func made(t *testing.T, on interface {
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
}, id int) time.Time {
	t.Helper()
	var at time.Time
	if err := on.QueryRow(t.Context(), "INSERT INTO thing (id) VALUES ($1) RETURNING made", id).Scan(&at); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestFrozenClockMovesOnlyWhenTold(t *testing.T) {
	t.Parallel()
	db := New(t, small)
	pool := db.Pool(t)
	db.FreezeClock(t, someTime)
	if got := made(t, pool, 2); !got.Equal(someTime) {
		t.Errorf("frozen at %v: %v", someTime, got)
	}
	db.AdvanceClock(t, 36*time.Hour)
	db.AdvanceClock(t, time.Microsecond)
	want := someTime.Add(36*time.Hour + time.Microsecond)
	if got := made(t, pool, 3); !got.Equal(want) {
		t.Errorf("advanced: %v, want %v", got, want)
	}
	db.FreezeClock(t, someTime) // takes back what was advanced
	if got := db.Clock(t); !got.Equal(someTime) {
		t.Errorf("frozen again: %v", got)
	}
}

func TestTransactionSeesTheClockMove(t *testing.T) {
	t.Parallel()
	db := New(t, small)
	db.FreezeClock(t, someTime)
	tx, err := db.Pool(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	before := made(t, tx, 2)
	db.AdvanceClock(t, time.Minute)
	if got := made(t, tx, 3).Sub(before); got != time.Minute {
		t.Errorf("the clock moved by %v for a transaction that was open", got)
	}
}

func TestRunningClockIsShifted(t *testing.T) {
	t.Parallel()
	db := New(t, small)
	for _, offset := range []time.Duration{-48 * time.Hour, 90 * time.Minute, 0} {
		db.SetClock(t, offset)
		near(t, db, offset)
	}
	db.FreezeClock(t, someTime)
	db.SetClock(t, time.Hour) // lets it run again
	db.AdvanceClock(t, time.Hour)
	near(t, db, 2*time.Hour)
}

// near compares with the real clock of this machine, from before to after the question; the server is on the same one, or its
// clock is kept in step.
func near(t *testing.T, db *Database, offset time.Duration) {
	t.Helper()
	const tolerance = 5 * time.Second
	before := time.Now().Add(offset - tolerance)
	got := db.Clock(t)
	if after := time.Now().Add(offset + tolerance); got.Before(before) || got.After(after) {
		t.Errorf("offset %v: %v is not from %v to %v", offset, got, before, after)
	}
}

func TestClocksAreApart(t *testing.T) {
	t.Parallel()
	frozen, other := New(t, small), New(t, small)
	frozen.FreezeClock(t, someTime)
	near(t, other, 0)
}

func TestClockInAnotherSchema(t *testing.T) {
	t.Parallel()
	db := New(t, Template{Name: "elsewhere", Migrate: func(ctx context.Context, url string) error {
		return execute(ctx, url, `
			CREATE SCHEMA "odd name";
			CREATE FUNCTION "odd name".hybrid_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()'`)
	}})
	db.FreezeClock(t, someTime)
	if got := db.Clock(t); !got.Equal(someTime) {
		t.Error(got)
	}
}

func TestSchemaWithoutClockIsRefused(t *testing.T) {
	t.Parallel()
	db := New(t, Template{Name: "empty"})
	err := db.clock.install(t.Context(), db.URL)
	if err == nil || !strings.Contains(err.Error(), "hybrid_clock") {
		t.Errorf("error: %v", err)
	}
}
