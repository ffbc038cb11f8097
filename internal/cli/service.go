package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/api"
	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/console"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/middleware"
	"github.com/huntaze/hybrid-orchestrator/internal/readiness"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

// service is what `huntaze api` serves: the API, the console and River's pages, behind the middleware.
type service struct {
	server *api.Server
	flags  *flags.Client
	store  *db.Store
	admin  http.Handler // probes and metrics
	closes []func()
}

func (s *service) close() {
	for i := len(s.closes) - 1; i >= 0; i-- {
		s.closes[i]()
	}
}

// newService builds a service without starting it. Call close at the end.
func newService(ctx context.Context, cfg config.Config, environ map[string]string, version string, spans *telemetry.Telemetry, logger *slog.Logger) (_ *service, err error) {
	s := &service{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	settings, err := apiConfig(cfg, version)
	if err != nil {
		return nil, misused(err)
	}
	overrides, err := flags.ReadOverrides(environ)
	if err != nil {
		return nil, misused(err)
	}
	settings.Logger = logger
	store, closeStore, err := worker.OpenStore(ctx, cfg.DatabaseURL.Reveal(), cfg.DatabaseMaxConnections, db.Config{
		Timing: db.Timing{Reservation: cfg.SendReservation, CallTimeout: cfg.GatewayTimeout, Settle: cfg.GatewaySettle}, Worker: apiName(),
	})
	if err != nil {
		return nil, err
	}
	s.store = store
	s.closes = append(s.closes, closeStore)
	if err := seedLimits(ctx, cfg, store); err != nil { // forecasts need them, and this may be the fleet's first process
		return nil, err
	}
	s.flags = flags.NewClient(flags.Config{Source: store.FlagSource(), Overrides: overrides, Legacy: cfg.LegacyURL != "", Logger: logger})
	m, err := middleware.New(middleware.Config{
		Flags: s.flags, Routes: store, LegacyURL: cfg.LegacyURL, MessagesPath: cfg.LegacyMessagesPath, DefaultUserID: cfg.DefaultUserID, Identify: identify, Logger: logger,
	})
	if err != nil {
		return nil, misused(err)
	}
	s.closes = append(s.closes, m.Close)
	pages, err := s.console(ctx, cfg, overrides, logger)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	settings.Store, settings.Beside, settings.Metrics = store, pages, api.NewMetrics(registry)
	settings.Parts = []readiness.Part{worker.SchemaPart(store), worker.FlagsPart(s.flags, time.Now)}
	settings.Before = func(next http.Handler) http.Handler { return spans.Handler(m.HTTP(next), routeOf) }
	if s.server, err = api.New(settings); err != nil {
		return nil, err
	}
	worker.MeasureProcess(registry, "api", version, spans, s.server.Ready())
	worker.MeasurePools(registry, map[string]*db.Pool{"huntaze": store.Pool()})
	s.admin = worker.AdminHandler(registry, s.server.Ready())
	return s, nil
}

// serveAdmin serves the probes and the metrics at an address of their own until it is ended, which also waits. That the
// address is taken, as by a worker with the same environment, is no reason to serve nothing else either.
func (s *service) serveAdmin(ctx context.Context, address string, logger *slog.Logger) (end func()) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		logger.Error("the metrics of this process are not served: set ADMIN_ADDR to an address of its own", "error", err)
		return func() {}
	}
	logger.Info("metrics are served", "address", listener.Addr().String())
	server := &http.Server{Handler: s.admin, ReadHeaderTimeout: 5 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	return func() { _ = server.Close(); serving.Wait() }
}

// console builds the pages that stand beside the API.
func (s *service) console(ctx context.Context, cfg config.Config, overrides flags.Overrides, logger *slog.Logger) (http.Handler, error) {
	_, matrix, err := providersOf(cfg)
	if err != nil {
		return nil, misused(err)
	}
	client, closeRiver, err := worker.OpenRiver(ctx, cfg.DatabaseURL.Reveal(), 2)
	if err != nil {
		return nil, err
	}
	s.closes = append(s.closes, closeRiver)
	lifetime, end := context.WithCancel(context.WithoutCancel(ctx))
	s.closes = append(s.closes, end)
	river, err := console.NewRiverUI(lifetime, client, logger)
	if err != nil {
		return nil, err
	}
	return console.New(console.Options{
		Store: s.store, Now: time.Now, Logger: logger, RiverUI: river, Matrix: matrix, Overrides: overrides, Legacy: cfg.LegacyURL != "",
		Secure: cfg.ConsoleSecure,
		Authenticate: func(ctx context.Context, key string) (console.Principal, error) {
			found, err := s.server.Authenticate(ctx, key)
			if errors.Is(err, api.ErrKeyRefused) {
				return console.Principal{}, fmt.Errorf("%w: %w", console.ErrKeyRefused, err)
			}
			return console.Principal{KeyID: found.ID, Admin: found.Admin, Accounts: found.Accounts}, err
		},
	})
}

// run keeps the flags up to date and serves until ctx ends.
func (s *service) run(ctx context.Context, serve func(context.Context) error) error {
	if err := s.flags.Load(ctx); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	lifetime, end := context.WithCancel(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	watching.Go(func() { _ = s.flags.Run(lifetime) })
	err := serve(ctx)
	end()
	watching.Wait()
	return err
}

// identify says what the path of a request tells the middleware. What is not below /v1 is this orchestrator's own: the
// console, the description of the API, probes.
func identify(r *http.Request) middleware.Identity {
	path, below := strings.CutPrefix(r.URL.Path, "/v1/")
	if !below {
		return middleware.Identity{Ours: true}
	}
	kind, rest, _ := strings.Cut(path, "/")
	id, _, _ := strings.Cut(rest, "/")
	switch kind {
	case "workflows":
		return middleware.Identity{WorkflowID: id}
	case "accounts":
		return middleware.Identity{UserID: id}
	case "campaigns":
		return middleware.Identity{CampaignID: id}
	}
	return middleware.Identity{}
}
