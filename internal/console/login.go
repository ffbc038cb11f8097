package console

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	attemptsBurst  = 10 // log-ins of one address at once
	attemptsEvery  = 6 * time.Second
	addressesKnown = 10_000
	formMost       = 64 << 10 // bytes
)

// attempts limits how often an address may try to log in. A key can't be guessed; this keeps those who try from keeping
// the database busy.
type attempts struct {
	now func() time.Time
	mu  sync.Mutex
	by  map[string]*rate.Limiter
}

func newAttempts(now func() time.Time) *attempts {
	return &attempts{now: now, by: map[string]*rate.Limiter{}}
}

func (a *attempts) allow(address string) bool {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	limiter := a.by[address]
	if limiter == nil {
		if len(a.by) >= addressesKnown {
			for address, one := range a.by {
				if one.TokensAt(now) >= attemptsBurst {
					delete(a.by, address)
				}
			}
		}
		if len(a.by) >= addressesKnown {
			return false // so many addresses at a time are no people
		}
		limiter = rate.NewLimiter(rate.Every(attemptsEvery), attemptsBurst)
		a.by[address] = limiter
	}
	return limiter.AllowN(now, 1)
}

type loginView struct {
	Next    string
	Problem string
}

func (c *console) loginPage(w http.ResponseWriter, r *http.Request) {
	c.renderLogin(w, r, http.StatusOK, "")
}

func (c *console) renderLogin(w http.ResponseWriter, r *http.Request, status int, problem string) {
	c.write(w, r, status, "login", view{Title: "Log in", Body: loginView{Next: ownPath(r.FormValue("next")), Problem: problem}})
}

func (c *console) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formMost)
	address := c.ClientAddress(r)
	if !c.attempts.allow(address) {
		c.Logger.Warn("console: too many log-ins", "address", address)
		w.Header().Set("Retry-After", strconv.Itoa(int(attemptsEvery.Seconds())))
		c.renderLogin(w, r, http.StatusTooManyRequests, "Too many tries from your address. Wait a minute.")
		return
	}
	key := strings.TrimSpace(r.PostFormValue("key"))
	who, err := c.Authenticate(r.Context(), key)
	switch {
	case errors.Is(err, ErrKeyRefused):
		c.Logger.Warn("console: a key was refused", "address", address)
		c.renderLogin(w, r, http.StatusUnauthorized, "This key is not valid. It may be mistyped, expired or revoked.")
		return
	case err != nil:
		c.Logger.Error("console: a key can't be checked", "error", err)
		c.renderLogin(w, r, http.StatusServiceUnavailable, "The key can't be checked now. Try again in a moment.")
		return
	}
	c.sessions.end(c.token(r))
	c.setCookie(w, r, c.sessions.begin(who, key), sessionMost)
	c.Logger.Info("console: logged in", "key", who.KeyID, "address", address)
	next := ownPath(r.PostFormValue("next"))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (c *console) logout(w http.ResponseWriter, r *http.Request) {
	c.sessions.end(c.token(r))
	c.setCookie(w, r, "", -time.Second)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// ownPath is a path of the console, whatever somebody wrote into a link: never one of another site.
func ownPath(text string) string {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "" || parsed.Host != "" || !strings.HasPrefix(text, "/") ||
		strings.HasPrefix(text, "//") || strings.ContainsAny(text, "\\\r\n\t") || parsed.Path == "/login" {
		return "/"
	}
	return text
}
