// Package console is the fleet's web pages for people: what the campaigns do, where a message is and why, which tokens
// an account has, what needs a decision. A server renders them; a little script only keeps them up to date.
//
// It promises:
//
//   - Nobody sees a page without an API key, and a key for some accounts sees those alone: of all others each page says
//     that there is nothing. Whoever's key is revoked is out within a minute.
//   - The key is not in the cookie, and not in the server's memory in a form that can be read without the cookie.
//   - What is changed is changed by a form of the console itself: a request that another site makes is refused.
//   - No page loads anything from elsewhere, runs anything that is not a file of this package, or shows the text of a
//     message or a recipient's fields. Only the jobs' own pages, below /river, are River's.
//   - Without script every page works; it is only not kept up to date.
package console

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
)

// Principal is whose key was shown.
type Principal struct {
	KeyID    string
	Admin    bool     // may see and do everything
	Accounts []string // that the others may see
}

// scope is what the principal may see.
func (p Principal) scope() db.Scope {
	if p.Admin {
		return nil
	}
	return append(db.Scope{}, p.Accounts...)
}

// ErrKeyRefused is what Authenticate returns of a key that is not known, or not valid any more.
var ErrKeyRefused = errors.New("the API key is not valid")

// Options are what a console needs.
type Options struct {
	Store Store
	// Authenticate says whose a key is. An error that wraps ErrKeyRefused ends the sessions of the key; any other means
	// that nobody can say now: the request fails, and the session stays.
	Authenticate func(ctx context.Context, key string) (Principal, error)
	Now          func() time.Time // the machine's time, for sessions
	Logger       *slog.Logger     // nil: silent
	// Secure says that browsers come over TLS, here or at a proxy before: the cookie is then never sent without.
	Secure bool
	// RiverUI serves River's own pages below /river, for admins; nil: there are none. See NewRiverUI.
	RiverUI http.Handler
	// RiverWrites lets admins retry, cancel and delete jobs there. A retry of a send that was made does nothing.
	RiverWrites bool
	Matrix      fallback.Matrix // in force; zero: the built-in one
	Overrides   flags.Overrides // of flags, by the environment
	Legacy      bool            // there is an orchestrator before this one
	// ClientAddress is where a request comes from, for the limit of log-ins; nil: the other end of the connection. Behind
	// a proxy that is the proxy's, and all people share a limit.
	ClientAddress func(*http.Request) string
}

// console serves the pages.
type console struct {
	Options
	sessions  *sessions
	attempts  *attempts
	templates map[string]*template.Template
	matrix    fallback.Matrix
	summary   summary
}

// New makes the console. The handler serves everything below /: mount it beside the API, on the same host.
func New(options Options) (http.Handler, error) {
	switch {
	case options.Store == nil:
		return nil, errors.New("console: there is no store")
	case options.Authenticate == nil:
		return nil, errors.New("console: nobody can log in without Authenticate")
	case options.Now == nil:
		return nil, errors.New("console: there is no clock")
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.ClientAddress == nil {
		options.ClientAddress = otherEnd
	}
	c := &console{Options: options, sessions: newSessions(options.Now), attempts: newAttempts(options.Now), matrix: options.Matrix}
	if c.matrix.IsZero() {
		c.matrix = fallback.Default()
	}
	var err error
	if c.templates, err = parseTemplates(); err != nil {
		return nil, err
	}
	return c.handler(), nil
}

func otherEnd(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func (c *console) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/{file}", serveAsset)
	mux.HandleFunc("GET /login", c.loginPage)
	mux.HandleFunc("POST /login", c.login)
	mux.HandleFunc("POST /logout", c.logout)
	for pattern, page := range map[string]page{
		"GET /{$}":                           c.overviewPage,
		"GET /campaigns":                     c.campaignsPage,
		"GET /campaigns/{id}":                c.campaignPage,
		"POST /campaigns/{id}/{action}":      c.changeCampaign,
		"GET /messages":                      c.searchPage,
		"GET /messages/{id}":                 c.messagePage,
		"GET /accounts":                      c.accountsPage,
		"GET /account":                       c.accountPage,
		"POST /account/wake":                 c.wakeAccount,
		"GET /doubts":                        c.doubtsPage,
		"POST /doubts/{workflow}/{sequence}": c.resolveDoubt,
		"GET /quarantine":                    c.admins(c.quarantinePage),
		"GET /providers":                     c.admins(c.providersPage),
		"GET /flags":                         c.admins(c.flagsPage),
		"POST /flags":                        c.admins(c.changeFlag),
		"/river":                             c.admins(c.riverPage),
		"/river/":                            c.admins(c.riverPage),
		"/":                                  func(*request) error { return errNotFound },
	} {
		mux.Handle(pattern, c.page(page))
	}
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(c.crossOrigin))
	return withHeaders(sameOrigin.Handler(mux))
}
