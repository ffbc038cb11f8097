package queue

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// The waits before the store is asked again.
const (
	pingFirst  = 250 * time.Millisecond
	pingMost   = 15 * time.Second
	trialFirst = time.Second
	trialMost  = 5 * time.Minute
	pingWithin = 5 * time.Second
)

// hopelessAfter is how many different messages the store must refuse one by one, with none accepted in
// between, until it is the store that is taken to be at fault and not the messages.
const hopelessAfter = 10

// The reasons of a pause.
const (
	reasonDown    = "the store is down"
	reasonRefuses = "the store answers, but accepts no message"
)

type gateState int

const (
	gateOpen   gateState = iota // polls run
	gateClosed                  // no poll starts, no held batch is tried
	gateTrial                   // held batches are tried, and one poll at a time
)

// gate stops the polls while the store can't take messages, so that our receives don't use up what a message
// has before SQS moves it to the dead-letter queue. There are two ways to be closed. When the store does not
// answer a ping, the gate opens again as soon as it does. When it answers but takes nothing, which a ping can't
// tell from working, the gate goes through a trial in which little is received.
type gate struct {
	store    Store
	clock    Clock
	logger   *slog.Logger
	observer Observer
	keepers  sync.WaitGroup

	mu        sync.Mutex
	state     gateState
	changed   chan struct{} // closed at each change of state
	ticket    bool          // trial: the one poll is running
	since     time.Time     // when the trouble began; zero without trouble
	reason    string
	trials    int                 // in this trouble
	closings  int64               // since the start
	refused   map[string]struct{} // messages refused since the last that was accepted
	keeping   bool                // a keeper is running
	keeperCtx context.Context     // ends when the bridge has stopped
}

func newGate(store Store, clock Clock, logger *slog.Logger, observer Observer) *gate {
	return &gate{
		store: store, clock: clock, logger: logger, observer: observer,
		changed: make(chan struct{}), refused: map[string]struct{}{},
		keeperCtx: context.Background(),
	}
}

// enter waits until a poll may start; false means that ctx ended first. After a poll that brought nothing,
// call leave.
func (g *gate) enter(ctx context.Context) bool {
	for {
		g.mu.Lock()
		if ctx.Err() != nil {
			g.mu.Unlock()
			return false
		}
		if g.state == gateOpen || g.state == gateTrial && !g.ticket {
			g.ticket = g.state == gateTrial
			g.mu.Unlock()
			return true
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// leave lets the next poll of a trial start. A poll that brought messages does not call it: what becomes of
// them decides the trial.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == gateTrial && g.ticket {
		g.ticket = false
		g.announce()
	}
}

// awaitRetry waits until a held batch may be tried again. It returns false when the deadline passes or stop
// ends first.
func (g *gate) awaitRetry(stop context.Context, deadline time.Time) bool {
	late := g.clock.After(deadline.Sub(g.clock.Now()))
	for {
		g.mu.Lock()
		state, changed := g.state, g.changed
		g.mu.Unlock()
		switch {
		case stop.Err() != nil || !g.clock.Now().Before(deadline):
			return false
		case state != gateClosed:
			return true
		}
		select {
		case <-changed:
		case <-late:
		case <-stop.Done():
		}
	}
}

// accepted is told of every Ingest that went well.
func (g *gate) accepted() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.refused)
	if g.state == gateTrial {
		g.open()
	}
}

// hopeless is told of a message that the store refused although it answers; it returns true when there have
// been so many that the store must be at fault.
func (g *gate) hopeless(messageID string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.refused) < hopelessAfter {
		g.refused[messageID] = struct{}{}
	}
	return len(g.refused) >= hopelessAfter
}

// close stops the polls and watches for the end of the trouble.
func (g *gate) close(reason string, cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == gateClosed {
		return
	}
	if g.since.IsZero() {
		g.since = g.clock.Now()
		g.closings++
		g.logger.Error("polls are stopped until the store takes messages again", "reason", reason, "error", cause)
		g.observer.Paused(true)
	}
	g.state, g.reason = gateClosed, reason
	g.announce()
	if !g.keeping {
		g.keeping = true
		g.keepers.Go(g.keep)
	}
}

// keep opens the gate when the store answers.
func (g *gate) keep() {
	for ping := 0; ; ping++ {
		g.mu.Lock()
		wait := backoff(pingFirst, pingMost, ping)
		if g.reason == reasonRefuses {
			wait = backoff(trialFirst, trialMost, g.trials+ping)
		}
		g.mu.Unlock()
		select {
		case <-g.clock.After(wait):
		case <-g.keeperCtx.Done():
			return
		}
		ctx, cancel := context.WithTimeout(g.keeperCtx, pingWithin)
		err := g.store.Ping(ctx)
		cancel()
		if err != nil {
			continue
		}
		g.mu.Lock()
		g.keeping = false
		if g.reason == reasonRefuses {
			g.state, g.ticket = gateTrial, false
			g.trials++
			g.announce()
		} else {
			g.open()
		}
		g.mu.Unlock()
		return
	}
}

// open lets the polls go on. The lock is held.
func (g *gate) open() {
	g.logger.Info("polls go on", "reason", g.reason, "stopped_for", g.clock.Now().Sub(g.since))
	g.observer.Paused(false)
	g.state, g.since, g.reason, g.trials, g.ticket = gateOpen, time.Time{}, "", 0, false
	clear(g.refused)
	g.announce()
}

// announce wakes all who wait for a change. The lock is held.
func (g *gate) announce() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// paused says whether there is trouble. A trial counts as one: polls are held back in it.
func (g *gate) paused() (bool, time.Time, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.since.IsZero(), g.since, g.reason
}

func (g *gate) pauses() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closings
}

// backoff doubles from first to most with the number of tries before, and takes a random part of the upper
// half, so that many processes don't come back at the same moment.
func backoff(first, most time.Duration, before int) time.Duration {
	wait := most
	if before < 32 && first<<before < most && first<<before > 0 {
		wait = first << before
	}
	return wait/2 + rand.N(wait/2+1)
}
