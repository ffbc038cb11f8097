package db_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/huntaze/hybrid-orchestrator/db"
)

// An error is the statement's fault, or the connection's, the server's or another transaction's: never both.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "off", "off")
	_, divided := f.pool.Exec(f.ctx, `SELECT 1/0`)
	_, terminated := f.pool.Exec(f.ctx, `SELECT pg_terminate_backend(pg_backend_pid())`)
	c, err := f.pool.Acquire(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Conn().Close(f.ctx)
	_, closed := c.Exec(f.ctx, `SELECT 1`)
	c.Release()
	_, unreachable := pgconn.Connect(f.ctx, "postgres://nobody@127.0.0.1:1/nothing")
	for name, c := range map[string]struct {
		err                  error
		refused, interrupted bool
	}{
		"the statement":       {divided, true, false},
		"a terminated one":    {terminated, false, true},
		"a closed connection": {closed, false, true},
		"no server":           {unreachable, false, true},
		"a deadlock":          {&pgconn.PgError{Code: "40P01"}, false, true},
		"another error":       {errors.New("2 of 3 workflows moved"), false, false},
		"no error":            {nil, false, false},
		"a time limit":        {context.Canceled, false, false},
	} {
		err := c.err
		if err != nil {
			err = fmt.Errorf("transaction: %w", err)
		}
		if got := db.Refused(err); got != c.refused {
			t.Errorf("%s: refused %v (%v)", name, got, err)
		}
		if got := db.Interrupted(err); got != c.interrupted {
			t.Errorf("%s: interrupted %v (%v)", name, got, err)
		}
	}
}
