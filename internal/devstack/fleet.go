package devstack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

// longPoll is shorter than in production, because a stop waits for it.
const longPoll = 2 * time.Second

// fleet is the workers.
type fleet struct {
	workers []*worker.Worker
	intake  intakeCounter
	cancel  context.CancelFunc
	hurry   <-chan struct{}
	running sync.WaitGroup
	failed  chan error // a worker ended unasked

	mu   sync.Mutex
	errs []error // of stopping
}

// startFleet starts workers, each with a configuration of its own; the first has the given admin address, if it is
// free. A stop waits for them until hurry is closed.
func startFleet(ctx context.Context, count int, adminAddr string, hurry <-chan struct{}, configure func(number int) (worker.Config, error)) (*fleet, error) {
	f := &fleet{hurry: hurry, failed: make(chan error, count)}
	lifetime, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f.cancel = cancel
	for number := 1; number <= count; number++ {
		config, err := configure(number)
		if err == nil {
			config.Queue.WaitTime = longPoll
			config.Queue.Observer = &f.intake
			err = f.add(ctx, lifetime, config, adminAddr)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("worker %d: %w", number, err), f.stop(context.WithoutCancel(ctx)))
		}
		adminAddr = loopback(0)
	}
	return f, nil
}

func (f *fleet) add(ctx, lifetime context.Context, config worker.Config, adminAddr string) error {
	config.AdminAddr = adminAddr
	w, err := worker.New(ctx, config)
	if isTaken(err) {
		config.AdminAddr = loopback(0)
		w, err = worker.New(ctx, config)
	}
	if err != nil {
		return err
	}
	f.workers = append(f.workers, w)
	f.running.Go(func() {
		err := w.Run(lifetime)
		if lifetime.Err() == nil {
			f.failed <- fmt.Errorf("worker %s ended: %w", config.Name, err)
			return
		}
		if errors.Is(err, context.Canceled) {
			return // it was still starting when it was asked to stop
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.errs = append(f.errs, err)
	})
	return nil
}

// stop drains the workers. It gives up when the context ends; they can be killed at any time without harm.
func (f *fleet) stop(ctx context.Context) error {
	f.cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		f.running.Wait()
	}()
	select {
	case <-drained:
	case <-f.hurry:
		return errors.New("they did not finish: the stop was asked for twice")
	case <-ctx.Done():
		return fmt.Errorf("they did not finish: %w", context.Cause(ctx))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.errs...)
}

// adminAddrs are where the workers serve health and metrics.
func (f *fleet) adminAddrs() (addrs []string) {
	for _, w := range f.workers {
		addrs = append(addrs, w.AdminAddr())
	}
	return addrs
}

// intakeCounter counts what the bridges of all workers take in.
type intakeCounter struct {
	queue.NopObserver
	received, accepted, duplicates, quarantined atomic.Int64
}

// Received implements queue.Observer.
func (c *intakeCounter) Received(_ string, messages int, _ time.Duration) {
	c.received.Add(int64(messages))
}

// Settled implements queue.Observer.
func (c *intakeCounter) Settled(_ string, outcome workflow.IntakeOutcome, _ int, _ time.Duration) {
	switch outcome {
	case workflow.IntakeAccepted:
		c.accepted.Add(1)
	case workflow.IntakeDuplicate:
		c.duplicates.Add(1)
	case workflow.IntakeQuarantined:
		c.quarantined.Add(1)
	}
}
