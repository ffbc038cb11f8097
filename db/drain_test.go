package db_test

import (
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// drain lets everything go, by the durable wake-ups and the reconciler alone: every message that was taken in
// comes to an end.
func (o *oracle) drain() {
	for key, state := range o.model.campaigns {
		if state == db.CampaignPaused {
			if _, err := o.store.SetCampaignState(o.ctx, key.userID, key.campaignID, db.CampaignRunning, ""); err != nil {
				o.rt.Fatal(err)
			}
			o.model.campaigns[key] = db.CampaignRunning
		}
	}
	o.reconcile(o.rt) // what was parked without a look at it
	for range 1000 {
		// Releases take the wake-ups of their account themselves.
		jobs := append(o.takeJobsOf(workflow.StepSend, ""), o.takeJobsOf(workflow.StepResolve, "")...)
		for _, user := range column[string](o.fleet, `SELECT DISTINCT user_id FROM test_job_log WHERE kind = 'release' AND NOT taken AND at <= hybrid_clock() ORDER BY 1`) {
			jobs = append(jobs, job{Kind: workflow.StepRelease, UserID: user})
		}
		if len(jobs) == 0 {
			if o.ended() {
				o.compare(o.rt)
				return
			}
			o.skipAhead()
			continue
		}
		for _, j := range jobs {
			o.run(j)
		}
	}
	o.rt.Fatalf("messages are left: %v at %s\nlast wake-ups: %v\n%s", o.stages(), stamp(o.model.now),
		column[string](o.fleet, `SELECT format('%s %s', user_id, at - $1) FROM test_job_log WHERE kind = 'release' ORDER BY id DESC LIMIT 10`, start), cmp.Diff(drawing{}, o.databasePicture()))
}

// skipAhead goes to the next job, or to the next run of the reconciler when there is none.
func (o *oracle) skipAhead() {
	d := time.Minute
	if next := one[*time.Time](o.fleet, `SELECT min(at) FROM test_job_log WHERE NOT taken`); next != nil {
		d = next.Sub(o.model.now)
	}
	o.tick(d)
	if done := o.reconcile(o.rt); done.Unwoken > 0 || done.Unasked > 0 {
		o.rt.Fatalf("a wake-up or a question was lost: %+v", done)
	}
}

func (o *oracle) ended() bool {
	for stage := range o.stages() {
		if !stage.Final() {
			return false
		}
	}
	return true
}

// run does what a worker does with a job, with a gateway that accepts everything.
func (o *oracle) run(j job) {
	a := o.model.attempts[j.Attempt]
	switch j.Kind {
	case workflow.StepRelease:
		o.releaseOne(o.rt, db.Release{UserID: j.UserID})
	case workflow.StepSend:
		want := o.model.begin(a)
		begun := o.fleet.begin(j.Attempt)
		if begun.Verdict != want {
			o.rt.Fatalf("begin: %s (%s), want %s", begun.Verdict, begun.Reason, want)
		}
		r := db.Finish{Attempt: j.Attempt, Fence: begun.Fence, Outcome: workflow.EventAccepted}
		switch want {
		case db.VerdictDone:
			return
		case db.VerdictWithdraw:
			r.Outcome, r.Reason = workflow.EventWithdrawn, begun.Reason
		default:
			a.fence = begun.Fence
			o.arrivals = append(o.arrivals, arrival{at: o.model.now, attempt: a, released: a.reservedAt})
		}
		o.apply(r)
	case workflow.StepResolve:
		doubt, open, err := o.store.Doubt(o.ctx, j.Attempt)
		if err != nil {
			o.rt.Fatal(err)
		}
		if !open {
			return
		}
		if doubt.Settled < 0 {
			if err := o.store.AskAgain(o.ctx, j.Attempt, -doubt.Settled, "wait"); err != nil {
				o.rt.Fatal(err)
			}
			return
		}
		o.apply(db.Finish{Attempt: j.Attempt, Fence: doubt.Fence, Outcome: workflow.EventNotSent, Reason: "never_accepted", ResolvedBy: "look-up"})
	}
}

func (o *oracle) apply(r db.Finish) {
	finished, err := o.store.Finish(o.ctx, []db.Finish{r}, true)
	if err != nil {
		o.rt.Fatal(err)
	}
	if want := o.model.finish(r, true); finished[0].Applied != want {
		o.rt.Fatalf("finish %s: applied %v, want %v", r.Outcome, finished[0].Applied, want)
	}
}
