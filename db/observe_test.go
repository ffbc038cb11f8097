package db_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/picture"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func (f *fleet) observe() db.Observation {
	f.t.Helper()
	o, err := f.store.Observe(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

// TestObserve: an observation says of each message why it waits, and of each token why nobody takes it.
func TestObserve(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.ingest(true, messages("busy", 25)...) // ten of them go at once
	f.park(messages("paused", 4, inCampaign("spring"))...)
	if _, err := f.store.SetCampaignState(f.ctx, "paused", "spring", db.CampaignPaused, "test"); err != nil {
		t.Fatal(err)
	}
	f.park(messages("later", 3, notBefore(start.Add(time.Hour)))...)
	f.park(messages("off", 2)...)
	f.setFlag(flags.SendsEnabled, "off", "off")
	f.park(messages("free", 2)...)
	f.park(messages("night", 1)...)
	if _, err := f.store.SetQuietHours(f.ctx, "night", "11:00-13:00 UTC", "test"); err != nil {
		t.Fatal(err)
	}
	f.FreezeClock(t, start.Add(5*time.Second))
	o := f.observe()
	waiting := map[picture.Reason]int64{picture.Token: 15, picture.Campaign: 4, picture.Schedule: 3, picture.Switch: 2, picture.Turn: 2, picture.Quiet: 1}
	if diff := cmp.Diff(waiting, o.Picture.Waiting); diff != "" {
		t.Error("waiting (-want +got)", diff)
	}
	idle := map[picture.Reason]int64{picture.Campaign: 4, picture.Schedule: 3, picture.Switch: 2, picture.Turn: 2, picture.Quiet: 1, picture.NoMessage: 38}
	for reason, n := range o.Picture.Idle {
		if n != idle[reason] {
			t.Errorf("%d tokens idle for %s, want %d", n, reason, idle[reason])
		}
	}
	if p := o.Picture; p.Allowed != 60 || p.Used != 10 || p.Accounts != 6 || p.LongestTurn != 5*time.Second {
		t.Errorf("%d of %d tokens of %d accounts, longest turn %s", p.Used, p.Allowed, p.Accounts, p.LongestTurn)
	}
	if o.SendsOff || o.PlanningOff || o.NotCounted != 0 || o.Stages[workflow.StageQueued].Number != 27 || o.Stages[workflow.StageSending].Number != 10 {
		t.Errorf("%+v", o)
	}
	if o.Oldest == nil || o.Oldest.DueSince.After(start) {
		t.Errorf("the oldest is %+v", o.Oldest)
	}
	f.setFlag(flags.SendsEnabled, "", "off")
	if o := f.observe(); !o.SendsOff || o.Picture.Waiting[picture.Switch] != 27 {
		t.Errorf("with the switch off: %v, %v", o.SendsOff, o.Picture.Waiting)
	}
}

// TestTurnBeginsWhenTheTokenIsBack: a message that waited for a token has its turn since that came back.
func TestTurnBeginsWhenTheTokenIsBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "1/60s", "off")
	f.ingest(true, messages("busy", 2)...)
	for _, a := range f.attempts() {
		f.send(a, workflow.EventAccepted)
	}
	f.FreezeClock(t, start.Add(60*time.Second))
	if p := f.observe().Picture; p.Waiting[picture.Token] != 1 || p.LongestTurn != 0 {
		t.Errorf("before the token is back: %+v", p)
	}
	f.FreezeClock(t, start.Add(63*time.Second+guard))
	if p := f.observe().Picture; p.Waiting[picture.Turn] != 1 || p.LongestTurn != 3*time.Second {
		t.Errorf("3 s after the token came back: %+v", p)
	}
}

// TestOneObserves: one process at a time, and another one when it stops or says no more.
func TestOneObserves(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	is := func(worker string) bool {
		t.Helper()
		is, err := f.store.BeObserver(f.ctx, worker, 40*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if !is("a") || is("b") || !is("a") {
		t.Fatal("the first one observes, and goes on")
	}
	f.FreezeClock(t, start.Add(41*time.Second))
	if !is("b") || is("a") {
		t.Fatal("the other one observes when the first says no more")
	}
	if err := f.store.EndObserver(f.ctx, "a"); err != nil || is("a") {
		t.Fatal("who does not observe can't end it", err)
	}
	if err := f.store.EndObserver(f.ctx, "b"); err != nil || !is("a") {
		t.Fatal("who stops lets another one at once", err)
	}
}

// TestExplainNamesQuietHoursAndCampaignsThatDoNotRun: what holds a message up is said, also where its account or its campaign
// is the reason.
func TestExplainNamesQuietHoursAndCampaignsThatDoNotRun(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.park(message("night", 1), message("broken", 1), message("drafts", 1, inCampaign("spring")))
	if _, err := f.store.SetQuietHours(f.ctx, "night", "11:00-13:00 UTC", "test"); err != nil {
		t.Fatal(err)
	}
	f.exec(`INSERT INTO quiet_hours (user_id, hours, changed_at, changed_by) VALUES ('broken', 'at night', $1, 'somebody')`, start)
	f.exec(`UPDATE campaigns SET state = 'draft' WHERE user_id = 'drafts'`)
	for user, want := range map[string]db.Wait{
		"night": {Kind: db.WaitsForQuiet, Until: start.Add(time.Hour)}, "broken": {Kind: db.WaitsForQuiet}, "drafts": {Kind: db.WaitsForStart, Since: start, Reason: "draft"},
	} {
		explained, err := f.store.Explain(f.ctx, db.Which{WorkflowID: "wf-" + user + "-1"}, 5)
		if err != nil {
			t.Fatal(err)
		}
		if waits := explained.Workflows[0].Waits; len(waits) == 0 || waits[0].Kind != want.Kind || !waits[0].Until.Equal(want.Until) || waits[0].Reason != want.Reason {
			t.Errorf("%s waits for %+v, want %+v first", user, waits, want)
		}
	}
}

// TestObserveLooksAtTheFirst: all parked messages are counted, however many, though only the first of each account and
// campaign are looked at.
func TestObserveLooksAtTheFirst(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.park(messages("busy", 250)...)
	f.park(messages("many", 170, inCampaign("spring"))...)
	f.park(messages("paused", 130, inCampaign("summer"))...)
	f.park(messages("other", 150)...)
	if _, err := f.store.SetCampaignState(f.ctx, "paused", "summer", db.CampaignPaused, "test"); err != nil {
		t.Fatal(err)
	}
	o := f.observe()
	want := map[picture.Reason]int64{picture.Turn: 30, picture.Token: 250 + 170 + 150 - 30, picture.Campaign: 130}
	if diff := cmp.Diff(want, o.Picture.Waiting); diff != "" || o.NotCounted != 0 {
		t.Errorf("%d not counted; (-want +got) %s", o.NotCounted, diff)
	}
}

// TestTurnBeginsWhenTheCampaignGoesOn: a message of a campaign that was paused has its turn since that goes on.
func TestTurnBeginsWhenTheCampaignGoesOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.park(message("creator", 1, inCampaign("spring")))
	for minute, state := range []db.CampaignState{db.CampaignPaused, db.CampaignRunning} {
		f.FreezeClock(t, start.Add(time.Duration(minute)*time.Minute))
		if _, err := f.store.SetCampaignState(f.ctx, "creator", "spring", state, "test"); err != nil {
			t.Fatal(err)
		}
	}
	f.FreezeClock(t, start.Add(62*time.Second))
	if p := f.observe().Picture; p.Waiting[picture.Turn] != 1 || p.LongestTurn != 2*time.Second {
		t.Errorf("2 s after it went on: %+v", p)
	}
}
