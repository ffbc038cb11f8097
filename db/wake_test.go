package db_test

import (
	"container/heap"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func (f *fleet) wakeAt(userID string) *time.Time {
	f.t.Helper()
	return one[*time.Time](f, `SELECT wake_at FROM accounts WHERE user_id = $1`, userID)
}

// TestOneWakeUp: whatever the number of looks at an account, it has one wake-up, and it is in time.
func TestOneWakeUp(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	f.ingest(true, messages("creator", 9)...)
	for range 30 {
		f.AdvanceClock(t, time.Second)
		f.release("creator")
		f.ingest(true, message("creator", 1))
	}
	jobs := f.readJobs(workflow.StepRelease)
	if len(jobs) != 1 || !jobs[0].At.Equal(*f.wakeAt("creator")) {
		t.Fatalf("wake-ups: %v, the row says %v, want one", jobs, f.wakeAt("creator"))
	}
	// The first tokens can be back a window after the release, if the calls took no time.
	if late := jobs[0].At.Sub(start.Add(time.Minute + guard)); late < 0 || late > 31*time.Second {
		t.Errorf("the wake-up is due %s after the first tokens can be back", late)
	}
	f.check()
}

// TestWakeUpSurvivesItsWorker: the worker that released messages, and knows when their tokens return, dies after their
// calls. The durable wake-up has the rest sent within the time of a look, not only when the calls must have ended.
func TestWakeUpSurvivesItsWorker(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.ingest(true, messages("creator", 15)...)
	for _, a := range f.attempts() {
		f.send(a, workflow.EventAccepted)
	}
	f.AdvanceClock(t, time.Minute+guard+31*time.Second)
	due := f.takeJobsOf(workflow.StepRelease, "creator")
	if len(due) != 1 {
		t.Fatalf("%d wake-ups are due half a minute after the tokens are back", len(due))
	}
	if r := f.release("creator", due[0].At); r.Count != 5 || r.Waiting {
		t.Errorf("then: %+v, want the 5 that are left", r)
	}
	if at := f.wakeAt("creator"); at != nil {
		t.Errorf("nothing waits, and the next wake-up is at %v", at)
	}
	f.check()
}

// TestWakeUps: which looks at an account plan another one.
func TestWakeUps(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	f.ingest(true, messages("creator", 7, inCampaign("spring"))...)
	first := *f.wakeAt("creator")
	wakeUps := func() int { return len(f.readJobs(workflow.StepRelease)) }

	// A wake-up that the row does not know is that of another plan.
	f.release("creator", first.Add(-time.Second), first.Add(time.Hour))
	if at := f.wakeAt("creator"); !at.Equal(first) || wakeUps() != 1 {
		t.Errorf("after the job of another plan: next %v, %d jobs", at, wakeUps())
	}
	// Its own is followed by the next.
	f.AdvanceClock(t, first.Sub(start))
	f.release("creator", first)
	second := *f.wakeAt("creator")
	if !second.After(first) || wakeUps() != 2 {
		t.Errorf("after its job: next %v, %d jobs", second, wakeUps())
	}
	// The same job again, as River may do, changes nothing.
	f.release("creator", first)
	if at := f.wakeAt("creator"); !at.Equal(second) || wakeUps() != 2 {
		t.Errorf("after its job a second time: next %v, %d jobs", at, wakeUps())
	}
	// One that does not come is taken for late at first, and then for lost.
	f.AdvanceClock(t, second.Sub(first)+2*time.Minute)
	f.release("creator")
	if at := f.wakeAt("creator"); !at.Equal(second) || wakeUps() != 2 {
		t.Errorf("two minutes late: next %v, %d jobs", at, wakeUps())
	}
	f.AdvanceClock(t, time.Microsecond)
	f.release("creator")
	if at := f.wakeAt("creator"); !at.After(second) || wakeUps() != 3 {
		t.Errorf("more than that: next %v, %d jobs", at, wakeUps())
	}
	// A paused account waits for nobody; to resume is to look.
	for _, state := range []db.CampaignState{db.CampaignPaused, db.CampaignRunning} {
		if _, err := f.store.SetCampaignState(f.ctx, "creator", "spring", state, "test"); err != nil {
			t.Fatal(err)
		}
	}
	if at := f.wakeAt("creator"); !at.Equal(f.Clock(t)) || wakeUps() != 4 {
		t.Errorf("resumed: next %v, %d jobs", at, wakeUps())
	}
	f.check()
}

// TestPausedAccountSleeps: an account all of whose messages are paused plans no look, and one is planned when it is
// resumed.
func TestPausedAccountSleeps(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	f.ingest(true, messages("creator", 7, inCampaign("spring"))...)
	for _, a := range f.attempts() {
		f.send(a, workflow.EventAccepted)
	}
	pauseSpring(f)
	wake := *f.wakeAt("creator")
	f.AdvanceClock(t, wake.Sub(start))
	if r := f.release("creator", wake); r.Count != 0 || r.Waiting || f.wakeAt("creator") != nil {
		t.Errorf("while it is paused: %+v, next %v", r, f.wakeAt("creator"))
	}
	if done := f.reconcile(); done != (db.Reconciled{}) {
		t.Errorf("the reconciler found %+v", done)
	}
	if _, err := f.store.SetCampaignState(f.ctx, "creator", "spring", db.CampaignRunning, ""); err != nil {
		t.Fatal(err)
	}
	due := f.takeJobsOf(workflow.StepRelease, "creator")
	if len(due) == 0 {
		t.Fatal("resumed, and no look is planned")
	}
	if r := f.release("creator", due[len(due)-1].At); r.Count != 2 || !r.Waiting {
		t.Errorf("resumed: %+v, want 2", r)
	}
	f.check()
}

// TestAccountsWaiting lists what a process that starts should look at.
func TestAccountsWaiting(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	f.ingest(true, messages("full", 3)...)
	f.ingest(true, messages("later", 1, notBefore(start.Add(time.Hour)))...)
	f.ingest(true, messages("idle", 1)...)
	f.AdvanceClock(t, 10*time.Second)
	got, err := f.store.AccountsWaiting(f.ctx)
	if err != nil || len(got) != 1 || got[0] != "full" {
		t.Errorf("%v, %v, want the one whose tokens return soon", got, err)
	}
}

// alarm is something that will happen in TestJobsPerMessage.
type alarm struct {
	at   time.Duration
	what func()
}

type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at < a[j].at }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// TestJobsPerMessage: what a throttled message costs does not depend on how long it waits. A process with timers, as
// the worker has, sends 300 messages of one account at 10 a minute, in half an hour; its tokens return all at once, or
// evenly. The tokens are used to 98 %, by hardly more than one job for each message.
func TestJobsPerMessage(t *testing.T) {
	t.Parallel()
	const count = 300
	for name, spread := range map[string]time.Duration{"together": 0, "evenly": 6 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "10/60s", "off")
			now, queue, sent, looks := time.Duration(0), alarms{}, 0, 0
			in := func(d time.Duration, what func()) {
				if d >= 0 {
					heap.Push(&queue, alarm{now + d, what})
				}
			}
			var look func(wakeUps ...time.Time)
			call := func() {
				for _, j := range f.takeJobsOf(workflow.StepSend, "") {
					fence := f.mustBegin(j.Attempt)
					sent++
					latency := 200 * time.Millisecond
					if sent <= 10 {
						latency += time.Duration(sent-1) * spread // which spaces all that follow
					}
					in(latency, func() {
						done := f.finish(db.Finish{Attempt: j.Attempt, Fence: fence, Outcome: workflow.EventAccepted})
						in(done.Next, func() { look() })
					})
				}
			}
			look = func(wakeUps ...time.Time) {
				looks++
				r := f.release("creator", wakeUps...)
				in(r.Next, func() { look() })
				call()
			}
			f.park(messages("creator", count)...)
			look()
			for len(queue) > 0 && sent < count {
				next := heap.Pop(&queue).(alarm)
				if due := one[*time.Time](f, `SELECT min(at) FROM test_job_log WHERE NOT taken AND kind = 'release'`); due != nil && due.Sub(start) < next.at {
					heap.Push(&queue, next)
					next = alarm{due.Sub(start), func() {
						for _, j := range f.takeJobsOf(workflow.StepRelease, "") {
							look(j.At)
						}
					}}
				}
				if next.at > now {
					f.AdvanceClock(t, next.at-now)
					now = next.at
				}
				next.what()
			}
			if sent != count {
				t.Fatalf("%d of %d sent", sent, count)
			}
			jobs := one[int](f, `SELECT count(*) FROM test_job_log`)
			// Each of the ten tokens is used thirty times; the last ten messages go as soon as the tokens are there.
			strict := time.Duration(count/10-1)*(time.Minute+guard+200*time.Millisecond) + 9*spread
			t.Logf("%s: %d messages in %s (a strict limiter needs %s) by %d jobs and %d looks", name, count, now, strict, jobs, looks)
			if perMessage := float64(jobs) / count; perMessage > 1.3 {
				t.Errorf("%.2f jobs for each message", perMessage)
			}
			if now > strict*102/100 {
				t.Errorf("it took %s, a strict limiter needs %s", now, strict)
			}
			if looks > 3*count {
				t.Errorf("%d looks for %d messages", looks, count)
			}
		})
	}
}

// TestWakeUpsDoNotPileUp: while nobody works the wake-ups that wait in River, accounts get no more of them.
func TestWakeUpsDoNotPileUp(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.park(message("creator", 1))
	f.exec(`INSERT INTO river.river_job (args, kind, max_attempts, queue, state, scheduled_at) VALUES ('{}', 'release', 25, 'send', 'available', now() - interval '2 minutes')`)
	if done := f.reconcile(); done.Unwoken != 0 {
		t.Errorf("woken behind the others: %+v", done)
	}
	f.exec(`UPDATE river.river_job SET state = 'running', attempted_at = now()`)
	if done := f.reconcile(); done.Unwoken != 1 {
		t.Errorf("not woken: %+v", done)
	}
}
