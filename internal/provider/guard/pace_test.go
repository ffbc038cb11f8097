package guard_test

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
)

// limits are headers that say nothing but what is given.
func limits(set func(*provider.Limits)) provider.Limits {
	l := provider.Limits{Requests: -1, RemainingRequests: -1, Tokens: -1, RemainingTokens: -1, ResetRequests: -1, ResetTokens: -1}
	set(&l)
	return l
}

func requests(limit, remaining int64, reset time.Duration) provider.Limits {
	return limits(func(l *provider.Limits) { l.Requests, l.RemainingRequests, l.ResetRequests = limit, remaining, reset })
}

func tokens(limit, remaining int64, reset time.Duration) provider.Limits {
	return limits(func(l *provider.Limits) { l.Tokens, l.RemainingTokens, l.ResetTokens = limit, remaining, reset })
}

// near says that a wait is what it should be, but for rounding.
func near(got, want time.Duration) bool { return (got - want).Abs() <= 2*time.Millisecond }

func TestPaceOfHeaders(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for _, test := range []struct {
		name   string
		seen   []provider.Limits
		tokens int64
		want   time.Duration
	}{
		{"nothing is known", nil, 1 << 40, 0},
		{"no header", []provider.Limits{limits(func(*provider.Limits) {})}, 1 << 40, 0},
		{"zeroes", []provider.Limits{{}}, 1 << 40, 0},
		{"limits without what is left", []provider.Limits{requests(60, -1, -1)}, 1, 0},
		{"what is left without limits", []provider.Limits{requests(-1, 0, s)}, 1, 0},
		{"requests left", []provider.Limits{requests(60, 1, s)}, 1, 0},
		{"no request left", []provider.Limits{requests(60, 0, s)}, 1, s},
		{"no request left, with a slow limit", []provider.Limits{requests(6, 0, 10*s)}, 1, 10 * s},
		{"Azure's 0 that means nothing", []provider.Limits{requests(60, 0, -1)}, 1, 0},
		{"Azure's 0 and 0", []provider.Limits{requests(60, 0, 0)}, 1, 0},
		{"Azure's -1", []provider.Limits{requests(60, -1, 0)}, 1, 0},
		{"enough tokens", []provider.Limits{tokens(60_000, 500, s)}, 500, 0},
		{"too few tokens", []provider.Limits{tokens(60_000, 500, s)}, 1500, s},
		{"more than a minute has, all there", []provider.Limits{tokens(1000, 1000, s)}, 5000, 0},
		{"more than a minute has, half there", []provider.Limits{tokens(1000, 500, s)}, 5000, 30 * s},
		{"more left than the limit", []provider.Limits{tokens(1000, 5000, s)}, 1000, 0},
		{"the longer one counts", []provider.Limits{requests(60, 0, s), tokens(60_000, 0, s)}, 3000, 3 * s},
		{"an answer without headers changes nothing", []provider.Limits{requests(60, 0, s), requests(-1, -1, -1)}, 1, s},
		{"more is left by their account than by ours", []provider.Limits{requests(60, 0, s), requests(60, 60, s)}, 1, s},
		{"less is left by theirs", []provider.Limits{requests(60, 60, s), requests(60, 0, s)}, 1, s},
		{"no limit worth the name", []provider.Limits{tokens(1<<62, 0, s)}, 1 << 40, 0},
		{"less than no tokens", []provider.Limits{tokens(1000, 0, s)}, -1000, 0},
		{"a limit that shrinks", []provider.Limits{tokens(60_000, 60_000, s), tokens(600, -1, -1)}, 600, 0},
		{"a limit that shrinks, with nothing left", []provider.Limits{tokens(60_000, 0, s), tokens(600, -1, -1)}, 600, 60 * s},
		{"a limit that grows", []provider.Limits{tokens(600, 0, s), tokens(60_000, -1, -1)}, 1000, s},
	} {
		var p guard.Pace
		for _, l := range test.seen {
			p.Observe(l, start)
		}
		got := p.Delay(test.tokens, start)
		if !near(got, test.want) {
			t.Errorf("%s: waits for %s, want %s", test.name, got, test.want)
		}
		if again := p.Delay(test.tokens, at(got)); got > 0 && !near(again, 0) {
			t.Errorf("%s: after it for another %s", test.name, again)
		}
	}
}

// What begins counts, before any answer says so.
func TestPaceCounts(t *testing.T) {
	t.Parallel()
	var p guard.Pace
	p.Take(1000, start) // nobody knows a limit yet
	p.Observe(requests(3, 3, time.Second), start)
	p.Observe(tokens(6000, 6000, time.Second), start)
	p.Take(5000, start)
	if d := p.Delay(1000, start); d != 0 {
		t.Errorf("waits for %s with the tokens there", d)
	}
	if d := p.Delay(2000, start); !near(d, 10*time.Second) {
		t.Errorf("waits for %s for 1000 tokens of 100 a second", d)
	}
	p.Take(1000, start)
	p.Take(0, start)
	if d := p.Delay(0, start); !near(d, 20*time.Second) {
		t.Errorf("waits for %s for the fourth of three requests a minute", d)
	}
}

// Many calls that begin at once are no reason to wait for hours, nor is a limit that is lowered after them.
func TestPaceForgivesDebts(t *testing.T) {
	t.Parallel()
	var p guard.Pace
	p.Observe(tokens(6_000_000, 6_000_000, time.Second), start)
	for range 100 {
		p.Take(1_000_000, start)
	}
	if d := p.Delay(1_000_000, start); !near(d, 70*time.Second) {
		t.Errorf("waits for %s", d)
	}
	p.Observe(tokens(60, 60, time.Second), start)
	if d := p.Delay(1, start); !near(d, 61*time.Second) {
		t.Errorf("waits for %s by the lower limit", d)
	}
}

// Whatever the headers say, a wait ends within two minutes, and who has waited may call.
func TestPaceIsBounded(t *testing.T) {
	t.Parallel()
	number := rapid.OneOf(rapid.Int64Range(-1, 100), rapid.Int64())
	reset := rapid.SampledFrom([]time.Duration{-1, 0, time.Second, 1 << 62})
	rapid.Check(t, func(t *rapid.T) {
		var p guard.Pace
		now := start
		for range rapid.IntRange(1, 50).Draw(t, "events") {
			n := number.Draw(t, "tokens")
			switch rapid.IntRange(0, 2).Draw(t, "event") {
			case 0:
				p.Observe(provider.Limits{
					Requests: number.Draw(t, "requests"), RemainingRequests: number.Draw(t, "left"), ResetRequests: reset.Draw(t, "reset"),
					Tokens: number.Draw(t, "tokens"), RemainingTokens: number.Draw(t, "left"), ResetTokens: reset.Draw(t, "reset"),
				}, now)
			case 1:
				p.Take(n, now)
			case 2:
				now = now.Add(time.Duration(rapid.IntRange(0, 60_000).Draw(t, "passes")) * time.Millisecond)
			}
			d := p.Delay(n, now)
			if d < 0 || d > 2*time.Minute+time.Millisecond {
				t.Fatalf("waits for %s", d)
			}
			if again := p.Delay(n, now.Add(d)); d > 0 && again > time.Millisecond {
				t.Fatalf("waits for %s, then for another %s", d, again)
			}
		}
	})
}

// After what was left is used up, as many calls begin in a minute as the limit says.
func TestPaceKeepsToTheLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var p guard.Pace
		limit := rapid.Int64Range(1, 600).Draw(t, "limit")
		p.Observe(requests(limit, 0, time.Second), start)
		now, begun := start, int64(0)
		for {
			d := p.Delay(1, now)
			if now = now.Add(d); now.After(at(time.Minute)) {
				break
			}
			if d == 0 {
				p.Take(1, now)
				begun++
			}
		}
		if begun > limit || begun < limit-1 {
			t.Fatalf("%d calls in a minute of %d", begun, limit)
		}
	})
}

func TestPaceConcurrently(t *testing.T) {
	t.Parallel()
	var p guard.Pace
	var group sync.WaitGroup
	for i := range int64(16) {
		group.Go(func() {
			for j := range int64(200) {
				now := at(time.Duration(j) * time.Millisecond)
				p.Observe(provider.Limits{Requests: 600 + j%3, RemainingRequests: 600 - i, Tokens: 1 << 20, RemainingTokens: 1 << 19}, now)
				p.Take(i, now)
				if d := p.Delay(i, now); d < 0 || d > 2*time.Minute+time.Millisecond {
					t.Errorf("waits for %s", d)
				}
			}
		})
	}
	group.Wait()
}
