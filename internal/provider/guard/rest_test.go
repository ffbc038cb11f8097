package guard_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
)

func TestRests(t *testing.T) {
	t.Parallel()
	vouched := settings.Record(guard.State{}, provider.Completed, 0, false, start)
	for _, test := range []struct {
		name       string
		state      guard.State
		class      provider.Class
		retryAfter time.Duration
		want       guard.Verdict
	}{
		{"a 429 without a time", vouched, provider.RateLimited, 0, guard.Verdict{Until: at(time.Second), Why: provider.RateLimited}},
		{"a 429 with a short one", vouched, provider.RateLimited, time.Millisecond, guard.Verdict{Until: at(time.Second), Why: provider.RateLimited}},
		{"a 429 with a negative one", vouched, provider.RateLimited, -time.Hour, guard.Verdict{Until: at(time.Second), Why: provider.RateLimited}},
		{"a 429", vouched, provider.RateLimited, 20 * time.Second, guard.Verdict{Until: at(20 * time.Second), Why: provider.RateLimited}},
		{"a 429 for a day", vouched, provider.RateLimited, 24 * time.Hour, guard.Verdict{Until: at(15 * time.Minute), Why: provider.RateLimited}},
		// It is no limit: its row is another one.
		{"an overload", vouched, provider.Overloaded, 20 * time.Second, guard.Verdict{Until: at(20 * time.Second), Why: provider.Overloaded}},
		{"an overload without a time", vouched, provider.Overloaded, 0, guard.Verdict{Admitted: true}},
		{"open for longer", failed(settings.Trip), provider.RateLimited, time.Second, guard.Verdict{Until: at(settings.CoolDown), Why: provider.Timeout}},
		{"open for less", failed(settings.Trip), provider.RateLimited, time.Minute, guard.Verdict{Until: at(time.Minute), Why: provider.RateLimited}},
	} {
		s := settings.Record(test.state, test.class, test.retryAfter, false, start)
		if diff := cmp.Diff(test.want, settings.Admit(s, 0, start)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if !test.want.Until.IsZero() && !settings.Admit(s, 0, test.want.Until).Admitted {
			t.Errorf("%s: closed at %s", test.name, test.want.Until.Sub(start))
		}
		// A shorter one does not cut it short.
		if v := settings.Admit(settings.Record(s, provider.RateLimited, 0, false, start), 0, start); v.Until.Before(test.want.Until) {
			t.Errorf("%s, then for a second: %+v", test.name, v)
		}
	}
}

// A cool-down is never longer than the longest, however long the first is and however often a probe failed.
func TestCoolDownsDoNotTurnRound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := settings
		c.CoolDown = time.Duration(rapid.Int64Range(1, int64(1000*time.Hour)).Draw(t, "first"))
		c.LongestCoolDown = time.Duration(rapid.Int64Range(int64(c.CoolDown), int64(2000*time.Hour)).Draw(t, "longest"))
		s, now, last := guard.State{Opened: rapid.IntRange(1, 1000).Draw(t, "opened")}, start, time.Duration(0)
		for range 5 {
			s = c.Record(s, provider.Timeout, 0, true, now)
			length := s.OpenUntil.Sub(now)
			if length < c.CoolDown || length > c.LongestCoolDown || length < last {
				t.Fatalf("open for %s after %s, of %s to %s", length, last, c.CoolDown, c.LongestCoolDown)
			}
			now, last = s.OpenUntil, length
		}
	})
}

func drawState(t *rapid.T) guard.State {
	s, now := guard.State{}, start
	for range rapid.IntRange(0, 30).Draw(t, "calls") {
		now = now.Add(time.Duration(rapid.IntRange(0, 40_000_000).Draw(t, "passes")) * time.Microsecond)
		v := settings.Admit(s, 0, now)
		s = s.Began(v, now.Add(time.Minute))
		s = settings.Record(s, rapid.SampledFrom(provider.Classes).Draw(t, "class"), time.Duration(rapid.IntRange(0, 5).Draw(t, "retryAfter"))*time.Second, v.Probe, now)
	}
	return s
}

func TestStateRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawState(t)
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var again guard.State
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Fatalf("%s (-before +after):\n%s", text, diff)
		}
	})
	var empty guard.State // as a row that nobody has written to
	if err := json.Unmarshal([]byte("{}"), &empty); err != nil || empty != (guard.State{}) {
		t.Errorf("%+v, %v", empty, err)
	}
}
