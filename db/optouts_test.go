package db_test

import (
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
)

// TestOptOutWaitsForCallsThatStart: an opt-out is not over before the calls that did not see it have started, so that
// none starts after it.
func TestOptOutWaitsForCallsThatStart(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "3/60s", "off")
	f.ingest(true, messages("creator", 2)...)
	attempts := f.attempts()
	begin, err := f.pool.Begin(f.ctx) // a start that has read who opted out and is not committed
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = begin.Rollback(f.ctx) }()
	if _, err := begin.Exec(f.ctx, `SELECT hold_sends_switch()`); err != nil {
		t.Fatal(err)
	}
	var recipient string
	if err := f.pool.QueryRow(f.ctx, `SELECT recipient_id FROM hybrid_workflows WHERE id = $1`, attempts[0].Workflow).Scan(&recipient); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := f.store.OptOut(f.ctx, db.OptOut{UserID: "creator", RecipientID: recipient, CreatedBy: "test"})
		done <- err
	}()
	for waiting, deadline := 0, time.Now().Add(20*time.Second); waiting == 0; time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-done:
			t.Fatalf("the opt-out did not wait: %v", err)
		default:
		}
		if err := f.pool.QueryRow(f.ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'`).Scan(&waiting); err != nil || time.Now().After(deadline) {
			t.Fatalf("nothing waits: %v", err)
		}
	}
	if err := begin.Rollback(f.ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for i, want := range []db.Verdict{db.VerdictWithdraw, db.VerdictGo} {
		if got := f.begin(attempts[i]); got.Verdict != want {
			t.Errorf("attempt %d after the opt-out of the first: %s (%s), want %s", i, got.Verdict, got.Reason, want)
		}
	}
}
