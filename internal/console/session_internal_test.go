package console

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestMemoryHoldsNoKey: what the server remembers of a session is no key without the token, which only the browser has.
func TestMemoryHoldsNoKey(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)
	s := newSessions(func() time.Time { return now })
	const key = "huntaze_abcdefghijkl_the-secret-of-a-key"
	token := s.begin(Principal{KeyID: "abcdefghijkl"}, key)
	secret, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for hash, one := range s.all {
		if memory := fmt.Sprintf("%x %+v", hash, *one); strings.Contains(memory, "secret-of") || strings.Contains(memory, token) || bytes.Contains(hash[:], secret) || bytes.Contains(one.sealed, []byte("secret-of")) {
			t.Errorf("the memory holds %s", memory)
		}
		other := bytes.Clone(secret)
		other[0] ^= 1
		if text, err := unseal(other, one.sealed); err == nil {
			t.Errorf("another token opens it: %q", text)
		}
		if text, err := unseal(secret, one.sealed); err != nil || text != key {
			t.Errorf("the token opens it: %q (%v)", text, err)
		}
	}
}

// TestSessionsAreBounded: there are never more than so many, and the one that was seen least lately goes first.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)
	s := newSessions(func() time.Time { return now })
	first := s.begin(Principal{}, "key")
	now = now.Add(time.Second)
	second := s.begin(Principal{}, "key")
	now = now.Add(time.Second)
	for len(s.all) < sessionsAtOnce {
		s.all[[32]byte{byte(len(s.all)), byte(len(s.all) >> 8), 1}] = &session{began: now, seen: now}
	}
	s.begin(Principal{}, "key")
	never := func(context.Context, string) (Principal, error) { return Principal{}, ErrKeyRefused }
	if _, err := s.find(t.Context(), first, never); err != errNoSession || len(s.all) != sessionsAtOnce {
		t.Errorf("%d sessions; the oldest: %v", len(s.all), err)
	}
	if _, err := s.find(t.Context(), second, never); err != nil {
		t.Errorf("the second oldest: %v", err)
	}
	now = now.Add(sessionIdle)
	s.begin(Principal{}, "key")
	if len(s.all) != 1 {
		t.Errorf("%d sessions after all others were over", len(s.all))
	}
}

// TestAddressesAreBounded: addresses that nobody hears of any more are forgotten.
func TestAddressesAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)
	a := newAttempts(func() time.Time { return now })
	for n := range addressesKnown {
		a.allow(fmt.Sprint(n))
	}
	if a.allow("one more") || len(a.by) != addressesKnown {
		t.Errorf("%d addresses", len(a.by))
	}
	now = now.Add(time.Hour)
	if !a.allow("one more") || len(a.by) != 1 {
		t.Errorf("%d addresses an hour later", len(a.by))
	}
}
