package guard_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
)

// fleet is any number of processes that call one target and share its state, in any order of events.
type fleet struct {
	t        *rapid.T
	settings guard.Settings
	state    guard.State
	now      time.Time
	slots    int           // calls that the processes can make at a time
	longest  time.Duration // of a call
	calls    []call        // under way
	class    func() provider.Class
	ended    func(c call, class provider.Class, lost bool)
}

type call struct {
	deadline time.Time
	probe    bool
}

func newFleet(t *rapid.T) *fleet {
	c := settings
	c.Trip = rapid.IntRange(1, 10).Draw(t, "trip")
	c.Window = rapid.IntRange(c.Trip, 32).Draw(t, "window")
	c.CoolDown = time.Duration(rapid.IntRange(1, 60).Draw(t, "coolDown")) * time.Second
	c.LongestCoolDown = c.CoolDown * time.Duration(rapid.IntRange(1, 8).Draw(t, "longestCoolDown"))
	f := &fleet{t: t, settings: c, now: start, slots: rapid.IntRange(1, 16).Draw(t, "workers") * rapid.IntRange(1, 8).Draw(t, "concurrency")}
	f.longest = time.Duration(rapid.IntRange(1, 60).Draw(t, "longest")) * time.Second
	f.class, f.ended = func() provider.Class { return provider.Completed }, func(call, provider.Class, bool) {}
	return f
}

// ask begins a call if the target may be called.
func (f *fleet) ask() guard.Verdict {
	v := f.settings.Admit(f.state, len(f.calls), f.now)
	if v.Admitted {
		c := call{f.now.Add(f.longest), v.Probe}
		f.state = f.state.Began(v, c.deadline)
		f.calls = append(f.calls, c)
	}
	return v
}

// end ends a call. Of one whose process died nobody hears before its time is over, and then it is no probe any more.
func (f *fleet) end(i int, lost bool) {
	c := f.calls[i]
	f.calls = append(f.calls[:i:i], f.calls[i+1:]...)
	class, probe := f.class(), c.probe
	if lost {
		class, probe = provider.Canceled, false
	}
	f.state = f.settings.Record(f.state, class, 0, probe, f.now)
	f.ended(c, class, lost)
}

// advance lets time pass; no call outlasts its deadline.
func (f *fleet) advance(most time.Duration, mayLose bool) {
	to := f.now.Add(time.Duration(rapid.Int64Range(0, int64(most)).Draw(f.t, "passes")))
	for {
		first := -1
		for i, c := range f.calls {
			if !c.deadline.After(to) && (first < 0 || c.deadline.Before(f.calls[first].deadline)) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		f.now = f.calls[first].deadline
		f.end(first, mayLose && rapid.IntRange(0, 9).Draw(f.t, "lost") == 0)
	}
	f.now = to
}

// step is some event: a process asks, or a call ends, or time passes. The callback hears of what is asked.
func (f *fleet) step(mayLose bool, asked func(guard.Verdict)) {
	switch what := rapid.IntRange(0, 9).Draw(f.t, "event"); {
	case what < 5 && len(f.calls) < f.slots:
		for range rapid.IntRange(1, 10).Draw(f.t, "asks") {
			if len(f.calls) < f.slots {
				asked(f.ask())
			}
		}
	case what < 8 && len(f.calls) > 0:
		f.end(rapid.IntRange(0, len(f.calls)-1).Draw(f.t, "which"), false)
	default:
		f.advance(f.longest/2, mayLose)
	}
}

// An outage from the start: all the processes together waste Trip calls at most before the breaker opens, and then
// one for each cool-down.
func TestFleetInAnOutage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := newFleet(t)
		f.class = func() provider.Class { return provider.Timeout }
		begun, lostCalls, probes, failedAt, opened := 0, 0, 0, time.Time{}, time.Time{}
		f.ended = func(c call, _ provider.Class, lost bool) {
			if opened.IsZero() && f.state.Opened > 0 {
				opened, lostCalls = f.now, 0
			}
			switch {
			case lost:
				lostCalls++
			case c.probe:
				failedAt = f.now
			}
		}
		for range 300 {
			f.step(true, func(v guard.Verdict) {
				if !v.Admitted {
					return
				}
				if opened.IsZero() {
					if begun++; begun-lostCalls > f.settings.Trip {
						t.Fatalf("call %d that is not known to be lost, before the breaker opens after %d failures", begun-lostCalls, f.settings.Trip)
					}
					return
				}
				probes++
				for _, c := range f.calls[:len(f.calls)-1] {
					if c.probe {
						t.Fatal("a second probe is under way")
					}
				}
				if !v.Probe || f.now.Before(opened.Add(f.settings.CoolDown)) || !failedAt.IsZero() && f.now.Before(failedAt.Add(f.settings.CoolDown)) {
					t.Fatalf("%+v %s after the opening and %s after a failed probe", v, f.now.Sub(opened), f.now.Sub(failedAt))
				}
			})
		}
		if most := int(f.now.Sub(opened)/f.settings.CoolDown) + lostCalls; !opened.IsZero() && probes > most {
			t.Fatalf("%d probes in %s with a cool-down of %s", probes, f.now.Sub(opened), f.settings.CoolDown)
		}
	})
}

// An outage that begins while all goes well costs the calls that are under way, and Trip.
func TestFleetWhenAnOutageBegins(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := newFleet(t)
		nobody := func(guard.Verdict) {}
		for range rapid.IntRange(0, 100).Draw(t, "healthy") {
			f.step(false, nobody)
		}
		f.class = func() provider.Class { return provider.ServerError }
		wasted, underWay := 0, -1
		f.ended = func(call, provider.Class, bool) {
			if underWay < 0 {
				underWay = len(f.calls) + 1 // and all the slots at most
				wasted = underWay
			}
		}
		for step := 0; f.state.Opened == 0; step++ {
			if step > 2000 {
				t.Fatalf("has not opened: %+v", f.state)
			}
			f.step(false, func(v guard.Verdict) {
				if v.Admitted && underWay >= 0 && f.state.Opened == 0 {
					wasted++
				}
			})
		}
		if wasted > underWay+f.settings.Trip {
			t.Fatalf("%d calls wasted, of which %d were under way", wasted, underWay)
		}
	})
}

// When the target works again the breaker closes within a cool-down and a call.
func TestFleetRecovers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := newFleet(t)
		f.class = func() provider.Class { return provider.Connection }
		for range rapid.IntRange(0, 200).Draw(t, "outage") {
			f.step(true, func(guard.Verdict) {})
		}
		f.class = func() provider.Class { return provider.Completed }
		const tick = 500 * time.Millisecond
		last := f.now.Add(f.settings.LongestCoolDown + f.longest + 2*tick)
		if n := len(f.calls); n > 0 { // one of those under way may be a probe that dies
			f.calls = f.calls[:n-1]
			last = last.Add(f.longest)
		}
		for f.state.Opened > 0 {
			if f.now.After(last) {
				t.Fatalf("still %s %s after the latest time", f.state.Phase(f.now), f.now.Sub(last))
			}
			if len(f.calls) < f.slots {
				f.ask()
			}
			f.advance(tick, false)
		}
	})
}

// A target that works is never kept from being called for longer than a call lasts.
func TestFleetOfAHealthyTarget(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := newFleet(t)
		blocked := time.Time{}
		for range 300 {
			f.step(false, func(v guard.Verdict) {
				switch {
				case v.Admitted:
					blocked = time.Time{}
				case !v.Busy || !v.Until.After(f.now) || v.Until.Sub(f.now) > 100*time.Millisecond:
					t.Fatalf("%+v at %s", v, f.now)
				case blocked.IsZero():
					blocked = f.now
				case f.now.Sub(blocked) > f.longest:
					t.Fatalf("blocked for %s by calls of %s", f.now.Sub(blocked), f.longest)
				}
			})
			if rapid.IntRange(0, 40).Draw(t, "pause") == 0 { // nobody has anything to ask
				f.advance(3*time.Minute, false)
				blocked = time.Time{}
			}
		}
	})
}
