package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// runs is what a group carried out: doubling numbers, when the gate lets it.
type runs struct {
	mu    sync.Mutex
	calls [][]int
	atOne int // runs at the same time now
	most  int // and at most
	gate  chan struct{}
	fail  func(in []int) error
}

func (r *runs) run(ctx context.Context, in []int) ([]int, error) {
	r.mu.Lock()
	r.calls = append(r.calls, slices.Clone(in))
	r.atOne++
	r.most = max(r.most, r.atOne)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.atOne--
		r.mu.Unlock()
	}()
	if r.gate != nil {
		select {
		case <-r.gate:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if r.fail != nil {
		if err := r.fail(in); err != nil {
			return nil, err
		}
	}
	out := make([]int, len(in))
	for i, n := range in {
		out[i] = 2 * n
	}
	return out, nil
}

type got struct {
	in, out int
	err     error
	ended   bool
}

// ask hands in every number at once and returns where the answers appear.
func ask(g *group[int, int], numbers ...int) []got {
	answers := make([]got, len(numbers))
	for i, n := range numbers {
		go func() {
			out, err := g.do(context.Background(), n)
			answers[i] = got{in: n, out: out, err: err, ended: true}
		}()
	}
	synctest.Wait()
	return answers
}

func numbers(from, to int) []int {
	var all []int
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

func TestGroupDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &runs{}
		g := newGroup(10, 2, time.Minute, r.run)
		defer g.close()
		begin := time.Now()
		for n := range 3 {
			if out, err := g.do(t.Context(), n); out != 2*n || err != nil {
				t.Errorf("%d: %d, %v", n, out, err)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("three requests on their own waited %s for company", took)
		}
		if len(r.calls) != 3 {
			t.Errorf("runs: %v", r.calls)
		}
	})
}

func TestGroupSharesARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &runs{gate: make(chan struct{})}
		g := newGroup(10, 1, time.Minute, r.run)
		defer g.close()
		first := ask(g, 100)
		rest := ask(g, numbers(0, 25)...)
		if len(r.calls) != 1 || len(r.calls[0]) != 1 {
			t.Fatalf("before the first run ended: %v", r.calls)
		}
		close(r.gate)
		synctest.Wait()
		for _, a := range append(first, rest...) {
			if !a.ended || a.err != nil || a.out != 2*a.in {
				t.Errorf("%d: %+v", a.in, a)
			}
		}
		if sizes := sizes(r.calls); !slices.Equal(sizes, []int{1, 10, 10, 5}) {
			t.Errorf("26 requests ran in groups of %v, want 1 and then what had gathered, 10 at most", sizes)
		}
	})
}

func sizes(calls [][]int) []int {
	var sizes []int
	for _, call := range calls {
		sizes = append(sizes, len(call))
	}
	return sizes
}

func TestGroupRunsInParallel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &runs{gate: make(chan struct{})}
		g := newGroup(10, 2, time.Minute, r.run)
		defer g.close()
		a, b := ask(g, 1), ask(g, 2)
		c := ask(g, 3, 4, 5)
		if r.atOne != 2 {
			t.Errorf("%d runs at a time", r.atOne)
		}
		close(r.gate)
		synctest.Wait()
		for _, one := range slices.Concat(a, b, c) {
			if !one.ended || one.out != 2*one.in {
				t.Errorf("%+v", one)
			}
		}
		if r.most != 2 {
			t.Errorf("%d runs at a time, at most 2 are allowed", r.most)
		}
	})
}

// gathered runs a group of the given numbers, all of which the same run gets first.
func gathered(t *testing.T, r *runs, numbers []int) []got {
	r.gate = make(chan struct{})
	g := newGroup(len(numbers), 1, time.Minute, r.run)
	defer g.close()
	ask(g, -1) // keeps the group busy
	answers := ask(g, numbers...)
	r.mu.Lock()
	r.calls = nil
	r.mu.Unlock()
	close(r.gate)
	synctest.Wait()
	for _, a := range answers {
		if !a.ended {
			t.Errorf("%d has no answer", a.in)
		}
	}
	return answers
}

// One request that the database refuses does not fail the 99 that share its transaction.
func TestGroupFindsTheOneToBlame(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{
		"a check constraint":       &pgconn.PgError{Code: "23514", Message: "new row violates check constraint"},
		"a unique index, wrapped":  fmt.Errorf("transaction: %w", &pgconn.PgError{Code: "23505"}),
		"text that is not UTF-8":   &pgconn.PgError{Code: "22021"},
		"an event out of its time": fmt.Errorf("workflow: %w", workflow.ErrNotApplicable),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &runs{fail: func(in []int) error {
					if slices.Contains(in, 42) {
						return refusal
					}
					return nil
				}}
				for _, a := range gathered(t, r, numbers(0, 100)) {
					switch {
					case a.in == 42 && !errors.Is(a.err, refusal):
						t.Errorf("42 was refused: %+v", a)
					case a.in != 42 && (a.err != nil || a.out != 2*a.in):
						t.Errorf("%d shared the group with 42: %+v", a.in, a)
					}
				}
				if len(r.calls) > 15 { // halving: twice the binary logarithm of 100, and one
					t.Errorf("%d runs to find one of 100: %v", len(r.calls), sizes(r.calls))
				}
			})
		})
	}
}

// An outage fails everybody at once: searching for the one to blame would only add to it.
func TestGroupOutageFailsAll(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]error{
		"no connection":         errors.New("connection refused"),
		"shutdown":              &pgconn.PgError{Code: "57P01"},
		"deadlock":              &pgconn.PgError{Code: "40P01"},
		"too many connections":  &pgconn.PgError{Code: "53300"},
		"disk full":             &pgconn.PgError{Code: "53100"},
		"lock timeout":          &pgconn.PgError{Code: "55P03"},
		"no limiter":            fmt.Errorf("tokens: %w: %w", db.ErrLimiterDown, &pgconn.PgError{Code: "42P01"}),
		"failover":              fmt.Errorf("fleet state: %w", db.ErrFailover),
		"a deadline of the run": context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				down := false
				r := &runs{fail: func(in []int) error {
					if down = down || in[0] >= 0; down {
						return outage
					}
					return nil
				}}
				for _, a := range gathered(t, r, numbers(0, 100)) {
					if !errors.Is(a.err, outage) {
						t.Errorf("%d: %+v", a.in, a)
					}
				}
				if len(r.calls) != 1 {
					t.Errorf("%d runs into an outage: %v", len(r.calls), sizes(r.calls))
				}
			})
		})
	}
}

// Whoever is refused, wherever it stands: everybody gets the answer to their own request.
func TestGroupAnswersTheRightRequest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, 120).Draw(t, "requests")
		bad := map[int]bool{}
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, count-1), 0, 5).Draw(t, "bad") {
			bad[n] = true
		}
		r := &runs{fail: func(in []int) error {
			if slices.ContainsFunc(in, func(n int) bool { return bad[n] }) {
				return &pgconn.PgError{Code: "23514"}
			}
			return nil
		}}
		g := newGroup(rapid.IntRange(1, 50).Draw(t, "most"), rapid.IntRange(1, 3).Draw(t, "parallel"), time.Minute, r.run)
		answers := make([]got, count)
		var all sync.WaitGroup
		for n := range count {
			all.Go(func() {
				out, err := g.do(context.Background(), n)
				answers[n] = got{in: n, out: out, err: err}
			})
		}
		all.Wait()
		g.close()
		for n, a := range answers {
			if bad[n] && !db.Refused(a.err) || !bad[n] && (a.err != nil || a.out != 2*n) {
				t.Fatalf("request %d (bad: %v): %d, %v", n, bad[n], a.out, a.err)
			}
		}
		done := map[int]int{}
		for _, call := range r.calls {
			if r.fail(call) == nil {
				for _, n := range call {
					done[n]++
				}
			}
		}
		for n := range count {
			if want := 1; bad[n] && done[n] != 0 || !bad[n] && done[n] != want {
				t.Fatalf("request %d was carried out %d times", n, done[n])
			}
		}
	})
}

func TestGroupClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &runs{gate: make(chan struct{})}
		g := newGroup(3, 1, time.Minute, r.run)
		running := ask(g, 1)
		waiting := ask(g, 2, 3, 4, 5, 6) // three have a place, two wait for one
		go g.close()
		synctest.Wait()
		if running[0].ended {
			t.Errorf("what is being written was answered before its end: %+v", running[0])
		}
		late := ask(g, 7, 8, 9)
		close(r.gate)
		synctest.Wait()
		g.close() // again: nothing happens
		if a := running[0]; !a.ended || a.err != nil || a.out != 2 {
			t.Errorf("what was being written: %+v", a)
		}
		for _, a := range append(waiting, late...) {
			if !a.ended || !errors.Is(a.err, jobs.ErrStopped) {
				t.Errorf("%d only waited: %+v", a.in, a)
			}
		}
		if len(r.calls) != 1 {
			t.Errorf("runs after the close began: %v", r.calls)
		}
	}) // the bubble fails if a goroutine is left
}

func TestGroupContext(t *testing.T) {
	t.Parallel()
	why := errors.New("no longer needed")
	synctest.Test(t, func(t *testing.T) {
		r := &runs{gate: make(chan struct{})}
		g := newGroup(1, 1, time.Minute, r.run)
		defer g.close()
		ctx, cancel := context.WithCancelCause(t.Context())
		errs := map[string]error{}
		var mu sync.Mutex
		do := func(name string, n int) {
			go func() {
				_, err := g.do(ctx, n)
				mu.Lock()
				errs[name] = err
				mu.Unlock()
			}()
			synctest.Wait()
		}
		do("running", 1)
		do("handed in", 2)
		do("without a place", 3)
		cancel(why)
		synctest.Wait()
		if len(errs) != 1 || !errors.Is(errs["without a place"], why) {
			t.Errorf("after the cancel: %v", errs)
		}
		do("too late", 4)
		if !errors.Is(errs["too late"], why) {
			t.Errorf("a cancelled request: %v", errs["too late"])
		}
		close(r.gate)
		synctest.Wait()
		for _, name := range []string{"running", "handed in"} {
			if err, ended := errs[name]; !ended || err != nil {
				t.Errorf("%s is carried out all the same: ended %v, %v", name, ended, err)
			}
		}
		for range 20 { // there is a place now; still nothing is begun
			do("too late", 5)
			if !errors.Is(errs["too late"], why) {
				t.Errorf("a cancelled request: %v", errs["too late"])
			}
		}
		if !slices.EqualFunc(r.calls, [][]int{{1}, {2}}, slices.Equal) {
			t.Errorf("runs: %v", r.calls)
		}
	})
}

func TestGroupTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &runs{gate: make(chan struct{})}
		g := newGroup(1, 1, 30*time.Second, r.run)
		defer g.close()
		begin := time.Now()
		_, err := g.do(t.Context(), 1)
		if err == nil || err.Error() != "transaction took longer than 30s" || time.Since(begin) != 30*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		close(r.gate)
		if out, err := g.do(t.Context(), 2); out != 4 || err != nil {
			t.Errorf("after the timeout: %d, %v", out, err)
		}
	})
}
