package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
)

// request is one of somebody who is logged in.
type request struct {
	*http.Request
	w     http.ResponseWriter
	c     *console
	who   Principal
	token string
	now   time.Time // the database's
}

// page answers a request, or says why not.
type page func(*request) error

// refusal is a request that is not done, with what a person should know.
type refusal struct {
	Status int
	Title  string
	Text   string
}

func (e refusal) Error() string { return e.Title + ": " + e.Text }

// errNotFound is also the answer to whatever somebody may not see.
var errNotFound = refusal{http.StatusNotFound, "Not found", "There is nothing here, or nothing that your key may see."}

func invalid(format string, args ...any) refusal {
	return refusal{http.StatusUnprocessableEntity, "That does not work", fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) refusal {
	return refusal{http.StatusConflict, "It has changed meanwhile", fmt.Sprintf(format, args...)}
}

// page makes a handler of a page: it lets in who is logged in, and shows what goes wrong.
func (c *console) page(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := c.token(r)
		who, err := c.sessions.find(r.Context(), token, c.Authenticate)
		if errors.Is(err, errNoSession) {
			c.askToLogIn(w, r)
			return
		}
		req := &request{Request: r, w: w, c: c, who: who, token: token}
		if err == nil {
			r.Body = http.MaxBytesReader(w, r.Body, formMost)
			req.now, err = c.Store.Now(r.Context())
		}
		if err == nil {
			err = p(req)
		}
		if err != nil {
			c.fail(req, err)
		}
	})
}

func (c *console) admins(p page) page {
	return func(r *request) error {
		if !r.who.Admin {
			return errNotFound
		}
		return p(r)
	}
}

func (c *console) askToLogIn(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(fragmentHeader) != "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	target := "/login"
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		target += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// fail shows what went wrong. What a person can't do anything about is in the log.
func (c *console) fail(r *request, err error) {
	var known refusal
	switch {
	case errors.As(err, &known):
	case errors.Is(err, db.ErrNoCampaign):
		known = errNotFound
	case r.Context().Err() != nil:
		return // nobody waits for it any more
	default:
		c.Logger.Error("console: a page failed", "method", r.Method, "path", r.URL.Path, "error", err)
		known = refusal{http.StatusServiceUnavailable, "Not now", "The database did not answer as it should. Sends are not affected by this page; try again in a moment."}
	}
	r.render(known.Status, "error", known.Title, "", known)
}

func (c *console) crossOrigin(w http.ResponseWriter, r *http.Request) {
	c.Logger.Warn("console: a request of another site was refused", "method", r.Method, "path", r.URL.Path, "origin", r.Header.Get("Origin"))
	denied := refusal{http.StatusForbidden, "Refused", "This request came from another site. Open the console and do it there."}
	c.write(w, r, denied.Status, "error", view{Title: denied.Title, Body: denied})
}

// may says whether the request may see and do what is an account's.
func (r *request) may(userID string) bool { return r.who.scope().Includes(userID) }

// by is who changes something, as it is kept.
func (r *request) by() string { return "key " + r.who.KeyID + " in the console" }

// said logs what was changed.
func (r *request) said(what string, args ...any) {
	r.c.Logger.Info("console: "+what, append([]any{"key", r.who.KeyID}, args...)...)
}

// done tells what was done on the page that follows.
func (r *request) done(target, format string, args ...any) error {
	r.c.sessions.tell(r.token, fmt.Sprintf(format, args...))
	http.Redirect(r.w, r.Request, target, http.StatusSeeOther)
	return nil
}

const reasonMost = 300 // characters

// reason reads why somebody does something.
func (r *request) reason(required bool) (string, error) {
	text := strings.TrimSpace(r.PostFormValue("reason"))
	switch {
	case text == "" && required:
		return "", invalid("Say why: the reason is kept, and shown to whoever asks later.")
	case len([]rune(text)) > reasonMost:
		return "", invalid("The reason is longer than %d characters.", reasonMost)
	case strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' }):
		return "", invalid("The reason has characters that can't be shown.")
	}
	return text, nil
}
