package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/console"
)

func cookieOf(t *testing.T, a answer) *http.Cookie {
	t.Helper()
	cookies := (&http.Response{Header: a.header}).Cookies()
	if len(cookies) != 1 {
		t.Fatalf("%d cookies", len(cookies))
	}
	return cookies[0]
}

func TestLogin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.post("/login", "key", "wrong").wants(t, http.StatusUnauthorized, "not valid").lacks(t, `value="wrong"`)
	if to := b.get("/campaigns?state=draft").header.Get("Location"); to != "/login?next=%2Fcampaigns%3Fstate%3Ddraft" {
		t.Errorf("the way back is %q", to)
	}
	a := b.post("/login", "key", " "+adminKey+"\n", "next", "/campaigns?state=draft")
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/campaigns?state=draft" {
		t.Fatalf("log in: %d %v", a.status, a.header)
	}
	cookie := cookieOf(t, a)
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure || cookie.Path != "/" || len(cookie.Value) != 43 || strings.Contains(cookie.Value, "key") {
		t.Errorf("cookie %v", cookie)
	}
	b.get("/").wants(t, http.StatusOK, "admin0000001")
	b.post("/logout")
	if a := b.get("/"); a.status != http.StatusSeeOther {
		t.Errorf("after logging out: %d", a.status)
	}
	// The session itself is over, not only its cookie.
	if a := r.browser().get("/", "Cookie", cookie.Name+"="+cookie.Value); a.status != http.StatusSeeOther {
		t.Errorf("with the old cookie: %d", a.status)
	}
	for _, next := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "javascript:alert(1)", "/login", "\t//evil.example", "/\t/evil.example", ""} {
		if to := r.browser().post("/login", "key", adminKey, "next", next).header.Get("Location"); to != "/" {
			t.Errorf("next %q leads to %q", next, to)
		}
	}
	secure := newRig(t, func(_ *rig, o *console.Options) { o.Secure = true })
	if cookie := cookieOf(t, secure.browser().post("/login", "key", adminKey)); !cookie.Secure || !strings.HasPrefix(cookie.Name, "__Host-") {
		t.Errorf("behind TLS: %v", cookie)
	}
}

// TestRevokedKey: whoever's key is revoked is out within a minute; when nobody can say, nobody gets in and nobody is out.
func TestRevokedKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.login(scopedKey)
	later := func(d time.Duration) { r.keys.change(func() { r.keys.now = r.keys.now.Add(d) }) }
	r.keys.change(func() { r.keys.asked = 0 })
	for range 5 {
		b.get("/").wants(t, http.StatusOK)
	}
	r.keys.change(func() {
		if r.keys.asked != 0 {
			t.Errorf("the key was checked %d times within moments", r.keys.asked)
		}
		r.keys.failure = errDown
	})
	later(time.Minute)
	b.get("/").wants(t, http.StatusServiceUnavailable, "Not now").lacks(t, errDown.Error())
	r.browser().post("/login", "key", adminKey).wants(t, http.StatusServiceUnavailable, "can&#39;t be checked").lacks(t, errDown.Error())
	r.keys.change(func() {
		r.keys.failure = nil
		r.keys.who[scopedKey] = console.Principal{KeyID: "scoped000001", Accounts: []string{"creator-7", "creator-8"}}
	})
	b.get("/").wants(t, http.StatusOK, "2 accounts")
	r.keys.change(func() { delete(r.keys.who, scopedKey) })
	later(time.Minute)
	if a := b.get("/"); a.status != http.StatusSeeOther {
		t.Errorf("a minute after the key was revoked: %d", a.status)
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	later := func(d time.Duration) { r.keys.change(func() { r.keys.now = r.keys.now.Add(d) }) }
	idle, busy := r.login(adminKey), r.login(adminKey)
	for range 11 {
		later(time.Hour)
		busy.get("/").wants(t, http.StatusOK)
	}
	if a := idle.get("/"); a.status != http.StatusSeeOther {
		t.Errorf("after hours without a request: %d", a.status)
	}
	later(time.Hour)
	if a := busy.get("/"); a.status != http.StatusSeeOther {
		t.Errorf("after half a day: %d", a.status)
	}
	for _, cookie := range []string{"huntaze=", "huntaze=x", "huntaze=" + strings.Repeat("A", 43), "huntaze=" + strings.Repeat("A", 4000)} {
		if a := r.browser().get("/", "Cookie", cookie); a.status != http.StatusSeeOther {
			t.Errorf("cookie %.20s: %d", cookie, a.status)
		}
	}
}

func TestLoginsAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(_ *rig, o *console.Options) {
		o.ClientAddress = func(r *http.Request) string { return r.Header.Get("X-Test-Address") }
	})
	try := func(key, address string) answer {
		b := r.browser()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.server.URL+"/login", strings.NewReader("key="+key))
		if err != nil {
			t.Fatal(err)
		}
		return b.do(request, []string{"Content-Type", "application/x-www-form-urlencoded", "X-Test-Address", address})
	}
	for range 10 {
		try("wrong", "a").wants(t, http.StatusUnauthorized)
	}
	if a := try(adminKey, "a").wants(t, http.StatusTooManyRequests, "Too many tries"); a.header.Get("Retry-After") == "" {
		t.Error("nobody says when to come back")
	}
	if a := try(adminKey, "b"); a.status != http.StatusSeeOther {
		t.Errorf("another address: %d", a.status)
	}
	r.keys.change(func() { r.keys.now = r.keys.now.Add(7 * time.Second) })
	if a := try(adminKey, "a"); a.status != http.StatusSeeOther {
		t.Errorf("a moment later: %d", a.status)
	}
}

// TestDatabaseDown: the pages say so, and say nothing of what the error says.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.login(adminKey)
	r.exec(`ALTER TABLE hybrid_workflows RENAME TO gone`)
	for _, path := range []string{"/", "/messages/0198f3a0-0000-7000-8000-000000000000"} {
		checkPage(t, path, b.get(path).wants(t, http.StatusServiceUnavailable, "Not now").lacks(t, "hybrid_workflows", "SQLSTATE"))
	}
}
