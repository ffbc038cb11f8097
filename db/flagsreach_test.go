package db_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
)

// deaf is a source that is told of nothing.
type deaf struct{ flags.Source }

func (deaf) Listen(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

// watcher is a process that watches the flags, and notes when it saw what.
type watcher struct {
	*flags.Client
	mu   sync.Mutex
	seen map[int64]time.Time // by version
}

func (f *fleet) watch(wrap func(flags.Source) flags.Source) *watcher {
	f.t.Helper()
	// Not the pool of the others: each process has its own connections.
	source := wrap(db.NewStore(openPool(f.t, f.URL), f.jobs, f.config).FlagSource())
	w := &watcher{Client: flags.NewClient(flags.Config{Source: source}), seen: map[int64]time.Time{}}
	w.Changed(func(_, after *flags.Snapshot) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen[after.Version().Number] = time.Now()
	})
	ctx, stop := context.WithCancel(f.ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = w.Run(ctx) })
	f.t.Cleanup(func() { stop(); running.Wait() })
	return w
}

// sees waits until the process knows a state at least as new, and returns when it did first.
func (w *watcher) sees(t *testing.T, version int64, within time.Duration) time.Time {
	t.Helper()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		var first time.Time
		for v, at := range w.seen {
			if v >= version && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
		w.mu.Unlock()
		if !first.IsZero() {
			return first
		}
	}
	t.Fatalf("version %d was not seen within %s", version, within)
	return time.Time{}
}

// A change is seen by every process within 5 s, also by one that is told of nothing, and as a rule at once.
func TestFlagsReachEverybody(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	same := func(s flags.Source) flags.Source { return s }
	told := []*watcher{f.watch(same), f.watch(same), f.watch(same)}
	cut := f.watch(func(s flags.Source) flags.Source { return deaf{s} })
	for _, w := range append(slices.Clone(told), cut) {
		w.sees(t, 1, 10*time.Second)
	}
	for _, w := range told {
		f.eventually("a process listens", func() bool { return w.State().Listening })
	}
	var latencies []time.Duration
	change := func(n int) (int64, time.Time) {
		asked := time.Now() // with the commit
		return f.setFlag(flags.OrchestratorEnabled, "", fmt.Sprint(n%100, "%")).Version, asked
	}
	var last int64
	var lastAt, firstAt time.Time
	for n := range 50 {
		version, at := change(n)
		for _, w := range told {
			latencies = append(latencies, w.sees(t, version, 5*time.Second).Sub(at))
		}
		if last, lastAt = version, at; n == 0 {
			firstAt = at
		}
	}
	slices.Sort(latencies)
	var polled []time.Duration
	polled = append(polled, cut.sees(t, last, 6*time.Second).Sub(lastAt))
	for range 2 {
		version, at := change(int(last))
		polled = append(polled, cut.sees(t, version, 6*time.Second).Sub(at))
		last = version
	}
	t.Logf("told: p50 %s, p99 %s, most %s of %d; looking: %v; the first of 50 changes was %s before the last",
		latencies[len(latencies)/2], latencies[len(latencies)*99/100], latencies[len(latencies)-1], len(latencies), polled, lastAt.Sub(firstAt))
	if most := slices.Max(polled); most > 5*time.Second {
		t.Errorf("a process that is told of nothing saw a change after %s, want within 5s", most)
	}
	if most := latencies[len(latencies)-1]; most > 5*time.Second {
		t.Errorf("a process saw a change after %s, want within 5s", most)
	}
	if typical := latencies[len(latencies)/2]; typical > 100*time.Millisecond {
		t.Errorf("half of the changes are seen after %s or later, want 100ms", typical)
	}
}

// A connection that is lost is made again, and what was changed in the meantime is seen.
func TestFlagListenerComesBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	w := f.watch(func(s flags.Source) flags.Source { return s })
	for range 3 {
		f.eventually("the process listens", func() bool { return w.State().Listening })
		f.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database()`)
		changed := f.setFlag(flags.SendsEnabled, "", "off")
		w.sees(t, changed.Version, 5*time.Second)
	}
	if w.Snapshot().SendsEnabled("creator-7") {
		t.Error("the switch is off, and the process says on")
	}
}

func (f *fleet) eventually(what string, is func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("not in time: %s", what)
		}
	}
}
