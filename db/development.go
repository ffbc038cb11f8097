package db

import (
	"context"
	"fmt"
)

// developmentComment marks, on the schema of River, a database that was begun by a process with a simulated gateway.
const developmentComment = "begun by huntaze dev: its messages were sent to nobody"

// IsForDevelopment says whether a process with a simulated gateway may work in this database: it holds no messages
// yet, or was marked with MarkForDevelopment. In any other, messages that wait for a real gateway would be taken
// for sent.
func (s *Store) IsForDevelopment(ctx context.Context) (ok bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT NOT EXISTS (SELECT 1 FROM hybrid_workflows)
		OR coalesce(obj_description(to_regnamespace($1), 'pg_namespace'), '') = $2`, RiverSchema, developmentComment).Scan(&ok)
	if err != nil {
		return false, fmt.Errorf("what the database is for: %w", err)
	}
	return ok, nil
}

// MarkForDevelopment marks the database as one whose messages go to a simulated gateway.
func (s *Store) MarkForDevelopment(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, "COMMENT ON SCHEMA "+RiverSchema+" IS '"+developmentComment+"'"); err != nil {
		return fmt.Errorf("mark the database: %w", err)
	}
	return nil
}
