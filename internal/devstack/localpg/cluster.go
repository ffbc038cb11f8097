package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrInUse is returned by Start when another process owns the folder.
var ErrInUse = errors.New("localpg: already in use")

// ErrStopped is returned by the methods of a cluster after Stop.
var ErrStopped = errors.New("localpg: the cluster was stopped")

// startTimeout bounds a start, recovery after a crash included, when the caller's context does not.
const startTimeout = 2 * time.Minute

// superuser is the only user of the cluster.
const superuser = "postgres"

// Cluster is a running server with its folder. All methods may be called from several goroutines.
type Cluster struct {
	options  Options
	logger   *slog.Logger
	home     *home
	binaries binaries
	password string

	change  sync.Mutex // held while the server is started or stopped
	stopped bool       // guarded by change
	port    atomic.Int64
	server  atomic.Pointer[process] // nil while halted
}

// Start makes the cluster if there is none in the folder yet, starts the server and returns when it answers. The
// context bounds the start only. Errors: ErrInUse; else what went wrong with the end of the server's log.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	h, err := openHome(ctx, o, logger)
	if err != nil {
		return nil, err
	}
	c := &Cluster{options: o, logger: logger, home: h}
	if err := c.firstStart(ctx); err != nil {
		return nil, errors.Join(err, h.release())
	}
	return c, nil
}

func (c *Cluster) firstStart(ctx context.Context) error {
	if err := c.clearLeftovers(ctx); err != nil {
		return err
	}
	if err := c.home.record(0); err != nil {
		return err
	}
	var err error
	if c.password, err = c.home.superuserPassword(); err != nil {
		return err
	}
	major, err := madeBy(c.home.cluster())
	if err != nil {
		return err
	}
	if c.binaries, err = newFinder(c.home.who, major, c.logger).find(ctx); err != nil {
		return err
	}
	if major == 0 {
		if err := c.initdb(ctx); err != nil {
			return err
		}
	}
	c.change.Lock()
	defer c.change.Unlock()
	return c.startSomewhere(ctx)
}

// madeBy returns the major version of Postgres that made the cluster; 0 when there is none.
func madeBy(clusterDir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(clusterDir, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("localpg: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("localpg: the version of the cluster in %s: %w", clusterDir, err)
	}
	return major, nil
}

// initdb makes the cluster beside its place and moves it there when it is whole.
func (c *Cluster) initdb(ctx context.Context) error {
	unfinished := c.home.cluster() + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	if err := c.home.who.give(unfinished); err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	var out strings.Builder
	command := exec.CommandContext(ctx, c.binaries.initdb(),
		"--pgdata="+unfinished, "--username="+superuser, "--pwfile="+c.home.password(),
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-instructions")
	if !c.options.Durable || c.home.temporary {
		command.Args = append(command.Args, "--no-sync")
	}
	command.Dir = unfinished
	command.Env = childEnvironment()
	command.Stdout, command.Stderr = &out, &out
	command.SysProcAttr = attributes(c.home.who, syscall.SIGKILL)
	if err := runToEnd(command); err != nil {
		return fmt.Errorf("localpg: initdb in %s: %w\n%s", unfinished, err, tail(out.String()))
	}
	if err := os.Rename(unfinished, c.home.cluster()); err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	return nil
}

// URL returns the connection string of a database of the cluster, for its superuser; it holds the password.
func (c *Cluster) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, c.password),
		Host:     "127.0.0.1:" + strconv.Itoa(c.Port()),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Port returns the TCP port on 127.0.0.1. It stays the same until Stop.
func (c *Cluster) Port() int { return int(c.port.Load()) }

// Dir returns the folder that the cluster is in, which may be another one than Options.DataDir.
func (c *Cluster) Dir() string { return c.home.dir }

// PID returns the process id of the server, 0 when it does not run.
func (c *Cluster) PID() int {
	p := c.server.Load()
	if p == nil {
		return 0
	}
	select {
	case <-p.exited:
		return 0
	default:
		return p.pid
	}
}

// EnsureDatabase creates the database if the cluster has none of that name.
func (c *Cluster) EnsureDatabase(ctx context.Context, name string) error {
	connection, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	defer func() { _ = connection.Close(context.WithoutCancel(ctx)) }()
	var exists bool
	err = connection.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err == nil && !exists {
		_, err = connection.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	}
	if err != nil {
		return fmt.Errorf("localpg: create the database %s: %w", name, err)
	}
	return nil
}

// Stop ends the server and gives the folder up; a temporary one is removed. When the context ends first, the server is
// killed, and that is an error unless the cluster is temporary. Further calls do nothing.
func (c *Cluster) Stop(ctx context.Context) error {
	c.change.Lock()
	defer c.change.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	mode := Fast
	if c.home.temporary {
		// Nobody will read it again: no need to write everything out.
		mode = Immediate
	}
	return errors.Join(c.end(ctx, mode), c.home.release())
}

// Restart stops the server in that mode and starts it again on the same port. A halted server is started.
func (c *Cluster) Restart(ctx context.Context, mode Mode) error {
	c.change.Lock()
	defer c.change.Unlock()
	if c.stopped {
		return ErrStopped
	}
	if err := c.end(ctx, mode); err != nil {
		return err
	}
	return c.startAgain(ctx)
}

// Halt stops the server in that mode until Resume, keeping folder and port: an outage.
func (c *Cluster) Halt(ctx context.Context, mode Mode) error {
	c.change.Lock()
	defer c.change.Unlock()
	if c.stopped {
		return ErrStopped
	}
	return c.end(ctx, mode)
}

// Resume starts a halted or killed server again, on the same port. It does nothing when the server runs.
func (c *Cluster) Resume(ctx context.Context) error {
	c.change.Lock()
	defer c.change.Unlock()
	if c.stopped {
		return ErrStopped
	}
	if c.PID() != 0 {
		return nil
	}
	return c.startAgain(ctx)
}

// Kill ends the server at once, as a crash of its main process would, and waits until it is gone. Start it again with
// Resume.
func (c *Cluster) Kill() error {
	c.change.Lock()
	defer c.change.Unlock()
	if c.stopped {
		return ErrStopped
	}
	p := c.server.Load()
	if p == nil {
		return nil
	}
	p.kill()
	c.server.Store(nil)
	return nil
}

// ManualStart returns the shell command that runs the server of a stopped cluster in the foreground, as the user that
// it says. It is for a person who wants to look into a cluster that was kept.
func (c *Cluster) ManualStart() string {
	command := fmt.Sprintf("'%s' -D '%s' -c config_file='%s'", c.binaries.postgres(), c.home.cluster(), c.home.settings())
	if !c.home.who.switched {
		return command
	}
	return fmt.Sprintf("sudo -u '#%d' %s", c.home.who.uid, command)
}
