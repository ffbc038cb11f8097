package db_test

import (
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// The default of rapid is meant for functions that take microseconds. More: go test -rapid.checks=1000.
func init() {
	_ = flag.Set("rapid.checks", "40")
	_ = flag.Set("rapid.nofailfile", "true")
}

// TestOracle runs random operations on the database and on a model of it in plain Go, and compares all that both
// hold after each. What arrives at the gateway is simulated, and never exceeds a limit.
func TestOracle(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	rapid.Check(t, func(rt *rapid.T) {
		o := newOracle(f, rt)
		rt.Repeat(map[string]func(*rapid.T){
			"":          o.compare,
			"ingest":    o.ingest,
			"ingest2":   o.ingest,
			"release":   o.release,
			"release2":  o.release,
			"release3":  o.release,
			"bypass":    o.bypass,
			"begin":     o.begin,
			"begin2":    o.begin,
			"finish":    o.finish,
			"finish2":   o.finish,
			"settle":    o.settle,
			"tooLate":   o.finishAgain,
			"advance":   o.advance,
			"advance2":  o.advance,
			"limit":     o.setLimit,
			"campaign":  o.setCampaign,
			"reconcile": func(rt *rapid.T) { o.reconcile(rt) },
		})
		o.drain()
		o.checkArrivals()
	})
}

// oracle is the database and its model, side by side.
type oracle struct {
	*fleet
	rt       *rapid.T
	model    *model
	arrivals []arrival
	changes  map[limit.Scope][]change
	bypassed bool // the buckets were not told of everything
	ownRules bool // accounts have differed in what they allow recipients
}

var (
	oracleUsers      = []string{"ann", "ben", "cyd"}
	oracleRecipients = []string{"fan-1", "fan-2", "fan-3", "fan-4", "fan-5", "fan-6", "fan-7", "fan-8"}
	oracleCampaigns  = []string{"", "", "spring", "summer"}
	accountRules     = []string{"2/60s", "3/60s", "1/10s", "4/60s,6/10m", "3/24h", "off"}
	recipientRules   = []string{"1/60s", "1/60s,2/24h", "2/30s", "off"}
)

const clearAll = `DELETE FROM hybrid_workflows; DELETE FROM workflow_events; DELETE FROM inbox; DELETE FROM quarantine; DELETE FROM accounts;
	DELETE FROM campaigns; DELETE FROM limit_policies; DELETE FROM account_tokens; DELETE FROM recipient_limits; DELETE FROM send_attempts;
	DELETE FROM send_holds; DELETE FROM test_job_log; DELETE FROM stage_counts; DELETE FROM stage_deltas`

func newOracle(f *fleet, rt *rapid.T) *oracle {
	f.exec(clearAll)
	f.FreezeClock(f.t, start)
	account := rules(f.t, rapid.SampledFrom(accountRules).Draw(rt, "account rules"))
	recipient := rules(f.t, rapid.SampledFrom(recipientRules).Draw(rt, "recipient rules"))
	if _, err := f.store.SeedLimits(f.ctx, account, recipient, guard); err != nil {
		rt.Fatal(err)
	}
	o := &oracle{fleet: f, rt: rt, model: newModel(start, account, recipient), changes: map[limit.Scope][]change{}}
	o.noteRules(limit.ScopeAccount)
	o.noteRules(limit.ScopeRecipient)
	return o
}

func (o *oracle) ingest(rt *rapid.T) {
	user := rapid.SampledFrom(oracleUsers).Draw(rt, "user")
	count := rapid.IntRange(1, 6).Draw(rt, "count")
	var batch []workflow.Delivery
	for range count {
		n := rapid.IntRange(0, 30).Draw(rt, "n") // the same again now and then
		batch = append(batch, message(user, n,
			toRecipient(rapid.SampledFrom(oracleRecipients).Draw(rt, "recipient")),
			inCampaign(rapid.SampledFrom(oracleCampaigns).Draw(rt, "campaign")),
			withPriority(workflow.Priority(rapid.IntRange(1, 4).Draw(rt, "priority"))),
			notBefore(o.model.now.Add(rapid.SampledFrom([]time.Duration{-time.Hour, 0, 0, 0, time.Second, time.Minute, time.Hour}).Draw(rt, "not before"))),
			func(m *workflow.Message) { m.MaxRetries = rapid.IntRange(0, 3).Draw(rt, "retries") },
		))
	}
	result := o.fleet.ingest(false, batch...)
	for i, d := range batch {
		fresh := o.model.messages[d.Message.Key()] == nil
		if got := result.Answers[i].Outcome == workflow.IntakeAccepted; got != fresh {
			rt.Fatalf("delivery %d: %s, but new: %v", i, result.Answers[i].Outcome, fresh)
		}
		if fresh {
			key := d.Message.Key()
			o.model.ingest(d, one[uuid.UUID](o.fleet, `SELECT workflow FROM inbox WHERE user_id = $1 AND workflow_id = $2 AND recipient_id = $3`, key.UserID, key.WorkflowID, key.RecipientID))
		}
	}
}

func (o *oracle) release(rt *rapid.T) {
	o.releaseOne(rt, db.Release{UserID: rapid.SampledFrom(oracleUsers).Draw(rt, "user")})
}

func (o *oracle) bypass(rt *rapid.T) {
	o.bypassed = true
	o.releaseOne(rt, db.Release{UserID: rapid.SampledFrom(oracleUsers).Draw(rt, "user"), Bypass: true, Allowance: rapid.IntRange(0, 3).Draw(rt, "allowance")})
}

func (o *oracle) releaseOne(rt *rapid.T, request db.Release) {
	before := len(o.readJobs(workflow.StepSend))
	for _, j := range o.takeJobsOf(workflow.StepRelease, request.UserID) {
		request.WakeUps = append(request.WakeUps, j.At)
	}
	answers, err := o.store.Release(o.ctx, []db.Release{request})
	if err != nil {
		rt.Fatalf("release: %v", err)
	}
	want, deferred := o.model.release(request)
	got := o.fleet.attempts()[before:]
	wanted := make([]db.Attempt, len(want))
	for i, a := range want {
		wanted[i] = a.Attempt
	}
	if diff := cmp.Diff(wanted, slices.Clone(got)); diff != "" && len(wanted)+len(got) > 0 {
		rt.Fatalf("released (-want +got):\n%s\n%s", diff, cmp.Diff(o.modelPicture(), o.databasePicture()))
	}
	if len(answers) == 0 {
		if o.knows(request.UserID) {
			rt.Fatalf("no answer for %s", request.UserID)
		}
		return
	}
	if answers[0].Count != len(want) {
		rt.Fatalf("the answer says %d released, %d were", answers[0].Count, len(want))
	}
	for _, d := range deferred {
		o.putOff(rt, d)
	}
	o.checkWakeUp(rt, request.UserID, answers[0])
}

func (o *oracle) knows(userID string) bool {
	for key := range o.model.messages {
		if key.UserID == userID {
			return true
		}
	}
	return false
}

// putOff takes over until when a message was put off, which the model leaves open: until after now, and not for
// longer than its recipient is booked.
func (o *oracle) putOff(rt *rapid.T, d *modelMessage) {
	until := one[time.Time](o.fleet, `SELECT not_before FROM hybrid_workflows WHERE id = $1`, d.id)
	longest := time.Duration(0)
	for _, r := range o.model.policy(limit.ScopeRecipient, d.key.UserID).rules {
		longest = max(longest, r.Window+o.model.guard(d.key.UserID))
	}
	for _, h := range o.model.held(limit.ScopeRecipient, d.key.RecipientID) {
		longest = max(longest, h.upper.Sub(o.model.now))
	}
	if most := longest * time.Duration(len(o.model.messages)+1); !until.After(o.model.now) || until.Sub(o.model.now) > most {
		rt.Fatalf("put off by %s; its recipient is booked for at most %s", until.Sub(o.model.now), most)
	}
	d.state.NotBefore, d.state.WaitReason = until, workflow.WaitRecipient
}

// checkWakeUp: an account with messages that may go has a wake-up that is live.
func (o *oracle) checkWakeUp(rt *rapid.T, userID string, answer db.Released) {
	waits := false
	for _, m := range o.model.byID {
		waits = waits || m.key.UserID == userID && m.state.Stage == workflow.StageQueued && o.model.running(m)
	}
	live := one[int](o.fleet, `SELECT count(*) FROM accounts a JOIN test_job_log j ON j.kind = 'release' AND j.user_id = a.user_id AND j.at = a.wake_at AND NOT j.taken
		WHERE a.user_id = $1`, userID)
	if waits != answer.Waiting {
		rt.Fatalf("messages wait: %v; the answer says %v", waits, answer.Waiting)
	}
	if waits && live == 0 {
		rt.Fatalf("messages wait and there is no live wake-up: %v",
			column[string](o.fleet, `SELECT format('%s: due %s, taken %s', id, at - $2, taken) FROM test_job_log WHERE kind = 'release' AND user_id = $1`, userID, start))
	}
	if waits && answer.Next < 0 && answer.NextToken < 0 {
		rt.Fatal("messages wait, and no time is told at which to look")
	}
}

func (o *oracle) begin(rt *rapid.T) {
	a, ok := o.some(rt, "reserved", "in_flight")
	if !ok {
		rt.Skip("nothing was released")
	}
	want := o.model.begin(a)
	got := o.fleet.begin(a.Attempt)
	if got.Verdict != want {
		rt.Fatalf("begin: %s (%s), want %s", got.Verdict, got.Reason, want)
	}
	switch want {
	case db.VerdictGo:
		a.fence = got.Fence
	case db.VerdictWithdraw:
		o.report(rt, db.Finish{Attempt: a.Attempt, Outcome: workflow.EventWithdrawn, Reason: got.Reason})
	}
}

// some draws one of the attempts in the given states.
func (o *oracle) some(rt *rapid.T, states ...string) (*modelAttempt, bool) {
	var found []*modelAttempt
	for _, a := range o.model.attempts {
		if slices.Contains(states, a.state) {
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return nil, false
	}
	slices.SortFunc(found, func(a, b *modelAttempt) int {
		if c := slices.Compare(a.Workflow[:], b.Workflow[:]); c != 0 {
			return c
		}
		return a.Sequence - b.Sequence
	})
	return rapid.SampledFrom(found).Draw(rt, "attempt"), true
}

func (o *oracle) report(rt *rapid.T, r db.Finish) bool {
	bucketKnows := rapid.IntRange(0, 9).Draw(rt, "limiter down") > 0
	finished, err := o.store.Finish(o.ctx, []db.Finish{r}, bucketKnows)
	if err != nil {
		rt.Fatalf("finish %s: %v", r.Outcome, err)
	}
	if !bucketKnows {
		o.bypassed = true
	}
	want := o.model.finish(r, bucketKnows)
	if finished[0].Applied != want {
		rt.Fatalf("finish %s: applied %v, want %v", r.Outcome, finished[0].Applied, want)
	}
	return want
}

func (o *oracle) finish(rt *rapid.T) {
	a, ok := o.some(rt, "in_flight")
	if !ok {
		rt.Skip("nothing is in flight")
	}
	r := db.Finish{Attempt: a.Attempt, Fence: a.fence, Reason: "test"}
	r.Outcome = rapid.SampledFrom([]workflow.EventKind{
		workflow.EventAccepted, workflow.EventAccepted, workflow.EventAccepted, workflow.EventRejected, workflow.EventNotSent,
		workflow.EventRateLimited, workflow.EventUnknown, workflow.EventWithdrawn,
	}).Draw(rt, "outcome")
	switch r.Outcome {
	case workflow.EventRateLimited:
		r.Rest, r.RestReason = 45*time.Second, "rate_limited"
		o.arrive(rt, a, o.model.now)
	case workflow.EventNotSent:
		r.Rest = rapid.SampledFrom([]time.Duration{0, 5 * time.Second}).Draw(rt, "rest")
	case workflow.EventUnknown:
		r.LookUpIn = 2 * time.Second
	case workflow.EventAccepted, workflow.EventRejected:
		o.arrive(rt, a, o.model.now)
	}
	o.report(rt, r)
}

// settle decides what is in doubt.
func (o *oracle) settle(rt *rapid.T) {
	a, ok := o.some(rt, "unknown")
	if !ok {
		rt.Skip("nothing is in doubt")
	}
	doubt, open, err := o.store.Doubt(o.ctx, a.Attempt)
	if err != nil || !open {
		rt.Fatalf("doubt: open %v, error %v", open, err)
	}
	if want := o.model.now.Sub(o.model.callEnd(a)); doubt.Settled != want {
		rt.Fatalf("settled for %s, want %s", doubt.Settled, want)
	}
	r := db.Finish{Attempt: a.Attempt, Fence: a.fence, ResolvedBy: "look-up", Outcome: workflow.EventAccepted}
	if doubt.Settled >= 0 && rapid.Bool().Draw(rt, "never accepted") {
		r.Outcome, r.Reason = workflow.EventNotSent, "never_accepted"
	} else {
		o.arrive(rt, a, o.model.now)
	}
	o.report(rt, r)
}

// finishAgain reports on an attempt that is settled, or under a fence that is not its own.
func (o *oracle) finishAgain(rt *rapid.T) {
	a, ok := o.some(rt, "accepted", "rejected", "not_sent", "withdrawn", "unknown", "in_flight", "reserved")
	if !ok {
		rt.Skip("there are no attempts")
	}
	r := db.Finish{Attempt: a.Attempt, Fence: a.fence, Reason: "late", Outcome: rapid.SampledFrom([]workflow.EventKind{
		workflow.EventAccepted, workflow.EventRejected, workflow.EventNotSent, workflow.EventRateLimited, workflow.EventUnknown, workflow.EventWithdrawn,
	}).Draw(rt, "outcome")}
	if open := a.state == "in_flight" || a.state == "reserved" || a.state == "unknown"; open {
		r.Fence = -1 - a.fence
	}
	o.report(rt, r)
}

var steps = []time.Duration{time.Microsecond, time.Second, 5 * time.Second, 20 * time.Second, 31 * time.Second, time.Minute, 61 * time.Second, 3 * time.Minute, 25 * time.Hour}

// advance moves the clock: by some length, or exactly to the return of some token, or to just before it.
func (o *oracle) advance(rt *rapid.T) {
	var returns []time.Time
	for _, h := range o.model.holds {
		if h.upper.After(o.model.now) {
			returns = append(returns, h.upper)
		}
	}
	d := rapid.SampledFrom(steps).Draw(rt, "length")
	if len(returns) > 0 && rapid.Bool().Draw(rt, "to a return") {
		slices.SortFunc(returns, time.Time.Compare)
		d = returns[rapid.IntRange(0, min(len(returns)-1, 3)).Draw(rt, "which")].Sub(o.model.now)
		if rapid.Bool().Draw(rt, "just before") && d > time.Microsecond {
			d -= time.Microsecond
		}
	}
	o.tick(d)
}

func (o *oracle) tick(d time.Duration) {
	o.AdvanceClock(o.t, d)
	o.model.now = o.model.now.Add(d)
}

func (o *oracle) setLimit(rt *rapid.T) {
	o.tick(time.Microsecond) // tells what was released before from what is released after
	scope, texts := limit.ScopeAccount, accountRules
	if rapid.Bool().Draw(rt, "recipient") {
		scope, texts = limit.ScopeRecipient, recipientRules
	}
	user := rapid.SampledFrom(append([]string{""}, oracleUsers...)).Draw(rt, "user")
	if user != "" && rapid.IntRange(0, 3).Draw(rt, "clear") == 0 {
		if err := o.store.ClearLimit(o.ctx, scope, user); err != nil {
			rt.Fatal(err)
		}
		o.model.setLimit(scope, user, nil, 0)
		o.noteRules(scope)
		return
	}
	to := rules(o.t, rapid.SampledFrom(texts).Draw(rt, "rules"))
	newGuard := rapid.SampledFrom([]time.Duration{-1, -1, guard, 2 * time.Second}).Draw(rt, "guard")
	if err := o.store.SetLimit(o.ctx, scope, user, to, newGuard, "test"); err != nil {
		rt.Fatal(err)
	}
	o.model.setLimit(scope, user, to, newGuard)
	o.bypassed = o.bypassed || newGuard >= 0 // the guard of one scope is in the holds of the other until their calls end
	o.noteRules(scope)
}

func (o *oracle) setCampaign(rt *rapid.T) {
	key := campaignKey{rapid.SampledFrom(oracleUsers).Draw(rt, "user"), rapid.SampledFrom(oracleCampaigns[2:]).Draw(rt, "campaign")}
	state := rapid.SampledFrom([]db.CampaignState{db.CampaignPaused, db.CampaignPaused, db.CampaignRunning, db.CampaignRunning, db.CampaignCancelled}).Draw(rt, "state")
	inFlight := 0
	for _, a := range o.model.attempts {
		if a.state == "in_flight" && a.message.key.UserID == key.userID && a.message.campaign == key.campaignID {
			inFlight++
		}
	}
	got, err := o.store.SetCampaignState(o.ctx, key.userID, key.campaignID, state, "test")
	if refused := o.model.campaigns[key] == db.CampaignCancelled && state != db.CampaignCancelled; refused != (err != nil) {
		rt.Fatalf("campaign %s from %s: %v", state, o.model.campaigns[key], err)
	}
	if err != nil {
		return
	}
	if state != db.CampaignRunning && got.InFlight != inFlight {
		rt.Fatalf("%d in flight, want %d", got.InFlight, inFlight)
	}
	o.model.campaigns[key] = state
}

func (o *oracle) reconcile(rt *rapid.T) db.Reconciled {
	done, err := o.store.Reconcile(o.ctx)
	if err != nil {
		rt.Fatal(err)
	}
	if done.Orphaned > 0 {
		rt.Fatalf("messages were lost sight of: %+v", done)
	}
	o.model.reconcile()
	return done
}
