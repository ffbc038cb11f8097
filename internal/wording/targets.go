package wording

import (
	"fmt"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
)

// Phase is the state of a breaker.
func Phase(p guard.Phase) string { return strings.ReplaceAll(string(p), "_", " ") }

// Troubles says why a target is not called, and until when.
func Troubles(t db.Target, now time.Time) (all []string) {
	g := t.Guard
	because := func(class provider.Class) string {
		return fmt.Sprintf("%s %s", t.Provider, Class(string(class)))
	}
	switch g.Phase(now) {
	case guard.Open:
		all = append(all, fmt.Sprintf("not called until %s: %s", When(g.OpenUntil, now), because(g.OpenReason)))
	case guard.HalfOpen:
		if g.ProbeUntil.After(now) {
			all = append(all, fmt.Sprintf("a call that ends until %s finds out whether it works again: %s", When(g.ProbeUntil, now), because(g.OpenReason)))
			break
		}
		all = append(all, "the next call finds out whether it works again: "+because(g.OpenReason))
	case guard.Closed:
		if g.Failures > 0 {
			all = append(all, Plural(g.Failures, "failed call")+" in a row")
		}
	}
	if g.RestUntil.After(now) {
		all = append(all, fmt.Sprintf("rests until %s, as it asked: %s", When(g.RestUntil, now), because(g.RestReason)))
	}
	return all
}

// Spent is what the calls of a day cost; nothing where there were none.
func Spent(c db.TargetCosts) string {
	if c.Calls == 0 {
		return ""
	}
	return cost.FormatUSD(c.PicoUSD) + Uncertain(c.Estimated, c.Unpriced)
}
