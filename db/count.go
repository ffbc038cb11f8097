package db

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Count is a number of rows that was not more expensive to find out than it is worth.
type Count struct {
	Number    int64     `json:"number"`
	Certainty Certainty `json:"certainty"`
}

// Certainty says how a Count is to be read.
type Certainty string

// The certainties.
const (
	Exactly Certainty = "exactly"
	AtLeast Certainty = "at_least" // counting ended there
)

// bounded makes a count of what a query with LIMIT most+1 returned.
func bounded(n int64, most int) Count {
	if n > int64(most) {
		return Count{Number: int64(most), Certainty: AtLeast}
	}
	return Count{Number: n, Certainty: Exactly}
}

// countRows counts the rows that a select with LIMIT as its last argument returns, up to most.
func countRows(ctx context.Context, tx pgx.Tx, sql string, most int, args ...any) (Count, error) {
	var n int64
	err := tx.QueryRow(ctx, "SELECT count(*) FROM ("+sql+") bounded", append(args, most+1)...).Scan(&n)
	return bounded(n, most), err
}
