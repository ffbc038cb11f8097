package e2e_test

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

// recoverWithin is how long what a killed worker left behind may take to go on (steps) or to be settled (sends).
const recoverWithin = 2 * time.Minute

// A killed worker's calls are settled without a second send, and what only its timers knew of goes on elsewhere.
func TestKilledWorkersWorkGoesOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(1500*time.Millisecond, 1500*time.Millisecond)}})
	f.start(2)
	victim := f.alive()[0]
	const accounts = 12
	due := time.Now().Add(6 * time.Second)
	for a := range accounts { // which worker takes in which account, and so has its timer, is left to chance
		in := newInput("scheduled-"+strconv.Itoa(a), 0)
		in.notBefore = due
		f.put(in)
	}
	f.put(newInputs(accounts, 12)...)
	inFlight := func() int {
		return number(f, `SELECT count(*) FROM send_attempts WHERE state = 'in_flight' AND worker LIKE '%-' || $1`, strconv.Itoa(victim.command.Process.Pid))
	}
	f.within(20*time.Second, "everything taken in, and calls of the victim in flight", func() bool {
		return f.sqs.Stats(mainQueue).Deleted == uint64(len(f.inputs)) && inFlight() > 0
	})
	victim.kill()
	cut := inFlight() // counted now: nobody ends them any more but the resolver
	killed := time.Now()
	f.within(recoverWithin, "scheduled messages are sent", func() bool {
		return number(f, `SELECT count(*) FROM hybrid_workflows WHERE stage = 'sent' AND user_id LIKE 'scheduled-%'`) == accounts
	})
	steps := time.Since(killed)
	f.within(recoverWithin, "the calls that were cut off are settled", func() bool {
		return number(f, `SELECT count(*) FROM send_attempts WHERE resolved_by = 'look-up'`) >= cut && f.openAttempts()["unknown"] == 0
	})
	sends := time.Since(killed)
	f.drained(recoverWithin)
	d := f.check()
	f.checkLimit(d, limitCount, limitWindow)
	t.Logf("after kill -9 with %d calls in flight: they were settled within %s, and what the worker's timers knew of was sent within %s",
		cut, sends.Round(100*time.Millisecond), steps.Round(100*time.Millisecond))
	if cut == 0 {
		t.Error("the killed worker had no call in flight: the test says nothing")
	}
	if early := query(f, pgx.RowTo[bool], `SELECT bool_or(started_at < $1) FROM send_attempts WHERE user_id LIKE 'scheduled-%'`, due); early[0] {
		t.Error("a message was sent before its time")
	}
}

// What the worker that reconciled has left is no obstacle to the next one: it was killed in the middle of it.
func TestReconcilerOutlivesItsWorker(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	unlock := f.lock("recipient_limits")
	victim := f.start(1)[0]
	f.within(20*time.Second, "the reconciler runs", func() bool {
		return number(f, `SELECT count(*) FROM river.river_job WHERE kind = 'reconcile' AND state = 'running'`) > 0
	})
	victim.kill()
	unlock()
	f.park("creator", "", 3) // only a reconciler can find them
	f.start(1)
	took := f.drained(recoverWithin)
	f.check()
	t.Logf("the next reconciler had done its work after %s", took.Round(100*time.Millisecond))
}

// A worker that is stopped in the middle of its calls, for longer than anybody waits for it, changes nothing when it
// comes back: what it did is settled.
func TestStoppedWorkerComesBackTooLate(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(700*time.Millisecond, 700*time.Millisecond)}})
	victim := f.start(1)[0]
	f.put(newInputs(3, 20)...)
	f.within(20*time.Second, "calls in flight", func() bool { return f.openAttempts()["in_flight"] >= 20 })
	victim.signal(syscall.SIGSTOP)
	f.start(1)
	f.within(recoverWithin, "the stopped worker's calls are settled", func() bool {
		return f.openAttempts()["in_flight"]+f.openAttempts()["unknown"] == 0 && f.stages()["sent"] >= 30
	})
	before := versions(f)
	victim.signal(syscall.SIGCONT)
	time.Sleep(2 * time.Second) // it reports what it knows
	f.drained(time.Minute)
	if status, _ := victim.get("/livez"); status != 200 {
		t.Errorf("the worker that came back answers %d", status)
	}
	d := f.check()
	f.checkLimit(d, limitCount, limitWindow)
	after := versions(f)
	for id, version := range before {
		if after[id] != version {
			t.Errorf("workflow %s was sent, and changed again when the worker came back (version %d, then %d)", id, version, after[id])
		}
	}
}

// versions of the workflows that are sent.
func versions(f *fleet) map[string]int {
	all := map[string]int{}
	type version struct {
		id string
		n  int
	}
	for _, v := range query(f, func(r pgx.CollectableRow) (v version, err error) { return v, r.Scan(&v.id, &v.n) },
		`SELECT id::text, version FROM hybrid_workflows WHERE stage = 'sent'`) {
		all[v.id] = v.n
	}
	return all
}

// Workers are restarted by SIGTERM under load, again and again: each ends well within its time, nothing is in doubt,
// nothing is sent twice.
func TestRollingRestartUnderLoad(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "SQS_RETRY_QUEUE=off")
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(0, 800*time.Millisecond)}})
	workers := f.start(3)
	load := f.load(newInputs(pick(50, 60, 200), pick(12, 20, 40)), 50)
	var longest time.Duration
	restarts := pick(4, 8, 20)
	for n := range restarts {
		time.Sleep(500 * time.Millisecond)
		before := f.sent()
		longest = max(longest, workers[n%3].terminate(9*time.Second))
		workers[n%3] = f.start(1)[0]
		f.within(10*time.Second, "messages go on", func() bool { return f.sent() > before })
	}
	load.await()
	f.drained(time.Minute)
	for _, p := range workers {
		p.terminate(9 * time.Second)
	}
	d := f.check()
	f.checkLimit(d, limitCount, limitWindow)
	t.Logf("%d restarts while %d messages flowed; the longest took %s", restarts, len(d.inputs), longest.Round(10*time.Millisecond))
	if n := number(f, `SELECT count(*) FROM workflow_events WHERE kind = 'unknown'`); n > 0 {
		t.Errorf("%d messages were in doubt", n)
	}
	if n := number(f, `SELECT count(*) FROM river.river_job WHERE state = 'running'`); n > 0 {
		t.Errorf("%d jobs were left running", n)
	}
}

// A call that lasts almost as long as a shutdown may take is finished, not cut off: nothing is in doubt.
func TestShutdownWaitsForTheLongestCall(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "GATEWAY_TIMEOUT=8s", "SHUTDOWN_TIMEOUT=9s")
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(7500*time.Millisecond, 7500*time.Millisecond)}})
	p := f.start(1)[0]
	f.put(newInputs(3, 3)...)
	f.within(20*time.Second, "calls in flight", func() bool { return f.gateway.Stats().Arrivals == 9 })
	took := p.terminate(10 * time.Second)
	f.check()
	t.Logf("the process ended %s after SIGTERM", took.Round(10*time.Millisecond))
	if n := number(f, `SELECT count(*) FROM workflow_events WHERE kind = 'unknown'`); n > 0 {
		t.Errorf("%d messages were in doubt", n)
	}
}
