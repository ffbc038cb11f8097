package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/huntaze/hybrid-orchestrator/internal/devstack/localpg"
)

// Option changes what Main does.
type Option func(*settings)

type settings struct {
	leakCheck   bool
	leakOptions []goleak.Option
}

// WithLeakCheck makes the run fail when goroutines are left after the last test.
func WithLeakCheck(options ...goleak.Option) Option {
	return func(s *settings) { s.leakCheck, s.leakOptions = true, options }
}

// Main runs the tests of a package, stops the server and exits. Call it from TestMain, with its testing.M or with
// something that does more around it.
func Main(m interface{ Run() int }, options ...Option) {
	os.Exit(run(m, options...))
}

// shared is the one server of the process.
var shared struct {
	mu      sync.Mutex
	managed bool // Main runs, so that somebody stops the server
	tried   bool
	server  *server
	err     error
}

var errNoMain = errors.New("the package needs func TestMain(m *testing.M) { pgtest.Main(m) }, so that the server is stopped at the end")

// sharedServer starts the server at the first call.
func sharedServer() (*server, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.managed {
		return nil, errNoMain
	}
	if !shared.tried {
		shared.tried = true
		shared.server, shared.err = startServer()
	}
	return shared.server, shared.err
}

func run(m interface{ Run() int }, options ...Option) int {
	var chosen settings
	for _, option := range options {
		option(&chosen)
	}
	shared.mu.Lock()
	shared.managed = true
	shared.mu.Unlock()

	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintf(os.Stderr, "pgtest: stop the server: %v\n", err)
		code = max(code, 1)
	}
	if code == 0 && chosen.leakCheck {
		if err := goleak.Find(chosen.leakOptions...); err != nil {
			fmt.Fprintf(os.Stderr, "pgtest: goroutines are left after the tests: %v\n", err)
			code = 1
		}
	}
	return code
}

func stopShared() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.managed = false
	if shared.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return shared.server.stop(ctx)
}

// Cluster starts a server for one test, which may stop, kill and restart it. It is temporary, and durable as in
// production: what was committed survives every restart. It needs no Main and does not use TEST_DATABASE_URL.
func Cluster(t testing.TB, adjust ...func(*localpg.Options)) *localpg.Cluster {
	t.Helper()
	options := localpg.Options{Durable: true}
	for _, change := range adjust {
		change(&options)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	cluster, err := localpg.Start(ctx, options)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := cluster.Stop(ctx); err != nil {
			t.Errorf("pgtest: stop the server: %v", err)
		}
	})
	return cluster
}
