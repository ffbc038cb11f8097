package db_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// TestFailover: a database that is not the one which wrote the ledger sends nothing, until all that it may have
// forgotten is over. What does not send goes on.
func TestFailover(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"another timeline": `UPDATE fleet_state SET timeline = timeline + 1`,
		"another system":   `UPDATE fleet_state SET system_identifier = system_identifier + 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "2/60s,5/10m", "off")
			f.ingest(true, messages("creator", 2)...)
			reserved, called := f.attempts()[0], f.attempts()[1]
			fence := f.mustBegin(called)
			f.park(message("creator", 3))
			if until, err := f.store.AdoptDatabase(f.ctx); err != nil || !until.IsZero() {
				t.Fatalf("adopting the database that we have: %v, %v", until, err)
			}

			f.exec(change)
			for what, do := range map[string]func() error{
				"release": func() error { _, err := f.store.Release(f.ctx, releaseOf("creator")); return err },
				"bypass": func() error {
					_, err := f.store.Release(f.ctx, []db.Release{{UserID: "creator", Bypass: true, Allowance: 1}})
					return err
				},
				"intake": func() error { _, err := f.store.Ingest(f.ctx, messages("creator", 4), true); return err },
				"begin":  func() error { _, err := f.store.Begin(f.ctx, []db.Attempt{reserved}); return err },
			} {
				if err := do(); !errors.Is(err, db.ErrFailover) {
					t.Errorf("%s: %v, want %v", what, err, db.ErrFailover)
				}
			}
			if state := f.attemptState(reserved); state != "reserved" {
				t.Errorf("the attempt that could not begin is %s", state)
			}
			if n := one[int](f, `SELECT count(*) FROM hybrid_workflows`); n != 3 {
				t.Errorf("%d workflows, want none of the intake that failed", n)
			}
			f.ingest(false, message("creator", 4)) // parking is no sending
			f.finish(db.Finish{Attempt: called, Fence: fence, Outcome: workflow.EventAccepted})

			until := start.Add(hold + 10*time.Minute + guard)
			var all errgroup.Group
			for range 4 { // each process that notices
				all.Go(func() error { _, err := f.store.AdoptDatabase(f.ctx); return err })
			}
			if err := all.Wait(); err != nil {
				t.Fatal(err)
			}
			frozen, reason, err := f.store.Frozen(f.ctx)
			if err != nil || !frozen.Equal(until) || reason == "" {
				t.Errorf("frozen until %v (%s), error %v; want %v", frozen, reason, err, until)
			}
			if r := f.release("creator"); r.Count != 0 || !r.Waiting || r.Next != until.Sub(start) {
				t.Errorf("while frozen: %+v, want to look again after it", r)
			}
			if begun := f.begin(reserved); begun.Verdict != db.VerdictWithdraw || begun.Reason != "fleet_frozen" {
				t.Errorf("while frozen: begin says %s (%s)", begun.Verdict, begun.Reason)
			}
			f.finish(db.Finish{Attempt: reserved, Outcome: workflow.EventWithdrawn, Reason: "fleet_frozen"})

			f.AdvanceClock(t, until.Sub(start)-time.Microsecond)
			if r := f.release("creator"); r.Count != 0 {
				t.Errorf("just before its end: %d released", r.Count)
			}
			f.AdvanceClock(t, time.Microsecond)
			if r := f.release("creator"); r.Count != 2 {
				t.Errorf("after it: %d released, want 2", r.Count)
			}
			if frozen, _, err := f.store.Frozen(f.ctx); err != nil || !frozen.IsZero() {
				t.Errorf("after it: frozen until %v, error %v", frozen, err)
			}
			f.check()
		})
	}
}
