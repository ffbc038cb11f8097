package db_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	made, err := f.store.CreateAPIKey(f.ctx, db.NewAPIKey{ID: "a", Name: "shop", SecretHash: []byte{1}, Accounts: []string{"creator"}, ValidFor: time.Hour, CreatedBy: "test"})
	if err != nil || made.ExpiresAt == nil || !made.ExpiresAt.Equal(start.Add(time.Hour)) || made.UsedAt != nil {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := f.store.CreateAPIKey(f.ctx, db.NewAPIKey{ID: "b", Name: "nobody's", SecretHash: []byte{1}}); err == nil {
		t.Error("a key for nothing was stored")
	}
	use := func() *time.Time {
		key, now, err := f.store.APIKey(f.ctx, "a")
		if err == nil {
			err = f.store.UsedAPIKey(f.ctx, key, now)
		}
		if err == nil {
			key, _, err = f.store.APIKey(f.ctx, "a")
		}
		if err != nil {
			t.Fatal(err)
		}
		return key.UsedAt
	}
	for _, step := range []struct{ advance, used time.Duration }{{0, 0}, {50 * time.Second, 0}, {10 * time.Second, time.Minute}} {
		f.AdvanceClock(t, step.advance)
		if used := use(); used == nil || !used.Equal(start.Add(step.used)) {
			t.Errorf("used at %v, want %v after the start", used, step.used)
		}
	}
	rotated, err := f.store.RotateAPIKey(f.ctx, "a", []byte{2}, time.Hour)
	if err != nil || rotated.SecretHash[0] != 2 || rotated.Previous[0] != 1 || !rotated.PreviousUntil.Equal(start.Add(time.Minute+time.Hour)) {
		t.Errorf("%+v, %v", rotated, err)
	}
	if rotated, err = f.store.RotateAPIKey(f.ctx, "a", []byte{3}, 0); err != nil || rotated.Previous != nil || rotated.PreviousUntil != nil {
		t.Errorf("%+v, %v", rotated, err)
	}
	if revoked, err := f.store.RevokeAPIKey(f.ctx, "a"); err != nil || revoked.RevokedAt == nil {
		t.Errorf("%+v, %v", revoked, err)
	}
	if _, err := f.store.RotateAPIKey(f.ctx, "a", []byte{4}, 0); !errors.Is(err, db.ErrNoAPIKey) {
		t.Errorf("a revoked key was rotated: %v", err)
	}
	if all, err := f.store.APIKeys(f.ctx, 10); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	try := func() db.Request {
		return db.Request{APIKey: "k", Key: "order-1", Owner: uuid.New(), Route: []byte("route"), Lease: 30 * time.Second}
	}
	claim := func(r db.Request) db.Claimed {
		t.Helper()
		c, err := f.store.ClaimRequest(f.ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	lost, second := try(), try()
	if !claim(lost).Mine || claim(second).Mine {
		t.Fatal("both or none may answer")
	}
	f.AdvanceClock(t, 20*time.Second)
	if alive, err := f.store.KeepRequest(f.ctx, lost); err != nil || !alive {
		t.Fatal(alive, err)
	}
	f.AdvanceClock(t, 20*time.Second)
	if claim(second).Mine {
		t.Error("a try that lives was taken over")
	}
	other := try()
	other.Route = []byte("another")
	f.AdvanceClock(t, 20*time.Second) // the first one's process ended
	if c := claim(other); c.Mine || !c.Other {
		t.Errorf("%+v", c)
	}
	if c := claim(second); !c.Mine || !c.Since.Equal(start) {
		t.Errorf("a try whose process ended blocks for ever: %+v", c)
	}
	if alive, _ := f.store.KeepRequest(f.ctx, lost); alive {
		t.Error("the lost one believes that it lives")
	}
	answer := db.Answer{Hash: []byte("whole"), Status: 201, Headers: http.Header{"Location": {"/x"}}, Body: []byte("{}")}
	late := answer
	late.Status = 500
	for _, step := range []struct {
		r db.Request
		a db.Answer
	}{{lost, late}, {second, answer}, {lost, late}} {
		if err := f.store.AnswerRequest(f.ctx, step.r, step.a); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.store.ForgetRequest(f.ctx, second); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(db.Claimed{Answer: &answer}, claim(try())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f.AdvanceClock(t, db.IdempotencyKept)
	again := try()
	if c := claim(again); !c.Mine || c.Since.Equal(start) {
		t.Errorf("an answer of yesterday blocks: %+v", c)
	}
	if err := f.store.ForgetRequest(f.ctx, again); err != nil {
		t.Fatal(err)
	}
	if !claim(try()).Mine {
		t.Error("a key that was given free blocks")
	}
	f.AdvanceClock(t, db.IdempotencyKept)
	if more, err := f.store.PurgeRequests(f.ctx); err != nil || more || one[int](f, `SELECT count(*) FROM idempotency_keys`) != 0 {
		t.Error(more, err)
	}
}

func TestOptOutsAndQuietHours(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	for _, id := range []string{"fan-2", "fan-1", "fan-1"} {
		if o, err := f.store.OptOut(f.ctx, db.OptOut{UserID: "creator", RecipientID: id, Reason: id, CreatedBy: "test"}); err != nil || o.Reason != id {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	if all, err := f.store.OptOuts(f.ctx, "creator", "fan-1", 10); err != nil || len(all) != 1 || all[0].RecipientID != "fan-2" {
		t.Errorf("%+v, %v", all, err)
	}
	if n, err := f.store.OptedOut(f.ctx, "creator", []string{"fan-1", "fan-2", "fan-3"}); err != nil || n != 2 {
		t.Error(n, err)
	}
	id := f.newCampaign(3) // fan-0 to fan-2
	if n, err := f.store.CampaignOptedOut(f.ctx, id, "creator"); err != nil || n != 2 {
		t.Error(n, err)
	}
	if had, err := f.store.OptIn(f.ctx, "creator", "fan-2"); err != nil || !had {
		t.Error(had, err)
	}
	if _, found, err := f.store.FindOptOut(f.ctx, "creator", "fan-2"); err != nil || found {
		t.Error(found, err)
	}
	f.ingest(true, messages("creator", 1)...)
	before := one[int](f, `SELECT count(*) FROM test_job_log WHERE kind = 'release'`)
	if _, err := f.store.SetQuietHours(f.ctx, "creator", "22:00-08:00 UTC", "test"); err != nil {
		t.Fatal(err)
	}
	if had, err := f.store.ClearQuietHours(f.ctx, "creator"); err != nil || !had {
		t.Error(had, err)
	}
	if n := one[int](f, `SELECT count(*) FROM test_job_log WHERE kind = 'release'`) - before; n != 2 {
		t.Errorf("%d looks were enqueued", n)
	}
}

// TestAccountLoad: what waits is counted by campaign and priority, recipients that are no messages yet among them.
func TestAccountLoad(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	later := start.Add(time.Hour)
	running := f.newCampaign(1500, func(c *db.NewCampaign) { c.Priority, c.Share = 2, 5 })
	scheduled := f.newCampaign(70, func(c *db.NewCampaign) { c.ScheduledFor = &later })
	paused := f.newCampaign(30)
	f.newCampaign(40) // a draft
	f.act(running, campaign.ActionStart)
	jobs := f.takeTextJobs("expand")
	if _, err := f.store.Expand(f.ctx, running, jobs[0].step); err != nil { // the first thousand
		t.Fatal(err)
	}
	f.act(scheduled, campaign.ActionStart)
	f.act(paused, campaign.ActionStart)
	f.act(paused, campaign.ActionPause)
	f.ingest(false, messages("creator", 12)...)
	load, err := f.store.AccountLoad(f.ctx, "creator")
	if err != nil {
		t.Fatal(err)
	}
	got := map[uuid.UUID]db.LoadQueue{}
	for _, q := range load.Queues {
		got[q.Campaign] = q
	}
	want := map[uuid.UUID]int64{running: 1490, scheduled: 70, uuid.Nil: 12}
	for id, n := range want {
		if got[id].Messages != n {
			t.Errorf("%s has %d, want %d", id, got[id].Messages, n)
		}
	}
	if len(got) != len(want) || got[running].Share != 5 || got[running].Priority != 2 || !got[scheduled].NotBefore.Equal(later) {
		t.Errorf("%+v", got)
	}
	if a := load.Account(); len(a.Rules) != 1 || len(a.Rules[0].InUse) != 10 || load.Certainty != db.Exactly {
		t.Errorf("%+v", a)
	}
	for _, a := range f.attempts() {
		s := f.begin(a)
		f.AdvanceClock(t, 300*time.Millisecond)
		f.finish(db.Finish{Attempt: a, Fence: s.Fence, Outcome: "accepted"})
	}
	if load, err = f.store.AccountLoad(f.ctx, "creator"); err != nil || load.Latency < 300*time.Millisecond || load.Latency > 3*time.Second {
		t.Errorf("latency %s, %v", load.Latency, err)
	}
}
