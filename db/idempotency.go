package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// IdempotencyKept is how long an answer is kept for requests that are repeated.
const IdempotencyKept = 24 * time.Hour

// idempotencyPurged is how many old answers are removed at once.
const idempotencyPurged = 5000

// Request is one try of a request with an Idempotency-Key.
type Request struct {
	APIKey string
	Key    string
	Owner  uuid.UUID     // this try
	Route  []byte        // hash of what is known before the body was read
	Lease  time.Duration // how long the try counts as alive without saying so again
}

// Answer is what a request was answered.
type Answer struct {
	Hash    []byte // of the whole request
	Status  int
	Headers http.Header
	Body    []byte
}

// Claimed says what became of a try.
type Claimed struct {
	Mine   bool      // answer it, and store the answer
	Since  time.Time // when the first try of it came, if it is mine
	Answer *Answer   // it was answered already; with neither, another try is under way
	Other  bool      // another request has the key: the route differs
}

// ClaimRequest begins a request, unless another try of it was answered or is under way. A try whose process ended is
// taken over when its lease is over.
func (s *Store) ClaimRequest(ctx context.Context, r Request) (Claimed, error) {
	for range 3 { // whoever was in the way may be gone when it is looked at
		var since time.Time
		err := s.pool.QueryRow(ctx, `INSERT INTO idempotency_keys AS k (api_key, key, request_hash, owner, owned_until, created_at)
			VALUES ($1, $2, $3, $4, hybrid_clock() + $5::interval, hybrid_clock())
			ON CONFLICT (api_key, key) DO UPDATE SET request_hash = excluded.request_hash, owner = excluded.owner, owned_until = excluded.owned_until,
				status = NULL, headers = NULL, body = NULL,
				created_at = CASE WHEN k.created_at <= hybrid_clock() - $6::interval THEN excluded.created_at ELSE k.created_at END
			WHERE k.created_at <= hybrid_clock() - $6::interval
			   OR (k.status IS NULL AND k.owned_until <= hybrid_clock() AND k.request_hash = excluded.request_hash)
			RETURNING created_at`, r.APIKey, r.Key, r.Route, r.Owner, r.Lease, IdempotencyKept).Scan(&since)
		if err == nil {
			return Claimed{Mine: true, Since: since}, nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return Claimed{}, fmt.Errorf("idempotency key: %w", err)
		}
		var a Answer
		var status *int
		var headers []byte
		err = s.pool.QueryRow(ctx, `SELECT request_hash, status, headers, body FROM idempotency_keys WHERE api_key = $1 AND key = $2`, r.APIKey, r.Key).
			Scan(&a.Hash, &status, &headers, &a.Body)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			continue
		case err != nil:
			return Claimed{}, fmt.Errorf("idempotency key: %w", err)
		case status == nil:
			return Claimed{Other: string(a.Hash) != string(r.Route)}, nil
		}
		a.Status = *status
		if err := json.Unmarshal(headers, &a.Headers); err != nil {
			return Claimed{}, fmt.Errorf("idempotency key: headers: %w", err)
		}
		return Claimed{Answer: &a}, nil
	}
	return Claimed{}, nil
}

// KeepRequest says that a try is still alive. It returns false when it was taken over.
func (s *Store) KeepRequest(ctx context.Context, r Request) (bool, error) {
	tag, err := s.pool.Exec(ctx, `UPDATE idempotency_keys SET owned_until = hybrid_clock() + $4::interval
		WHERE api_key = $1 AND key = $2 AND owner = $3 AND status IS NULL`, r.APIKey, r.Key, r.Owner, r.Lease)
	if err != nil {
		return false, fmt.Errorf("idempotency key: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// AnswerRequest stores what a try was answered, unless it was taken over.
func (s *Store) AnswerRequest(ctx context.Context, r Request, a Answer) error {
	headers, err := json.Marshal(a.Headers)
	if err == nil {
		_, err = s.pool.Exec(ctx, `UPDATE idempotency_keys SET request_hash = $4, status = $5, headers = $6, body = $7
			WHERE api_key = $1 AND key = $2 AND owner = $3 AND status IS NULL`, r.APIKey, r.Key, r.Owner, a.Hash, a.Status, string(headers), a.Body)
	}
	if err != nil {
		return fmt.Errorf("idempotency key: %w", err)
	}
	return nil
}

// ForgetRequest gives a key free whose request did not get an answer that should be kept.
func (s *Store) ForgetRequest(ctx context.Context, r Request) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM idempotency_keys WHERE api_key = $1 AND key = $2 AND owner = $3 AND status IS NULL`, r.APIKey, r.Key, r.Owner)
	if err != nil {
		return fmt.Errorf("idempotency key: %w", err)
	}
	return nil
}

// PurgeRequests removes the oldest answers that are kept no longer, and returns whether there may be more.
func (s *Store) PurgeRequests(ctx context.Context) (more bool, err error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM idempotency_keys WHERE (api_key, key) IN (
		SELECT api_key, key FROM idempotency_keys WHERE created_at <= hybrid_clock() - $1::interval ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
		IdempotencyKept, idempotencyPurged)
	if err != nil {
		return false, fmt.Errorf("idempotency keys: %w", err)
	}
	return tag.RowsAffected() == idempotencyPurged, nil
}
