// Package worker is the fleet process: it reads the queues, works River's jobs and moves workflows. Any number
// of them may run; they agree through Postgres alone. A worker may be killed at any time without a message being
// lost or sent twice; one that is asked to stop ends within its shutdown time, with nothing in doubt.
package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/emf"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/readiness"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/jobs"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// Config is what a worker needs to know.
type Config struct {
	Name             string // of this process, in the ledger and in River
	DatabaseURL      string
	Connections      int // of our pool
	RiverConnections int
	SendWorkers      int // calls at once
	StepWorkers      int // other steps at once
	DefaultUserID    string
	Gateway          gateway.Config
	Settle           time.Duration // GATEWAY_SETTLE
	Reservation      time.Duration // SEND_RESERVATION; 0: db.DefaultReservation
	Account          limit.Rules   // seed the rules of a new database
	Recipient        limit.Rules
	Guard            time.Duration
	RateLimitedDelay time.Duration   // rest of an account after a 429 that does not say how long; 0: by the matrix
	Matrix           fallback.Matrix // zero: the embedded one
	Providers        Providers
	Flags            *flags.Overrides // of the environment; nil: flags are not looked at, only the database's switches hold
	Legacy           bool             // there is an orchestrator before this one
	// Intake wraps what takes messages in, such as the middleware that hands some to another orchestrator; nil: nothing.
	Intake          func(*flags.Client, *db.Store, queue.Store) (queue.Store, error)
	Queue           queue.Config
	SQS             queue.API // nil: no bridge
	AdminAddr       string    // empty: no listener
	ShutdownTimeout time.Duration
	ReconcileEvery  time.Duration // 0: a minute
	ObserveEvery    time.Duration // 0: 15 s
	Logger          *slog.Logger
	Telemetry       *telemetry.Telemetry // nil: off. Whoever set it up shuts it down, after the worker.
	Version         string               // of the program, in metrics
	EMF             *emf.Writer          // what autoscaling and alarms of CloudWatch need, as lines; nil: none
}

const (
	drainReserve = 10 * time.Second // of the shutdown time at most, for what comes after the jobs
	longestPoll  = 20 * time.Second // of SQS; a poll that runs when a shutdown begins is waited for
	startTimeout = 30 * time.Second // of reading what a start needs
)

// Worker is one member of the fleet.
type Worker struct {
	config  Config
	logger  *slog.Logger
	pool    *pgxpool.Pool
	river   *pgxpool.Pool
	store   *db.Store
	engine  *Engine
	client  *river.Client[pgx.Tx]
	author  *jobs.Author // nil: no provider
	flags   *flags.Client
	gateway *gateway.Client
	bridge  *queue.Bridge
	admin   *http.Server
	listen  net.Listener
	health  *health

	registry *prometheus.Registry
	steps    *stepMetrics
	observer *observer
	ready    *readiness.Checker

	cleanups []cleanup
}

type cleanup struct {
	name string
	do   func(context.Context) error
}

// New builds a worker without starting it. What was opened is closed again when something fails.
func New(ctx context.Context, config Config) (_ *Worker, err error) {
	if config.Matrix.IsZero() {
		config.Matrix = fallback.Default()
	}
	config.RateLimitedDelay = cmp.Or(config.RateLimitedDelay, config.Matrix.Row(fallback.OnlyFansRateLimited).Delay)
	w := &Worker{config: config, logger: config.Logger, health: &health{}}
	defer func() {
		if err != nil {
			w.teardown(context.WithoutCancel(ctx))
		}
	}()
	if w.pool, err = w.openPool(ctx, db.Open, config.Connections, "huntaze"); err != nil {
		return nil, err
	}
	if w.river, err = w.openPool(ctx, db.OpenForRiver, config.RiverConnections, "huntaze river"); err != nil {
		return nil, err
	}
	if err = db.CheckSchema(ctx, w.pool); err != nil {
		return nil, err
	}
	if w.gateway, err = gateway.New(config.Gateway); err != nil {
		return nil, err
	}
	w.onClose("gateway", func(context.Context) error { w.gateway.Close(); return nil })
	registry := prometheus.NewRegistry()
	w.steps = newStepMetrics(registry)
	enqueuer := &lateEnqueuer{}
	planning, err := w.planning()
	if err != nil {
		return nil, err
	}
	w.store = db.NewStore(w.pool, enqueuer, db.Config{
		Timing:        db.Timing{Reservation: cmp.Or(config.Reservation, db.DefaultReservation), CallTimeout: config.Gateway.Timeout, Settle: config.Settle},
		DefaultUserID: config.DefaultUserID, Worker: config.Name, Planning: planning,
	})
	w.engine = NewEngine(w.store, w.logger, NewMetrics(registry), config.Matrix.Row(fallback.RateLimiterDown))
	w.flags = flags.NewClient(flags.Config{Source: w.store.FlagSource(), Overrides: w.overrides(), Legacy: config.Legacy, Logger: w.logger})
	w.engine.stopped, w.engine.tracing = w.stopped(), config.Telemetry
	w.onClose("engine", func(context.Context) error { w.engine.Close(); return nil })
	if w.client, err = river.NewClient(riverpgxv5.New(w.river), w.riverConfig()); err != nil {
		return nil, fmt.Errorf("river: %w", err)
	}
	enqueuer.Enqueuer = jobs.NewEnqueuer(w.client)
	if config.SQS != nil {
		// A short shutdown time must leave room for the poll that runs when it begins.
		config.Queue.WaitTime = max(time.Second, min(cmp.Or(config.Queue.WaitTime, longestPoll), config.ShutdownTimeout/3))
		intake := queue.Store(w.engine)
		if config.Intake != nil {
			if intake, err = config.Intake(w.flags, w.store, w.engine); err != nil {
				return nil, err
			}
		}
		w.bridge = queue.New(config.Queue, tracedSQS(config.Telemetry, config.SQS), intake, w.logger)
	}
	w.ready = w.readiness()
	w.measure(registry)
	if config.AdminAddr != "" {
		if w.listen, err = net.Listen("tcp", config.AdminAddr); err != nil {
			return nil, fmt.Errorf("ADMIN_ADDR %s: %w", config.AdminAddr, err)
		}
		w.admin = &http.Server{Handler: w.adminHandler(registry), ReadHeaderTimeout: 5 * time.Second}
	}
	return w, nil
}

// lateEnqueuer closes the circle of store, engine, workers and River's client: it is complete before anything runs.
type lateEnqueuer struct{ *jobs.Enqueuer }

func (w *Worker) openPool(ctx context.Context, open func(context.Context, string, int, string) (*db.Pool, error), connections int, name string) (*pgxpool.Pool, error) {
	pool, err := open(ctx, w.config.DatabaseURL, connections, name+" "+w.config.Name)
	if err != nil {
		return nil, err
	}
	w.onClose(name+" pool", func(context.Context) error { pool.Close(); return nil })
	if err := pool.Ping(ctx); err != nil {
		return nil, fmt.Errorf("DATABASE_URL: the database can't be reached: %w", err)
	}
	return pool, nil
}

func (w *Worker) onClose(name string, do func(context.Context) error) {
	w.cleanups = append(w.cleanups, cleanup{name, do})
}

// teardown closes what was opened, the last first.
func (w *Worker) teardown(ctx context.Context) error {
	var errs []error
	for i := len(w.cleanups) - 1; i >= 0; i-- {
		if err := w.cleanups[i].do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", w.cleanups[i].name, err))
		}
	}
	w.cleanups = nil
	return errors.Join(errs...)
}

// AdminAddr is where health and metrics are served; empty without a listener.
func (w *Worker) AdminAddr() string {
	if w.listen == nil {
		return ""
	}
	return w.listen.Addr().String()
}

// Store is the fleet's memory, for a process that also shows it.
func (w *Worker) Store() *db.Store { return w.store }

// Run works until ctx ends, then drains: no more intake, what is in flight is finished. It returns within the
// shutdown time.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.start(context.WithoutCancel(ctx)); err != nil { // one that is stopped while it starts drains like any other
		return errors.Join(err, w.teardown(context.WithoutCancel(ctx)))
	}
	bridge := make(chan error, 1)
	intake, stopIntake := context.WithCancel(ctx)
	defer stopIntake()
	if w.bridge != nil {
		go func() { bridge <- w.bridge.Run(intake) }()
	} else {
		go func() { <-intake.Done(); bridge <- nil }()
	}
	w.health.started.Store(true)
	w.logger.Info("worker started", "name", w.config.Name, "admin", w.AdminAddr())
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-bridge:
		bridge <- nil
	}
	w.health.draining.Store(true)
	w.logger.Info("worker drains", "name", w.config.Name, "within", w.config.ShutdownTimeout)
	stopIntake()
	return errors.Join(failed, w.drain(context.WithoutCancel(ctx), bridge))
}

func (w *Worker) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("the database did not answer in time"))
	defer cancel()
	policies, err := w.store.SeedLimits(ctx, w.config.Account, w.config.Recipient, w.config.Guard)
	if err != nil {
		return err
	}
	w.warnOfOtherLimits(policies)
	w.engine.adopt(ctx)
	if err := w.beSeen(ctx); err != nil {
		return err
	}
	if err := w.watchFlags(ctx); err != nil {
		return err
	}
	if err := w.client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("river: %w", err)
	}
	w.observe(ctx)
	if w.admin != nil {
		go func() { _ = w.admin.Serve(w.listen) }()
		w.onClose("admin listener", w.admin.Shutdown)
	}
	waiting, err := w.store.AccountsWaiting(ctx)
	if err != nil {
		return err
	}
	for _, user := range waiting {
		w.engine.timers.set(user, 0)
	}
	return nil
}

// drain stops in the order in which work flows: the queues' intake (a running poll is not cut off: its
// messages would be invisible for minutes), then River's jobs, then everything else.
func (w *Worker) drain(ctx context.Context, bridge <-chan error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, w.config.ShutdownTimeout, errors.New("the shutdown time is over"))
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- w.client.Stop(ctx) }()
	var errs []error
	select {
	case err := <-bridge:
		errs = append(errs, err)
	case <-ctx.Done():
		errs = append(errs, errors.New("the bridge did not stop in time"))
	}
	if err := <-stopped; err != nil {
		errs = append(errs, fmt.Errorf("river: %w", err))
	}
	errs = append(errs, w.teardown(ctx))
	w.logger.Info("worker stopped", "name", w.config.Name)
	return errors.Join(errs...)
}

func (w *Worker) warnOfOtherLimits(policies []db.LimitPolicy) {
	for _, p := range policies {
		ours := w.config.Account
		name := "RATE_LIMIT_ACCOUNT"
		if p.Scope == limit.ScopeRecipient {
			ours, name = w.config.Recipient, "RATE_LIMIT_RECIPIENT"
		}
		if p.UserID == "" && !p.Rules.Equal(ours) {
			w.logger.Warn("this process' environment has another limit than the database; the database's is obeyed. Change it with `huntaze limits set`",
				"variable", name, "environment", ours.String(), "database", p.Rules.String())
		}
		if p.UserID == "" && p.Guard != w.config.Guard {
			w.logger.Warn("this process' environment has another guard than the database; the database's is obeyed",
				"variable", "RATE_LIMIT_GUARD", "environment", w.config.Guard, "database", p.Guard)
		}
	}
}
