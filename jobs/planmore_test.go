package jobs_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

func inCampaign(m *workflow.Message) { m.CampaignID = "spring" }

func named(name string) func(*workflow.Message) {
	return func(m *workflow.Message) { m.MergeFields = map[string]string{"name": name} }
}

// budget_exceeded: the day's money is spent, so texts wait, an hour at a time, until the next day.
func TestBudgetExceeded(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{calls: 1})
	w.ingest(briefed(1), briefed(2, func(m *workflow.Message) { m.UserID = "other" }))
	w.run(2)
	if got := w.called(); len(got) != 1 {
		t.Fatalf("calls %v with the money for one", got)
	}
	waiting := w.life("wf-2")
	if waiting.Stage != "planning" {
		waiting = w.life("wf-1")
	}
	if diff := cmp.Diff([]string{"hybrid > queue: budget_exceeded"}, waiting.History); waiting.Stage != "planning" || diff != "" {
		t.Errorf("%+v", waiting)
	}
	for w.Clock(t).Before(planStart.Add(12 * time.Hour)) {
		if len(w.called()) > 1 {
			t.Fatal("called over the budget")
		}
		w.run(1)
	}
	w.run(1) // a new day
	if one, other := w.life("wf-1"), w.life("wf-2"); one.Stage != "queued" || other.Stage != "queued" || len(w.called()) != 2 {
		t.Errorf("%s and %s after %v", one.Stage, other.Stage, w.called())
	}
}

// all_open: nobody may be called, so texts wait until the first may.
func TestAllOpen(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{})
	w.fails(providersim.Azure, "azure_401_key")
	w.fails(providersim.OpenAI, "openai_429_credit_exhausted")
	w.ingest(briefed(1))
	w.run(1)
	w.ingest(briefed(2, func(m *workflow.Message) { m.UserID = "other" }))
	w.run(1)
	if got := w.life("wf-2"); got.Stage != "planning" || !slices.Equal(got.History, []string{"azure > openai: azure_auth", "openai > queue: all_open"}) {
		t.Errorf("%+v", got)
	}
	w.run(10)
	if one, other := w.life("wf-1"), w.life("wf-2"); one.Stage != "queued" || other.Stage != "queued" || one.Current != "azure" || other.Current != "azure" {
		t.Errorf("%+v\n%+v", one, other)
	}
	// The key was refused for five minutes; a probe then closed the breaker for both.
	if got := strings.Join(w.called(), " "); got != "azure openai azure azure" || w.Clock(t).Sub(planStart) != 5*time.Minute {
		t.Errorf("calls %s in %s", got, w.Clock(t).Sub(planStart))
	}
}

// azure_billing_stop, and the deadline of a chain.
func TestOtherRows(t *testing.T) {
	t.Parallel()
	t.Run("azure_billing_stop", func(t *testing.T) {
		t.Parallel()
		w := newWriters(t, writerOptions{})
		w.fails(providersim.Azure, "402_payment")
		w.ingest(briefed(1))
		w.run(5)
		if got := w.life("wf-1"); got.Stage != "queued" || got.Current != "openai" || len(got.History) != 1 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		w := newWriters(t, writerOptions{matrix: "bounds: {maxCalls: 2}\nrows: []\n"})
		w.fails(providersim.Azure, "504_html", "504_html")
		w.ingest(briefed(1))
		w.run(5)
		got := w.life("wf-1")
		if want := []string{"azure > queue: deadline"}; got.Stage != "queued" || !slices.Equal(got.History, want) {
			t.Errorf("%+v", got)
		}
		if diff := cmp.Diff([]time.Duration{0, 5 * time.Second, time.Minute}, w.waits); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("not paid for in vain for ever", func(t *testing.T) {
		t.Parallel()
		w := newWriters(t, writerOptions{matrix: "bounds: {maxCharged: 3}\nrows: []\n", only: []provider.Name{provider.OpenAI}})
		w.fails(providersim.OpenAI, "504_html", "504_html", "504_html")
		w.ingest(briefed(1))
		w.run(10)
		if got := w.life("wf-1"); got.Stage != "failed" || got.LastError != "queue_exhausted: all_failed" || len(w.called()) != 3 {
			t.Errorf("%+v after %v", got, w.called())
		}
	})
	t.Run("queue_exhausted", func(t *testing.T) {
		t.Parallel()
		w := newWriters(t, writerOptions{matrix: "bounds: {queueMaxWaits: 2}\nrows: []\n"})
		w.fails(providersim.Azure, "503_html", "503_html", "503_html")
		w.fails(providersim.OpenAI, "503_html", "503_html", "503_html")
		w.ingest(briefed(1))
		w.run(10)
		if got := w.life("wf-1"); got.Stage != "failed" || got.LastError != "queue_exhausted: all_failed" || len(w.called()) != 6 {
			t.Errorf("%+v after %v", got, w.called())
		}
	})
}

// One text for a campaign, however many its messages and whenever they come; each with its own words in it.
func TestOneTextForACampaign(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{})
	if err := w.sim.Enqueue(providersim.Azure, providersim.Fault{Text: "Hey {{name|you}}, a new print!"}); err != nil {
		t.Fatal(err)
	}
	var batch []workflow.Delivery
	for i := range 1234 {
		batch = append(batch, briefed(i, inCampaign, named(fmt.Sprintf("Ann%d", i))))
	}
	w.ingest(batch[:700]...)
	w.ingest(batch[700:1200]...)
	w.run(10)
	w.ingest(batch[1200:]...)
	w.run(10)
	if calls := len(w.called()); calls != 1 || w.number(`SELECT count(*) FROM texts`) != 1 {
		t.Errorf("%d calls, %d texts", calls, w.number(`SELECT count(*) FROM texts`))
	}
	for _, i := range []int{0, 699, 700, 1233} {
		if got := w.life(fmt.Sprintf("wf-%d", i)); got.Stage != "queued" || got.Content != fmt.Sprintf("Hey Ann%d, a new print!", i) || got.Current != "azure" {
			t.Errorf("%d: %+v", i, got)
		}
	}
	if n := w.number(`SELECT count(DISTINCT content) FROM hybrid_workflows WHERE stage = 'queued'`); n != 1234 {
		t.Errorf("%d texts", n)
	}
	// Another brief, another account, other fields, and one of its own: a text each.
	w.ingest(briefed(2000, inCampaign, named("Bo"), func(m *workflow.Message) { m.Brief = "Something else." }),
		briefed(2001, inCampaign, named("Bo"), func(m *workflow.Message) { m.UserID = "other" }), briefed(2002, inCampaign),
		briefed(2003, inCampaign, named("Bo"), func(m *workflow.Message) { m.OwnText = true }))
	w.run(20)
	if n := w.number(`SELECT count(*) FROM texts WHERE state = 'ready'`); n != 5 || len(w.called()) != 5 {
		t.Errorf("%d texts, %d calls", n, len(w.called()))
	}
}

// A recipient whose words can't be used fails alone, with the field's name and nothing of its value.
func TestUnusableFieldFailsAlone(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{})
	if err := w.sim.Enqueue(providersim.Azure, providersim.Fault{Text: "Hey {{name}}!"}); err != nil {
		t.Fatal(err)
	}
	w.ingest(briefed(1, inCampaign, named("Ann")), briefed(2, inCampaign, named("https://evil.example")))
	w.run(5)
	if good, bad := w.life("wf-1"), w.life("wf-2"); good.Content != "Hey Ann!" || bad.Stage != "failed" || bad.LastError != "merge_field_unusable: name" || bad.Content != "" {
		t.Errorf("%+v\n%+v", good, bad)
	}
}

// A failed text makes room for another try by messages that come later.
func TestAfterAFailedText(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{})
	w.fails(providersim.Azure, "azure_400_content_filter")
	w.ingest(briefed(1, inCampaign))
	w.run(5)
	w.ingest(briefed(2, inCampaign))
	w.run(5)
	if failed, later := w.life("wf-1"), w.life("wf-2"); failed.Stage != "failed" || later.Stage != "queued" {
		t.Errorf("%+v\n%+v", failed, later)
	}
}

// A paused campaign costs nothing; one that is cancelled neither. What goes on goes on by itself.
func TestPausedAndCancelledCampaigns(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{})
	set := func(state db.CampaignState) {
		t.Helper()
		if _, err := w.store.SetCampaignState(t.Context(), "creator", "spring", state, "test"); err != nil {
			t.Fatal(err)
		}
	}
	set(db.CampaignPaused)
	w.ingest(briefed(1, inCampaign))
	if jobs := w.run(5); jobs != 1 || len(w.called()) != 0 {
		t.Errorf("%d jobs, calls %v while paused", jobs, w.called())
	}
	w.AdvanceClock(t, time.Hour)
	if r, err := w.store.Reconcile(t.Context()); err != nil || r.Unplanned != 0 {
		t.Errorf("a text of a paused campaign is not lost: %+v, %v", r, err)
	}
	set(db.CampaignRunning)
	w.run(5)
	if got := w.life("wf-1"); got.Stage != "queued" || len(w.called()) != 1 {
		t.Errorf("%+v", got)
	}
	set(db.CampaignPaused)
	w.ingest(briefed(2, inCampaign, func(m *workflow.Message) { m.Brief = "Another." }))
	w.run(5)
	set(db.CampaignCancelled)
	w.run(5)
	if got := w.life("wf-2"); got.Stage != "cancelled" || len(w.called()) != 1 {
		t.Errorf("%+v after %v", got, w.called())
	}
}

// A long outage of one provider among many messages: calls of it stay within the breaker's bound.
func TestOutageCostsFewCalls(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{})
	if err := w.sim.SetDefault(providersim.Azure, &providersim.Fault{Fixture: "503_html"}); err != nil {
		t.Fatal(err)
	}
	const messages = 40
	for i := range messages {
		w.ingest(briefed(i))
	}
	w.run(2 * messages)
	counts := map[string]int{}
	for _, name := range w.called() {
		counts[name]++
	}
	if counts["openai"] != messages || counts["azure"] > 5 {
		t.Errorf("calls %v", counts)
	}
	w.AdvanceClock(t, 31*time.Second)
	w.ingest(briefed(1000), briefed(1001))
	w.run(10)
	if n := w.sim.Counts(providersim.Azure); n.Calls != int64(counts["azure"])+1 {
		t.Errorf("%d calls in all, want one probe more than %d", n.Calls, counts["azure"])
	}
	w.sim.Clear(providersim.Azure)
	w.AdvanceClock(t, 61*time.Second)
	w.ingest(briefed(2000), briefed(2001))
	w.run(10)
	if got := w.life("wf-2001"); got.Current != "azure" {
		t.Errorf("%+v: the provider works again", got)
	}
}

// A process that stops finishes the call that is under way, and leaves the next one to others.
func TestStopBetweenTwoCalls(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{})
	w.fails(providersim.Azure, "503_html")
	w.ingest(briefed(1))
	args, _, _ := w.job()
	stops := &stoppingWriter{writers: w}
	w.worker = jobs.NewPlanWorker(w, stops, slog.New(slog.DiscardHandler), time.Now, func(context.Context, time.Duration) {}, func() bool { return w.stopping })
	if err := w.work(args); err != nil || len(w.called()) != 1 {
		t.Fatalf("%v after %v", err, w.called())
	}
	w.stopping = false
	again, wait, found := w.job()
	if !found || wait != 0 || w.work(again) != nil {
		t.Fatal("nobody goes on")
	}
	if got := w.life("wf-1"); got.Stage != "queued" || got.Current != "openai" || len(w.called()) != 2 {
		t.Errorf("%+v after %v", got, w.called())
	}
}

// stoppingWriter is asked to stop while it makes a call.
type stoppingWriter struct{ *writers }

func (s *stoppingWriter) Write(ctx context.Context, call db.PlanCall, since time.Time) db.PlanEnd {
	end := s.writers.Write(ctx, call, since)
	s.stopping = len(s.called()) == 1
	return end
}

// maxCostUsd of a campaign: its texts wait when the money is spent, whatever else there is.
func TestCampaignsOwnBudget(t *testing.T) {
	t.Parallel()
	w := newWriters(t, writerOptions{})
	most := *w.author.Estimate(provider.Azure, db.PlanCall{Template: w.author.Template(), Brief: "Thank them for a year."}).PicoUSD + 1
	campaign := db.NewCampaign{ID: uuid.New(), UserID: "creator", Name: "Spring", Brief: "Thank them for a year.", OwnTexts: true, Priority: 3, Share: 1, MaxCostPico: &most, CreatedBy: "test"}
	if err := w.store.CreateCampaign(t.Context(), campaign); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.AddRecipients(t.Context(), campaign.ID, []db.Recipient{{ID: "fan-1"}, {ID: "fan-2"}, {ID: "fan-3"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.ChangeCampaign(t.Context(), campaign.ID, func(db.CampaignState) (db.CampaignState, error) { return db.CampaignRunning, nil }, "test"); err != nil {
		t.Fatal(err)
	}
	if done, err := w.store.Expand(t.Context(), campaign.ID, 1); err != nil || done.Made != 3 {
		t.Fatalf("%+v, %v", done, err)
	}
	w.ingest(briefed(1)) // of no campaign
	w.run(4)
	if ready, waiting := w.number(`SELECT count(*) FROM texts WHERE state = 'ready'`), w.number(`SELECT count(*) FROM texts WHERE waits_for = 'budget_exceeded'`); ready != 2 || waiting != 2 || len(w.called()) != 2 {
		t.Errorf("%d texts ready, %d wait, calls %v", ready, waiting, w.called())
	}
}
