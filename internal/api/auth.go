package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/apikey"
)

// caller is whoever has shown a key.
type caller struct{ key db.APIKey }

// may says whether the caller may use an account.
func (c caller) may(userID string) bool {
	return c.key.Admin || slices.Contains(c.key.Accounts, userID)
}

// accounts are those that the caller may use; nil: all.
func (c caller) accounts() []string {
	if c.key.Admin {
		return nil
	}
	return c.key.Accounts
}

// name is what is written down about who did something.
func (c caller) name() string { return "key " + c.key.ID }

var errKey = errors.New("the key is not known, is expired or was revoked")

// authenticate lets requests with a valid key pass, as often as the key may ask.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.identify(r.Context(), r.Header.Get("Authorization"))
		if err != nil {
			writeProblem(w, r, err)
			return
		}
		infoOf(r.Context()).caller = who
		if wait := s.rates.take(who.key.ID, s.config.Now()); wait > 0 {
			writeProblem(w, r, retry(problem(http.StatusTooManyRequests, codeRate, "this key asks too often"), wait))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ErrKeyRefused: a key is not known, or not valid any more.
var ErrKeyRefused = errors.New("the API key is not valid")

// Authenticate says whose a key is, for what stands beside the API. An error that is not ErrKeyRefused means that nobody
// can say now.
func (s *Server) Authenticate(ctx context.Context, key string) (db.APIKey, error) {
	who, refused := s.identify(ctx, "Bearer "+key)
	switch {
	case refused == nil:
		return who.key, nil
	case refused.Status == http.StatusUnauthorized:
		return db.APIKey{}, ErrKeyRefused
	}
	return db.APIKey{}, refused
}

func unauthorized(reason string) *Problem {
	return problem(http.StatusUnauthorized, codeUnauthorized, "the request needs the key of somebody who may do this", FieldError{"header", "Authorization", reason, "send Authorization: Bearer huntaze_…; huntaze apikey create makes a key"})
}

// identify finds out whose key it is. Whatever is wrong with a key that has the right form is answered the same.
func (s *Server) identify(ctx context.Context, header string) (caller, *Problem) {
	scheme, text, _ := strings.Cut(header, " ")
	switch {
	case header == "":
		return caller{}, unauthorized("is missing")
	case !strings.EqualFold(scheme, "Bearer"):
		return caller{}, unauthorized("is not a Bearer key")
	}
	shown, err := apikey.Parse(strings.TrimSpace(text))
	if err != nil {
		return caller{}, unauthorized("has no usable key: " + err.Error())
	}
	key, now, err := s.store.APIKey(ctx, shown.ID)
	if err != nil && !errors.Is(err, db.ErrNoAPIKey) {
		return caller{}, s.storeProblem(err)
	}
	if err != nil || !valid(key, shown, now) {
		return caller{}, unauthorized(errKey.Error())
	}
	if err := s.store.UsedAPIKey(ctx, key, now); err != nil {
		s.logger.Warn("could not note that a key was used", "key", key.ID, "error", err)
	}
	return caller{key}, nil
}

func valid(key db.APIKey, shown apikey.Key, now time.Time) bool {
	current, previous := shown.Matches(key.SecretHash), shown.Matches(key.Previous)
	switch {
	case key.RevokedAt != nil, key.ExpiresAt != nil && !key.ExpiresAt.After(now):
		return false
	case current:
		return true
	}
	return previous && key.PreviousUntil != nil && key.PreviousUntil.After(now)
}
