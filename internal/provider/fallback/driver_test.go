package fallback_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

var (
	start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	both  = []provider.Name{provider.Azure, provider.OpenAI}
)

// answer is how a call ends.
type answer struct {
	class      provider.Class
	retryAfter time.Duration
	veto       bool
	violations []string
	takes      time.Duration
}

// answers are calls that end in these classes.
func answers(classes ...provider.Class) (all []answer) {
	for _, class := range classes {
		all = append(all, answer{class: class})
	}
	return all
}

// story is a text's life.
type story struct {
	matrix  string          // that replaces rows of the default
	targets []provider.Name // nil: both, Azure first
	script  []answer        // what comes of each call; then a text
	views   func(name provider.Name, at time.Duration) fallback.View
	want    []string // calls, waits and the end

	history []string // from>to reason, in order
	states  workflow.ProviderStates
	retries workflow.RetryAttempts
	current workflow.Provider
}

func open(provider.Name, time.Duration) fallback.View { return fallback.View{Admitted: true} }

// closedUntil closes targets until some time after the start.
func closedUntil(why provider.Class, until map[provider.Name]time.Duration) func(provider.Name, time.Duration) fallback.View {
	return func(name provider.Name, at time.Duration) fallback.View {
		if at < until[name] {
			return fallback.View{Until: start.Add(until[name]), Why: why}
		}
		return fallback.View{Admitted: true}
	}
}

func parse(t interface{ Fatal(...any) }, text string) fallback.Matrix {
	m, err := fallback.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// again is what another process reads of a text's progress.
func again(t interface{ Fatal(...any) }, g fallback.Progress) (read fallback.Progress) {
	if err := json.Unmarshal([]byte(written(t, g)), &read); err != nil {
		t.Fatal(err)
	}
	return read
}

func written(t interface{ Fatal(...any) }, g fallback.Progress) string {
	text, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func pending() fallback.Progress {
	return fallback.Progress{
		Current: workflow.ProviderHybrid,
		States:  workflow.ProviderStates{Azure: "pending", OpenAI: "pending", RateLimiter: "pending", OnlyFans: "pending"},
	}
}

// play plays a story with a clock that moves by itself. Between two steps the progress goes through the database, if
// it is to.
func (s story) play(t *testing.T, database bool) (log []string, g fallback.Progress) {
	plan := fallback.Plan{Matrix: parse(t, s.matrix), Targets: s.targets}
	if s.targets == nil {
		plan.Targets = both
	}
	if s.views == nil {
		s.views = open
	}
	g = pending()
	now := start
	for range 1000 {
		if database {
			g = again(t, g)
		}
		views := map[provider.Name]fallback.View{}
		for _, name := range plan.Targets {
			views[name] = s.views(name, now.Sub(start))
		}
		var next fallback.Next
		g, next = plan.Choose(g, views, now)
		if database {
			g = again(t, g)
		}
		if next.Do == fallback.DoCall {
			call := "call " + string(next.Target)
			if len(g.Checkpoint.Violations) > 0 {
				call += " to repair " + strings.Join(g.Checkpoint.Violations, ",")
			}
			log = append(log, call)
			if len(s.script) == 0 {
				return append(log, "text"), plan.Completed(g)
			}
			a := s.script[0]
			s.script = s.script[1:]
			now = now.Add(a.takes)
			g, next = plan.Failed(g, a.class, a.retryAfter, a.veto, a.violations, now)
		}
		switch next.Do {
		case fallback.DoWait:
			log = append(log, fmt.Sprintf("wait %s %s", next.Until.Sub(now), next.Reason))
			now = next.Until
		case fallback.DoFail, fallback.DoFallbackText:
			return append(log, string(next.Do)+" "+next.Reason), g
		}
	}
	t.Fatalf("the story does not end: %v", log)
	return nil, g
}

func historyOf(g fallback.Progress) (lines []string) {
	for _, f := range g.History {
		lines = append(lines, f.From+">"+f.To+" "+f.Reason)
	}
	return lines
}
