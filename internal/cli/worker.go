package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/emf"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/middleware"
	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

func (a *app) workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "worker",
		Short: "Run one member of the fleet: reads the queues and works the steps; any number may run",
		Long: `Run one member of the fleet: the SQS bridge and the River workers.

Any number of workers may run; they agree through Postgres alone. SIGTERM drains: no more
intake, what is in flight is finished, and the process ends within SHUTDOWN_TIMEOUT.`,
		Example: "  DATABASE_URL=postgres://… GATEWAY_URL=http://… huntaze worker",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, environ, err := a.environment("DATABASE_URL", "GATEWAY_URL")
			if err != nil {
				return err
			}
			logger := newLogger(cfg, a.err)
			settings, err := workerConfig(cmd.Context(), cfg, logger)
			if err != nil {
				return misused(err)
			}
			end, err := withFlags(&settings, cfg, environ, logger)
			if err != nil {
				return misused(err)
			}
			defer end()
			var flush func()
			if settings.Telemetry, flush, err = a.telemetry(environ, settings.Name, a.out, logger); err != nil {
				return err
			}
			defer flush()
			settings.Version = a.version
			if cfg.EMF {
				settings.EMF = emf.NewWriter(a.out, cfg.EMFNamespace)
			}
			worker.CollectRarely()
			w, err := worker.New(cmd.Context(), settings)
			if err != nil {
				return err
			}
			return w.Run(cmd.Context())
		},
	}
}

// workerConfig turns the environment into the settings of a worker.
func workerConfig(ctx context.Context, cfg config.Config, logger *slog.Logger) (worker.Config, error) {
	client, err := queue.NewClient(ctx, cfg.AWSRegion, cfg.SQSEndpoint)
	if err != nil {
		return worker.Config{}, err
	}
	account, err := limit.ParseRules(cfg.RateLimitAccount)
	if err != nil {
		return worker.Config{}, err
	}
	recipient, err := limit.ParseRules(cfg.RateLimitRecipient)
	if err != nil {
		return worker.Config{}, err
	}
	providers, matrix, err := providersOf(cfg)
	if err != nil {
		return worker.Config{}, err
	}
	if len(providers.Clients) == 0 {
		logger.Warn("no provider is configured: messages that have a text are sent, and those with a brief wait for a worker that has one")
	}
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	return worker.Config{
		Name:        fmt.Sprintf("%s-%d", host, os.Getpid()),
		DatabaseURL: cfg.DatabaseURL.Reveal(), Connections: cfg.DatabaseMaxConnections, RiverConnections: cfg.RiverMaxConnections,
		SendWorkers: cfg.SendWorkers, StepWorkers: cfg.StepWorkers, DefaultUserID: cfg.DefaultUserID,
		Gateway: gateway.Config{URL: cfg.GatewayURL, Token: cfg.GatewayToken.Reveal(), Timeout: cfg.GatewayTimeout, IdleTimeout: cfg.GatewayIdleTimeout},
		Settle:  cfg.GatewaySettle, Reservation: cfg.SendReservation, Account: account, Recipient: recipient, Guard: cfg.RateLimitGuard, RateLimitedDelay: cfg.OnlyFansRateLimitedDelay,
		Matrix: matrix, Providers: providers,
		Queue: queueConfig(cfg), SQS: client, AdminAddr: cfg.AdminAddr, ShutdownTimeout: cfg.ShutdownTimeout, ReconcileEvery: cfg.ReconcileInterval, Logger: logger,
	}, nil
}

// withFlags gives a worker its flags, and where there is an orchestrator before this one the middleware that hands it
// the messages of its accounts. What it returns is called at the end.
func withFlags(settings *worker.Config, cfg config.Config, environ map[string]string, logger *slog.Logger) (end func(), err error) {
	overrides, err := flags.ReadOverrides(environ)
	if err != nil {
		return nil, err
	}
	settings.Flags, settings.Legacy = &overrides, cfg.LegacyURL != ""
	end = func() {}
	if cfg.LegacyURL == "" {
		return end, nil
	}
	var m *middleware.Middleware
	settings.Intake = func(client *flags.Client, store *db.Store, next queue.Store) (queue.Store, error) {
		m, err = middleware.New(middleware.Config{
			Flags: client, Routes: store, LegacyURL: cfg.LegacyURL, MessagesPath: cfg.LegacyMessagesPath, DefaultUserID: cfg.DefaultUserID, Logger: logger,
		})
		if err != nil {
			return nil, err
		}
		return m.Messages(next), nil
	}
	return func() {
		if m != nil {
			m.Close()
		}
	}, nil
}

func queueConfig(cfg config.Config) queue.Config {
	return queue.Config{
		Queue: cfg.SQSQueue, RetryQueue: cfg.SQSRetryQueue, DeadLetterQueue: cfg.SQSDeadLetters,
		Pollers: cfg.SQSPollers, BatchMax: cfg.SQSBatchMax, Linger: cfg.SQSLinger, Limits: queue.Limits{MaxMessageBytes: cfg.MaxMessageBytes},
	}
}

func newLogger(cfg config.Config, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}
