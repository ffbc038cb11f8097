package flags_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/flags"
)

// fakeSource is a source whose state and failures a test sets.
type fakeSource struct {
	mu      sync.Mutex
	table   flags.Table
	err     error
	loads   int
	listens int
	notify  func() // nil: nobody listens
	lose    chan error
	deaf    bool
}

func (s *fakeSource) Load(_ context.Context, known flags.Version) (flags.Table, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	if s.err != nil {
		return flags.Table{}, false, s.err
	}
	return s.table, s.table.Version != known, nil
}

func (s *fakeSource) Listen(ctx context.Context, notify func()) error {
	s.mu.Lock()
	s.listens++
	if s.err != nil {
		defer s.mu.Unlock()
		return s.err
	}
	lose := make(chan error, 1)
	s.lose = lose
	if !s.deaf {
		s.notify = notify
		notify()
	}
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-lose:
		return err
	}
}

// set makes a change; told says whether the listener hears of it.
func (s *fakeSource) set(told bool, number int64, rows ...flags.Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table.Version.Number, s.table.Rows = number, rows
	if told && s.notify != nil {
		s.notify()
	}
}

func (s *fakeSource) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err != nil && s.lose != nil {
		s.lose <- err
		s.lose = nil
	}
}

// inBubble runs a client on a fake clock.
func inBubble(t *testing.T, source *fakeSource, overrides flags.Overrides, test func(t *testing.T, c *flags.Client, log *bytes.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		client := flags.NewClient(flags.Config{Source: source, Overrides: overrides, Legacy: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- client.Run(ctx) }()
		synctest.Wait()
		test(t, client, &log)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestClientIsTold(t *testing.T) {
	t.Parallel()
	source := &fakeSource{}
	source.set(false, 1)
	inBubble(t, source, nil, func(t *testing.T, c *flags.Client, _ *bytes.Buffer) {
		if !c.Snapshot().Loaded() || !c.State().Listening {
			t.Fatalf("state %+v", c.State())
		}
		source.set(true, 2, row(flags.SendsEnabled, "", "off"))
		synctest.Wait()
		if c.Snapshot().SendsEnabled("a") {
			t.Error("the change was not seen at once")
		}
	})
}

func TestClientLooks(t *testing.T) {
	t.Parallel()
	source := &fakeSource{deaf: true}
	source.set(false, 1)
	inBubble(t, source, nil, func(t *testing.T, c *flags.Client, _ *bytes.Buffer) {
		for n := range 10 {
			before := c.Snapshot()
			source.set(false, int64(n+2), row(flags.SendsEnabled, "", []string{"off", "on"}[n%2]))
			began := time.Now()
			for c.Snapshot() == before {
				time.Sleep(time.Millisecond)
				synctest.Wait()
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("seen after %s", took)
			}
			time.Sleep(time.Duration(n) * 333 * time.Millisecond)
		}
	})
}

// Without the database the process goes on with what it knew, and hears of the next change when it is back.
func TestClientKeepsWhatItKnew(t *testing.T) {
	t.Parallel()
	source := &fakeSource{}
	source.set(false, 1, row(flags.SendsEnabled, "", "off"), row(flags.OrchestratorEnabled, "", "on"))
	inBubble(t, source, nil, func(t *testing.T, c *flags.Client, log *bytes.Buffer) {
		loadedAt := c.State().LoadedAt
		source.fail(errors.New("no database"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := c.Snapshot(); s.SendsEnabled("a") || !s.OrchestratorEnabled("a") {
			t.Error("what was known is forgotten")
		}
		if state := c.State(); state.Failure == nil || state.Listening || state.LoadedAt != loadedAt {
			t.Errorf("state %+v", state)
		}
		if lines := strings.Count(log.String(), "\n"); lines > 4 {
			t.Errorf("%d lines for one outage:\n%s", lines, log)
		}
		if loads := source.loads; loads > 900 {
			t.Errorf("the database that is away was asked %d times in an hour", loads)
		}
		source.fail(nil)
		source.set(false, 2)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if s := c.Snapshot(); !s.SendsEnabled("a") || !c.State().Listening || c.State().Failure != nil {
			t.Errorf("not back: %+v", c.State())
		}
	})
}

// A process that starts without the database has defaults, says so, and reads the flags soon after it is back.
func TestClientStartsWithoutDatabase(t *testing.T) {
	t.Parallel()
	source := &fakeSource{err: errors.New("no database")}
	inBubble(t, source, flags.Overrides{flags.PlanningEnabled: flags.Off}, func(t *testing.T, c *flags.Client, _ *bytes.Buffer) {
		s := c.Snapshot()
		if s.Loaded() || s.Decided(flags.OrchestratorEnabled) || !s.Decided(flags.PlanningEnabled) {
			t.Error("it knows what it can't know")
		}
		if s.OrchestratorEnabled("a") || !s.SendsEnabled("a") || s.PlanningEnabled("a") {
			t.Error("not the defaults and the environment")
		}
		source.fail(nil)
		source.set(false, 7, row(flags.OrchestratorEnabled, "", "on"))
		time.Sleep(time.Second)
		synctest.Wait()
		if s := c.Snapshot(); !s.Loaded() || !s.Decided(flags.SendsEnabled) || !s.OrchestratorEnabled("a") || s.PlanningEnabled("a") {
			t.Error("not read after the database was back")
		}
	})
}

// An older state never replaces a newer one, unless the database itself is another.
func TestClientGoesForward(t *testing.T) {
	t.Parallel()
	source := &fakeSource{}
	client := flags.NewClient(flags.Config{Source: source, Legacy: true})
	var changes []int64
	client.Changed(func(_, after *flags.Snapshot) { changes = append(changes, after.Version().Number) })
	at := func(system int64, timeline int32, number int64, value string) bool {
		source.table = flags.Table{Version: flags.Version{System: system, Timeline: timeline, Number: number}, Rows: []flags.Row{row(flags.SendsEnabled, "", value)}}
		if err := client.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		return client.Snapshot().SendsEnabled("a")
	}
	for _, step := range []struct {
		system   int64
		timeline int32
		number   int64
		value    string
		on       bool
		what     string
	}{
		{1, 1, 5, "off", false, "first"},
		{1, 1, 4, "on", false, "an older state"},
		{1, 1, 6, "on", true, "a newer state"},
		{1, 2, 3, "off", false, "after a failover that forgot changes"},
		{1, 1, 9, "on", false, "the old primary, that nobody told"},
		{2, 1, 1, "on", true, "another database"},
	} {
		if on := at(step.system, step.timeline, step.number, step.value); on != step.on {
			t.Errorf("%s: on is %v", step.what, on)
		}
	}
	if len(changes) != 4 {
		t.Errorf("told of the changes %v, want 4", changes)
	}
}

// Many readings at once end in the newest state.
func TestClientReadsAtOnce(t *testing.T) {
	t.Parallel()
	source := &fakeSource{}
	client := flags.NewClient(flags.Config{Source: source})
	var last int64
	client.Changed(func(_, after *flags.Snapshot) {
		if after.Version().Number <= last {
			t.Errorf("version %d after %d", after.Version().Number, last)
		}
		last = after.Version().Number
	})
	var all sync.WaitGroup
	for n := range int64(200) {
		all.Go(func() {
			source.mu.Lock()
			if n+1 > source.table.Version.Number {
				source.table.Version.Number = n + 1
			}
			source.mu.Unlock()
			if err := client.Load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := client.Snapshot().Version().Number; got != 200 {
		t.Errorf("version %d, want 200", got)
	}
}
