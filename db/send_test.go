package db_test

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// reserve takes one message in and releases it.
func (f *fleet) reserve(adjust ...func(*workflow.Message)) db.Attempt {
	f.t.Helper()
	before := len(f.attempts())
	f.ingest(true, message("creator", 1000+before, adjust...))
	all := f.attempts()
	if len(all) != before+1 {
		f.t.Fatalf("%d messages were released, want 1", len(all)-before)
	}
	return all[before]
}

// report is one step of TestReports: who says what about an attempt.
type report struct {
	outcome  workflow.EventKind
	resolver bool // it is the resolver's, not the worker's
	applied  bool
}

// TestReports: what the ledger and the workflow say after any sequence of reports on one attempt. Who comes second
// changes nothing, unless it is the evidence that the message was accepted.
func TestReports(t *testing.T) {
	t.Parallel()
	worker := func(outcome workflow.EventKind, applied bool) report { return report{outcome, false, applied} }
	resolver := func(outcome workflow.EventKind, applied bool) report { return report{outcome, true, applied} }
	const (
		accepted    = workflow.EventAccepted
		rejected    = workflow.EventRejected
		notSent     = workflow.EventNotSent
		rateLimited = workflow.EventRateLimited
		unknown     = workflow.EventUnknown
		withdrawn   = workflow.EventWithdrawn
	)
	for _, test := range []struct {
		name    string
		reports []report
		attempt string
		stage   workflow.Stage
		tries   int
	}{
		{"accepted", []report{worker(accepted, true)}, "accepted", workflow.StageSent, 0},
		{"accepted twice", []report{worker(accepted, true), worker(accepted, false)}, "accepted", workflow.StageSent, 0},
		{"rejected", []report{worker(rejected, true), worker(rejected, false)}, "rejected", workflow.StageFailed, 0},
		{"not sent", []report{worker(notSent, true), worker(notSent, false)}, "not_sent", workflow.StageQueued, 1},
		{"rate limited", []report{worker(rateLimited, true), worker(rateLimited, false)}, "not_sent", workflow.StageQueued, 0},
		{"unknown", []report{worker(unknown, true), worker(unknown, false)}, "unknown", workflow.StageInDoubt, 0},
		{"withdrawn", []report{worker(withdrawn, true), worker(withdrawn, false)}, "withdrawn", workflow.StageQueued, 0},
		{"accepted never goes down", []report{worker(accepted, true), worker(notSent, false), worker(unknown, false), resolver(notSent, false), worker(rejected, false)}, "accepted", workflow.StageSent, 0},
		{"settled as accepted", []report{worker(unknown, true), resolver(accepted, true), resolver(accepted, false)}, "accepted", workflow.StageSent, 0},
		{"settled as never accepted", []report{worker(unknown, true), resolver(notSent, true), resolver(notSent, false)}, "not_sent", workflow.StageQueued, 1},
		{"the worker is late and agrees", []report{resolver(unknown, true), resolver(accepted, true), worker(accepted, false)}, "accepted", workflow.StageSent, 0},
		{"the worker is late and knows less", []report{resolver(unknown, true), resolver(accepted, true), worker(unknown, false)}, "accepted", workflow.StageSent, 0},
		{"the worker is late and first to know", []report{resolver(unknown, true), worker(accepted, true), resolver(notSent, false)}, "accepted", workflow.StageSent, 0},
		{"the worker is late: it was rejected", []report{resolver(unknown, true), worker(rejected, true)}, "rejected", workflow.StageFailed, 0},
		{"the worker is late: it never called", []report{resolver(unknown, true), worker(withdrawn, false)}, "unknown", workflow.StageInDoubt, 0},
		{"it was accepted after all", []report{worker(unknown, true), resolver(notSent, true), worker(accepted, true), worker(notSent, false)}, "accepted", workflow.StageSent, 1},
		{"a rejection is no evidence of acceptance", []report{worker(rejected, true), worker(accepted, false)}, "rejected", workflow.StageFailed, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "10/60s", "1/60s")
			a := f.reserve()
			fence := f.mustBegin(a)
			for i, r := range test.reports {
				f.AdvanceClock(t, time.Second)
				done := db.Finish{Attempt: a, Fence: fence, Outcome: r.outcome, Reason: "test"}
				if r.resolver {
					done.ResolvedBy = "look-up"
				}
				other := done
				other.Fence++
				if f.finish(other).Applied {
					t.Errorf("report %d was applied under another fence", i)
				}
				if got := f.finish(done); got.Applied != r.applied {
					t.Errorf("report %d, %s: applied %v, want %v", i, r.outcome, got.Applied, r.applied)
				}
				f.check()
			}
			tries := one[int](f, `SELECT attempts FROM hybrid_workflows`)
			if state, stage := f.attemptState(a), f.stage(a.Workflow); state != test.attempt || stage != test.stage || tries != test.tries {
				t.Errorf("the attempt is %s, the workflow %s after %d tries; want %s, %s, %d", state, stage, tries, test.attempt, test.stage, test.tries)
			}
		})
	}
}

// TestAcceptedTooLate: evidence of acceptance that comes when the message is on its way again does not open the first
// attempt; when the message only waits to go again, it does, and the message goes no more.
func TestAcceptedTooLate(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	first := f.reserve()
	fence := f.mustBegin(first)
	f.finish(db.Finish{Attempt: first, Fence: fence, Outcome: workflow.EventNotSent, Reason: "test"})
	f.AdvanceClock(t, 10*time.Second)
	f.release("creator")
	second := db.Attempt{Workflow: first.Workflow, Sequence: 2}
	secondFence := f.mustBegin(second)
	late := db.Finish{Attempt: first, Fence: fence, Outcome: workflow.EventAccepted}
	if f.finish(late).Applied {
		t.Error("two attempts of one message are open")
	}
	f.check()
	f.finish(db.Finish{Attempt: second, Fence: secondFence, Outcome: workflow.EventNotSent, Reason: "test"})
	if !f.finish(late).Applied || f.stage(first.Workflow) != workflow.StageSent {
		t.Errorf("evidence of acceptance is not believed: %s", f.stage(first.Workflow))
	}
	f.AdvanceClock(t, time.Hour)
	f.release("creator")
	if n := len(f.attempts()); n != 2 {
		t.Errorf("%d attempts, want no third one", n)
	}
	f.check()
}

// TestFailedAfterAllTries: a message that is known not to have been sent is given up in the end, with the reason.
func TestFailedAfterAllTries(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	a := f.reserve(func(m *workflow.Message) { m.Attempts = 1 })
	f.finish(db.Finish{Attempt: a, Fence: f.mustBegin(a), Outcome: workflow.EventNotSent, Reason: "unreachable", Detail: "no route"})
	f.AdvanceClock(t, time.Minute)
	f.release("creator")
	a.Sequence = 2
	f.finish(db.Finish{Attempt: a, Fence: f.mustBegin(a), Outcome: workflow.EventNotSent, Reason: "unreachable", Detail: "no route"})
	if got := one[string](f, `SELECT format('%s %s %s', stage, attempts, last_error) FROM hybrid_workflows`); got != "failed 3 unreachable: no route" {
		t.Errorf("after the third try: %s", got)
	}
}

// TestReportsOfOneBatch: of two reports on one attempt in one transaction, as when a worker is late and the resolver at
// work, one counts, and it is the evidence of acceptance if there is any. One that has no meaning any more is no harm
// to the others.
func TestReportsOfOneBatch(t *testing.T) {
	t.Parallel()
	for _, acceptedFirst := range []bool{true, false} {
		f := newFleet(t, "10/60s", "off")
		a, b, gone := f.reserve(), f.reserve(), f.reserve()
		f.exec(`UPDATE hybrid_workflows SET stage = 'cancelled' WHERE id = $1`, gone.Workflow) // by hand
		fence := f.mustBegin(a)
		f.finish(db.Finish{Attempt: a, Fence: fence, Outcome: workflow.EventUnknown, Reason: "test"})
		two := []db.Finish{{Attempt: a, Fence: fence, Outcome: workflow.EventNotSent, ResolvedBy: "look-up"}, {Attempt: a, Fence: fence, Outcome: workflow.EventAccepted}}
		if acceptedFirst {
			slices.Reverse(two)
		}
		reports := append(two, db.Finish{Attempt: b, Fence: f.mustBegin(b), Outcome: workflow.EventAccepted}, db.Finish{Attempt: gone, Outcome: workflow.EventWithdrawn, Reason: "superseded"})
		finished, err := f.store.Finish(f.ctx, reports, true)
		if err != nil {
			t.Fatal(err)
		}
		for i, done := range finished {
			if want := i > 1 || reports[i].Outcome == workflow.EventAccepted; done.Applied != want {
				t.Errorf("report %d, %s: applied %v, want %v", i, reports[i].Outcome, done.Applied, want)
			}
		}
		for _, sent := range []db.Attempt{a, b} {
			if f.attemptState(sent) != "accepted" || f.stage(sent.Workflow) != workflow.StageSent {
				t.Errorf("attempt %s, workflow %s", f.attemptState(sent), f.stage(sent.Workflow))
			}
		}
		if f.attemptState(gone) != "withdrawn" || f.stage(gone.Workflow) != workflow.StageCancelled {
			t.Errorf("attempt %s, workflow %s, want it closed and left alone", f.attemptState(gone), f.stage(gone.Workflow))
		}
		f.check()
	}
}

// TestLateAcceptWhileReleasing: the message becomes known as sent while it is being released again. One of the two
// wins, and nobody sees an error.
func TestLateAcceptWhileReleasing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "off", "off")
	for range 15 {
		a := f.reserve()
		fence := f.mustBegin(a)
		f.finish(db.Finish{Attempt: a, Fence: fence, Outcome: workflow.EventNotSent, Reason: "test"})
		f.AdvanceClock(t, 10*time.Second)
		var late []db.Finished
		var both errgroup.Group
		both.Go(func() (err error) {
			late, err = f.store.Finish(f.ctx, []db.Finish{{Attempt: a, Fence: fence, Outcome: workflow.EventAccepted}}, true)
			return err
		})
		both.Go(func() error { _, err := f.store.Release(f.ctx, releaseOf("creator")); return err })
		if err := both.Wait(); err != nil {
			t.Fatal(err)
		}
		if stage := f.stage(a.Workflow); (stage == workflow.StageSent) != late[0].Applied {
			t.Errorf("late evidence applied: %v; the message is %s", late[0].Applied, stage)
		}
		f.check()
	}
}

// TestRests: an account that the gateway told to rest does, whatever calls that had begun before come to; then one
// message finds out, and the others follow when it got through.
func TestRests(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.ingest(true, messages("creator", 5)...)
	all := f.attempts()
	var fences []int64
	for _, a := range all[:3] {
		fences = append(fences, f.mustBegin(a))
	}
	f.AdvanceClock(t, time.Second)
	limited := db.Finish{Attempt: all[0], Fence: fences[0], Outcome: workflow.EventRateLimited, Reason: "rate_limited", Rest: 2 * time.Minute, RestReason: "rate_limited"}
	if done := f.finish(limited); done.Next != 2*time.Minute {
		t.Errorf("next look in %s, want after the rest", done.Next)
	}
	f.AdvanceClock(t, time.Second)
	f.finish(db.Finish{Attempt: all[1], Fence: fences[1], Outcome: workflow.EventAccepted})
	for _, a := range all[3:] {
		if begun := f.begin(a); begun.Verdict != db.VerdictWithdraw || begun.Reason != "account_resting" {
			t.Errorf("released before the rest: %s (%s), want it withdrawn", begun.Verdict, begun.Reason)
		}
		f.finish(db.Finish{Attempt: a, Outcome: workflow.EventWithdrawn, Reason: "account_resting"})
	}
	f.AdvanceClock(t, time.Minute)
	f.finish(db.Finish{Attempt: all[2], Fence: fences[2], Outcome: workflow.EventRejected, Reason: "test"})
	f.park(messages("creator", 9)...)
	if r := f.release("creator"); r.Count != 0 || !r.Waiting || r.Next != 59*time.Second {
		t.Fatalf("while it rests: %+v", r)
	}
	f.AdvanceClock(t, 59*time.Second)
	if r := f.release("creator"); r.Count != 1 || r.Next != 45*time.Second {
		t.Fatalf("after the rest: %+v, want one message to find out", r)
	}
	if r := f.release("creator"); r.Count != 0 {
		t.Errorf("before it has found out: %+v", r)
	}
	probe := f.attempts()[5]
	f.AdvanceClock(t, time.Second)
	f.send(probe, workflow.EventAccepted)
	if r := f.release("creator"); r.Count != 6 {
		t.Errorf("after it got through: %+v, want the 6 that are left", r)
	}
	f.check()
}

// TestRestsGrow: a gateway that can't be reached is asked less and less often.
func TestRestsGrow(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.park(messages("creator", 12, func(m *workflow.Message) { m.MaxRetries = 100 })...)
	for try, want := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute} {
		f.AdvanceClock(t, 2*time.Minute)
		before := len(f.attempts())
		f.release("creator")
		a := f.attempts()[before]
		f.finish(db.Finish{Attempt: a, Fence: f.mustBegin(a), Outcome: workflow.EventNotSent, Reason: "unreachable", Rest: 5 * time.Second, RestReason: "unreachable"})
		if got := one[time.Duration](f, `SELECT rest_until - hybrid_clock() FROM accounts`); got != want {
			t.Errorf("rest %d is %s, want %s", try+1, got, want)
		}
		for _, left := range f.attempts()[before+1:] { // what went with it
			f.finish(db.Finish{Attempt: left, Outcome: workflow.EventWithdrawn, Reason: "test"})
		}
	}
	f.check()
}

// TestReportsInCircles: reports that share accounts and attempts, in opposite orders, while releases hold the
// accounts' locks: nobody waits in a circle.
func TestReportsInCircles(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "20/60s", "off")
	f.withoutLeases()
	circles := f.countDeadlocks()
	users := []string{"ann", "ben", "cyd", "dan"}
	for round := range 15 {
		var batch []workflow.Delivery
		for n := range 12 {
			batch = append(batch, message(users[n%4], 100*round+n, func(m *workflow.Message) { m.MaxRetries = 1000 }))
		}
		before := len(f.attempts())
		f.ingest(true, batch...)
		attempts := f.attempts()[before:]
		starts, err := f.store.Begin(f.ctx, attempts)
		if err != nil {
			t.Fatal(err)
		}
		var all errgroup.Group
		for session := range 4 {
			var reports []db.Finish
			for i, a := range attempts {
				r := db.Finish{Attempt: a, Fence: starts[i].Fence, Outcome: workflow.EventAccepted, Reason: "test"}
				if (i+session)%2 == 0 {
					r.Outcome, r.Rest, r.RestReason = workflow.EventNotSent, time.Millisecond, "test"
				}
				reports = append(reports, r)
			}
			if session%2 == 1 {
				slices.Reverse(reports)
			}
			all.Go(func() error { _, err := f.store.Finish(f.ctx, reports, true); return err })
			all.Go(func() error { _, err := f.store.Release(f.ctx, releaseOf(users...)); return err })
			all.Go(func() error { _, err := f.store.Reconcile(f.ctx); return err })
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
		f.check()
		for _, a := range f.attempts() {
			if f.attemptState(a) == "reserved" {
				f.finish(db.Finish{Attempt: a, Outcome: workflow.EventWithdrawn, Reason: "test"})
			}
		}
		f.AdvanceClock(t, time.Hour)
	}
	if n := circles.Load(); n > 0 {
		t.Errorf("%d deadlocks, want none: everybody locks in one order", n)
	}
}
