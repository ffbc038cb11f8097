package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/readiness"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Store is what the API needs of the fleet's memory.
type Store interface {
	Ping(ctx context.Context) error
	Now(ctx context.Context) (time.Time, error)
	APIKey(ctx context.Context, id string) (db.APIKey, time.Time, error)
	UsedAPIKey(ctx context.Context, key db.APIKey, now time.Time) error
	ClaimRequest(ctx context.Context, r db.Request) (db.Claimed, error)
	KeepRequest(ctx context.Context, r db.Request) (bool, error)
	AnswerRequest(ctx context.Context, r db.Request, a db.Answer) error
	ForgetRequest(ctx context.Context, r db.Request) error
	PurgeRequests(ctx context.Context) (more bool, err error)
	CreateCampaign(ctx context.Context, c db.NewCampaign) error
	AddRecipients(ctx context.Context, campaign uuid.UUID, recipients []db.Recipient) (db.AddedRecipients, error)
	ChangeCampaign(ctx context.Context, campaign uuid.UUID, rule func(db.CampaignState) (db.CampaignState, error), reason string) (db.CampaignChange, error)
	CampaignByID(ctx context.Context, id uuid.UUID) (db.CampaignDetail, error)
	CampaignPage(ctx context.Context, p db.CampaignPage) ([]db.CampaignDetail, error)
	CampaignMessages(ctx context.Context, userID, campaignID string, stages []workflow.Stage, after uuid.UUID, limit int) ([]db.CampaignMessage, error)
	WorkflowAccounts(ctx context.Context, which db.Which, accounts []string) ([]string, error)
	Explain(ctx context.Context, which db.Which, limit int) (db.Explanation, error)
	AccountLoad(ctx context.Context, userID string) (db.AccountLoad, error)
	OptOut(ctx context.Context, o db.OptOut) (db.OptOut, error)
	OptIn(ctx context.Context, userID, recipientID string) (bool, error)
	FindOptOut(ctx context.Context, userID, recipientID string) (db.OptOut, bool, error)
	OptOuts(ctx context.Context, userID, after string, limit int) ([]db.OptOut, error)
	OptedOut(ctx context.Context, userID string, recipients []string) (int, error)
	CampaignOptedOut(ctx context.Context, campaign uuid.UUID, userID string) (int, error)
	QuietHours(ctx context.Context, userID string) (db.QuietHours, bool, error)
	SetQuietHours(ctx context.Context, userID, hours, by string) (db.QuietHours, error)
	ClearQuietHours(ctx context.Context, userID string) (bool, error)
}

// Config is what a server needs to know. Zero values are replaced by defaults, but for the store.
type Config struct {
	Store           Store
	Version         string
	Addr            string        // to listen on
	ShutdownTimeout time.Duration // to finish what was begun
	RequestTimeout  time.Duration // of everything but uploads and streams
	UploadTimeout   time.Duration // of a list of recipients
	MaxBodyBytes    int64
	MaxUploadBytes  int64   // of a list of recipients
	RatePerSecond   float64 // requests of each key
	MaxStreams      int     // event streams at once
	PollEvery       time.Duration
	HeartbeatEvery  time.Duration
	// TextCost is what a text from a brief is likely to cost, in pico-USD; false if nobody knows. Nil: nobody does.
	TextCost func(brief string) (pico int64, known bool)
	// Before stands in front of everything: the middleware that hands some requests to another orchestrator. Nil: nothing.
	Before func(http.Handler) http.Handler
	// Beside answers what is not the API's: a console, for example. Nil: nothing else is served.
	Beside http.Handler
	Logger *slog.Logger
	Now    func() time.Time
	// Parts are what /readyz looks at besides the database and the process itself.
	Parts   []readiness.Part
	Metrics *Metrics // nil: none
}

// The defaults.
const (
	defaultAddr     = "127.0.0.1:8080"
	defaultShutdown = 110 * time.Second
	defaultRequest  = 30 * time.Second
	defaultUpload   = 30 * time.Minute
	defaultBody     = 4 << 20
	defaultUploaded = 1 << 30
	defaultRate     = 50
	defaultStreams  = 500
	defaultPoll     = time.Second
	defaultBeat     = 15 * time.Second
	idleTimeout     = 2 * time.Minute
	headerTimeout   = 10 * time.Second
	maxHeaderBytes  = 32 << 10
	purgeEvery      = 10 * time.Minute
)

func (c Config) withDefaults() Config {
	set(&c.Addr, defaultAddr)
	set(&c.ShutdownTimeout, defaultShutdown)
	set(&c.RequestTimeout, defaultRequest)
	set(&c.UploadTimeout, defaultUpload)
	set(&c.MaxBodyBytes, defaultBody)
	set(&c.MaxUploadBytes, defaultUploaded)
	set(&c.RatePerSecond, defaultRate)
	set(&c.MaxStreams, defaultStreams)
	set(&c.PollEvery, defaultPoll)
	set(&c.HeartbeatEvery, defaultBeat)
	set(&c.Version, "dev")
	if c.TextCost == nil {
		c.TextCost = func(string) (int64, bool) { return 0, false }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func set[T comparable](value *T, standard T) {
	if *value == *new(T) {
		*value = standard
	}
}

// Server is the API of one process. Any number of processes may serve it.
type Server struct {
	config   Config
	store    Store
	logger   *slog.Logger
	rates    *rates
	streams  chan struct{}
	api      huma.API
	handler  http.Handler
	ready    *readiness.Checker
	draining atomic.Bool
	drain    context.Context // ends when streams must
	stop     context.CancelFunc
}

// New builds a server without starting it.
func New(config Config) (*Server, error) {
	if config.Store == nil {
		return nil, errors.New("api: a server needs a store")
	}
	config = config.withDefaults()
	s := &Server{config: config, store: config.Store, logger: config.Logger, rates: newRates(config.RatePerSecond), streams: make(chan struct{}, config.MaxStreams)}
	s.ready = readiness.New(time.Now, append([]readiness.Part{{Name: "process", Check: s.drains}, {Name: "database", Check: s.reachable}}, config.Parts...)...)
	s.drain, s.stop = context.WithCancel(context.Background())
	s.handler = s.routes()
	if config.Before != nil {
		s.handler = config.Before(s.handler)
	}
	return s, nil
}

// Handler serves the API, its description, the probes and what is beside it. Use it to mount the API in another server;
// that one then runs Maintain, and calls Drain before it shuts down.
func (s *Server) Handler() http.Handler { return s.handler }

// Drain makes the readiness fail and the streams end: what is left are requests that end by themselves.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.stop()
}

// Run listens and serves until ctx ends, then finishes what was begun within the shutdown time.
func (s *Server) Run(ctx context.Context) error {
	listener, err := net.Listen("tcp", s.config.Addr)
	if err != nil {
		return fmt.Errorf("HTTP_ADDR %s: %w", s.config.Addr, err)
	}
	return s.Serve(ctx, listener)
}

// Serve is Run on a listener, which it closes.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: s.handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	purging, endPurge := context.WithCancel(context.WithoutCancel(ctx))
	purged := make(chan struct{})
	go func() { defer close(purged); s.Maintain(purging) }()
	defer func() { endPurge(); <-purged }()
	s.logger.Info("API started", "address", listener.Addr().String())
	select {
	case err := <-served:
		s.Drain()
		return err
	case <-ctx.Done():
	}
	s.logger.Info("API drains", "within", s.config.ShutdownTimeout)
	s.Drain()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.ShutdownTimeout)
	defer cancel()
	err := server.Shutdown(limit)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were still being answered when the shutdown time was over: %w", err), server.Close())
	}
	<-served
	s.logger.Info("API stopped")
	return err
}

// Maintain removes old answers from time to time until ctx ends, in each process: they take turns by skipping what is
// locked. Run and Serve do it by themselves.
func (s *Server) Maintain(ctx context.Context) {
	ticker := time.NewTicker(purgeEvery)
	defer ticker.Stop()
	for {
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = s.store.PurgeRequests(ctx); err != nil && ctx.Err() == nil {
				s.logger.Warn("old answers could not be removed", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// storeProblem is the answer to an error of the store that nobody expected.
func (s *Server) storeProblem(err error) *Problem {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return caused(retry(problem(http.StatusServiceUnavailable, codeUnavailable, "the database did not answer in time"), time.Second), err)
	case db.Refused(err), errors.Is(err, context.Canceled):
		return caused(problem(http.StatusInternalServerError, codeInternal, "something went wrong here; it is in the log under the requestId"), err)
	}
	return caused(retry(problem(http.StatusServiceUnavailable, codeUnavailable, "the database can't be reached at the moment"), time.Second), err)
}
