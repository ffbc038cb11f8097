package jobs_test

import (
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
)

// A target that hangs gets no more calls than may still open its breaker, nor in the moment when the time of these is
// over and nobody has said so yet. Only when their processes are taken for dead, their places are free.
func TestCallsCountUntilTheirEndIsKnown(t *testing.T) {
	t.Parallel()
	const timeout = 10 * time.Second
	w := newWriters(t, writerOptions{timeout: timeout})
	ask := func(n int) db.PlanNext {
		t.Helper()
		w.ingest(briefed(n))
		args, _, found := w.job()
		if !found {
			t.Fatalf("message %d has no plan", n)
		}
		next, err := w.Plan(t.Context(), db.PlanStep{Text: args.Text, Step: args.Step})
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	for n := range guard.DefaultSettings.Trip {
		if next := ask(n); next.Do != db.PlanMakeCall || next.Call.Target != provider.Azure {
			t.Fatalf("message %d: %+v, want a call to Azure", n, next)
		}
	}
	w.AdvanceClock(t, timeout+time.Second)
	if next := ask(100); next.Do != db.PlanPause {
		t.Errorf("one more while nobody knows how the others ended: %s to %s, want a pause", next.Do, next.Call.Target)
	}
	w.AdvanceClock(t, 15*time.Second)
	if next := ask(101); next.Do != db.PlanMakeCall || next.Call.Target != provider.Azure {
		t.Errorf("after the others were taken for lost: %s to %q, want a call to Azure", next.Do, next.Call.Target)
	}
}
