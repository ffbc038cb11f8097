//go:build unix

package localpg

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

func TestTemporaryClusterIsGoneAfterStop(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	c, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v", time.Since(begun))
	pid := c.PID()
	if got := query(t, c, "SELECT current_user || ' ' || current_setting('fsync')"); got != "postgres off" {
		t.Errorf("user and fsync: %s", got)
	}
	for range 2 { // the second call does nothing
		if err := c.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(c.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if c.PID() != 0 || processAlive(pid) {
		t.Errorf("the server is still there")
	}
	for name, err := range map[string]error{
		"Restart": c.Restart(t.Context(), Fast), "Halt": c.Halt(t.Context(), Fast), "Resume": c.Resume(t.Context()), "Kill": c.Kill(),
	} {
		if !errors.Is(err, ErrStopped) {
			t.Errorf("%s after Stop: %v", name, err)
		}
	}
}

func TestClusterIsKeptBetweenRuns(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "made", "on", "demand")
	first := begin(t, Options{DataDir: dir, Durable: true})
	execute(t, first, "CREATE TABLE kept AS SELECT 'still here' AS word")
	stop(t, first)
	info, err := os.Stat(filepath.Join(dir, "password"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the password file: %v", info.Mode())
	}
	begun := time.Now()
	second := begin(t, Options{DataDir: dir, Durable: true, Port: first.Port()})
	t.Logf("started again in %v", time.Since(begun))
	if first.URL("x") != second.URL("x") {
		t.Error("the URL changed between runs although the port was free")
	}
	if got := query(t, second, "SELECT word || ', fsync ' || current_setting('fsync') FROM kept"); got != "still here, fsync on" {
		t.Errorf("after the second start: %s", got)
	}
}

func TestOnlyPasswordOnLoopbackGetsIn(t *testing.T) {
	t.Parallel()
	c := begin(t, Options{Parameters: map[string]string{"application_name": `it's \ quoted`, "MAX_CONNECTIONS": "50"}})
	got := query(t, c, `SELECT string_agg(current_setting(name), '|') FROM unnest(ARRAY['listen_addresses', 'unix_socket_directories', 'application_name', 'max_connections', 'TimeZone']) name`)
	if diff := cmp.Diff(`127.0.0.1||it's \ quoted|50|UTC`, got); diff != "" {
		t.Error(diff)
	}
	guess, err := url.Parse(c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	guess.User = url.UserPassword("postgres", "postgres")
	if connection, err := pgx.Connect(t.Context(), guess.String()); err == nil {
		_ = connection.Close(t.Context())
		t.Error("a wrong password gets in")
	}
	group, err := syscall.Getpgid(c.PID())
	if err != nil || group != c.PID() {
		t.Errorf("the server is in process group %d (%v): Ctrl-C would stop it before us", group, err)
	}
}

func TestRestartKeepsPortAndCommittedRows(t *testing.T) {
	t.Parallel()
	c := begin(t, Options{Durable: true})
	execute(t, c, "CREATE TABLE seen (how text)")
	steps := []struct {
		how string
		do  func() error
	}{
		{"fast", func() error { return c.Restart(t.Context(), Fast) }},
		{"immediate", func() error { return c.Restart(t.Context(), Immediate) }},
		{"kill", func() error { return errors.Join(c.Kill(), c.Kill(), c.Resume(t.Context())) }},
		{"outage", func() error {
			err := c.Halt(t.Context(), Immediate)
			if connection, errUp := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(c.Port())); errUp == nil {
				_ = connection.Close()
				t.Error("a halted server accepts connections")
			}
			return errors.Join(err, c.Halt(t.Context(), Fast), c.Resume(t.Context()), c.Resume(t.Context()))
		}},
	}
	url, want := c.URL("postgres"), ""
	for _, step := range steps {
		execute(t, c, "INSERT INTO seen VALUES ('"+step.how+"')")
		want += step.how + " "
		before, begun := c.PID(), time.Now()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.how, err)
		}
		t.Logf("%s: %v", step.how, time.Since(begun))
		if c.PID() == before || c.PID() == 0 || c.URL("postgres") != url {
			t.Errorf("%s: pid %d then %d, URL %s then %s", step.how, before, c.PID(), url, c.URL("postgres"))
		}
		if got := query(t, c, "SELECT string_agg(how, ' ' ORDER BY ctid) || ' ' FROM seen"); got != want {
			t.Errorf("after %s: rows %q, want %q", step.how, got, want)
		}
	}
}

func TestTakenPortIsAvoided(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	asked := taken.Addr().(*net.TCPAddr).Port
	var log logBuffer
	c := begin(t, Options{Port: asked, Logger: log.logger()})
	if c.Port() == asked {
		t.Error("it claims the port that is taken")
	}
	if query(t, c, "SHOW port") != strconv.Itoa(c.Port()) || !strings.Contains(log.String(), strconv.Itoa(asked)) {
		t.Errorf("port %d, log %s", c.Port(), log.String())
	}
}

func TestRaceForPortIsRetried(t *testing.T) {
	t.Parallel()
	c := begin(t, Options{})
	if err := c.Halt(t.Context(), Fast); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(c.Port()))
	if err != nil {
		t.Fatal(err)
	}
	// What the first attempt meets when somebody takes the port after it was found free.
	failure := c.startOn(t.Context(), c.Port())
	if failure == nil || !failure.says(portTaken) || !failure.curable() {
		t.Fatalf("the failure is not known for what it is: %v", failure)
	}
	// Resume may not change the port, so it waits for it.
	resumed := make(chan error, 1)
	go func() { resumed <- c.Resume(t.Context()) }()
	eventually(t, "a further attempt", func() bool {
		text, err := os.ReadFile(c.home.logFile())
		return err == nil && strings.Count(string(text), portTaken) >= 2
	})
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-resumed; err != nil {
		t.Fatal(err)
	}
	if got := query(t, c, "SHOW port"); got != strconv.Itoa(c.Port()) {
		t.Errorf("port %s", got)
	}
}

func TestServerOutlivesTheThreadThatAskedForIt(t *testing.T) {
	t.Parallel()
	started := make(chan *Cluster)
	go func() {
		runtime.LockOSThread() // so that the thread ends with the goroutine
		c, err := Start(t.Context(), Options{})
		if err != nil {
			t.Error(err)
		}
		started <- c
	}()
	c := <-started
	if c == nil {
		return
	}
	t.Cleanup(func() { stop(t, c) })
	pid := c.PID()
	for range 20 { // threads come and go
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread()
		}()
		<-done
	}
	query(t, c, "SELECT 'alive'")
	if c.PID() != pid {
		t.Errorf("pid %d, then %d", pid, c.PID())
	}
}

func TestUnaskedEndIsReportedAndCured(t *testing.T) {
	t.Parallel()
	var log logBuffer
	c := begin(t, Options{Logger: log.logger()})
	if err := syscall.Kill(c.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the report", func() bool { return strings.Contains(log.String(), "ended unexpectedly") })
	if c.PID() != 0 {
		t.Errorf("pid %d", c.PID())
	}
	if err := c.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	query(t, c, "SELECT 'alive'")
}

func TestFailedStartQuotesTheLog(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "pg")
	_, err := Start(t.Context(), Options{DataDir: dir, Parameters: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), `unrecognized configuration parameter "no_such_setting"`) {
		t.Fatalf("error: %v", err)
	}
	begin(t, Options{DataDir: dir}) // the failure left the folder free and whole
}

func TestEndedContextEndsTheStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
}

func TestEnsureDatabase(t *testing.T) {
	t.Parallel()
	c := begin(t, Options{})
	for range 2 {
		if err := c.EnsureDatabase(t.Context(), `quo"ted`); err != nil {
			t.Fatal(err)
		}
	}
	connection, err := pgx.Connect(t.Context(), c.URL(`quo"ted`))
	if err != nil {
		t.Fatal(err)
	}
	_ = connection.Close(t.Context())
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
