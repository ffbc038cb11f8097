package fallback

import (
	"slices"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Choose says what to do now for a text that waits for a decision, given what the guard says about each target.
// A call is noted as begun: the caller makes it.
func (p Plan) Choose(g Progress, views map[provider.Name]View, now time.Time) (Progress, Next) {
	c := &g.Checkpoint
	if c.WaitUntil != nil && now.Before(*c.WaitUntil) {
		return g, Next{Do: DoWait, Until: *c.WaitUntil, Reason: string(c.WaitsFor)}
	}
	c.WaitUntil, c.WaitsFor = nil, ""
	for {
		if !p.inTime(c, 0, now) {
			return p.leaveAll(g, c.Target, Deadline, 0, now)
		}
		if !slices.Contains(p.Targets, c.Target) { // none yet, or one that only another process has credentials for
			c.use(c.Target)
			if !p.first(c) {
				return p.none(g, views, now)
			}
		}
		view := views[c.Target]
		if view.Admitted {
			return p.call(g, now), Next{Do: DoCall, Target: c.Target}
		}
		if until, worth := waitsForBusy(c, view, now); worth {
			return g, Next{Do: DoWait, Until: until, Reason: string(ScenarioOf(c.Target, provider.ServerError))}
		}
		// Closed. What closed it has a row of its own, which says where to go.
		scenario := ScenarioOf(c.Target, view.Why)
		if scenario == "" {
			scenario = ScenarioOf(c.Target, provider.ServerError)
		}
		to := provider.Name(p.Matrix.Row(scenario).Fallback)
		from := c.Target
		c.use(from)
		if !slices.Contains(p.Targets, to) || slices.Contains(c.Used, to) {
			return p.none(g, views, now)
		}
		g.note(from, string(to), scenario, now)
		c.enter(to)
	}
}

// first picks the first target that this chain has not been to.
func (p Plan) first(c *Checkpoint) bool {
	for _, name := range p.Targets {
		if !slices.Contains(c.Used, name) {
			c.enter(name)
			return true
		}
	}
	return false
}

// waitsForBusy says whether a busy target is worth a moment more, and until when. A wait always has a length, and
// all of them together are no longer than busyMost.
func waitsForBusy(c *Checkpoint, view View, now time.Time) (time.Time, bool) {
	if !view.Busy {
		return time.Time{}, false
	}
	if c.BusySince == nil {
		c.BusySince = &now
	}
	last := c.BusySince.Add(busyMost)
	if view.Until.After(now) && view.Until.Before(last) {
		return view.Until, true
	}
	return last, last.After(now)
}

// none ends a chain that has no target left. If none was even tried it goes on as soon as one of those that it came
// by may be called again; others don't count, for the rows don't lead the next chain to them either.
func (p Plan) none(g Progress, views map[provider.Name]View, now time.Time) (Progress, Next) {
	if g.Checkpoint.Failed {
		return p.leaveAll(g, g.Checkpoint.Target, AllFailed, 0, now)
	}
	wait := time.Duration(-1)
	for _, name := range g.Checkpoint.Used {
		if !slices.Contains(p.Targets, name) {
			continue
		}
		if left := max(0, views[name].Until.Sub(now)); wait < 0 || left < wait {
			wait = left
		}
	}
	return p.leaveAll(g, g.Checkpoint.Target, AllOpen, max(wait, 0), now)
}

func (p Plan) call(g Progress, now time.Time) Progress {
	c := &g.Checkpoint
	if c.Began == nil {
		c.Began = &now
	}
	c.Calls++
	c.BusySince = nil
	g.Current = workflow.Provider(c.Target)
	setState(&g.States, c.Target, workflow.ProviderExecuting)
	if slices.Contains(c.Called, c.Target) {
		switch c.Target {
		case provider.Azure:
			g.Retries.Azure++
		case provider.OpenAI:
			g.Retries.OpenAI++
		}
	} else {
		c.Called = append(slices.Clone(c.Called), c.Target)
	}
	return g
}

// Completed notes that the call under way brought a text that may be used.
func (p Plan) Completed(g Progress) Progress {
	setState(&g.States, g.Checkpoint.Target, workflow.ProviderCompleted)
	g.Checkpoint = Checkpoint{Target: g.Checkpoint.Target, Called: g.Checkpoint.Called, Calls: g.Checkpoint.Calls, Charged: g.Checkpoint.Charged, Waits: g.Checkpoint.Waits}
	return g
}

// OverBudget ends a chain because the money is spent.
func (p Plan) OverBudget(g Progress, wait time.Duration, now time.Time) (Progress, Next) {
	return p.leaveAll(g, g.Checkpoint.Target, BudgetExceeded, wait, now)
}
