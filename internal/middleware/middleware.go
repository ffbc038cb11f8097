// Package middleware stands in front of the API and of the SQS bridge while there is another orchestrator, the legacy
// one: it hands each request either to this orchestrator or, unchanged, to the other. Which one is decided by the flag
// orchestrator_enabled of the account, once for each workflow; all that comes later for the workflow goes the same way.
//
// Promises:
//   - A request goes to one side, never to both, and the decision is durable before anything is handed over. While it
//     can't be made (the database is away) the request goes to neither: the API answers 503, the message stays on its
//     queue.
//   - What goes to the legacy orchestrator is what came, byte for byte: method, path, query, headers other than those of
//     the connection, body; and so is its answer. A trace context is added where the request has none. Host is that
//     of the legacy orchestrator; headers such as X-Forwarded-For are neither added nor changed.
//   - Nothing is sent twice by itself: no redirect is followed, no request repeated after it was written.
//   - A message counts as handed over when the legacy orchestrator answered 2xx, and only then.
//   - No body, query or header appears in an error or a log line.
//
// Without a legacy orchestrator everything is handled here, and nothing is decided or stored.
package middleware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/trace"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// Routes remembers on which side workflows are.
type Routes interface {
	// Known says on which side a workflow is, if that is decided. The account may be missing.
	Known(ctx context.Context, userID, workflowID string) (side flags.Side, known bool, err error)
	// ClaimRoutes decides for good, claim by claim: the first claim of a workflow wins.
	ClaimRoutes(ctx context.Context, claims []flags.Claim) ([]flags.Side, error)
	// Owners finds the accounts of workflows, where each is the only one.
	Owners(ctx context.Context, workflowIDs []string) (map[string]string, error)
	// CampaignHere says whether a campaign is known here. The account may be missing.
	CampaignHere(ctx context.Context, userID, campaignID string) (bool, error)
}

// Config is what a Middleware needs.
type Config struct {
	Flags  interface{ Snapshot() *flags.Snapshot }
	Routes Routes

	LegacyURL       string        // LEGACY_ORCHESTRATOR_URL; empty: everything is handled here
	MessagesPath    string        // where it takes messages of the queue; /messages
	ResponseTimeout time.Duration // until the first of an answer of it; 30 s
	MessageTimeout  time.Duration // of handing over one message; 10 s
	MessagesAtOnce  int           // of different accounts; 4

	DefaultUserID string                       // the account of messages that name none
	Identify      func(*http.Request) Identity // what a request's path and credentials say; nil: nothing

	Logger *slog.Logger     // nil: silent
	Now    func() time.Time // the machine's time
}

// Identity is what is known of a request. What is empty is looked for in its body.
type Identity struct {
	UserID     string
	WorkflowID string
	CampaignID string
	Ours       bool // the request is for this orchestrator, whatever the flags say: a health check, its own pages
}

// Middleware decides and hands over. Make one with New.
type Middleware struct {
	config   Config
	target   *url.URL // nil: there is no legacy orchestrator
	messages string   // the address for messages
	proxy    *httputil.ReverseProxy
	client   *http.Client
	logger   *slog.Logger
	now      func() time.Time
	close    func()
}

// New makes a middleware. Close it at the end.
func New(config Config) (*Middleware, error) {
	config.MessagesPath = cmp.Or(config.MessagesPath, "/messages")
	config.ResponseTimeout = cmp.Or(config.ResponseTimeout, 30*time.Second)
	config.MessageTimeout = cmp.Or(config.MessageTimeout, 10*time.Second)
	config.MessagesAtOnce = cmp.Or(config.MessagesAtOnce, 4)
	m := &Middleware{config: config, logger: config.Logger, now: config.Now, close: func() {}}
	if m.logger == nil {
		m.logger = slog.New(slog.DiscardHandler)
	}
	if m.now == nil {
		m.now = time.Now
	}
	if config.LegacyURL == "" {
		return m, nil
	}
	target, err := url.Parse(config.LegacyURL)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" || target.User != nil || target.RawQuery != "" || target.Fragment != "" {
		return nil, errors.New("LEGACY_ORCHESTRATOR_URL: want an http or https address without user, query and fragment")
	}
	m.target = target
	target.Path, target.RawPath = strings.TrimRight(target.Path, "/"), strings.TrimRight(target.RawPath, "/")
	if !strings.HasPrefix(config.MessagesPath, "/") {
		return nil, fmt.Errorf("the path for messages, %q, must begin with /", config.MessagesPath)
	}
	m.messages = target.String() + config.MessagesPath
	transport := newTransport(config.ResponseTimeout)
	m.proxy, m.client, m.close = m.newProxy(transport), newClient(transport, config.MessageTimeout), transport.CloseIdleConnections
	return m, nil
}

// Close gives up the connections that are not in use.
func (m *Middleware) Close() { m.close() }

// Request is one that is to be handled by one of the sides.
type Request struct {
	UserID     string // empty: not known
	WorkflowID string // empty: it is about no workflow
	CampaignID string
	// Reads is true for one that changes nothing: it goes where its workflow is, but decides nothing for it.
	Reads  bool
	Origin string                // what it is, for those who ask why the workflow is there; empty: its trace id
	Trace  workflow.TraceContext // the producer's; the zero value: it has none
}

// Decision says who handles a request, and under which trace.
type Decision struct {
	Side  flags.Side
	Trace workflow.TraceContext
}

// errUndecided says that the flags are not known yet.
var errUndecided = errors.New("the flags have not been read yet, so nobody knows which orchestrator is to handle this")

// Decide says who handles a request. A workflow that is known stays where it is; a campaign that is known here is
// handled here; else the account's flag decides. An error means that nobody may handle it now.
func (m *Middleware) Decide(ctx context.Context, r Request) (Decision, error) {
	d := Decision{Side: flags.Here, Trace: r.Trace}
	if d.Trace.TraceID == "" {
		d.Trace = trace.New(m.now())
	}
	d.Trace.UserID, d.Trace.WorkflowID = cmp.Or(d.Trace.UserID, r.UserID), cmp.Or(d.Trace.WorkflowID, r.WorkflowID)
	if m.target == nil {
		return d, nil
	}
	userID, workflowID, campaignID := usable(r.UserID), usable(r.WorkflowID), usable(r.CampaignID)
	var known bool
	var err error
	switch {
	case workflowID != "":
		if d.Side, known, err = m.config.Routes.Known(ctx, userID, workflowID); known || err != nil {
			return d, err
		}
	case campaignID != "":
		if known, err = m.config.Routes.CampaignHere(ctx, userID, campaignID); known || err != nil {
			d.Side = flags.Here
			return d, err
		}
	}
	snapshot := m.config.Flags.Snapshot()
	if !snapshot.Decided(flags.OrchestratorEnabled) {
		return d, errUndecided
	}
	d.Side = snapshot.Side(userID)
	if workflowID == "" || r.Reads {
		return d, nil
	}
	sides, err := m.config.Routes.ClaimRoutes(ctx, []flags.Claim{{UserID: userID, WorkflowID: workflowID, Wanted: d.Side, Request: cmp.Or(r.Origin, "trace "+d.Trace.TraceID)}})
	if err != nil {
		return d, err
	}
	d.Side = sides[0]
	return d, nil
}

// usable returns an id that may be one of ours, or nothing: what can't be stored is of no known account or workflow.
func usable(id string) string {
	if len(id) > queue.MaxIDBytes || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl) {
		return ""
	}
	return id
}
