package console

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	sessionIdle    = 2 * time.Hour    // without a request
	sessionMost    = 12 * time.Hour   // in all
	sessionRecheck = 30 * time.Second // how old the word of Authenticate may be
	sessionsAtOnce = 10_000
	tokenBytes     = 32
)

// session is somebody who is logged in. What only the browser knows, the token, is not in it: the key lies sealed with
// it, so that a look into the server's memory shows no key that can be used.
type session struct {
	sealed  []byte
	began   time.Time
	seen    time.Time
	checked time.Time
	who     Principal
	notice  string // to be shown once
}

// sessions are those of this process. A restart ends them.
type sessions struct {
	now func() time.Time
	mu  sync.Mutex
	all map[[sha256.Size]byte]*session // by the hash of the token
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, all: map[[sha256.Size]byte]*session{}}
}

// begin makes a session and returns its token.
func (s *sessions) begin(who Principal, key string) (token string) {
	secret := make([]byte, tokenBytes)
	_, _ = rand.Read(secret) // documented never to fail
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	s.all[sha256.Sum256(secret)] = &session{sealed: seal(secret, key), began: now, seen: now, checked: now, who: who}
	return base64.RawURLEncoding.EncodeToString(secret)
}

// sweep forgets what is over, and when there are too many, the one that was seen least lately.
func (s *sessions) sweep(now time.Time) {
	var oldest [sha256.Size]byte
	for hash, one := range s.all {
		if one.over(now) {
			delete(s.all, hash)
		} else if o, any := s.all[oldest]; !any || one.seen.Before(o.seen) {
			oldest = hash
		}
	}
	if len(s.all) >= sessionsAtOnce {
		delete(s.all, oldest)
	}
}

func (o *session) over(now time.Time) bool {
	return now.Sub(o.seen) >= sessionIdle || now.Sub(o.began) >= sessionMost
}

// errNoSession: whoever asks has to log in.
var errNoSession = errors.New("there is no session")

// find returns whose session a request belongs to. Every now and then it has the key judged again: one that was revoked
// ends its sessions.
func (s *sessions) find(ctx context.Context, token string, authenticate func(context.Context, string) (Principal, error)) (Principal, error) {
	secret, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(secret) != tokenBytes {
		return Principal{}, errNoSession
	}
	hash, now := sha256.Sum256(secret), s.now()
	s.mu.Lock()
	one, known := s.all[hash]
	if known && one.over(now) {
		delete(s.all, hash)
		known = false
	}
	if !known {
		s.mu.Unlock()
		return Principal{}, errNoSession
	}
	one.seen = now
	who, fresh, sealed := one.who, now.Sub(one.checked) < sessionRecheck, one.sealed
	s.mu.Unlock()
	if fresh {
		return who, nil
	}
	key, err := unseal(secret, sealed)
	if err != nil {
		return Principal{}, errNoSession
	}
	who, err = authenticate(ctx, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, ErrKeyRefused) {
		delete(s.all, hash)
		return Principal{}, errNoSession
	}
	if err != nil {
		return Principal{}, err
	}
	one.who, one.checked = who, now
	return who, nil
}

// end forgets a session.
func (s *sessions) end(token string) {
	if hash, ok := hashOf(token); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, hash)
	}
}

// tell keeps a sentence for the next page of the session.
func (s *sessions) tell(token, notice string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hash, ok := hashOf(token); ok && s.all[hash] != nil {
		s.all[hash].notice = notice
	}
}

// told returns that sentence, once.
func (s *sessions) told(token string) (notice string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hash, ok := hashOf(token); ok && s.all[hash] != nil {
		notice, s.all[hash].notice = s.all[hash].notice, ""
	}
	return notice
}

func hashOf(token string) (hash [sha256.Size]byte, ok bool) {
	secret, err := base64.RawURLEncoding.DecodeString(token)
	return sha256.Sum256(secret), err == nil
}

func seal(secret []byte, key string) []byte {
	return cipherOf(secret).Seal(nil, nil, []byte(key), nil)
}

func unseal(secret, sealed []byte) (string, error) {
	key, err := cipherOf(secret).Open(nil, nil, sealed, nil)
	return string(key), err
}

// cipherOf makes the nonce part of what it writes.
func cipherOf(secret []byte) cipher.AEAD {
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err) // the secret has 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// cookieName has the prefix that keeps other hosts of the domain from setting it, where the browser allows it.
func (c *console) cookieName() string {
	if c.Secure {
		return "__Host-huntaze"
	}
	return "huntaze"
}

func (c *console) setCookie(w http.ResponseWriter, r *http.Request, token string, lasts time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: c.cookieName(), Value: token, Path: "/", MaxAge: int(lasts.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.Secure || r.TLS != nil,
	})
}

func (c *console) token(r *http.Request) string {
	cookie, err := r.Cookie(c.cookieName())
	if err != nil {
		return ""
	}
	return cookie.Value
}
