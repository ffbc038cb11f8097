package db_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// newCampaign creates a draft with so many recipients.
func (f *fleet) newCampaign(recipients int, adjust ...func(*db.NewCampaign)) uuid.UUID {
	f.t.Helper()
	c := db.NewCampaign{ID: uuid.New(), UserID: "creator", Name: "Spring", Content: "Hi {{name|you}}", Priority: 3, Share: 1, CreatedBy: "test"}
	for _, change := range adjust {
		change(&c)
	}
	if err := f.store.CreateCampaign(f.ctx, c); err != nil {
		f.t.Fatal(err)
	}
	f.addRecipients(c.ID, 0, recipients)
	return c.ID
}

func (f *fleet) addRecipients(id uuid.UUID, from, count int) db.AddedRecipients {
	f.t.Helper()
	var batch []db.Recipient
	for i := range count {
		batch = append(batch, db.Recipient{ID: fmt.Sprintf("fan-%d", from+i), Fields: map[string]string{"name": fmt.Sprintf("Ann %d", from+i)}})
	}
	added, err := f.store.AddRecipients(f.ctx, id, batch)
	if err != nil {
		f.t.Fatal(err)
	}
	return added
}

func (f *fleet) act(id uuid.UUID, action campaign.Action) db.CampaignChange {
	f.t.Helper()
	change, err := f.store.ChangeCampaign(f.ctx, id, func(s db.CampaignState) (db.CampaignState, error) {
		next, err := campaign.Next(campaign.State(s), action)
		return db.CampaignState(next), err
	}, "test")
	if err != nil {
		f.t.Fatal(err)
	}
	return change
}

// expandJobs works the expand jobs that there are.
func (f *fleet) expandJobs() {
	f.t.Helper()
	for _, j := range f.takeTextJobs(workflow.StepExpand) {
		for {
			done, err := f.store.Expand(f.ctx, j.text, j.step)
			if err != nil {
				f.t.Fatal(err)
			}
			if !done.More {
				break
			}
		}
	}
}

type textJob struct {
	text uuid.UUID
	step int
}

func (f *fleet) takeTextJobs(kind workflow.StepKind) (jobs []textJob) {
	f.t.Helper()
	rows, err := f.plain.Query(f.ctx, `UPDATE test_job_log SET taken = true WHERE kind = $1 AND NOT taken RETURNING text, sequence`, string(kind))
	if err != nil {
		f.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var j textJob
		if err := rows.Scan(&j.text, &j.step); err != nil {
			f.t.Fatal(err)
		}
		jobs = append(jobs, j)
	}
	return jobs
}

func (f *fleet) detail(id uuid.UUID) db.CampaignDetail {
	f.t.Helper()
	detail, err := f.store.CampaignByID(f.ctx, id)
	if err != nil {
		f.t.Fatal(err)
	}
	return detail
}

// TestCampaignExpands: recipients become messages, each once, each with its own words; whoever is added while it runs, too.
func TestCampaignExpands(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	id := f.newCampaign(2500)
	if again := f.addRecipients(id, 2400, 200); again != (db.AddedRecipients{Added: 100, Duplicates: 100, Total: 2600}) {
		t.Errorf("%+v", again)
	}
	f.expandJobs()
	if d := f.detail(id); d.State != db.CampaignDraft || d.Messages() != 0 || d.Recipients != 2600 {
		t.Errorf("%+v", d)
	}
	f.act(id, campaign.ActionStart)
	f.expandJobs()
	d := f.detail(id)
	if d.State != db.CampaignRunning || d.Expanding {
		t.Errorf("%+v", d)
	}
	if diff := cmp.Diff(map[workflow.Stage]int64{"queued": 2590, "sending": 10}, d.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	f.addRecipients(id, 5000, 3)
	f.expandJobs()
	if n := f.detail(id).Messages(); n != 2603 {
		t.Errorf("%d messages", n)
	}
	if n := one[int](f, `SELECT count(DISTINCT recipient_id) FROM hybrid_workflows WHERE content = 'Hi Ann ' || substr(recipient_id, 5)`); n != 2603 {
		t.Errorf("%d have their own words", n)
	}
	before := f.detail(id).Counts
	for range 2 {
		if _, err := f.store.Reconcile(f.ctx); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, f.detail(id).Counts); diff != "" || one[int](f, `SELECT count(*) FROM campaign_deltas`) != 0 {
			t.Errorf("after the sum: %s", diff)
		}
	}
}

// TestExpansionIsKilled: a chunk that was lost before or after its commit is made once, and a job of yesterday does nothing.
func TestExpansionIsKilled(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	id := f.newCampaign(2100)
	f.act(id, campaign.ActionStart)
	jobs := f.takeTextJobs(workflow.StepExpand)
	if len(jobs) != 1 {
		t.Fatalf("%d jobs", len(jobs))
	}
	f.jobs.fails.Store(true)
	if _, err := f.store.Expand(f.ctx, id, jobs[0].step); !errors.Is(err, errEnqueue) {
		t.Fatalf("%v", err)
	}
	f.jobs.fails.Store(false)
	for range 2 { // committed, and its process died before it knew
		if _, err := f.store.Expand(f.ctx, id, jobs[0].step); err != nil {
			t.Fatal(err)
		}
	}
	f.AdvanceClock(t, time.Minute)
	if r := f.reconcile(); r.Unexpanded != 1 {
		t.Fatalf("%+v", r)
	}
	if done, err := f.store.Expand(f.ctx, id, jobs[0].step); err != nil || done.Made != 0 {
		t.Errorf("the old job made %d, %v", done.Made, err)
	}
	f.expandJobs()
	if d := f.detail(id); d.Messages() != 2100 || d.Expanding {
		t.Errorf("%+v", d)
	}
}

// TestOptOutBeforeTheSend: whoever opted out before a message's call is not sent it, wherever the message is.
func TestOptOutBeforeTheSend(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	f.ingest(true, messages("creator", 4)...) // two are released, two wait
	f.exec(`INSERT INTO opt_outs VALUES ('creator', 'fan-creator-1', '', $1, 'test'), ('creator', 'fan-creator-3', '', $1, 'test'), ('other', 'fan-creator-2', '', $1, 'test')`, start)
	started := 0
	for _, a := range f.attempts() {
		if s := f.begin(a); s.Verdict == db.VerdictGo {
			started++
			f.finish(db.Finish{Attempt: a, Fence: s.Fence, Outcome: workflow.EventAccepted})
		} else {
			f.finish(db.Finish{Attempt: a, Outcome: workflow.EventWithdrawn, Reason: s.Reason})
		}
	}
	if started != 1 {
		t.Errorf("%d calls began", started)
	}
	for range 4 {
		f.AdvanceClock(t, 2*time.Minute)
		f.release("creator")
		for _, a := range f.attempts() {
			if f.attemptState(a) == "reserved" {
				f.send(a, workflow.EventAccepted)
			}
		}
	}
	if diff := cmp.Diff(map[workflow.Stage]int{"sent": 2, "cancelled": 2}, f.stages()); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	if n := one[int](f, `SELECT count(*) FROM hybrid_workflows WHERE stage = 'cancelled' AND last_error = 'opted_out'`); n != 2 {
		t.Errorf("%d say why", n)
	}
}

// TestExpiry: what is not sent by its time is not sent.
func TestExpiry(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	until := start.Add(90 * time.Second)
	id := f.newCampaign(5, func(c *db.NewCampaign) { c.ExpiresAt = &until })
	f.act(id, campaign.ActionStart)
	f.expandJobs()
	for _, a := range f.attempts() {
		f.send(a, workflow.EventAccepted)
	}
	f.AdvanceClock(t, 100*time.Second)
	f.release("creator")
	f.reconcile()
	if diff := cmp.Diff(map[workflow.Stage]int64{"sent": 2, "expired": 3}, f.detail(id).Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if d := f.detail(id); d.State != db.CampaignCompleted || d.EndedAt == nil {
		t.Errorf("%+v", d)
	}
}

// TestShares: campaigns of one priority share the account's rate by their weights; a more urgent one goes first.
func TestShares(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	var ids []uuid.UUID
	for i, share := range []int{1, 3} {
		id := f.newCampaign(200, func(c *db.NewCampaign) { c.Share, c.Name = share, fmt.Sprint(i) })
		f.act(id, campaign.ActionStart)
		ids = append(ids, id)
	}
	f.expandJobs()
	for range 8 {
		for _, a := range f.attempts() {
			if f.attemptState(a) == "reserved" {
				f.send(a, workflow.EventAccepted)
			}
		}
		f.AdvanceClock(t, 61*time.Second)
		f.release("creator")
	}
	one, three := f.detail(ids[0]).Counts["sent"], f.detail(ids[1]).Counts["sent"]
	if total := one + three; total != 80 || one < 25 || one > 30 { // the first ten went before the second had messages
		t.Errorf("%d and %d", one, three)
	}
	urgent := f.newCampaign(10, func(c *db.NewCampaign) { c.Priority = 1 })
	f.act(urgent, campaign.ActionStart)
	f.expandJobs()
	for _, a := range f.attempts() {
		if f.attemptState(a) == "reserved" {
			f.send(a, workflow.EventAccepted)
		}
	}
	f.AdvanceClock(t, 61*time.Second)
	f.release("creator")
	if n := f.detail(urgent).Counts["sending"]; n != 10 {
		t.Errorf("%d of the urgent campaign go", n)
	}
}

// TestQuietHours: an account sends nothing in its quiet hours, and goes on by itself when they end.
func TestQuietHours(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.exec(`INSERT INTO quiet_hours VALUES ('creator', '11:30-13:00 UTC', $1, 'test')`, start) // it is noon
	f.ingest(true, messages("creator", 2)...)
	r := f.release("creator")
	if r.Count != 0 || r.Next != time.Hour {
		t.Errorf("%+v", r)
	}
	f.AdvanceClock(t, time.Hour)
	if r := f.release("creator"); r.Count != 2 {
		t.Errorf("%+v", r)
	}
}
