package fallback_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
)

// fleet is what the database holds, for the benchmark.
type fleet struct {
	plan       fallback.Plan
	settings   guard.Settings
	states     map[provider.Name]guard.State
	progress   fallback.Progress
	checkpoint []byte
}

// step is one transaction's work: it reads where the text is, decides, and writes down where the text is now.
func (f *fleet) step(b *testing.B, decide func(fallback.Progress) fallback.Progress) {
	g := f.progress
	if f.checkpoint != nil {
		g.Checkpoint = fallback.Checkpoint{}
		if err := json.Unmarshal(f.checkpoint, &g.Checkpoint); err != nil {
			b.Fatal(err)
		}
	}
	f.progress = decide(g)
	var err error
	if f.checkpoint, err = json.Marshal(f.progress.Checkpoint); err != nil {
		b.Fatal(err)
	}
}

// choose asks the guard about each target, and the plan what to do.
func (f *fleet) choose(b *testing.B, g fallback.Progress, want provider.Name, now time.Time) fallback.Progress {
	verdicts, views := map[provider.Name]guard.Verdict{}, map[provider.Name]fallback.View{}
	for _, name := range f.plan.Targets {
		v := f.settings.Admit(f.states[name], 1, now)
		verdicts[name], views[name] = v, fallback.View{Admitted: v.Admitted, Busy: v.Busy, Until: v.Until, Why: v.Why}
	}
	g, next := f.plan.Choose(g, views, now)
	if next.Do != fallback.DoCall || next.Target != want {
		b.Fatalf("%+v", next)
	}
	f.states[want] = f.states[want].Began(verdicts[want], now.Add(time.Minute))
	return g
}

func (f *fleet) record(name provider.Name, class provider.Class, now time.Time) {
	f.states[name] = f.settings.Record(f.states[name], class, 0, false, now)
}

// BenchmarkDecision is all that the guard and the matrix add to a text whose first call fails and whose second, to
// the other provider, brings it: three steps, each of which reads and writes the checkpoint.
func BenchmarkDecision(b *testing.B) {
	f := fleet{plan: fallback.Plan{Matrix: fallback.Default(), Targets: both}, settings: guard.DefaultSettings}
	took := make([]time.Duration, 0, b.N)
	b.ReportAllocs()
	for b.Loop() {
		f.states, f.progress, f.checkpoint = map[provider.Name]guard.State{}, pending(), nil
		begun := time.Now()
		f.step(b, func(g fallback.Progress) fallback.Progress { return f.choose(b, g, azure, start) })
		f.step(b, func(g fallback.Progress) fallback.Progress {
			f.record(azure, provider.ServerError, start)
			g, next := f.plan.Failed(g, provider.ServerError, 0, false, nil, start)
			if next.Do != "" {
				b.Fatalf("%+v", next)
			}
			return f.choose(b, g, openai, start)
		})
		f.step(b, func(g fallback.Progress) fallback.Progress {
			f.record(openai, provider.Completed, start)
			return f.plan.Completed(g)
		})
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	for name, share := range map[string]int{"p50-µs": 50, "p99-µs": 99} {
		b.ReportMetric(float64(took[len(took)*share/100].Nanoseconds())/1000, name)
	}
}
