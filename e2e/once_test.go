package e2e_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

// I2: every second reply is lost after the gateway took the message. Nothing is sent again; the look-up settles all.
func TestLostRepliesAreLookedUp(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(0, 50*time.Millisecond), {Kind: gatewaysim.LostReply, Probability: 0.5}}})
	f.start(2)
	messages := pick(200, 400, 2000)
	f.put(newInputs(20, messages/20)...)
	f.drained(2 * time.Minute)
	d := f.check()
	lost, settled := f.gateway.Stats().Faults[gatewaysim.LostReply], d.resolved()
	t.Logf("%d of %d replies were lost; the look-up settled %d", lost, messages, settled)
	if int(lost) < messages/3 || settled != int(lost) {
		t.Errorf("%d replies were lost and %d doubts settled, want the same, and about half of %d", lost, settled, messages)
	}
}

// I2: a request that something on the way holds back, for longer than its caller waits, arrives after the look-up said
// "never". Only the settle time keeps it from being sent again.
func TestRequestsThatAreHeldBackArriveOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off", "GATEWAY_TIMEOUT=1s", "GATEWAY_SETTLE=9s")
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{{Kind: gatewaysim.Hold, Min: 6 * time.Second, Max: 8 * time.Second, Probability: 0.5},
		{Kind: gatewaysim.CloseBefore, Probability: 0.2}}}) // and some never arrive
	f.start(2)
	messages := pick(40, 60, 400)
	f.put(newInputs(10, messages/10)...)
	f.within(20*time.Second, "all were tried", func() bool { // and the gateway has drawn what becomes of each
		return number(f, `SELECT count(DISTINCT workflow) FROM send_attempts WHERE fence IS NOT NULL AND ended_at IS NOT NULL`) == messages
	})
	f.faults(gatewaysim.Faults{})
	f.drained(time.Minute)
	f.everythingHasArrived()
	d := f.check()
	again := 0
	for id := range d.attempts {
		if id.sequence > 1 {
			again++
		}
	}
	t.Logf("of %d messages the look-up found %d and proved %d not to have arrived", messages, d.resolved()-again, again)
	if again == 0 || d.resolved() == again {
		t.Error("the draws made only one kind of doubt: the test says too little")
	}
}

// everythingHasArrived waits for the requests that are still on their way.
func (f *fleet) everythingHasArrived() {
	f.t.Helper()
	f.within(30*time.Second, "every call has arrived", func() bool {
		return int(f.gateway.Stats().Arrivals) >= number(f, `SELECT count(*) FROM send_attempts WHERE started_at IS NOT NULL`)
	})
}

// I2, I4: jobs that River runs again, because an operator retries them or a killed worker left them running, find their
// work done and send nothing.
func TestJobsThatRunAgainSendNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off", "SEND_RESERVATION=30s")
	f.shortVisibility() // what the victim had received and not deleted comes back in time
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(100*time.Millisecond, time.Second)}})
	victim := f.start(1)[0]
	f.put(newInputs(10, 10)...)
	f.within(20*time.Second, "calls in flight", func() bool { return f.openAttempts()["in_flight"] >= 10 && f.sent() > 10 })
	victim.kill()
	running := number(f, `SELECT count(*) FROM river.river_job WHERE kind = 'send' AND state = 'running'`)
	again := func() {
		f.exec(`UPDATE river.river_job SET state = 'available', finalized_at = NULL, scheduled_at = now(), max_attempts = attempt + 5
			WHERE kind IN ('send', 'resolve') AND state IN ('completed', 'discarded', 'cancelled', 'running')`)
	}
	again() // the killed worker's, before its calls are settled, and those that are finished
	f.start(2)
	f.drained(time.Minute)
	again()
	f.within(20*time.Second, "the jobs have run again", func() bool {
		return number(f, `SELECT count(*) FROM river.river_job WHERE kind = 'send' AND state <> 'completed'`) == 0
	})
	d := f.check()
	t.Logf("%d jobs of the killed worker and all others ran again; %d attempts for %d messages", running, len(d.attempts), len(d.inputs))
	if running == 0 {
		t.Error("the killed worker left no job running: the test says too little")
	}
}

// I2 without a look-up: what is in doubt stays so, whatever runs and restarts, until an operator settles it with what
// the platform shows.
func TestDoubtsWithoutLookUpWaitForAnOperator(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	f.faults(gatewaysim.Faults{LookUp: gatewaysim.LookUpAbsent, Rules: []gatewaysim.Rule{
		{Kind: gatewaysim.LostReply, Probability: 0.25}, {Kind: gatewaysim.CloseBefore, Probability: 0.3}}})
	workers := f.start(2)
	messages := pick(40, 60, 400)
	f.put(newInputs(10, messages/10)...)
	f.within(time.Minute, "all sent or for an operator to decide", func() bool {
		stages := f.stages()
		return stages["sent"]+stages["in_doubt"] == messages && f.undecided() == stages["in_doubt"]
	})
	arrivals := f.gateway.Stats().Arrivals
	workers[0].kill()
	f.start(1)
	time.Sleep(4 * time.Second) // the reconciler has run several times, the settle time is over
	d := f.dump()
	report(t, d.problems(allowed{"in_doubt"}))
	if now := f.gateway.Stats().Arrivals; now != arrivals {
		t.Errorf("the gateway got %d messages more while they were in doubt", now-arrivals)
	}

	// The platform works again; it shows the operator what it has taken.
	f.faults(gatewaysim.Faults{LookUp: gatewaysim.LookUpAbsent})
	taken := map[string]bool{}
	for _, a := range gatewaysim.OnlyAccepted(d.arrivals) {
		taken[a.ClientRef] = true
	}
	sent, notSent := 0, 0
	for id, w := range d.workflows {
		if w.stage != "in_doubt" {
			continue
		}
		verdict := "--not-sent"
		if taken[id] {
			verdict, sent = "--sent", sent+1
		} else {
			notSent++
		}
		f.run("doubt", "resolve", w.workflow, "--user", w.user, verdict, "--by", "e2e", "--yes")
	}
	f.drained(time.Minute)
	f.check()
	t.Logf("an operator settled %d as sent and %d as not sent", sent, notSent)
	if sent == 0 || notSent == 0 {
		t.Error("the draws made only one kind of doubt: the test says too little")
	}
}

// undecided counts the attempts that only an operator can settle.
func (f *fleet) undecided() int {
	return number(f, `SELECT count(*) FROM send_attempts WHERE state = 'unknown' AND look_up_at IS NULL`)
}

// I2 below us: neither a reset of a reused connection nor a redirect makes net/http send a message again.
func TestNothingBelowSendsAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	var elsewhere atomic.Int64
	other := f.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		_, _ = w.Write([]byte(`{"messageId":"elsewhere"}`))
	}), func() {})
	f.start(1)
	f.put(newInput("creator", 0)) // leaves a connection behind
	f.awaitSent(1)
	for n, fault := range []gatewaysim.Rule{
		{Kind: gatewaysim.ResetAfter},
		{Kind: gatewaysim.LostReply},
		{Kind: gatewaysim.RedirectTo, Location: other + "/v1/messages"},
		{Kind: gatewaysim.RedirectTo, Location: other + "/v1/messages", Status: http.StatusPermanentRedirect},
	} {
		f.put(newInput("creator", 100+n)) // leaves a connection behind
		f.awaitSent(2 + 2*n)
		fault.Count = 1
		f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{fault}})
		f.put(newInput("creator", 1+n))
		f.awaitSent(3 + 2*n)
	}
	f.drained(time.Minute)
	d := f.check()
	if n := elsewhere.Load(); n > 0 {
		t.Errorf("%d messages were sent where a redirect pointed", n)
	}
	perMessage := map[string]int{}
	for _, a := range d.arrivals {
		perMessage[a.RecipientID]++
	}
	// A redirect takes nothing: once the look-up has proved that, the message goes again, as another attempt.
	for recipient, want := range map[string]int{"fan-creator-1": 1, "fan-creator-2": 1, "fan-creator-3": 2, "fan-creator-4": 2} {
		if perMessage[recipient] != want {
			t.Errorf("%d arrivals for %s, want %d", perMessage[recipient], recipient, want)
		}
	}
	reused := query(f, pgx.RowTo[bool], `SELECT (a.evidence->>'connectionReused')::bool FROM send_attempts a JOIN hybrid_workflows w ON w.id = a.workflow
		WHERE w.recipient_id IN ('fan-creator-1', 'fan-creator-2') AND a.sequence = 1`)
	for _, was := range reused {
		if !was {
			t.Error("the connection that broke was not a reused one: the test says nothing")
		}
	}
}
