package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// shownFailures is how many of a text's failed calls are told, the latest.
const shownFailures = 5

// TextProgress is how the text of a message is written, or was.
type TextProgress struct {
	Written bool         // it is ready
	Source  string       // of one that is: azure, openai or fallback_text
	DueAt   time.Time    // of one that is being written: when it goes on, at the latest
	Failed  []FailedCall // the latest ones, oldest first
}

// FailedCall is a call to a provider that brought no text to be sent.
type FailedCall struct {
	Provider string `json:"provider"`
	Class    string `json:"class"`
}

// TextsOf says how the texts of messages are written; messages that came with a text are left out.
func (s *Store) TextsOf(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]TextProgress, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT w.id, t.state = 'ready', t.source, t.due_at, coalesce(f.calls, '[]')
		FROM unnest($1::uuid[]) AS k(id) JOIN hybrid_workflows w ON w.id = k.id JOIN texts t ON t.id = w.text
		CROSS JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('provider', a.provider, 'class', a.class) ORDER BY a.sequence) AS calls
			FROM (SELECT * FROM plan_attempts a WHERE a.text = t.id AND a.state NOT IN ('executing', 'completed') ORDER BY a.sequence DESC LIMIT $2) a) f`, ids, shownFailures)
	if err != nil {
		return nil, fmt.Errorf("texts: %w", err)
	}
	texts := map[uuid.UUID]TextProgress{}
	var id uuid.UUID
	var p TextProgress
	var failed []byte
	if _, err := pgx.ForEachRow(rows, []any{&id, &p.Written, &p.Source, &p.DueAt, &failed}, func() error {
		p.Failed = nil
		if err := json.Unmarshal(failed, &p.Failed); err != nil {
			return err
		}
		texts[id] = p
		return nil
	}); err != nil {
		return nil, fmt.Errorf("texts: %w", err)
	}
	return texts, nil
}
