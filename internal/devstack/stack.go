package devstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

// Addresses say where the parts of a stack are.
type Addresses struct {
	DatabaseURL string
	SQSEndpoint string
	GatewayURL  string
	ProviderURL string // of simulated providers; empty: the real ones of the configuration
}

// Options of a stack. What has an address is used; what has none is started.
type Options struct {
	Addresses
	Targets       []provider.Target // of the configured providers, the preferred one first; empty: they are simulated
	FirstProvider string            // of the simulated ones, that is asked first
	DataDir       string
	Fresh         bool // remove what earlier runs made in the data folder
	Workers       int
	AdminAddr     string // of the first worker, if it is free
	Region        string
	Queue         queue.Config      // its names
	Environment   map[string]string // for stack.env, besides the addresses and the queues
	LogLevel      slog.Leveler
	LogJSON       bool
	// Worker is the configuration of a member of the fleet; the stack only changes its admin address, its long poll and its observer.
	Worker func(name string, at Addresses, logger *slog.Logger) (worker.Config, error)
	// API builds the campaign API with the console; nil: there is none.
	API      func(ctx context.Context, at Addresses, logger *slog.Logger) (API, error)
	HTTPAddr string // where it listens, if that is free
	// Hurry is closed when a stop shall no longer wait for the workers; may be nil.
	Hurry <-chan struct{}
	// Started is told of each part when it is there; may be nil.
	Started func(Part)
	// Drained is called during a stop, when the workers have ended and the database is still there; may be nil.
	Drained func(context.Context) error
}

// Part is a part of the stack as it is told to a person.
type Part struct {
	Name  string
	What  string
	Where string
}

// Stack is everything that runs.
type Stack struct {
	options   Options
	at        Addresses
	logger    *slog.Logger
	folder    *folder
	journal   *journal
	gateway   *gatewayServer
	providers *providerServer // nil: not ours
	queues    *queueServer
	database  *database
	fleet     *fleet
	cleanups  []cleanup
	apiURL    string
	apiKey    string
	wanted    limit.Rules // of an account, by the environment
	limits    limits      // by the database
	startedAt time.Time
}

type cleanup struct {
	name string
	do   func(context.Context) error
}

// Start starts the parts, what others need first. What was started is stopped again when something fails.
func Start(ctx context.Context, o Options) (_ *Stack, err error) {
	s := &Stack{options: o, startedAt: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if o.GatewayURL == "" && isAWS(o.SQSEndpoint) {
		return nil, errors.New("AWS_ENDPOINT_URL_SQS is AWS itself: the simulated gateway would take the messages of its queues for sent; set GATEWAY_URL, or leave AWS_ENDPOINT_URL_SQS out")
	}
	for _, start := range []func(context.Context) error{
		s.openFolder, s.startGateway, s.startProviders, s.startQueues, s.startDatabase, s.openDatabase, s.startFleet, s.startAPI, s.tellOthers,
	} {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if err := start(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Stack) onStop(name string, do func(context.Context) error) {
	s.cleanups = append(s.cleanups, cleanup{name, do})
}

// Stop stops the parts, the last first: the workers drain, the queues are saved, Postgres ends. It does as much as it
// can when the context ends before. Further calls do nothing.
func (s *Stack) Stop(ctx context.Context) error {
	var errs []error
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		if err := s.cleanups[i].do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop the %s: %w", s.cleanups[i].name, err))
		}
	}
	s.cleanups = nil
	return errors.Join(errs...)
}

// started tells of a part.
func (s *Stack) started(name, what, where string) {
	if s.options.Started != nil {
		s.options.Started(Part{Name: name, What: what, Where: where})
	}
}

func (s *Stack) openFolder(ctx context.Context) (err error) {
	if s.folder, err = openFolder(s.options.DataDir); err != nil {
		return err
	}
	s.onStop("data folder", func(context.Context) error { return s.folder.close() })
	if s.options.Fresh {
		if err := s.folder.clear(ctx, nil); err != nil {
			return err
		}
	}
	// One that a killed process left would send other commands astray.
	if err := removeEnvironment(s.folder.environment()); err != nil {
		return err
	}
	if s.journal, err = openJournal(s.folder.log()); err != nil {
		return err
	}
	s.onStop("log", func(context.Context) error { return s.journal.close() })
	s.logger = slog.New(s.journal.handler(s.options.LogLevel, s.options.LogJSON))
	return nil
}

func (s *Stack) startGateway(context.Context) (err error) {
	if s.gateway, err = startGateway(s.options.GatewayURL, s.folder.arrivals()); err != nil {
		return err
	}
	s.onStop("gateway", s.gateway.stop)
	s.at.GatewayURL = s.gateway.url
	what := "the one of GATEWAY_URL"
	if s.gateway.sim != nil {
		what = "simulated: sends nothing to anybody"
	}
	s.started("Gateway", what, s.gateway.url)
	return nil
}

func (s *Stack) startQueues(context.Context) (err error) {
	s.queues, err = startQueues(s.options.SQSEndpoint, s.options.Region, s.folder.queues(), s.options.Queue, s.logger.With("part", "sqs"))
	if err != nil {
		return err
	}
	s.onStop("queues", s.queues.stop)
	s.at.SQSEndpoint = s.queues.endpoint
	what := "the one of AWS_ENDPOINT_URL_SQS"
	if s.queues.server != nil {
		what = "simulated, in this process"
	}
	s.started("SQS", what, s.queues.endpoint)
	return nil
}

func (s *Stack) startDatabase(ctx context.Context) (err error) {
	if s.database, err = startDatabase(ctx, s.options.DatabaseURL, s.folder.postgres(), s.logger.With("part", "postgres")); err != nil {
		return err
	}
	s.onStop("database", s.database.stop)
	s.at.DatabaseURL = s.database.url
	return nil
}

func (s *Stack) openDatabase(ctx context.Context) error {
	s.onStop("database pool", s.database.closePool)
	if err := s.database.open(ctx); err != nil {
		if s.database.cluster != nil {
			return fmt.Errorf("%w; --fresh starts anew with an empty database", err)
		}
		return err
	}
	if err := s.database.checkPurpose(ctx, s.gateway.sim != nil); err != nil {
		return err
	}
	if c := s.database.cluster; c != nil {
		s.started("Postgres", "real, of its own", loopback(c.Port())+", in "+shown(c.Dir()))
	} else {
		s.started("Postgres", "the one of DATABASE_URL", "")
	}
	return nil
}

func (s *Stack) startFleet(ctx context.Context) (err error) {
	s.onStop("drained stack", func(ctx context.Context) error {
		if s.options.Drained == nil {
			return nil
		}
		return s.options.Drained(ctx)
	})
	s.fleet, err = startFleet(ctx, s.options.Workers, s.options.AdminAddr, s.options.Hurry, func(number int) (worker.Config, error) {
		return s.member(ctx, number)
	})
	if err != nil {
		return err
	}
	s.onStop("workers", s.fleet.stop)
	for i, addr := range s.fleet.adminAddrs() {
		s.started(fmt.Sprintf("Worker %d", i+1), "real, the code of production", "http://"+addr+"/metrics")
	}
	return nil
}

// member is the configuration of a worker. The limits are those of the database: that the environment says something
// else is told once, not by every worker at every start.
func (s *Stack) member(ctx context.Context, number int) (worker.Config, error) {
	config, err := s.options.Worker(fmt.Sprintf("dev-%d-%d", os.Getpid(), number), s.at, s.logger.With("worker", number))
	if err != nil {
		return config, err
	}
	s.wanted = config.Account
	policies, err := s.database.store.SeedLimits(ctx, config.Account, config.Recipient, config.Guard)
	if err != nil {
		return config, err
	}
	s.limits = limitsOf(policies)
	config.Account, config.Recipient, config.Guard = s.limits.policy.Account, s.limits.policy.Recipient, s.limits.policy.Guard
	return config, nil
}

func (s *Stack) tellOthers(context.Context) error {
	variables := map[string]string{
		"DATABASE_URL": s.at.DatabaseURL, "AWS_ENDPOINT_URL_SQS": s.at.SQSEndpoint, "GATEWAY_URL": s.at.GatewayURL, "AWS_REGION": s.options.Region,
		"SQS_QUEUE": s.options.Queue.Queue, "SQS_RETRY_QUEUE": cmp.Or(s.options.Queue.RetryQueue, "off"), "SQS_DLQ": s.options.Queue.DeadLetterQueue,
		"ADMIN_ADDR": s.fleet.adminAddrs()[0], "HUNTAZE_API_URL": s.apiURL, "HUNTAZE_API_KEY": s.apiKey,
	}
	if s.providers != nil {
		for name, value := range map[string]string{
			"AZURE_OPENAI_ENDPOINT": s.at.ProviderURL, "AZURE_OPENAI_API_KEY": SimulatedKey, "AZURE_OPENAI_DEPLOYMENT": SimulatedDeployment,
			"AZURE_OPENAI_MODEL": SimulatedModel, "OPENAI_BASE_URL": OpenAIBaseURL(s.at.ProviderURL), "OPENAI_API_KEY": SimulatedKey, "OPENAI_MODEL": SimulatedModel,
		} {
			variables[name] = value
		}
	}
	for name, value := range s.options.Environment {
		variables[name] = value
	}
	path := s.folder.environment()
	s.onStop("stack.env", func(context.Context) error { return removeEnvironment(path) })
	return writeEnvironment(path, variables)
}
