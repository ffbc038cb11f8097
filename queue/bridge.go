package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Bridge brings messages from SQS into the store. Make one with New.
type Bridge struct {
	config  Config
	api     API
	store   Store
	logger  *slog.Logger
	room    *room
	batcher *batcher
	gate    *gate
	calls   chan struct{} // bounds the calls that settle messages
	settles sync.WaitGroup
	count   counters

	mu      sync.Mutex
	phase   Phase
	sources []*source
	dlqURL  string
}

// settleCalls is how many calls may run at once to delete, copy or give back messages.
const settleCalls = 16

// New makes a bridge; nothing is read until Run. A nil logger logs nothing.
func New(config Config, api API, store Store, logger *slog.Logger) *Bridge {
	config = config.withDefaults()
	logger = discardLogger(logger)
	queues := 1
	if config.RetryQueue != "" {
		queues = 2
	}
	// Every poller has room for a receive of its own while each writer has a batch in hand and one to come.
	size := maxBatchEntries*config.Pollers*queues + 2*config.Writers*config.BatchMax
	return &Bridge{
		config:  config,
		api:     api,
		store:   store,
		logger:  logger,
		room:    newRoom(size, config.MaxHeldBytes),
		batcher: newBatcher(size, config.BatchMax, config.Linger, config.Clock),
		gate:    newGate(store, config.Clock, logger, config.Observer),
		calls:   make(chan struct{}, settleCalls),
		phase:   PhaseNew,
	}
}

// Run reads the queues until ctx ends. Then it starts no further poll, waits for those that are running (a long
// poll takes up to 20 s), brings what they return into the store, settles it, and returns nil. When the store
// is down at that time, messages in hand are given back to their queue instead.
//
// It returns an error only if it can't start: the source does not exist, or Run was called before. While SQS
// can't be reached it tries on.
func (b *Bridge) Run(ctx context.Context) error {
	b.mu.Lock()
	if b.phase != PhaseNew {
		b.mu.Unlock()
		return errors.New("the bridge has been run before")
	}
	b.phase = PhaseStarting
	b.mu.Unlock()
	defer b.setPhase(PhaseStopped)

	sources, err := b.start(ctx)
	if err != nil || sources == nil {
		return err
	}
	b.mu.Lock()
	b.sources, b.phase = sources, PhaseRunning
	b.mu.Unlock()
	stopped := context.AfterFunc(ctx, func() { b.setPhase(PhaseStopping) })
	defer stopped()

	keeperCtx, stopKeepers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKeepers()
	b.gate.keeperCtx = keeperCtx

	var pollers, writers sync.WaitGroup
	for _, from := range sources {
		for range b.config.Pollers {
			pollers.Go(func() { b.poll(ctx, from) })
		}
	}
	for range b.config.Writers {
		writers.Go(func() { b.write(ctx) })
	}
	pollers.Wait()
	b.batcher.close()
	writers.Wait()
	b.settles.Wait()
	stopKeepers()
	b.gate.keepers.Wait()
	return nil
}

// start finds the queues. It returns nothing when ctx ended before SQS could be reached.
func (b *Bridge) start(ctx context.Context) ([]*source, error) {
	for try := 0; ; try++ {
		report, err := inspect(ctx, b.api, b.config)
		if err == nil {
			for _, finding := range report.findings {
				finding.log(b.logger)
			}
			return report.sources, nil
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		if isMissingQueue(err) || errors.Is(err, errMisconfigured) {
			return nil, fmt.Errorf("start the SQS bridge: %w", err)
		}
		if try == 0 {
			b.logger.Error("can't reach SQS; trying on", "error", err)
		}
		b.pause(ctx, backoff(pingFirst, pingMost, try))
	}
}

func (b *Bridge) setPhase(phase Phase) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.phase != PhaseStopped {
		b.phase = phase
	}
}

// pause waits, or returns early when ctx ends.
func (b *Bridge) pause(ctx context.Context, d time.Duration) {
	select {
	case <-b.config.Clock.After(d):
	case <-ctx.Done():
	}
}
