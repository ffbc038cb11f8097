package limit_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

func drawTraffic(t *rapid.T) (p path, changes []change, guard, until time.Duration) {
	rules := rapid.Custom(func(t *rapid.T) limit.Rules {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) limit.Rule {
			return limit.Rule{Capacity: rapid.IntRange(1, 12).Draw(t, "capacity"), Window: time.Duration(rapid.IntRange(200, 2000).Draw(t, "window")) * time.Millisecond}
		}), 1, 3).Draw(t, "rules")
	})
	changes = []change{{0, rules.Draw(t, "at first")}}
	for range rapid.IntRange(0, 4).Draw(t, "changes") {
		last := changes[len(changes)-1]
		after := time.Duration(rapid.IntRange(1, 4000).Draw(t, "after")) * time.Millisecond
		changes = append(changes, change{last.at + after, rules.Draw(t, "then")})
	}
	window := changes[0].rules[0].Window
	worst := rapid.Float64Range(0, 4).Draw(t, "latency in windows")
	p = path{
		seed:     rapid.Uint64().Draw(t, "seed"),
		deadline: max(time.Millisecond, time.Duration(worst*float64(window))),
		settle:   time.Duration(rapid.IntRange(0, 3000).Draw(t, "settle")) * time.Millisecond,
		unknown:  rapid.SampledFrom([]float64{0, 0.02, 0.3, 1}).Draw(t, "unknown"),
		notSent:  rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "not sent"),
		bursts:   rapid.Bool().Draw(t, "bursts"),
	}
	stalls := rapid.Bool().Draw(t, "stalls") // mostly quick, sometimes very slow: what makes bunches meet
	p.latency = func(r *rand.Rand) time.Duration {
		if stalls && r.IntN(10) > 0 {
			return time.Duration(r.Int64N(int64(time.Millisecond)))
		}
		return time.Duration(r.Int64N(int64(p.deadline)))
	}
	guard = time.Duration(rapid.SampledFrom([]int{0, 1, 50}).Draw(t, "guard")) * time.Millisecond
	return p, changes, guard, changes[len(changes)-1].at + 5*time.Second
}

// Invariant I1: whatever the traffic, the latency, the outcomes and the changes of the rules, the receiver never
// sees more than the rules allow.
func TestStrictAtTheReceiver(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, changes, guard, until := drawTraffic(t)
		l := &tokens{guard: guard, hold: p.deadline + p.settle}
		sends := simulate(l, p, changes, until)
		if broken := exceeded(sends, changes); broken != "" {
			t.Fatal(broken)
		}
		if broken := overtaken(sends, changes); broken != "" {
			t.Fatal(broken)
		}
	})
}

// saturated is an hour of one account that always has messages waiting, at 10 per minute.
func saturated(seed uint64) (path, []change, time.Duration) {
	p := path{seed: seed, deadline: 20 * time.Second, settle: 2 * time.Minute}
	p.latency = func(r *rand.Rand) time.Duration { return time.Duration(r.Int64N(int64(400 * time.Millisecond))) }
	return p, []change{{0, limit.Rules{{Capacity: 10, Window: time.Minute}}}}, time.Hour
}

// The check must be able to fail: it sees what the usual limiters let through.
func TestOtherLimitersAreNotStrict(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limiter func() limiter
		most    int // arrivals in a window of a minute, at least
	}{
		"refilling token bucket (golang.org/x/time/rate)": {func() limiter { return &refilling{} }, 19},
		"sliding log of grants":                           {func() limiter { return &logged{} }, 11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, changes, until := saturated(1)
			sends := simulate(test.limiter(), p, changes, until)
			if exceeded(sends, changes) == "" || overtaken(sends, changes) == "" {
				t.Error("the checks of the receiver did not see it")
			}
			var arrivals []time.Time
			for _, s := range sends {
				arrivals = append(arrivals, s.arrived)
			}
			slices.SortFunc(arrivals, time.Time.Compare)
			if most, _ := mostIn(arrivals, time.Minute); most < test.most {
				t.Errorf("%d arrivals in a minute: this limiter is known to let %d through", most, test.most)
			}
		})
	}
	t.Run("tokens that return at the grant", func(t *testing.T) {
		t.Parallel()
		p, changes, until := saturated(1)
		if exceeded(simulate(&hasty{}, p, changes, until), changes) == "" {
			t.Error("not seen")
		}
	})
}

// hasty is our bucket, used wrongly: it counts the window from the grant instead of from the end of the call.
type hasty struct{ tokens }

func (h *hasty) take(now time.Time) (any, bool) {
	h.hold = 0
	return h.tokens.take(now)
}
func (h *hasty) end(any, time.Time) {}

// Invariant I8: what a strict limiter can reach is window / (window + guard + mean latency) of the limit.
func TestFullUse(t *testing.T) {
	t.Parallel()
	rate := func(sends []send, rule limit.Rule, guard, until time.Duration) (ofReachable, ofLimit float64) {
		var latency time.Duration
		for _, s := range sends {
			latency += s.ended.Sub(s.granted)
		}
		latency /= time.Duration(len(sends))
		limited := float64(rule.Capacity) * float64(until) / float64(rule.Window)
		reachable := limited * float64(rule.Window) / float64(rule.Window+guard+latency)
		return float64(len(sends)) / reachable, float64(len(sends)) / limited
	}
	t.Run("10 in 60 s", func(t *testing.T) {
		t.Parallel()
		p, changes, until := saturated(7)
		const guard = 500 * time.Millisecond
		sends := simulate(&tokens{guard: guard, hold: p.deadline + p.settle}, p, changes, until)
		ofReachable, ofLimit := rate(sends, changes[0].rules[0], guard, until)
		if ofReachable < 0.98 || ofLimit < 0.98 {
			t.Errorf("%.4f of what can be reached, %.4f of the limit", ofReachable, ofLimit)
		}
	})
	t.Run("any rule and latency", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			rule := limit.Rule{Capacity: rapid.IntRange(1, 12).Draw(t, "capacity"), Window: time.Duration(rapid.IntRange(10, 5000).Draw(t, "window")) * time.Millisecond}
			guard := time.Duration(rapid.IntRange(0, 500).Draw(t, "guard")) * time.Millisecond
			worst := time.Duration(1 + rapid.Float64Range(0, 3).Draw(t, "latency in windows")*float64(rule.Window))
			p := path{seed: rapid.Uint64().Draw(t, "seed"), deadline: worst, latency: func(r *rand.Rand) time.Duration { return time.Duration(r.Int64N(int64(worst))) }}
			until := 60 * (rule.Window + guard + worst)
			changes := []change{{0, limit.Rules{rule}}}
			sends := simulate(&tokens{guard: guard, hold: p.deadline + time.Hour}, p, changes, until)
			if ofReachable, _ := rate(sends, rule, guard, until); ofReachable < 0.98 {
				t.Fatalf("%.4f of what can be reached", ofReachable)
			}
			if broken := exceeded(sends, changes); broken != "" {
				t.Fatal(broken)
			}
		})
	})
}

// A message that is known not to have left costs the account nothing.
func TestNotSentGivesTheTokenBack(t *testing.T) {
	t.Parallel()
	l := &tokens{hold: time.Minute}
	l.change(start, limit.Rules{{Capacity: 1, Window: time.Minute}})
	for i := range 5 {
		now := start.Add(time.Duration(i) * time.Second)
		token, ok := l.take(now)
		if !ok {
			t.Fatalf("try %d was refused", i)
		}
		if _, ok := l.take(now); ok {
			t.Fatal("a token was taken twice")
		}
		l.end(token, time.Time{})
	}
}

// The words of a failure say which window it was: a person must be able to look there.
func TestTheCheckNamesTheWindow(t *testing.T) {
	t.Parallel()
	changes := []change{{0, limit.Rules{{Capacity: 2, Window: time.Second}}}}
	arrive := func(ms ...int) (sends []send) {
		for _, m := range ms {
			sends = append(sends, send{granted: at(m), arrived: at(m), ended: at(m)})
		}
		return sends
	}
	if broken := exceeded(arrive(0, 500, 999), changes); !strings.Contains(broken, "3 arrivals in the window of 1s from 0s") {
		t.Errorf("%q", broken)
	}
	if broken := exceeded(arrive(0, 500, 1000, 1500, 2000), changes); broken != "" {
		t.Errorf("a half-open window does not hold its end: %s", broken)
	}
}
