package db

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// QuarantineEntry is a message that can't be used, with the reason. Its body is read on demand only.
type QuarantineEntry struct {
	ID         int64     `json:"id"`
	MessageID  string    `json:"messageId"` // given by SQS
	Source     string    `json:"source"`    // the queue
	Field      string    `json:"field"`
	Reason     string    `json:"reason"`
	Remedy     string    `json:"remedy,omitempty"`
	Bytes      int       `json:"bytes"` // of the body
	ReceivedAt time.Time `json:"receivedAt"`
}

const quarantineColumns = `q.id, q.message_id, q.source, q.field, q.reason, q.remedy, octet_length(q.body), q.received_at`

func scanQuarantineEntry(row pgx.CollectableRow) (q QuarantineEntry, err error) {
	return q, row.Scan(&q.ID, &q.MessageID, &q.Source, &q.Field, &q.Reason, &q.Remedy, &q.Bytes, &q.ReceivedAt)
}

// ErrNotQuarantined is returned for an id that the quarantine does not have.
var ErrNotQuarantined = errors.New("no such message in the quarantine")

// Quarantine lists messages that can't be used, the latest first, at most limit of those before the given id (0:
// from the latest).
func (s *Store) Quarantine(ctx context.Context, before int64, limit int) ([]QuarantineEntry, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+quarantineColumns+` FROM quarantine q
		WHERE q.id < CASE WHEN $1::bigint > 0 THEN $1 ELSE 9223372036854775807 END ORDER BY q.id DESC LIMIT $2`, before, limit)
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	return pgx.CollectRows(rows, scanQuarantineEntry)
}

// QuarantinedMessage returns one message by its id in the quarantine or the one that SQS gave it.
func (s *Store) QuarantinedMessage(ctx context.Context, id string) (QuarantineEntry, error) {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		number = 0
	}
	rows, err := s.pool.Query(ctx, `SELECT `+quarantineColumns+` FROM quarantine q
		WHERE q.id = coalesce((SELECT n.id FROM quarantine n WHERE n.id = $1), (SELECT m.id FROM quarantine m WHERE m.message_id = $2))`, number, id)
	if err != nil {
		return QuarantineEntry{}, fmt.Errorf("quarantine: %w", err)
	}
	q, err := pgx.CollectExactlyOneRow(rows, scanQuarantineEntry)
	if errors.Is(err, pgx.ErrNoRows) {
		return q, fmt.Errorf("%s: %w", id, ErrNotQuarantined)
	}
	return q, err
}

// QuarantinedBody returns the body as it was received. It may be no text at all, and may hold what a creator
// writes to a fan: not for logs.
func (s *Store) QuarantinedBody(ctx context.Context, id int64) (body []byte, err error) {
	err = s.pool.QueryRow(ctx, `SELECT body FROM quarantine WHERE id = $1`, id).Scan(&body)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%d: %w", id, ErrNotQuarantined)
	}
	return body, err
}
