package db_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// TestApply: an event moves a workflow once; what does not apply to it, or was applied before, changes nothing and is
// no harm to the others.
func TestApply(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	brief := func(m *workflow.Message) { m.Content, m.Brief = "", "b" }
	f.park(message("creator", 1, brief), message("creator", 2, brief, notBefore(start.Add(time.Hour))), message("creator", 3, brief), message("creator", 4), message("creator", 5))
	ids := f.workflows()
	f.AdvanceClock(t, time.Second)
	events := []db.Apply{
		{Workflow: ids[0], Event: workflow.EventTextReady},
		{Workflow: ids[1], Event: workflow.EventTextReady},
		{Workflow: ids[2], Event: workflow.EventTextFailed, Reason: "no provider"},
		{Workflow: ids[3], Event: workflow.EventCancelled, Reason: "by its sender"},
		{Workflow: ids[4], Event: workflow.EventTextReady}, // it has its text
		{Workflow: ids[0], Event: workflow.EventTextReady}, // twice
		{Workflow: uuid.New(), Event: workflow.EventTextReady},
	}
	got, err := f.store.Apply(f.ctx, events)
	if err != nil {
		t.Fatal(err)
	}
	want := []db.Applied{
		{Changed: true, Stage: workflow.StageQueued, UserID: "creator"},
		{Changed: true, Stage: workflow.StageQueued, UserID: "creator", Next: time.Hour - time.Second},
		{Changed: true, Stage: workflow.StageFailed, UserID: "creator", Next: -1},
		{Changed: true, Stage: workflow.StageCancelled, UserID: "creator", Next: -1},
		{Stage: workflow.StageQueued, UserID: "creator", Next: -1},
		{Next: -1},
		{Next: -1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f.wantOneWakeUp()
	f.check()
	before := f.outcome()
	again, err := f.store.Apply(f.ctx, events)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range again {
		if a.Changed {
			t.Errorf("event %d was applied again", i)
		}
	}
	if diff := cmp.Diff(before, f.outcome()); diff != "" {
		t.Errorf("again (-before +after):\n%s", diff)
	}
	if r := f.release("creator"); r.Count != 2 {
		t.Errorf("%d go, want the 2 that have a text and are due", r.Count)
	}
}
