package db_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// TestFallbackHistoryOfSends: the rows of the matrix that are about sending leave their entries in the message's
// history: a 429 of the gateway, and a release without the limiter. The history is bounded.
func TestFallbackHistoryOfSends(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.ingest(true, message("creator", 1))
	const rest = 45 * time.Second
	rateLimited := func() {
		t.Helper()
		attempts := f.attempts()
		a := attempts[len(attempts)-1]
		f.finish(db.Finish{Attempt: a, Fence: f.mustBegin(a), Outcome: workflow.EventRateLimited, Reason: "rate_limited", Rest: rest, RestReason: "rate_limited"})
	}
	history := func() (entries []string) {
		t.Helper()
		found, err := f.store.Explain(f.ctx, db.Which{WorkflowID: "wf-creator-1"}, 1)
		if err != nil || len(found.Workflows) != 1 {
			t.Fatal(err)
		}
		for _, e := range found.Workflows[0].State.FallbackHistory {
			entries = append(entries, fmt.Sprintf("%s > %s: %s at %s", e.From, e.To, e.Reason, e.Timestamp.Sub(start)))
		}
		return entries
	}
	rateLimited()
	if r := f.release("creator"); r.Count != 0 {
		t.Fatal("released while its account rests")
	}
	f.AdvanceClock(t, rest)
	if r := f.releaseBy(db.Release{UserID: "creator", Bypass: true, Allowance: 1}); r.Count != 1 {
		t.Fatal("not released when the rest was over")
	}
	rateLimited()
	want := []string{"onlyFans > queue: onlyfans_rate_limited at 0s", "rateLimiter > bypass_with_warning: rate_limiter_down at 45s", "onlyFans > queue: onlyfans_rate_limited at 45s"}
	if diff := cmp.Diff(want, history()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	for range 110 {
		f.AdvanceClock(t, 2*time.Minute)
		if r := f.release("creator"); r.Count != 1 {
			t.Fatal("not released")
		}
		rateLimited()
	}
	if got := history(); len(got) != 100 || got[len(got)-1] == want[2] {
		t.Errorf("%d entries, the last %s", len(got), got[len(got)-1])
	}
}
