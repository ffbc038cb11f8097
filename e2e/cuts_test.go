package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// cutter stands between the workers and Postgres and drops the answers to some commits, and the connection with them: the
// worker can't tell whether it happened.
type cutter struct {
	server string
	every  uint32 // one in so many commits

	commits, cut atomic.Uint32
	off          atomic.Bool
}

// commitQuery is how pgx asks for it: a letter, the length, the text.
var commitQuery = []byte("Q\x00\x00\x00\x0bcommit\x00")

// riverPool names River's connections when they begin. What River has fetched and not heard of waits for its rescue, or for
// our reservations to end: that takes time and has nothing to do with what is counted, so only large runs cut them.
var (
	riverPool = []byte("application_name\x00huntaze river")
	cutRiver  = chaos != small
)

// throughCutter returns the database's URL through a cutter.
func throughCutter(t *testing.T, database string, every uint32) (*cutter, string) {
	t.Helper()
	parsed, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{server: parsed.Host, every: every}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { c.connect(client) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); open.Wait() }) // the workers are gone by then
	parsed.Host = listener.Addr().String()
	return c, parsed.String()
}

func (c *cutter) connect(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var silent, spared atomic.Bool // the next answer is not passed on; none is ever held back
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(server, client, func(p []byte) bool {
			if bytes.Contains(p, riverPool) && !cutRiver {
				spared.Store(true)
			}
			if bytes.Contains(p, commitQuery) && !spared.Load() && c.commits.Add(1)%c.every == 0 && !c.off.Load() {
				c.cut.Add(1)
				silent.Store(true)
			}
			return true
		})
		_ = server.Close() // like a process that is gone
	}()
	pass(client, server, func([]byte) bool { return !silent.Load() })
	_ = client.Close()
	<-done
}

// pass copies from one connection to the other until either ends, or what is passed on is not to be.
func pass(to, from net.Conn, may func([]byte) bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !may(buffer[:n]) {
			return
		}
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

// terminateSome lets Postgres end some connections of the workers, whatever they are doing, and says how many.
func (f *fleet) terminateSome(random *rand.Rand, most int) (ended int) {
	f.t.Helper()
	backends := query(f, pgx.RowTo[int], `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'huntaze%' AND (application_name NOT LIKE 'huntaze river%' OR $1) ORDER BY pid`, cutRiver)
	random.Shuffle(len(backends), func(i, j int) { backends[i], backends[j] = backends[j], backends[i] })
	for _, pid := range backends[:min(most, len(backends))] {
		ended += number(f, `SELECT pg_terminate_backend($1)::int`, pid)
	}
	return ended
}

// front is where a gateway listens that goes away and comes back at the same address.
type front struct {
	t       *testing.T
	handler http.Handler
	address string
	server  *http.Server
	done    chan struct{}
}

func newFront(t *testing.T, handler http.Handler) *front {
	t.Helper()
	f := &front{t: t, handler: handler, address: "127.0.0.1:0"}
	f.up()
	t.Cleanup(f.down)
	return f
}

// down cuts off the calls that run and refuses others.
func (f *front) down() {
	_ = f.server.Close()
	<-f.done
}

func (f *front) up() {
	f.t.Helper()
	var listener net.Listener
	var err error
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if listener, err = net.Listen("tcp", f.address); err == nil {
			break
		}
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			f.t.Fatal(err)
		}
	}
	f.address = listener.Addr().String()
	server, done := &http.Server{Handler: f.handler, ReadHeaderTimeout: 10 * time.Second}, make(chan struct{})
	f.server, f.done = server, done
	go func() { defer close(done); _ = server.Serve(listener) }()
}

// repeat does something again and again, with pauses of about the given length, until it is stopped.
func repeat(t *testing.T, random *rand.Rand, every time.Duration, do func()) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-time.After(every/2 + time.Duration(random.Int64N(int64(every)))):
				do()
			case <-ctx.Done():
				return
			}
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}
