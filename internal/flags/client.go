package flags

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Source is where the flags are kept.
type Source interface {
	// Load reads all flags as they are at one moment. Where they are of the known version it need not read them:
	// it returns false and nothing else.
	Load(ctx context.Context, known Version) (table Table, changed bool, err error)
	// Listen calls notify once it listens, and then at every change, until ctx ends or the connection is lost.
	Listen(ctx context.Context, notify func()) error
}

const (
	// DefaultPoll is a little less than the 5 s within which a change must hold everywhere: the reading takes time, too.
	DefaultPoll = 4500 * time.Millisecond
	// loadTimeout is when a reading is given up, so that one that hangs does not keep the next from its turn.
	loadTimeout = 3 * time.Second
	// retryFirst is the wait after the first failure, of a reading or of the connection that listens. It doubles.
	retryFirst = 100 * time.Millisecond
)

// Config is what a Client needs.
type Config struct {
	Source    Source
	Overrides Overrides
	Legacy    bool          // there is an orchestrator before this one
	Poll      time.Duration // DefaultPoll
	Logger    *slog.Logger  // nil: silent

	Now   func() time.Time                     // the machine's time
	After func(time.Duration) <-chan time.Time // time.After
}

// Client keeps a process' snapshot up to date. Make one with NewClient, and Run it.
type Client struct {
	config  Config
	current atomic.Pointer[Snapshot]
	wake    chan struct{}

	mu        sync.Mutex // of what follows, and of replacing the snapshot
	changed   []func(before, after *Snapshot)
	loadedAt  time.Time
	failure   error
	listening bool
}

// NewClient makes a client that knows the defaults and the environment. Its snapshot can be read at once.
func NewClient(config Config) *Client {
	if config.Poll <= 0 {
		config.Poll = DefaultPoll
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.After == nil {
		config.After = time.After
	}
	c := &Client{config: config, wake: make(chan struct{}, 1)}
	c.current.Store(unloaded(config.Overrides, config.Legacy))
	return c
}

// Snapshot is what the process knows now.
func (c *Client) Snapshot() *Snapshot { return c.current.Load() }

// Changed calls a function after each change of the snapshot, one call at a time and in the order of the changes. It
// must not block, nor call Load or Changed: the next change waits for it.
func (c *Client) Changed(call func(before, after *Snapshot)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = append(c.changed, call)
}

// State is how well a client is informed.
type State struct {
	LoadedAt  time.Time // when the database was read last; zero: never
	Listening bool      // changes are told to it; otherwise it finds them when it looks
	Failure   error     // of the last reading
}

// State returns how well the client is informed.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return State{LoadedAt: c.loadedAt, Listening: c.listening, Failure: c.failure}
}

// Load reads the flags once, now. A process that starts calls it so as not to begin with defaults; when it fails, Run
// tries on.
func (c *Client) Load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	known := Version{}
	if s := c.Snapshot(); s.loaded {
		known = s.table.Version
	}
	table, changed, err := c.config.Source.Load(ctx, known)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if c.failure == nil {
			c.config.Logger.Warn("the flags can't be read; those known last stay in force", "error", err)
		}
		c.failure = err
		return err
	}
	if c.failure != nil {
		c.config.Logger.Info("the flags can be read again")
	}
	c.failure, c.loadedAt = nil, c.config.Now()
	if changed {
		c.replace(New(table, c.config.Overrides, c.config.Legacy))
	}
	return nil
}

// replace puts a snapshot in force, unless a newer one already is. The lock is held.
func (c *Client) replace(next *Snapshot) {
	before := c.current.Load()
	if before.loaded && !next.Version().replaces(before.Version()) {
		return
	}
	for _, problem := range next.problems {
		c.config.Logger.Warn("a flag can't be used and is left out", "error", problem)
	}
	c.current.Store(next)
	if before.loaded && before.Version() == next.Version() {
		return
	}
	for _, call := range c.changed {
		call(before, next)
	}
}

// Run reads the flags at once, whenever it is told of a change, and at least every Poll, until ctx ends. It returns
// nil.
func (c *Client) Run(ctx context.Context) error {
	var listener sync.WaitGroup
	listener.Go(func() { c.listen(ctx) })
	defer listener.Wait()
	for failures := 0; ; {
		wait := c.config.Poll
		if err := c.Load(ctx); err == nil {
			failures = 0
		} else {
			wait = min(wait, backoff(failures))
			failures++
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-c.config.After(wait):
		}
	}
}

// listen keeps up a connection that tells of changes. Without it they are found by looking.
func (c *Client) listen(ctx context.Context) {
	for failures := 0; ; failures++ {
		err := c.config.Source.Listen(ctx, func() {
			failures = 0
			c.setListening(true)
			select {
			case c.wake <- struct{}{}:
			default: // it will look anyway
			}
		})
		if c.setListening(false) && ctx.Err() == nil {
			c.config.Logger.Warn("changes of flags are not told any more, only looked for; connecting again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.config.After(min(c.config.Poll, backoff(failures))):
		}
	}
}

// setListening returns what was before.
func (c *Client) setListening(now bool) (before bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, c.listening = c.listening, now
	return before
}

func backoff(failures int) time.Duration { return retryFirst << min(failures, 10) }
