package db_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// TestBeginOnce: of any number of runs of a send job, one after the other, at once or in one batch, one may call.
func TestBeginOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "100/60s", "off")
	a := f.reserve()
	f.mustBegin(a)
	if again := f.begin(a); again.Verdict != db.VerdictDone || again.Fence != 0 {
		t.Errorf("begun again: %+v", again)
	}

	b := f.reserve()
	starts, err := f.store.Begin(f.ctx, []db.Attempt{b, a, b, {Workflow: uuid.New(), Sequence: 1}, {Workflow: b.Workflow, Sequence: 2}})
	if err != nil {
		t.Fatal(err)
	}
	var verdicts []db.Verdict
	for _, s := range starts {
		verdicts = append(verdicts, s.Verdict)
	}
	slices.Sort(verdicts[:3])
	if diff := cmp.Diff([]db.Verdict{db.VerdictDone, db.VerdictDone, db.VerdictGo, db.VerdictDone, db.VerdictDone}, verdicts); diff != "" {
		t.Errorf("one twice in a batch, one begun, two unknown (-want +got):\n%s", diff)
	}

	for range 10 {
		var some []db.Attempt
		for range 4 {
			some = append(some, f.reserve())
		}
		var calls atomic.Int32
		var all errgroup.Group
		for session := range 8 {
			mine := slices.Clone(some)
			if session%2 == 1 {
				slices.Reverse(mine)
			}
			all.Go(func() error {
				starts, err := f.store.Begin(f.ctx, mine)
				for _, s := range starts {
					if s.Verdict == db.VerdictGo {
						calls.Add(1)
					}
				}
				return err
			})
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
		if n := calls.Load(); n != 4 {
			t.Fatalf("%d calls of 4 attempts", n)
		}
	}
	f.check()
}

// TestBeginTells what a call needs to know.
func TestBeginTells(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "1/60s")
	a := f.reserve(func(m *workflow.Message) {
		m.Trace = workflow.TraceContext{TraceID: "t", SpanID: "s", Timestamp: start}
	})
	got := f.begin(a)
	want := db.Start{Verdict: db.VerdictGo, Fence: got.Fence, UserID: "creator", WorkflowID: "wf-creator-1000", RecipientID: "fan-creator-1000", Content: "Hello", Attempt: 1,
		Capacity: 10, Window: time.Minute, Trace: workflow.TraceContext{TraceID: "t", SpanID: "s", Timestamp: start, UserID: "creator", WorkflowID: "wf-creator-1000"}}
	if diff := cmp.Diff(want, got); diff != "" || got.Fence == 0 {
		t.Errorf("fence %d (-want +got):\n%s", got.Fence, diff)
	}
	f.finish(db.Finish{Attempt: a, Fence: got.Fence, Outcome: workflow.EventNotSent, Reason: "test"})
	if err := f.store.SetLimit(f.ctx, limit.ScopeAccount, "creator", limit.Rules{}, -time.Second, "test"); err != nil {
		t.Fatal(err)
	}
	f.AdvanceClock(t, 5*time.Second)
	f.release("creator")
	second := f.begin(db.Attempt{Workflow: a.Workflow, Sequence: 2})
	if second.Verdict != db.VerdictGo || second.Attempt != 2 || second.Capacity != 0 || second.Fence <= got.Fence {
		t.Errorf("the second try, without a limit: %+v", second)
	}
}

// TestBeginRefused: a message whose situation has changed since its release is not sent, keeps its place and gives its
// tokens back at once.
func TestBeginRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(f *fleet, a db.Attempt)
		stage  workflow.Stage // after it was withdrawn
	}{
		{"campaign_paused", func(f *fleet, _ db.Attempt) { pauseSpring(f) }, workflow.StageQueued},
		{"campaign_cancelled", func(f *fleet, _ db.Attempt) {
			if _, err := f.store.SetCampaignState(f.ctx, "creator", "spring", db.CampaignCancelled, "test"); err != nil {
				f.t.Fatal(err)
			}
		}, workflow.StageQueued},
		{"campaign_scheduled", func(f *fleet, _ db.Attempt) { f.exec(`UPDATE campaigns SET state = 'scheduled'`) }, workflow.StageQueued},
		{"campaign_draft", func(f *fleet, _ db.Attempt) { f.exec(`UPDATE campaigns SET state = 'draft'`) }, workflow.StageQueued},
		{"campaign_failed", func(f *fleet, _ db.Attempt) { f.exec(`UPDATE campaigns SET state = 'failed'`) }, workflow.StageQueued},
		{"reservation_expired", func(f *fleet, _ db.Attempt) { f.AdvanceClock(f.t, db.DefaultReservation) }, workflow.StageQueued},
		{"fleet_frozen", func(f *fleet, _ db.Attempt) {
			f.exec(`UPDATE fleet_state SET frozen_until = hybrid_clock() + interval '1 second'`)
		}, workflow.StageQueued},
		{"superseded", func(f *fleet, a db.Attempt) { // by hand: no code does this
			f.exec(`UPDATE hybrid_workflows SET stage = 'cancelled' WHERE id = $1`, a.Workflow)
		}, workflow.StageCancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "1/60s", "1/60s")
			a := f.reserve(inCampaign("spring"))
			test.change(f, a)
			begun := f.begin(a)
			if begun.Verdict != db.VerdictWithdraw || begun.Reason != test.name || begun.Content != "" {
				t.Fatalf("begin: %+v, want it withdrawn: %s", begun, test.name)
			}
			done := f.finish(db.Finish{Attempt: a, Outcome: workflow.EventWithdrawn, Reason: begun.Reason})
			if !done.Applied || done.Stage != test.stage || f.stage(a.Workflow) != test.stage {
				t.Errorf("withdrawn: %+v, stage %s, want %s", done, f.stage(a.Workflow), test.stage)
			}
			if held := one[int](f, `SELECT count(*) FROM send_holds WHERE upper(held) > hybrid_clock()`); held != 0 {
				t.Errorf("%d tokens are still held", held)
			}
			f.exec(`UPDATE fleet_state SET frozen_until = 'epoch'`)
			f.reserve(toRecipient("fan-creator-1000"), withPriority(1)) // by the same tokens
			if again := f.begin(a); again.Verdict != db.VerdictDone {
				t.Errorf("begun after it was withdrawn: %s", again.Verdict)
			}
		})
	}
}

// TestPauseWhileItBegins: a pause and the start of a call have one order. Either the call has begun, and the pause
// counts it, or the pause was first and the call does not begin.
func TestPauseWhileItBegins(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "off", "off")
	begun := 0
	for round := range 40 {
		campaign := fmt.Sprintf("campaign-%d", round)
		a := f.reserve(inCampaign(campaign))
		var got db.Start
		var change db.CampaignChange
		var both errgroup.Group
		both.Go(func() error {
			starts, err := f.store.Begin(f.ctx, []db.Attempt{a})
			if err == nil {
				got = starts[0]
			}
			return err
		})
		both.Go(func() (err error) {
			change, err = f.store.SetCampaignState(f.ctx, "creator", campaign, db.CampaignPaused, "test")
			return err
		})
		if err := both.Wait(); err != nil {
			t.Fatal(err)
		}
		switch {
		case got.Verdict == db.VerdictGo && change.InFlight == 1:
			begun++
		case got.Verdict == db.VerdictWithdraw && got.Reason == "campaign_paused" && change.InFlight == 0:
		default:
			t.Fatalf("round %d: begin says %s (%s), the pause %d in flight", round, got.Verdict, got.Reason, change.InFlight)
		}
	}
	t.Logf("the call was first in %d of 40 rounds", begun)
}
