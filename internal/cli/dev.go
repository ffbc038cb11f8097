package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/devstack"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

func (a *app) devCommand() *cobra.Command {
	var fresh, noSample, plain bool
	var workers int
	var rules string
	var runFor time.Duration
	command := &cobra.Command{
		Use:   "dev",
		Short: "Start everything in one process, with sample messages, and show what happens",
		Long: `Start everything in one process: Postgres, an SQS server, a simulated gateway, simulated
providers that write texts, and workers. Then put a sample of messages on the queue and show
how they go through.

Nothing has to be configured. What the environment or .env names (DATABASE_URL,
AWS_ENDPOINT_URL_SQS, GATEWAY_URL, AZURE_OPENAI_*, OPENAI_*) is used instead of a part of its
own. The state is kept in HUNTAZE_DATA_DIR (.data), where stack.env tells other commands where
everything is while it runs.`,
		Example: "  huntaze dev\n  huntaze dev --fresh --limit 10/10s\n  huntaze dev --plain --for 5m",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if workers < 1 || workers > 64 {
				return misused(fmt.Errorf("--workers %d: give a number from 1 to 64", workers))
			}
			if runFor < 0 {
				return misused(fmt.Errorf("--for %s: give a time that is not negative", runFor))
			}
			cfg, environ, err := a.environment() // never with what a running stack left: dev is who starts it
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("limit") {
				if _, err := limit.ParseRules(rules); err != nil {
					return misused(fmt.Errorf("--limit: %w", err))
				}
				cfg.RateLimitAccount = rules
			}
			providers, _, err := providersOf(cfg) // a mistake is told before anything is started
			if err != nil {
				return misused(err)
			}
			spans, flush, err := a.telemetry(environ, "dev", a.err, newLogger(cfg, a.err))
			if err != nil {
				return err
			}
			defer flush()
			session := devstack.Session{
				Options: a.devOptions(cfg, environ, spans), Out: a.out, Plain: plain, NoSample: noSample, For: runFor, Environ: os.Getenv,
			}
			for _, client := range providers.Clients {
				session.Targets = append(session.Targets, client.Target())
			}
			session.Fresh, session.Workers = fresh, workers
			session.Command, session.ParentGone = howCalled()
			ctx, hurry, stop := stopSignals(cmd.Context())
			defer stop()
			session.Hurry = hurry
			err = session.Run(ctx)
			if errors.Is(err, devstack.ErrRunning) {
				return misused(err)
			}
			return err
		},
	}
	flags := command.Flags()
	flags.BoolVar(&fresh, "fresh", false, "start anew: remove what earlier runs left in the data folder")
	flags.BoolVar(&noSample, "no-sample", false, "put no messages on the queue")
	flags.IntVar(&workers, "workers", 2, "how many workers to run")
	flags.StringVar(&rules, "limit", "", "limit of an account for a new database, as number/time (default: RATE_LIMIT_ACCOUNT)")
	flags.DurationVar(&runFor, "for", 0, "stop when the sample has ended, or after that long; exit code 1 if it has not ended by then")
	flags.BoolVar(&plain, "plain", false, "write lines, also on a terminal")
	return command
}

// withAddresses is a configuration that leads to the parts of a stack.
func withAddresses(cfg config.Config, at devstack.Addresses) config.Config {
	cfg.DatabaseURL, cfg.SQSEndpoint, cfg.GatewayURL = config.Secret(at.DatabaseURL), at.SQSEndpoint, at.GatewayURL
	if at.ProviderURL != "" {
		cfg.AzureAuth, cfg.AzureEndpoint, cfg.AzureAPIKey, cfg.AzureDeployment, cfg.AzureModel = "key", at.ProviderURL, devstack.SimulatedKey, devstack.SimulatedDeployment, devstack.SimulatedModel
		cfg.OpenAIBaseURL, cfg.OpenAIAPIKey, cfg.OpenAIModel = devstack.OpenAIBaseURL(at.ProviderURL), devstack.SimulatedKey, devstack.SimulatedModel
	}
	return cfg
}

func (a *app) devOptions(cfg config.Config, environ map[string]string, spans *telemetry.Telemetry) devstack.Options {
	return devstack.Options{
		Addresses:     devstack.Addresses{DatabaseURL: cfg.DatabaseURL.Reveal(), SQSEndpoint: cfg.SQSEndpoint, GatewayURL: cfg.GatewayURL},
		FirstProvider: cfg.ProviderPrimary,
		DataDir:       cfg.DataDir, AdminAddr: cfg.AdminAddr, Region: cfg.AWSRegion, Queue: queueConfig(cfg),
		Environment: map[string]string{"GATEWAY_TOKEN": cfg.GatewayToken.Reveal()},
		LogLevel:    cfg.LogLevel, LogJSON: cfg.LogFormat != "text",
		HTTPAddr: cfg.HTTPAddr,
		API: func(ctx context.Context, at devstack.Addresses, logger *slog.Logger) (devstack.API, error) {
			service, err := newService(ctx, withAddresses(cfg, at), environ, a.version, spans, logger)
			if err != nil {
				return devstack.API{}, err
			}
			return devstack.API{Close: service.close, Serve: func(ctx context.Context, listener net.Listener) error {
				return service.run(ctx, func(ctx context.Context) error { return service.server.Serve(ctx, listener) })
			}}, nil
		},
		Worker: func(name string, at devstack.Addresses, logger *slog.Logger) (worker.Config, error) {
			settings, err := workerConfig(context.Background(), withAddresses(cfg, at), logger)
			settings.Name, settings.Telemetry = name, spans
			return settings, err
		},
	}
}

// sameSignal is how long after the first a signal is taken for the same one: a terminal, make and timeout hand it on
// to a process that has got it already.
const sameSignal = time.Second

// stopSignals ends the context also when the terminal goes away, and closes hurry when a stop is asked for again.
func stopSignals(parent context.Context) (ctx context.Context, hurry <-chan struct{}, stop func()) {
	ctx, cancel := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	signals := make(chan os.Signal, 4)
	hurried, ended := make(chan struct{}), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		var first time.Time
		for {
			select {
			case <-signals:
			case <-ended:
				return
			}
			if first.IsZero() {
				first = time.Now()
			} else if time.Since(first) > sameSignal {
				close(hurried)
				return
			}
		}
	}()
	return ctx, hurried, func() { signal.Stop(signals); close(ended); cancel() }
}

// howCalled says how a person calls this program, and a function that reports that whoever started it with
// `go run` is gone: go run does not hand a SIGTERM on.
func howCalled() (command string, parentGone func() bool) {
	folder := ""
	if dir := os.Getenv("HUNTAZE_DATA_DIR"); dir != "" { // a second terminal would not have it
		folder = "HUNTAZE_DATA_DIR=" + dir + " "
	}
	executable, err := os.Executable()
	if err != nil || !strings.Contains(executable, string(filepath.Separator)+"go-build") {
		return folder + os.Args[0], nil
	}
	parent := os.Getppid()
	return folder + "go run ./cmd/huntaze", func() bool { return os.Getppid() != parent }
}
