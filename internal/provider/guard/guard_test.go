package guard_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
)

var (
	start    = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	settings = guard.DefaultSettings
)

func at(d time.Duration) time.Time { return start.Add(d) }

// failed is a state after that many failures.
func failed(n int) (s guard.State) {
	for range n {
		s = settings.Record(s, provider.Timeout, 0, false, start)
	}
	return s
}

func TestOutcomeOfEachClass(t *testing.T) {
	t.Parallel()
	want := map[guard.Outcome][]provider.Class{
		guard.Failure: {provider.Timeout, provider.Connection, provider.Overloaded, provider.ServerError},
		guard.Stop:    {provider.BillingStop, provider.Auth, provider.NotFound},
		guard.Neutral: {provider.Canceled, provider.RateLimited, provider.ContentFiltered, provider.ContextLength, provider.InvalidRequest, "lost", "unheard_of"},
		guard.Success: {provider.Completed, provider.Refusal, provider.Truncated, provider.SchemaViolation},
	}
	seen := 0
	for outcome, classes := range want {
		for _, class := range classes {
			if seen++; guard.OutcomeOf(class) != outcome {
				t.Errorf("%s is a %s, want %s", class, guard.OutcomeOf(class), outcome)
			}
		}
	}
	if seen != len(provider.Classes)+2 {
		t.Errorf("%d classes were looked at", seen)
	}
}

func TestOpens(t *testing.T) {
	t.Parallel()
	s := failed(settings.Trip - 1)
	if s.Phase(start) != guard.Closed {
		t.Fatalf("open after %d failures", settings.Trip-1)
	}
	s = failed(settings.Trip)
	for _, test := range []struct {
		at    time.Duration
		phase guard.Phase
		want  guard.Verdict
	}{
		{0, guard.Open, guard.Verdict{Until: at(30 * time.Second), Why: provider.Timeout}},
		{30*time.Second - 1, guard.Open, guard.Verdict{Until: at(30 * time.Second), Why: provider.Timeout}},
		{30 * time.Second, guard.HalfOpen, guard.Verdict{Admitted: true, Probe: true}},
	} {
		if phase := s.Phase(at(test.at)); phase != test.phase {
			t.Errorf("after %s %s, want %s", test.at, phase, test.phase)
		}
		if diff := cmp.Diff(test.want, settings.Admit(s, 0, at(test.at))); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", test.at, diff)
		}
	}
}

// A target that fails every other time opens, too, as soon as it has been asked often enough.
func TestOpensAtHalf(t *testing.T) {
	t.Parallel()
	var s guard.State
	for i := range settings.Window {
		if s.Phase(start) != guard.Closed {
			t.Fatalf("open after %d outcomes", i)
		}
		s = settings.Record(s, [...]provider.Class{provider.Completed, provider.Timeout}[i%2], 0, false, start)
	}
	if s.Phase(start) != guard.Open {
		t.Error("closed with half of the outcomes failures")
	}
	s = guard.State{}
	for i := range 1000 {
		s = settings.Record(s, [...]provider.Class{provider.Completed, provider.Timeout, provider.Refusal}[i%3], 0, false, start)
	}
	if s.Phase(start) != guard.Closed {
		t.Error("open with a third of the outcomes failures")
	}
}

// probe makes the probe that is due.
func probe(t *testing.T, s guard.State, class provider.Class) guard.State {
	t.Helper()
	now := s.OpenUntil
	v := settings.Admit(s, 0, now)
	if !v.Probe {
		t.Fatalf("no probe: %+v", v)
	}
	s = s.Began(v, now.Add(time.Minute))
	if diff := cmp.Diff(guard.Verdict{Until: now.Add(time.Minute), Why: s.OpenReason}, settings.Admit(s, 0, now)); diff != "" {
		t.Errorf("a second probe (-want +got):\n%s", diff)
	}
	return settings.Record(s, class, 0, true, now)
}

func TestProbes(t *testing.T) {
	t.Parallel()
	s := failed(settings.Trip)
	for i, length := range []time.Duration{60, 120, 240, 300, 300, 300} {
		now := s.OpenUntil
		s = probe(t, s, provider.ServerError)
		if got := s.OpenUntil.Sub(now); got != length*time.Second || s.OpenReason != provider.ServerError {
			t.Errorf("after failed probe %d it is open for %s because of %s, want %ds", i+1, got, s.OpenReason, length)
		}
	}
	now := s.OpenUntil
	s = probe(t, s, provider.Refusal)
	if s.Phase(now) != guard.Closed || !settings.Admit(s, 100, now).Admitted {
		t.Errorf("after a success: %+v", s)
	}
	for range settings.Trip { // and the next cool-down is the first again
		s = settings.Record(s, provider.Timeout, 0, false, now)
	}
	if got := s.OpenUntil.Sub(now); got != settings.CoolDown {
		t.Errorf("opened again for %s", got)
	}
}

// A probe that says nothing makes way for the next one, as often as need be; so does one that is never heard of.
func TestHalfOpenIsNeverStuck(t *testing.T) {
	t.Parallel()
	s := failed(settings.Trip)
	for i := range 1000 {
		s = probe(t, s, [...]provider.Class{provider.Canceled, provider.ContentFiltered, provider.ContextLength, provider.InvalidRequest, "lost"}[i%5])
		if s.Phase(s.OpenUntil) != guard.HalfOpen {
			t.Fatalf("after %d neutral outcomes %s", i+1, s.Phase(s.OpenUntil))
		}
	}
	now := s.OpenUntil
	s = s.Began(settings.Admit(s, 0, now), now.Add(time.Minute))
	if v := settings.Admit(s, 0, now.Add(time.Minute-1)); v.Admitted {
		t.Error("a second probe while the first is under way")
	}
	if v := settings.Admit(s, 0, now.Add(time.Minute)); !v.Probe {
		t.Errorf("after the lost probe: %+v", v)
	}
}

func TestNeutralOutcomesOpenNothing(t *testing.T) {
	t.Parallel()
	s, now := failed(settings.Trip-1), start
	before := s
	for i := range 1000 {
		class := [...]provider.Class{provider.RateLimited, provider.Canceled, provider.ContentFiltered, provider.ContextLength, provider.InvalidRequest}[i%5]
		s = settings.Record(s, class, 0, false, now)
		now = now.Add(time.Second)
	}
	before.RestUntil, before.RestReason = s.RestUntil, s.RestReason
	if diff := cmp.Diff(before, s); diff != "" {
		t.Errorf("1000 neutral outcomes (-before +after):\n%s", diff)
	}
}

func TestForcedOpens(t *testing.T) {
	t.Parallel()
	for class, length := range map[provider.Class]time.Duration{
		provider.BillingStop: settings.BillingStop, provider.Auth: settings.Credential, provider.NotFound: settings.Credential,
	} {
		s := settings.Record(guard.State{}, class, 0, false, start)
		want := guard.Verdict{Until: at(length), Why: class}
		if diff := cmp.Diff(want, settings.Admit(s, 0, start)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", class, diff)
		}
		// A hundred others that were under way say the same.
		for range 100 {
			s = settings.Record(s, class, 0, false, at(time.Minute))
		}
		if diff := cmp.Diff(want, settings.Admit(s, 0, at(time.Minute))); diff != "" {
			t.Errorf("%s again (-want +got):\n%s", class, diff)
		}
		// That a person has to act is news to a breaker that a failure has opened.
		s = settings.Record(failed(settings.Trip), class, 0, false, at(time.Second))
		if v := settings.Admit(s, 0, at(time.Second)); v.Why != class || !v.Until.Equal(at(time.Second+length)) {
			t.Errorf("%s after failures: %+v", class, v)
		}
		// A probe that is refused again keeps it open for as long again.
		now := s.OpenUntil
		if s = probe(t, s, class); !s.OpenUntil.Equal(now.Add(length)) {
			t.Errorf("%s after a probe: open for %s", class, s.OpenUntil.Sub(now))
		}
	}
}

// What began before the opening tells of the time before.
func TestLateResults(t *testing.T) {
	t.Parallel()
	s := failed(settings.Trip)
	for _, class := range []provider.Class{provider.Completed, provider.Refusal, provider.Timeout, provider.ServerError, provider.Canceled} {
		for _, when := range []time.Duration{time.Second, time.Minute} {
			if diff := cmp.Diff(s, settings.Record(s, class, 0, false, at(when))); diff != "" {
				t.Errorf("late %s after %s (-before +after):\n%s", class, when, diff)
			}
		}
	}
	now := s.OpenUntil
	s = s.Began(settings.Admit(s, 0, now), now.Add(time.Minute))
	if v := settings.Admit(settings.Record(s, provider.Completed, 0, false, now), 0, now); v.Admitted {
		t.Error("a late result makes way for a second probe")
	}
	// A probe that comes after another one has closed the breaker is one failure of five.
	s = settings.Record(settings.Record(s, provider.Completed, 0, true, now), provider.Timeout, 0, true, now)
	if s.Phase(now) != guard.Closed || s.Failures != 1 {
		t.Errorf("after a late probe: %+v", s)
	}
}
