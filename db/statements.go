package db

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// statements are sent to the server together, in one round trip. Each sees what the ones before it wrote.
type statements struct {
	batch pgx.Batch
	parts []part
}

type part struct {
	label string
	rows  func(pgx.Rows) error
	done  func(pgconn.CommandTag) error
	wrap  func(error) error
}

// exec adds a statement whose result does not matter.
func (s *statements) exec(label, sql string, args ...any) {
	s.batch.Queue(sql, args...)
	s.parts = append(s.parts, part{label: label})
}

// count adds a statement and hands over how many rows it touched.
func (s *statements) count(label string, done func(int64) error, sql string, args ...any) {
	s.batch.Queue(sql, args...)
	s.parts = append(s.parts, part{label: label, done: func(tag pgconn.CommandTag) error { return done(tag.RowsAffected()) }})
}

// query adds a statement whose rows are read by the given function.
func (s *statements) query(label string, rows func(pgx.Rows) error, sql string, args ...any) {
	s.batch.Queue(sql, args...)
	s.parts = append(s.parts, part{label: label, rows: rows})
}

// onError changes how an error of the statement added last is reported.
func (s *statements) onError(wrap func(error) error) {
	s.parts[len(s.parts)-1].wrap = wrap
}

// run sends the statements. The error names the one that failed.
func (s *statements) run(ctx context.Context, tx pgx.Tx) error {
	if len(s.parts) == 0 {
		return nil
	}
	results := tx.SendBatch(ctx, &s.batch)
	for _, p := range s.parts {
		if err := p.read(results); err != nil {
			_ = results.Close()
			if p.wrap != nil {
				err = p.wrap(err)
			}
			return fmt.Errorf("%s: %w", p.label, err)
		}
	}
	return results.Close()
}

func (p part) read(results pgx.BatchResults) error {
	if p.rows == nil {
		tag, err := results.Exec()
		if err == nil && p.done != nil {
			err = p.done(tag)
		}
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := p.rows(rows); err != nil {
		return err
	}
	return rows.Err()
}

// few is a table in SQL whose columns are the arrays of the given parameters. The limit, which limits nothing, makes
// the planner expect one row: it then looks up each row's partners by their key, as it should for a few hundred. Without
// it a statement that was planned while a table was small reads that table as a whole for as long as the connection
// lives, though it may have grown to millions.
func few(columns string, arrays ...string) string {
	return "(SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ") AS r(" + columns + ") LIMIT cardinality(" + arrays[0] + "))"
}

// into reads rows with a scanner for each of them.
func into[T any](scan pgx.RowToFunc[T], use func(T) error) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		all, err := pgx.CollectRows(rows, scan)
		if err != nil {
			return err
		}
		for _, one := range all {
			if err := use(one); err != nil {
				return err
			}
		}
		return nil
	}
}
