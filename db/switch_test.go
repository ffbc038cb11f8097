package db_test

import (
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// TestKillSwitch: after the switch is committed nothing starts, whatever was released before; waiting costs one look in
// minutes; when it is on again everything goes on.
func TestKillSwitch(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "3/60s", "off")
	f.ingest(true, messages("creator", 5)...) // three are released
	set := func(user string, value flags.Value) {
		t.Helper()
		if _, err := f.store.SetFlag(f.ctx, db.FlagChange{Name: flags.SendsEnabled, UserID: user, Value: value, By: "test", Reason: "drill"}); err != nil {
			t.Fatal(err)
		}
	}
	attempts := f.attempts()
	fence := f.mustBegin(attempts[0])
	set("", flags.Off)
	for _, a := range attempts[1:] {
		s := f.begin(a)
		if s.Verdict != db.VerdictWithdraw || s.Reason != "sends_disabled" {
			t.Errorf("%+v after the switch was off", s)
		}
		f.finish(db.Finish{Attempt: a, Outcome: workflow.EventWithdrawn, Reason: s.Reason})
	}
	f.finish(db.Finish{Attempt: attempts[0], Fence: fence, Outcome: workflow.EventAccepted}) // it was in flight
	if r := f.release("creator"); r.Count != 0 || r.Next != 5*time.Minute {
		t.Errorf("%+v while the switch is off", r)
	}
	found, err := f.store.Explain(f.ctx, db.Which{WorkflowID: "wf-creator-4"}, 1)
	if err != nil || len(found.Workflows) != 1 || len(found.Workflows[0].Waits) == 0 || found.Workflows[0].Waits[0].Kind != db.WaitsForSwitch {
		t.Errorf("%+v, %v", found.Workflows, err)
	}
	set("creator", flags.On) // for this account alone
	if r := f.release("creator"); r.Count != 2 {
		t.Errorf("%+v for an account of its own", r)
	}
}
