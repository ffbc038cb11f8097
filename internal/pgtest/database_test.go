package pgtest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { Main(m, WithLeakCheck()) }

// small is a schema as the real one is shaped: a clock, and something that uses it.
var small = Template{Name: "small", Migrate: func(ctx context.Context, url string) error {
	connection, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer connection.Close(ctx)
	_, err = connection.Exec(ctx, `
		CREATE FUNCTION hybrid_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';
		CREATE TABLE thing (id bigint PRIMARY KEY, made timestamptz NOT NULL DEFAULT hybrid_clock());
		INSERT INTO thing (id) VALUES (1)`)
	return err
}}

func TestFreshDatabaseEach(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			db := New(t, small)
			t.Logf("ready after %v", time.Since(start))
			pool := db.Pool(t)
			if _, err := pool.Exec(t.Context(), "INSERT INTO thing (id) VALUES (2)"); err != nil {
				t.Fatal(err)
			}
			db.FreezeClock(t, time.Unix(1000, 0))
			db.AdvanceClock(t, time.Second)
			if got := db.Clock(t); !got.Equal(time.Unix(1001, 0)) {
				t.Fatal(got)
			}
		})
	}
}
