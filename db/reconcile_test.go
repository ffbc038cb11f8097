package db_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func (f *fleet) reconcile() db.Reconciled {
	f.t.Helper()
	done, err := f.store.Reconcile(f.ctx)
	if err != nil {
		f.t.Fatalf("reconcile: %v", err)
	}
	return done
}

// TestReconcile: each thing that a crash or a bug can leave behind is found, put right once, and not found again.
func TestReconcile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		leave func(f *fleet)
		want  db.Reconciled
		check func(f *fleet)
	}{
		{"a reservation that no worker came for", func(f *fleet) {
			f.reserve()
			f.AdvanceClock(f.t, db.DefaultReservation+2*time.Second)
		}, db.Reconciled{Expired: 1}, func(f *fleet) { f.wantStage(workflow.StageQueued, "withdrawn") }},
		{"a call whose worker died", func(f *fleet) {
			f.mustBegin(f.reserve())
			f.AdvanceClock(f.t, 36*time.Second)
		}, db.Reconciled{Abandoned: 1}, func(f *fleet) { f.wantStage(workflow.StageInDoubt, "unknown") }},
		{"a doubt whose look-up was lost", func(f *fleet) {
			a := f.reserve()
			f.finish(db.Finish{Attempt: a, Fence: f.mustBegin(a), Outcome: workflow.EventUnknown, LookUpIn: time.Second})
			f.AdvanceClock(f.t, 62*time.Second)
			f.exec(`DELETE FROM test_job_log WHERE kind = 'resolve'`)
		}, db.Reconciled{Unasked: 1}, func(f *fleet) {
			if n := len(f.readJobs(workflow.StepResolve)); n != 1 {
				f.t.Errorf("%d look-ups, want 1", n)
			}
		}},
		{"a message that is sent by nobody", func(f *fleet) {
			a := f.reserve()
			f.send(a, workflow.EventNotSent)
			f.exec(`UPDATE hybrid_workflows SET stage = 'sending'`) // by hand
			f.AdvanceClock(f.t, 62*time.Second)
		}, db.Reconciled{Orphaned: 1, Unwoken: 0}, func(f *fleet) { f.wantStage(workflow.StageQueued, "not_sent") }},
		{"a message of a cancelled campaign", func(f *fleet) {
			f.park(message("creator", 1, inCampaign("spring")), message("creator", 2, inCampaign("spring"), func(m *workflow.Message) { m.Content, m.Brief = "", "b" }))
			f.cancelSpring()
		}, db.Reconciled{Cancelled: 2}, func(f *fleet) {
			if diff := cmp.Diff(map[workflow.Stage]int{workflow.StageCancelled: 2}, f.stages()); diff != "" {
				f.t.Errorf("stages (-want +got):\n%s", diff)
			}
			if n := one[int](f, `SELECT count(*) FROM workflow_events WHERE kind = 'cancelled'`); n != 2 {
				f.t.Errorf("%d entries of the timeline, want 2", n)
			}
		}},
		{"an account that nobody looks at", func(f *fleet) { f.park(message("creator", 1)) }, db.Reconciled{Unwoken: 1}, func(f *fleet) { f.wantOneWakeUp() }},
		{"a wake-up whose job was lost", func(f *fleet) {
			f.park(messages("creator", 11)...)
			f.release("creator")
			f.AdvanceClock(f.t, 3*time.Minute)
			f.exec(`DELETE FROM test_job_log WHERE kind = 'release'`)
			for _, a := range f.attempts() {
				f.finish(db.Finish{Attempt: a, Outcome: workflow.EventWithdrawn})
			}
			f.exec(`DELETE FROM test_job_log WHERE kind = 'release'`)
			f.AdvanceClock(f.t, 2*time.Minute)
		}, db.Reconciled{Unwoken: 1}, func(f *fleet) { f.wantOneWakeUp() }},
		{"a booking that has passed", func(f *fleet) {
			f.exec(`INSERT INTO recipient_limits VALUES ('past', $1), ('future', $2)`, start.Add(-time.Second), start.Add(time.Second))
		}, db.Reconciled{Pruned: 1}, func(f *fleet) {
			if got := one[string](f, `SELECT recipient_id FROM recipient_limits`); got != "future" {
				f.t.Errorf("kept: %s", got)
			}
		}},
		{"tokens that a worker without access to the buckets gave back", func(f *fleet) {
			a, b := f.reserve(), f.reserve()
			reports := []db.Finish{{Attempt: a, Outcome: workflow.EventWithdrawn}, {Attempt: b, Fence: f.mustBegin(b), Outcome: workflow.EventAccepted}}
			if _, err := f.store.Finish(f.ctx, reports, false); err != nil {
				f.t.Fatal(err)
			}
		}, db.Reconciled{}, func(f *fleet) {
			if n := one[int](f, `SELECT count(*) FROM account_tokens WHERE busy_until > hybrid_clock()`); n != 0 {
				f.t.Errorf("%d tokens are busy, want none: their calls have ended", n)
			}
			if n := one[int](f, `SELECT count(*) FROM account_tokens WHERE busy_until = hybrid_clock()`); n != 1 {
				f.t.Errorf("%d tokens were used just now, want the one of the call that arrived", n)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "10/60s", "off")
			test.leave(f)
			got := f.reconcile()
			if got.Unwoken > 0 && test.want.Unwoken == 0 && test.want.Expired+test.want.Orphaned > 0 {
				got.Unwoken = 0 // what it parked itself
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
			test.check(f)
			f.check()
			before := f.outcome()
			if again := f.reconcile(); again != (db.Reconciled{}) {
				t.Errorf("found again: %+v", again)
			}
			if diff := cmp.Diff(before, f.outcome()); diff != "" {
				t.Errorf("changed the second time:\n%s", diff)
			}
		})
	}
}

func (f *fleet) wantStage(stage workflow.Stage, attempt string) {
	f.t.Helper()
	a := f.attempts()[0]
	if f.stage(a.Workflow) != stage || f.attemptState(a) != attempt {
		f.t.Errorf("the workflow is %s, its attempt %s; want %s, %s", f.stage(a.Workflow), f.attemptState(a), stage, attempt)
	}
}

func (f *fleet) wantOneWakeUp() {
	f.t.Helper()
	if n := one[int](f, `SELECT count(*) FROM test_job_log j JOIN accounts a ON a.user_id = j.user_id AND a.wake_at = j.at WHERE j.kind = 'release'`); n != 1 {
		f.t.Errorf("%d live wake-ups, want 1", n)
	}
}

func (f *fleet) cancelSpring() {
	f.t.Helper()
	if _, err := f.store.SetCampaignState(f.ctx, "creator", "spring", db.CampaignCancelled, "test"); err != nil {
		f.t.Fatal(err)
	}
}

// riverHasPlans writes the plan jobs into River's table, where the reconciler looks for them.
func (f *fleet) riverHasPlans() {
	f.t.Helper()
	f.exec(`INSERT INTO river.river_job (args, kind, max_attempts, queue, state)
		SELECT jsonb_build_object('text', id, 'step', step), 'plan', 25, 'plan', 'available' FROM texts WHERE state = 'planning'`)
}

// TestLostPlansAreFound: a text whose job is gone gets another, once; one whose job waits in River gets none, however
// long it waits.
func TestLostPlansAreFound(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "3/60s", "off")
	f.ingest(true, messages("eve", 3, func(m *workflow.Message) { m.Content, m.Brief = "", "b" })...)
	f.riverHasPlans()
	f.takeJobs()
	f.AdvanceClock(t, time.Hour)
	if done := f.reconcile(); done != (db.Reconciled{}) {
		t.Errorf("%+v", done)
	}
	f.exec(`DELETE FROM river.river_job WHERE id = (SELECT min(id) FROM river.river_job)`)
	f.exec(`UPDATE river.river_job SET state = 'completed', finalized_at = now() WHERE id = (SELECT min(id) FROM river.river_job)`)
	if done := f.reconcile(); done != (db.Reconciled{Unplanned: 2}) {
		t.Errorf("%+v, want two lost plans", done)
	}
	plans := 0
	for _, j := range f.takeJobs() {
		if j.Kind == workflow.StepPlan {
			plans++
		}
	}
	if plans != 2 {
		t.Errorf("%d jobs", plans)
	}
	if done := f.reconcile(); done != (db.Reconciled{}) {
		t.Errorf("found again: %+v", done)
	}
}

// TestUntextedMessagesAreFound: messages that a release without texts took in get one.
func TestUntextedMessagesAreFound(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "3/60s", "off")
	f.ingest(true, messages("eve", 2, func(m *workflow.Message) { m.Content, m.Brief = "", "b" })...)
	f.exec(`UPDATE hybrid_workflows SET text = NULL`)
	f.exec(`DELETE FROM texts`)
	if done := f.reconcile(); done != (db.Reconciled{Unplanned: 2}) {
		t.Errorf("%+v", done)
	}
	if n := one[int](f, `SELECT count(*) FROM hybrid_workflows w JOIN texts t ON t.id = w.text AND t.workflow = w.id AND t.brief = 'b'`); n != 2 {
		t.Errorf("%d messages have a text", n)
	}
}

// TestReconcileHealthy: in a fleet in which everybody does what he should the reconciler finds nothing, however often
// it looks and whatever the messages wait for.
func TestReconcileHealthy(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "3/60s", "1/60s")
	f.ingest(true, messages("ann", 8)...)                                                             // more than tokens
	f.ingest(true, messages("ben", 3, notBefore(start.Add(48*time.Hour)))...)                         // scheduled
	f.ingest(true, messages("cyd", 4, toRecipient("fan"))...)                                         // one recipient
	f.ingest(true, messages("dan", 2, inCampaign("spring"))...)                                       // paused
	f.ingest(true, messages("eve", 2, func(m *workflow.Message) { m.Content, m.Brief = "", "b" })...) // to be written
	f.riverHasPlans()
	f.exec(`INSERT INTO campaigns VALUES ('fay', 'spring', 'paused', '', $1, $1)`, start) // paused before
	f.ingest(true, messages("fay", 2, inCampaign("spring"))...)                           // its first message
	if _, err := f.store.SetCampaignState(f.ctx, "dan", "spring", db.CampaignPaused, "test"); err != nil {
		t.Fatal(err)
	}
	doubtful := f.attempts()[0]
	f.finish(db.Finish{Attempt: doubtful, Fence: f.mustBegin(doubtful), Outcome: workflow.EventUnknown, LookUpIn: time.Hour})
	s := newSim(f, f.store)
	s.received[doubtful.Workflow] = 1
	for range 200 {
		before := f.outcome()
		if done := f.reconcile(); done.Pruned == 0 && done != (db.Reconciled{}) {
			t.Fatalf("found %+v in a healthy fleet", done)
		} else if diff := cmp.Diff(before, f.outcome()); diff != "" {
			t.Fatalf("changed a healthy fleet:\n%s", diff)
		}
		for jobs := f.takeJobs(); len(jobs) > 0; jobs = f.takeJobs() {
			for _, j := range jobs {
				if err := s.run(j); err != nil {
					t.Fatal(err)
				}
			}
		}
		next := one[*time.Time](f, `SELECT min(at) FROM test_job_log WHERE NOT taken`)
		if next == nil {
			break
		}
		f.AdvanceClock(t, max(0, next.Sub(f.Clock(t))))
	}
	// What ann, ben and cyd had; dan's and fay's campaigns are paused, eve's texts are not written.
	want := map[workflow.Stage]int{workflow.StageSent: 15, workflow.StagePlanning: 2, workflow.StageQueued: 4}
	if diff := cmp.Diff(want, f.stages()); diff != "" {
		t.Errorf("in the end (-want +got):\n%s", diff)
	}
}

// withoutLeases lets passes run at once, as when one is so slow that another one takes its lease.
func (f *fleet) withoutLeases() {
	f.exec(`CREATE FUNCTION end_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.until := 'epoch'; RETURN NEW; END $$;
		CREATE TRIGGER end_lease BEFORE UPDATE ON fleet_leases FOR EACH ROW EXECUTE FUNCTION end_lease()`)
}

// TestOneReconciles: a pass does nothing while another one is under way, takes over when that says no more, and lets the next one
// at once when it has ended.
func TestOneReconciles(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	releaseFive(f)
	f.AdvanceClock(t, time.Hour)
	f.exec(`UPDATE fleet_leases SET holder = 'another', until = hybrid_clock() + interval '10 seconds' WHERE task = 'reconcile'`)
	if done := f.reconcile(); done != (db.Reconciled{}) {
		t.Errorf("beside another pass: %+v", done)
	}
	f.AdvanceClock(t, 11*time.Second)
	if done := f.reconcile(); done.Expired != 5 {
		t.Errorf("after the other pass went silent: %+v", done)
	}
	f.release("creator")
	f.AdvanceClock(t, time.Hour)
	f.FreezeClock(t, f.Clock(t))
	f.exec(`UPDATE fleet_leases SET holder = 'before the clock was set back', until = hybrid_clock() + interval '1 hour' WHERE task = 'reconcile'`)
	for range 2 {
		if done := f.reconcile(); done.Expired != 5 {
			t.Errorf("after a pass: %+v", done)
		}
		f.release("creator")
		f.exec(`UPDATE send_attempts SET reservation_ends = hybrid_clock() - interval '1 minute' WHERE state = 'reserved'`)
	}
}

// TestReconcileAtOnce: several reconcilers run at once, beside releases, calls and each other.
func TestReconcileAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "1/60s")
	f.withoutLeases()
	var batch []workflow.Delivery
	for n := range 200 {
		batch = append(batch, message(fmt.Sprintf("account-%d", n%10), n, inCampaign(fmt.Sprintf("campaign-%d", n%4))))
	}
	f.park(batch...)
	for user := range 10 {
		f.release(fmt.Sprintf("account-%d", user))
	}
	for i, a := range f.attempts() {
		if i%2 == 0 {
			f.mustBegin(a)
		}
	}
	for user := range 5 {
		if _, err := f.store.SetCampaignState(f.ctx, fmt.Sprintf("account-%d", user), "campaign-1", db.CampaignCancelled, "test"); err != nil {
			t.Fatal(err)
		}
	}
	f.AdvanceClock(t, time.Hour)
	found := make([]db.Reconciled, 4)
	var all errgroup.Group
	for i := range found {
		all.Go(func() (err error) { found[i], err = f.store.Reconcile(f.ctx); return err })
		all.Go(func() error {
			for user := range 10 {
				if _, err := f.store.Release(f.ctx, releaseOf(fmt.Sprintf("account-%d", user), fmt.Sprintf("account-%d", (user+i)%10))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	f.check()
	var total db.Reconciled
	for _, one := range found {
		total.Expired += one.Expired
		total.Abandoned += one.Abandoned
		total.Cancelled += one.Cancelled
	}
	if total.Expired != 50 || total.Abandoned != 50 {
		t.Errorf("together they found %+v, want the 50 reservations and 50 calls once each", total)
	}
}

// withoutBuckets is a store that reaches everything but the buckets.
func (f *fleet) withoutBuckets() *db.Store {
	f.t.Helper()
	role := pgx.Identifier{"cut_off_" + f.Name}.Sanitize()
	f.exec(`CREATE ROLE ` + role)
	f.t.Cleanup(func() {
		if _, err := f.plain.Exec(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role); err != nil {
			f.t.Errorf("drop the role: %v", err)
		}
	})
	f.exec(`GRANT USAGE ON SCHEMA river TO ` + role + `; GRANT ALL ON ALL TABLES IN SCHEMA public, river TO ` + role + `; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO ` + role + `; REVOKE ALL ON account_tokens FROM ` + role)
	config := f.pool.Config()
	ready := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `SET ROLE `+role); err != nil {
			return err
		}
		return ready(ctx, conn)
	}
	pool, err := pgxpool.NewWithConfig(f.ctx, config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(pool.Close)
	return db.NewStore(pool, f.jobs, f.config)
}

// TestReconcileWithoutBuckets: while the limiter is down the reconciler settles what it can.
func TestReconcileWithoutBuckets(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.ingest(true, messages("creator", 2)...)
	all := f.attempts()
	f.mustBegin(all[1])
	f.park(message("other", 1))
	f.AdvanceClock(t, 2*time.Minute)
	done, err := f.withoutBuckets().Reconcile(f.ctx)
	if !errors.Is(err, db.ErrLimiterDown) {
		t.Errorf("error %v, want %v", err, db.ErrLimiterDown)
	}
	if done.Expired != 1 || done.Abandoned != 1 || done.Unwoken != 1 {
		t.Errorf("found %+v, want what there was", done)
	}
	f.reconcile()
	if n := one[int](f, `SELECT count(*) FROM account_tokens WHERE busy_until > hybrid_clock()`); n != 1 {
		t.Errorf("%d tokens are busy, want that of the call in doubt", n)
	}
	f.check()
}
