package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// APIKey is a key of the API. Of its secret there is a hash alone.
type APIKey struct {
	ID            string
	Name          string
	SecretHash    []byte
	Previous      []byte     // hash of the secret before a rotation; nil: none
	PreviousUntil *time.Time // the previous one is taken until then
	Admin         bool
	Accounts      []string // that a key which is not an admin's may use
	CreatedAt     time.Time
	CreatedBy     string
	ExpiresAt     *time.Time // nil: never
	RevokedAt     *time.Time
	UsedAt        *time.Time // to the minute
}

// NewAPIKey is a key that is to be stored.
type NewAPIKey struct {
	ID         string
	Name       string
	SecretHash []byte
	Admin      bool
	Accounts   []string
	ValidFor   time.Duration // 0: for ever
	CreatedBy  string
}

// ErrNoAPIKey: there is none with that id, or it was revoked.
var ErrNoAPIKey = errors.New("there is no such key, or it was revoked")

// keyUsedEvery is how often it is written down that a key is used.
const keyUsedEvery = time.Minute

const apiKeyColumns = `k.id, k.name, k.secret_hash, k.previous, k.previous_until, k.admin, k.accounts, k.created_at, k.created_by, k.expires_at, k.revoked_at, k.used_at`

func scanAPIKey(row pgx.CollectableRow) (k APIKey, err error) {
	return k, row.Scan(&k.ID, &k.Name, &k.SecretHash, &k.Previous, &k.PreviousUntil, &k.Admin, &k.Accounts, &k.CreatedAt, &k.CreatedBy, &k.ExpiresAt, &k.RevokedAt, &k.UsedAt)
}

// CreateAPIKey stores a key.
func (s *Store) CreateAPIKey(ctx context.Context, k NewAPIKey) (APIKey, error) {
	accounts := append([]string{}, k.Accounts...)
	return s.changeAPIKey(ctx, `INSERT INTO api_keys AS k (id, name, secret_hash, admin, accounts, created_at, created_by, expires_at)
		VALUES ($1, $2, $3, $4, $5, hybrid_clock(), $6, CASE WHEN $7::interval > interval '0' THEN hybrid_clock() + $7::interval END)
		RETURNING `+apiKeyColumns, k.ID, k.Name, k.SecretHash, k.Admin, accounts, k.CreatedBy, k.ValidFor)
}

// APIKeys lists the keys, the newest first.
func (s *Store) APIKeys(ctx context.Context, limit int) ([]APIKey, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+apiKeyColumns+` FROM api_keys k ORDER BY k.created_at DESC, k.id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("API keys: %w", err)
	}
	return pgx.CollectRows(rows, scanAPIKey)
}

// RotateAPIKey gives a key another secret. The one before is taken for some time longer, so that its users can change
// over one after the other; the one before that is not.
func (s *Store) RotateAPIKey(ctx context.Context, id string, secretHash []byte, keep time.Duration) (APIKey, error) {
	return s.changeAPIKey(ctx, `UPDATE api_keys k SET previous = CASE WHEN $3::interval > interval '0' THEN k.secret_hash END,
		previous_until = CASE WHEN $3::interval > interval '0' THEN hybrid_clock() + $3::interval END, secret_hash = $2
		WHERE k.id = $1 AND k.revoked_at IS NULL RETURNING `+apiKeyColumns, id, secretHash, keep)
}

// RevokeAPIKey ends a key for good, in the whole fleet, from the next request on.
func (s *Store) RevokeAPIKey(ctx context.Context, id string) (APIKey, error) {
	return s.changeAPIKey(ctx, `UPDATE api_keys k SET revoked_at = hybrid_clock(), previous = NULL, previous_until = NULL
		WHERE k.id = $1 AND k.revoked_at IS NULL RETURNING `+apiKeyColumns, id)
}

func (s *Store) changeAPIKey(ctx context.Context, sql string, args ...any) (APIKey, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return APIKey{}, fmt.Errorf("API key: %w", err)
	}
	key, err := pgx.CollectExactlyOneRow(rows, scanAPIKey)
	if errors.Is(err, pgx.ErrNoRows) {
		return key, ErrNoAPIKey
	}
	if err != nil {
		return key, fmt.Errorf("API key: %w", err)
	}
	return key, nil
}

// APIKey looks a key up by its id, with the database's time, by which it expires. ErrNoAPIKey if there is none.
func (s *Store) APIKey(ctx context.Context, id string) (key APIKey, now time.Time, err error) {
	rows, err := s.pool.Query(ctx, `SELECT `+apiKeyColumns+`, hybrid_clock() FROM api_keys k WHERE k.id = $1`, id)
	if err != nil {
		return key, now, fmt.Errorf("API key: %w", err)
	}
	key, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (k APIKey, err error) {
		return k, row.Scan(&k.ID, &k.Name, &k.SecretHash, &k.Previous, &k.PreviousUntil, &k.Admin, &k.Accounts, &k.CreatedAt, &k.CreatedBy, &k.ExpiresAt, &k.RevokedAt, &k.UsedAt, &now)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return key, now, ErrNoAPIKey
	}
	if err != nil {
		return key, now, fmt.Errorf("API key: %w", err)
	}
	return key, now, nil
}

// UsedAPIKey notes that a key was used, once a minute at most, whatever the number of requests and processes.
func (s *Store) UsedAPIKey(ctx context.Context, key APIKey, now time.Time) error {
	if key.UsedAt != nil && now.Sub(*key.UsedAt) < keyUsedEvery {
		return nil
	}
	_, err := s.pool.Exec(ctx, `UPDATE api_keys SET used_at = hybrid_clock() WHERE id = $1 AND (used_at IS NULL OR used_at <= hybrid_clock() - $2::interval)`, key.ID, keyUsedEvery)
	if err != nil {
		return fmt.Errorf("API key: %w", err)
	}
	return nil
}
