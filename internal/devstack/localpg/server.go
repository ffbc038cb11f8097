package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Mode says how a server is stopped.
type Mode int

const (
	// Fast ends the sessions, writes everything out and stops: an orderly shutdown.
	Fast Mode = iota
	// Immediate stops without writing out, so that the next start recovers from the log: a crash, but without
	// processes left behind.
	Immediate
)

func (m Mode) signal() syscall.Signal {
	if m == Immediate {
		return syscall.SIGQUIT
	}
	return syscall.SIGINT
}

const (
	// stopTimeout bounds a stop when the caller's context does not.
	stopTimeout = 30 * time.Second
	// pollInterval is the time between two looks at something that sends no signal.
	pollInterval = 10 * time.Millisecond
	// attempts is how often a start is tried that lost a race for its port, or for what a killed server's
	// children still hold.
	attempts = 20
	// maxLog is the size above which the log of the server is begun anew at a start.
	maxLog = 8 << 20
)

// startSomewhere starts the server on the port that was asked for, or on another when it is taken.
func (c *Cluster) startSomewhere(ctx context.Context) error {
	port := c.options.Port
	if port != 0 && !portFree(port) {
		port = 0
	}
	for attempt := 1; ; attempt++ {
		if port == 0 {
			var err error
			if port, err = choosePort(); err != nil {
				return err
			}
		}
		failure := c.startOn(ctx, port)
		if failure == nil {
			break
		}
		if attempt == attempts || !failure.curable() {
			return failure
		}
		// A port may also be taken for a moment only, by a process on its way from fork to exec that holds a copy of the
		// socket that portFree closed.
		if failure.says(portTaken) && !portFree(port) {
			port = 0
		}
		if !pause(ctx) {
			return failure
		}
	}
	if c.options.Port != 0 && port != c.options.Port {
		c.logger.Warn("the port is taken, Postgres uses another", "asked", c.options.Port, "port", port)
	}
	return nil
}

// startAgain starts the server on the port that it had: its users know no other.
func (c *Cluster) startAgain(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		failure := c.startOn(ctx, c.Port())
		if failure == nil {
			return nil
		}
		if attempt == attempts || !failure.curable() || !pause(ctx) {
			return failure
		}
	}
}

// pause waits a little before another attempt. It reports false when the context has ended.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(10 * pollInterval):
		return true
	}
}

// startOn starts the server on the port and waits until it answers.
func (c *Cluster) startOn(ctx context.Context, port int) *startFailure {
	log, begin, err := c.openLog()
	if err != nil {
		return &startFailure{cause: err}
	}
	defer func() { _ = log.Close() }()
	c.port.Store(int64(port))
	p, err := c.launchServer(log, port)
	if err != nil {
		return &startFailure{cause: err}
	}
	if err := c.awaitReady(ctx, p); err != nil {
		p.kill()
		return &startFailure{cause: err, log: readTail(c.home.logFile(), begin)}
	}
	c.server.Store(p)
	go c.watch(p)
	return nil
}

// openLog opens the log and returns where this start's part begins.
func (c *Cluster) openLog() (*os.File, int64, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(c.home.logFile()); err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	log, err := os.OpenFile(c.home.logFile(), flags, 0o600)
	if err != nil {
		return nil, 0, err
	}
	begin, err := log.Seek(0, io.SeekEnd)
	if err == nil {
		err = c.home.who.give(c.home.logFile())
	}
	if err != nil {
		_ = log.Close()
		return nil, 0, err
	}
	return log, begin, nil
}

func (c *Cluster) launchServer(log *os.File, port int) (*process, error) {
	settings := c.home.settings()
	// The cluster's own file first, so that what initdb found out (shared memory, locale) holds.
	text := "include_if_exists 'cluster/postgresql.conf'\n" + c.options.settings(port)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if err := c.home.who.give(settings); err != nil {
		return nil, err
	}
	// A durable cluster that loses its owner is shut down in order; the other kind is thrown away.
	atOurDeath := Immediate.signal()
	if c.options.Durable {
		atOurDeath = Fast.signal()
	}
	command := exec.Command(c.binaries.postgres(), "-D", c.home.cluster(), "-c", "config_file="+settings)
	command.Dir = c.home.cluster()
	command.Env = childEnvironment()
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = attributes(c.home.who, atOurDeath)
	p, err := launch(command)
	if err != nil {
		return nil, err
	}
	if err := c.home.record(p.pid); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// awaitReady returns when our server, and not another one on that port, answers.
func (c *Cluster) awaitReady(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	// Somebody else on the port may let us wait for an answer while our server has long given up.
	alive, end := context.WithCancel(ctx)
	defer end()
	go func() {
		select {
		case <-p.exited:
			end()
		case <-alive.Done():
		}
	}()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	last := errors.New("it did not answer")
	for {
		select {
		case <-p.exited:
			return fmt.Errorf("it ended (%s)", p.ended())
		case <-ctx.Done():
			return fmt.Errorf("%w; last answer: %w", ctx.Err(), last)
		case <-tick.C:
		}
		if err := c.answers(alive); err == nil {
			return nil
		} else if alive.Err() == nil {
			last = err
		}
	}
}

func (c *Cluster) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	connection, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close(ctx) }()
	var folder string
	if err := connection.QueryRow(ctx, "SHOW data_directory").Scan(&folder); err != nil {
		return err
	}
	if folder != c.home.cluster() {
		return fmt.Errorf("another Postgres answers on port %d", c.Port())
	}
	return nil
}

// watch reports a server that ends unasked.
func (c *Cluster) watch(p *process) {
	<-p.exited
	if !p.asked.Load() {
		c.logger.Error("Postgres ended unexpectedly", "how", p.ended(), "log", c.home.logFile())
	}
}

// end stops the server if it runs. It is gone when end returns, whatever the error.
func (c *Cluster) end(ctx context.Context, mode Mode) error {
	running := c.PID() != 0
	p := c.server.Swap(nil)
	if !running {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	p.asked.Store(true)
	_ = sendSignal(p.pid, mode.signal()) // it fails only for a process that is gone
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
	}
	p.kill()
	if c.home.temporary {
		return nil
	}
	return fmt.Errorf("localpg: Postgres did not stop in time and was killed: %w", ctx.Err())
}

// kill ends the process and waits for it. The server's own children notice and end by themselves.
func (p *process) kill() {
	p.asked.Store(true)
	select {
	case <-p.exited: // the pid may be somebody else's by now
		return
	default:
	}
	_ = sendSignal(p.pid, syscall.SIGKILL)
	<-p.exited
}
