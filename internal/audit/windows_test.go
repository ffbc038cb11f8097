package audit_test

import (
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/audit"
)

var start = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

// at is a time some microseconds after the start.
func at(us int) time.Time { return start.Add(time.Duration(us) * time.Microsecond) }

func us(t time.Time) int { return int(t.Sub(start) / time.Microsecond) }

// call is one that arrived from, to; unsure: or not.
type call struct {
	from, to int
	unsure   bool
}

// More: go test -rapid.checks=100000.
func init() {
	_ = flag.Set("rapid.checks", "2000")
	_ = flag.Set("rapid.nofailfile", "true")
}

// judge returns what the windows of a rule find in calls of one key.
func judge(capacity, window int, calls []call) []audit.Stretch {
	calls = slices.Clone(calls)
	slices.SortStableFunc(calls, func(a, b call) int { return a.from - b.from })
	var found []audit.Stretch
	w := audit.NewWindows(audit.Rule{Capacity: capacity, Window: time.Duration(window) * time.Microsecond}, func(s audit.Stretch) { found = append(found, s) })
	for i, c := range calls {
		w.Add(audit.Call{Workflow: uuid.UUID{15: byte(i)}, Attempt: 1, From: at(c.from), To: at(c.to), Certain: !c.unsure})
	}
	w.Flush()
	slices.SortFunc(found, func(a, b audit.Stretch) int { return a.First.Compare(b.First) })
	return found
}

func TestWindows(t *testing.T) {
	t.Parallel()
	point := func(times ...int) (calls []call) {
		for _, at := range times {
			calls = append(calls, call{from: at, to: at})
		}
		return calls
	}
	for _, tt := range []struct {
		name             string
		capacity, window int
		calls            []call
		want             []string // of each stretch
	}{
		{"nothing", 1, 10, nil, nil},
		{"a window apart is not over", 1, 10, point(0, 10, 20), nil},
		{"a microsecond less is", 1, 10, point(0, 9), []string{"certain"}},
		{"exactly the capacity", 3, 10, point(0, 0, 9, 10, 10, 19), nil},
		{"one more", 3, 10, point(0, 0, 8, 9), []string{"certain"}},
		{"two stretches", 1, 10, point(0, 1, 100, 101), []string{"certain", "certain"}},
		{"one stretch by a common call", 1, 10, point(0, 9, 18), []string{"certain"}},
		{"the best placement keeps it", 1, 10, []call{{from: 0, to: 5}, {from: 7, to: 12}}, []string{"possible"}},
		{"no placement keeps it", 1, 10, []call{{from: 0, to: 5}, {from: 7, to: 9}}, []string{"certain"}},
		{"each two can be placed, not all three", 1, 10, []call{{from: 0, to: 15}, {from: 0, to: 15}, {from: 0, to: 15}}, []string{"certain"}},
		{"a call in the middle of a long one", 1, 10, []call{{from: 0, to: 16}, {from: 8, to: 8}}, []string{"certain"}},
		{"or beside it", 1, 10, []call{{from: 0, to: 18}, {from: 8, to: 8}}, []string{"possible"}},
		{"who may not have arrived proves nothing", 1, 10, []call{{from: 0, to: 0}, {from: 1, to: 1, unsure: true}}, []string{"possible"}},
		{"an end before the begin counts as it", 1, 10, []call{{from: 5, to: 0}, {from: 6, to: 6}}, []string{"certain"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, s := range judge(tt.capacity, tt.window, tt.calls) {
				severity := "possible"
				if s.Certain() {
					severity = "certain"
				}
				got = append(got, severity)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("found %v, want %v", got, tt.want)
			}
		})
	}
}

// What a stretch says of its worst window.
func TestStretch(t *testing.T) {
	t.Parallel()
	var calls []call
	for i := range 25 {
		calls = append(calls, call{from: 100 + i, to: 100 + i})
	}
	found := judge(10, 60, calls)
	if len(found) != 1 {
		t.Fatalf("%d stretches", len(found))
	}
	s := found[0]
	if s.Most != 25 || s.AtLeast != 25 || s.Calls != 25 || !s.First.Equal(at(100)) || !s.Last.Equal(at(124)) || len(s.Some) != 10 {
		t.Errorf("%+v", s)
	}
	for _, c := range s.Some {
		if c.From.Before(s.Window) || !c.To.Before(s.Window.Add(60*time.Microsecond)) {
			t.Errorf("%s is not in the window from %s on", c.From, s.Window)
		}
	}
}

// A broken ledger is judged in pieces, and each is found.
func TestLongStretches(t *testing.T) {
	t.Parallel()
	for _, n := range []int{127, 128, 129, 300, 10_000} {
		var calls []call
		for i := range n {
			calls = append(calls, call{from: 5 * i, to: 5 * i}) // two in each window of ten
		}
		if found := judge(1, 10, calls); len(found) != 1 || found[0].AtLeast != 2 || found[0].Most != 2 || found[0].Calls != int64(n) {
			t.Errorf("%d calls: %+v", n, found)
		}
		if found := judge(2, 10, calls); len(found) != 0 {
			t.Errorf("%d calls that keep the limit: %+v", n, found)
		}
	}
	// More at once than are kept.
	var crowd []call
	for range 10_000 {
		crowd = append(crowd, call{from: 7, to: 7})
	}
	if found := judge(10, 100, crowd); len(found) != 1 || found[0].Most < 4000 || found[0].Calls != 10_000 {
		t.Errorf("crowd: %+v", found)
	}
}

// Random ledgers: the windows find exactly the stretches that the definition says, and call certain exactly those for which no
// placement of all possible ones keeps the limit.
func TestWindowsAgainstBruteForce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		capacity, window := rapid.IntRange(1, 3).Draw(t, "capacity"), rapid.IntRange(1, 6).Draw(t, "window")
		calls := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) call {
			from := rapid.IntRange(0, 20).Draw(t, "from")
			return call{from: from, to: from + rapid.SampledFrom([]int{0, 0, 1, 2, 4, 7}).Draw(t, "length"), unsure: rapid.IntRange(0, 5).Draw(t, "unsure") == 0}
		}), 2, 8).Draw(t, "calls")
		want := bruteForce(capacity, window, calls)
		found := judge(capacity, window, calls)
		if len(found) != len(want) {
			t.Fatalf("%d stretches, want %d: %+v", len(found), len(want), found)
		}
		for i, s := range found {
			w := want[i]
			if us(s.First) != w.first || us(s.Last) != w.last || int(s.Calls) != w.calls || int(s.Most) != w.most || s.Certain() != w.certain {
				t.Fatalf("stretch %d: %+v, want %+v", i, s, w)
			}
			if s.Certain() && s.AtLeast > s.Most {
				t.Fatalf("at least %d of at most %d", s.AtLeast, s.Most)
			}
		}
	})
}

// Ledgers with a known number of violations, far apart and among others that keep the limit.
func TestKnownNumberOfViolations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		capacity, window := rapid.IntRange(1, 40).Draw(t, "capacity"), rapid.IntRange(200, 5000).Draw(t, "window")
		violations, now := 0, 0
		var calls []call
		for range rapid.IntRange(0, 20).Draw(t, "groups") {
			count := rapid.IntRange(1, 2*capacity+1).Draw(t, "count")
			for i := range count {
				from := now + i
				calls = append(calls, call{from: from, to: from + rapid.IntRange(0, window-2*capacity-2).Draw(t, "latency")})
			}
			if count > capacity {
				violations++
			}
			now += 4 * window
		}
		found := judge(capacity, window, calls)
		for _, s := range found {
			if !s.Certain() {
				t.Fatalf("only possible: %+v", s)
			}
		}
		if len(found) != violations {
			t.Fatalf("%d found, want %d", len(found), violations)
		}
	})
}

// wanted is a stretch by its definition.
type wanted struct {
	first, last, calls, most int
	certain                  bool
}

func bruteForce(capacity, window int, calls []call) []wanted {
	group := make([]int, len(calls)) // of each call, -1: none
	for i := range group {
		group[i] = -1
	}
	most := map[int]int{} // by group
	for begin := -window - 1; begin < 40; begin++ {
		var inside []int
		for i, c := range calls {
			if c.from < begin+window && c.to >= begin {
				inside = append(inside, i)
			}
		}
		if len(inside) <= capacity {
			continue
		}
		to := inside[0]
		if group[to] >= 0 {
			to = group[to]
		}
		size := len(inside)
		for _, i := range inside {
			if old := group[i]; old >= 0 && old != to {
				size = max(size, most[old])
				for j := range group {
					if group[j] == old {
						group[j] = to
					}
				}
			}
			group[i] = to
		}
		most[to] = max(most[to], size)
	}
	var found []wanted
	for g := range calls {
		w := wanted{first: 1000, last: -1000, most: most[g]}
		var members []call
		for i, c := range calls {
			if group[i] == g {
				w.first, w.last = min(w.first, c.from), max(w.last, c.from)
				w.calls++
				if !c.unsure {
					members = append(members, c)
				}
			}
		}
		if w.calls > 0 {
			w.certain = !canPlace(capacity, window, members, nil)
			found = append(found, w)
		}
	}
	slices.SortFunc(found, func(a, b wanted) int { return a.first - b.first })
	return found
}

// canPlace tries every placement.
func canPlace(capacity, window int, calls []call, placed []int) bool {
	if len(calls) == 0 {
		return true
	}
	for at := calls[0].from; at <= calls[0].to; at++ {
		next := append(slices.Clone(placed), at)
		if keeps(capacity, window, next) && canPlace(capacity, window, calls[1:], next) {
			return true
		}
	}
	return false
}

func keeps(capacity, window int, placed []int) bool {
	for _, first := range placed {
		n := 0
		for _, at := range placed {
			if at >= first && at < first+window {
				n++
			}
		}
		if n > capacity {
			return false
		}
	}
	return true
}

func BenchmarkWindows(b *testing.B) {
	w := audit.NewWindows(audit.Rule{Capacity: 10, Window: time.Minute}, func(audit.Stretch) { b.Fatal("found") })
	now := start
	b.ReportAllocs()
	for b.Loop() {
		w.Add(audit.Call{From: now, To: now.Add(200 * time.Millisecond), Certain: true})
		now = now.Add(6100 * time.Millisecond)
	}
}
