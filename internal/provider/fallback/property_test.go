package fallback_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
)

// drawMatrix writes some rows, and bounds that let a life be short.
func drawMatrix(t *rapid.T) fallback.Matrix {
	var b strings.Builder
	fmt.Fprintf(&b, "bounds: {deadlineMs: %d, maxCalls: %d, retryAfterMs: %d, queueMaxWaits: %d, queueMaxAgeMs: %d}\nrows:\n",
		rapid.SampledFrom([]int{1000, 60_000, 3_600_000}).Draw(t, "deadline"), rapid.IntRange(1, 8).Draw(t, "maxCalls"),
		rapid.SampledFrom([]int{0, 1000, 60_000}).Draw(t, "retryAfter"), rapid.IntRange(1, 4).Draw(t, "maxWaits"),
		rapid.SampledFrom([]int{1000, 600_000, 86_400_000}).Draw(t, "maxAge"))
	for _, s := range fallback.Scenarios() {
		if !rapid.Bool().Draw(t, "own") {
			continue
		}
		fmt.Fprintf(&b, "  - {scenario: %s, fallback: %s, maxRetries: %d, delayMs: %d}\n", s, rapid.SampledFrom(possible(s)).Draw(t, "way"),
			rapid.IntRange(0, 10).Draw(t, "retries"), rapid.SampledFrom([]int{1000, 1001, 5000, 60_000, 86_400_000}).Draw(t, "delay"))
	}
	return parse(t, b.String())
}

func drawView(t *rapid.T, now time.Time) fallback.View {
	until := now.Add(time.Duration(rapid.IntRange(-1000, 20_000).Draw(t, "until")) * time.Millisecond)
	switch rapid.IntRange(0, 3).Draw(t, "view") {
	case 0:
		return fallback.View{Busy: true, Until: now.Add(time.Duration(rapid.IntRange(100, 3000).Draw(t, "busy")) * time.Millisecond)}
	case 1:
		return fallback.View{Until: until, Why: rapid.SampledFrom(append(slices.Clone(provider.Classes), "", "unheard_of")).Draw(t, "why")}
	}
	return fallback.View{Admitted: true}
}

// life is a text on its way through any number of processes, whatever happens to it, and what is promised about it.
type life struct {
	t       *rapid.T
	plan    fallback.Plan
	g       fallback.Progress
	now     time.Time
	before  []fallback.Progress // that any step began with
	written []string

	calls   int             // in this chain
	entered []provider.Name // in this chain, in order
	waits   int
}

// step makes a decision: it must be the same for what comes out of the database, and must not touch what it is given.
func (l *life) step(decide func(fallback.Progress) (fallback.Progress, fallback.Next)) fallback.Next {
	l.before, l.written = append(l.before, l.g), append(l.written, written(l.t, l.g))
	stored, nextStored := decide(again(l.t, l.g))
	g, next := decide(l.g)
	if written(l.t, g) != written(l.t, stored) || next.Do != nextStored.Do || next.Target != nextStored.Target || next.Reason != nextStored.Reason || !next.Until.Equal(nextStored.Until) {
		l.t.Fatalf("through the database %+v and\n%s\nbut %+v and\n%s", nextStored, written(l.t, stored), next, written(l.t, g))
	}
	if g.Checkpoint.Waits > l.waits {
		l.waits, l.calls, l.entered = g.Checkpoint.Waits, 0, nil
		if l.waits > l.plan.Matrix.Bounds().QueueMaxWaits {
			l.t.Fatalf("wait %d in the queue", l.waits)
		}
	}
	l.g = g
	l.checkHistory()
	return next
}

func (l *life) checkHistory() {
	if len(l.g.History) > 50 {
		l.t.Fatalf("%d entries of history", len(l.g.History))
	}
	for _, f := range l.g.History {
		if !slices.Contains([]string{"azure", "openai", "hybrid"}, f.From) || !slices.Contains([]string{"azure", "openai", "queue", "fallback_text"}, f.To) ||
			!slices.Contains(fallback.Scenarios(), fallback.Scenario(f.Reason)) || f.From == f.To {
			l.t.Fatalf("history: %+v", f)
		}
	}
}

// called checks a call that is to be made.
func (l *life) called(next fallback.Next, views map[provider.Name]fallback.View) {
	if !slices.Contains(l.plan.Targets, next.Target) || !views[next.Target].Admitted {
		l.t.Fatalf("calls %s, of %v, with the view %+v", next.Target, l.plan.Targets, views[next.Target])
	}
	if l.calls++; l.calls > l.plan.Matrix.Bounds().MaxCalls {
		l.t.Fatalf("call %d of a chain", l.calls)
	}
	switch i := slices.Index(l.entered, next.Target); {
	case i < 0:
		l.entered = append(l.entered, next.Target)
	case i < len(l.entered)-1:
		l.t.Fatalf("%s is entered again: %v", next.Target, l.entered)
	}
}

// waited checks a wait that was just decided.
func (l *life) waited(next fallback.Next) {
	b, row := l.plan.Matrix.Bounds(), l.plan.Matrix.Row(fallback.Scenario(next.Reason))
	if most := max(row.Delay, b.RetryAfter, b.QueueMaxAge, time.Second); !next.Until.After(l.now) || next.Until.Sub(l.now) > most {
		l.t.Fatalf("waits for %s, of %s at most: %s", next.Until.Sub(l.now), most, next.Reason)
	}
	if !slices.Contains(fallback.Scenarios(), fallback.Scenario(next.Reason)) {
		l.t.Fatalf("waits for %q", next.Reason)
	}
}

// failed makes up how a call ends.
func (l *life) failed() fallback.Next {
	class := rapid.SampledFrom(append(slices.Clone(provider.Classes[1:]), fallback.GateFailed, fallback.Lost, provider.Timeout, provider.RateLimited)).Draw(l.t, "class")
	retryAfter := time.Duration(rapid.SampledFrom([]int{-1, 0, 0, 1, 30, 61, 200_000}).Draw(l.t, "retryAfter")) * time.Second
	veto := rapid.IntRange(0, 5).Draw(l.t, "veto") == 0
	l.now = l.now.Add(time.Duration(rapid.IntRange(0, 70_000).Draw(l.t, "takes")) * time.Millisecond)
	violations := []string{"link"}
	next := l.step(func(g fallback.Progress) (fallback.Progress, fallback.Next) {
		return l.plan.Failed(g, class, retryAfter, veto, violations, l.now)
	})
	is := written(l.t, l.g)
	if violations[0] = "changed"; is != written(l.t, l.g) {
		l.t.Fatalf("the caller's violations are kept: %s", written(l.t, l.g))
	}
	return next
}

// Whatever happens, each step decides something that keeps the promises, and a life ends.
func TestEveryLifeEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		targets := rapid.SampledFrom([][]provider.Name{both, both, {openai, azure}, {openai, azure}, both[:1], both[1:], {}})
		l := &life{t: t, plan: fallback.Plan{Matrix: drawMatrix(t), Targets: targets.Draw(t, "targets")}, g: pending(), now: start}
		b := l.plan.Matrix.Bounds()
		// A call is followed by a wait at most; to a target that is busy belong eleven short ones.
		const beforeACall = 1 + 11
		most := (b.QueueMaxWaits + 1) * (2 + (b.MaxCalls+2)*(1+beforeACall))
		for range 2 * most { // some ask early
			if rapid.IntRange(0, 30).Draw(t, "another process") == 0 {
				l.plan.Targets = targets.Draw(t, "targets")
			}
			views := map[provider.Name]fallback.View{}
			for _, name := range l.plan.Targets {
				views[name] = drawView(t, l.now)
			}
			waiting := l.g.Checkpoint.WaitUntil
			next := l.step(func(g fallback.Progress) (fallback.Progress, fallback.Next) { return l.plan.Choose(g, views, l.now) })
			switch next.Do {
			case fallback.DoCall:
				l.called(next, views)
				if rapid.IntRange(0, 40).Draw(t, "text") == 0 {
					l.step(func(g fallback.Progress) (fallback.Progress, fallback.Next) {
						return l.plan.Completed(g), fallback.Next{}
					})
					l.unchanged()
					return
				}
				next = l.failed()
			case fallback.DoWait:
				if waiting != nil && l.now.Before(*waiting) && !next.Until.Equal(*waiting) {
					t.Fatalf("a wait until %s has become one until %s", *waiting, next.Until)
				}
			case fallback.DoFail, fallback.DoFallbackText:
			default:
				t.Fatalf("decides nothing: %+v", next)
			}
			switch next.Do {
			case fallback.DoWait:
				l.waited(next)
				l.now = next.Until
				if rapid.IntRange(0, 9).Draw(t, "early") == 0 {
					l.now = l.now.Add(-time.Millisecond)
				}
			case fallback.DoFail, fallback.DoFallbackText:
				if reason := strings.TrimPrefix(next.Reason, "queue_exhausted: "); !slices.Contains(fallback.Scenarios(), fallback.Scenario(reason)) {
					t.Fatalf("ends with the reason %q", next.Reason)
				}
				l.unchanged()
				return
			}
		}
		t.Fatalf("does not end: %s", written(t, l.g))
	})
}

// unchanged checks that no step touched what it was given, or what an earlier one had been given.
func (l *life) unchanged() {
	for i, g := range l.before {
		if now := written(l.t, g); now != l.written[i] {
			l.t.Fatalf("step %d began with\n%s\nwhich has become\n%s", i, l.written[i], now)
		}
	}
}
