package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"
)

// within5s is how long a change of a flag may take until every process obeys it.
const within5s = 5 * time.Second

// stream puts new messages of an account on the queue until it is ended: some at a time, so that every process gets
// some.
type stream struct {
	f    *fleet
	user string
	next int
	put  []input

	stop chan struct{}
	done chan struct{}
}

// begin begins it, or goes on.
func (s *stream) begin() {
	s.stop, s.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(s.done)
		for {
			var bodies []string
			for range 8 {
				in := newInput(s.user, s.next)
				s.next++
				s.put, bodies = append(s.put, in), append(bodies, in.body())
			}
			s.f.putBodies(bodies...)
			select {
			case <-time.After(40 * time.Millisecond):
			case <-s.stop:
				return
			}
		}
	}()
}

func (s *stream) end() {
	close(s.stop)
	<-s.done
}

// obeyed waits until every process decides in the new way, and says how long after the change each did so first, and
// when the last one of all decided in the old way.
func (l *legacy) obeyed(user string, changed time.Time, here bool, processes int) {
	l.f.t.Helper()
	first, lastOld := map[string]time.Duration{}, map[string]time.Duration{}
	l.f.within(30*time.Second, "every process obeys the flag", func() bool {
		clear(first)
		clear(lastOld)
		for _, d := range l.decisions(user, changed) {
			after := d.at.Sub(changed)
			if _, known := first[d.process]; d.here == here && !known {
				first[d.process] = after
			} else if d.here != here {
				lastOld[d.process] = after
			}
		}
		return len(first) == processes
	})
	ms := func(all map[string]time.Duration) (sorted []time.Duration) {
		for _, d := range slices.Sorted(maps.Values(all)) {
			sorted = append(sorted, d.Round(time.Millisecond))
		}
		return sorted
	}
	l.f.t.Logf("after the change, here %t: each process decided in the new way first after %v, and last in the old way after %v", here, ms(first), ms(lastOld))
	for process, after := range lastOld { // when one was first asked to decide is the queue's business
		if after > within5s {
			l.f.t.Errorf("%s decided in the old way until %s after the change, want %s at most", process, after, within5s)
		}
	}
}

// The rollout, account by account: what is not switched over goes to the legacy orchestrator as it is, what is comes
// here; a workflow stays where it is, whatever is switched later and however often it comes.
func TestRolloutOfOneAccount(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	l := f.startLegacy()
	const processes = 4
	l.startBeside(processes)
	// Of what is not switched over nobody here reads more than the account; some of it nobody here could read.
	odd := []string{
		newInput("B", 0).body(),
		"{ \"userId\" : \"B\",\n\t\"workflowId\":\"wf-odd\", \"recipientId\":\"fan\",\r\n \"content\":\"gr\\u00fc\\u00df \\ud83d\\ude00 \u00fc\\/\", \"more\": {\"z\":1.0,\"a\":[1e3, null]} }\n",
		`{"userId":"B","workflowId":"wf-bad","content":17,"attempts":"many"}`,
		`{"content":"","content":"twice","userId":"B","workflowId":"wf-twice","recipientId":"fan","priority":99}`,
		`no JSON at all`,
	}
	f.putBodies(odd...)
	a := &stream{f: f, user: "A"}
	a.begin()
	f.within(30*time.Second, "the legacy orchestrator has what is its own", func() bool { return len(l.all()) >= 40 })
	if n := number(f, `SELECT (SELECT count(*) FROM inbox) + (SELECT count(*) FROM hybrid_workflows) + (SELECT count(*) FROM quarantine)`); n > 0 {
		t.Errorf("%d messages were taken in here although nothing is switched over", n)
	}
	on, _ := f.switchFlag("orchestrator_enabled", "on", "--user", "A", "--reason", "test")
	l.obeyed("A", on, true, processes)
	var later []input // run here, and are not sent before it is switched off
	for n := range 20 {
		in := newInput("A", 100_000+n)
		in.notBefore = time.Now().Add(10 * time.Second)
		later = append(later, in)
	}
	f.put(later...)
	f.within(9*time.Second, "they are taken in", func() bool { return f.stages()["queued"] >= len(later) })
	off, _ := f.switchFlag("orchestrator_enabled", "off", "--user", "A", "--reason", "test")
	waiting := f.stages()["queued"]
	l.obeyed("A", off, false, processes)
	a.end()

	// What runs here, runs on here; what comes again of it, too.
	side := l.sides("A")
	var again []string
	for _, in := range append(later, a.put...) {
		if side[in.workflow] && len(again) < 40 {
			again = append(again, in.body())
		}
	}
	f.putBodies(again...)
	f.within(time.Minute, "the queue is empty", func() bool { s := f.sqs.Stats(mainQueue); return s.Visible+s.InFlight+s.Delayed == 0 })
	side = l.sides("A")
	want := slices.Clone(odd)
	for _, in := range a.put {
		if side[in.workflow] {
			f.expect(in)
		} else {
			want = append(want, in.body())
		}
	}
	f.drained(time.Minute)
	d := f.check()
	report(t, l.problems(want))
	for _, h := range l.all() {
		if h.user != "A" && h.user != "B" && h.body != odd[len(odd)-1] {
			t.Errorf("a message came to the legacy orchestrator with the account %q: %s", h.user, h.body)
		}
	}
	t.Logf("%d messages here, %d with the legacy orchestrator; %d waited here when it was switched off", len(d.inputs), len(want), waiting)
	if waiting == 0 || len(again) <= len(later) {
		t.Error("nothing waited here when it was switched off: the test says too little")
	}
}

// A percentage is of the accounts: whoever is in it stays in it, in every process, and in every higher one.
func TestRolloutOfAPercentage(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	l := f.startLegacy()
	l.startBeside(4)
	accounts, round := pick(200, 400, 2000), 0
	// sort puts a message of each account on the queue and returns the accounts that are handled here.
	sort := func(percent string) map[string]bool {
		changed, _ := f.switchFlag("orchestrator_enabled", percent, "--reason", "test")
		time.Sleep(time.Until(changed.Add(within5s))) // from then on every process must obey
		var put []input
		for n := range accounts {
			in := newInput("creator-"+strconv.Itoa(n), round)
			put = append(put, in)
		}
		round++
		var bodies []string
		for _, in := range put {
			bodies = append(bodies, in.body())
		}
		f.putBodies(bodies...)
		f.within(time.Minute, "all are decided", func() bool { return number(f, `SELECT count(*) FROM workflow_routes`) == round*accounts })
		side, here := l.sides(""), map[string]bool{}
		for _, in := range put {
			if side[in.workflow] {
				here[in.user] = true
				f.expect(in)
			}
		}
		return here
	}
	quarter := sort("25%")
	if part := 100 * len(quarter) / accounts; part < 18 || part > 32 {
		t.Errorf("25 %% of the accounts are %d of %d", len(quarter), accounts)
	}
	if again := sort("25%"); !maps.Equal(quarter, again) {
		t.Errorf("the same percentage is %d accounts at first and %d other ones later", len(quarter), len(again))
	}
	half := sort("50%")
	for user := range quarter {
		if !half[user] {
			t.Errorf("%s is in 25 %% and not in 50 %%", user)
		}
	}
	f.drained(time.Minute)
	d := f.check()
	f.within(10*time.Second, "the legacy orchestrator has the rest", func() bool { return len(l.all()) == round*accounts-len(d.inputs) })
	t.Logf("of %d accounts 25 %% are %d, and 50 %% are %d", accounts, len(quarter), len(half))
}

// I3 where the other side is down: its messages stay on the queue, arrive once when it is back, and hold up nobody.
func TestLegacyOrchestratorIsDown(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	clock := f.hasten()
	l := f.startLegacy()
	l.startBeside(4)
	changed, _ := f.switchFlag("orchestrator_enabled", "on", "--user", "here", "--reason", "test")
	time.Sleep(time.Until(changed.Add(within5s)))
	count, next := pick(30, 60, 300), 0
	var theirs []string
	for n := range count {
		theirs = append(theirs, newInput(fmt.Sprintf("there-%d", n%5), n).body())
	}
	held := func() bool { s := f.sqs.Stats(mainQueue); return s.Visible == 0 && s.InFlight == count }
	// ours puts messages of the account that is switched over; they go as if nothing were wrong.
	ours := func() {
		var put []input
		for range 20 {
			put = append(put, newInput("here", next))
			next++
		}
		f.put(put...)
		took := f.within(30*time.Second, "what is ours is sent", func() bool { return f.sent() == next })
		t.Logf("20 messages of the account that is switched over were sent within %s", took.Round(time.Millisecond))
	}
	l.answer(http.StatusInternalServerError)
	f.putBodies(theirs...)
	ours()
	f.within(30*time.Second, "what is theirs was tried and is held", func() bool { return l.refused() >= count && held() })

	l.refuse()
	received := f.sqs.Stats(mainQueue).Received
	clock.skip(90 * time.Second) // so long a message rests at most after the first failure
	ours()
	f.within(30*time.Second, "it was tried again and is held", func() bool {
		return f.sqs.Stats(mainQueue).Received == received+uint64(count+20) && held()
	})
	if n := len(l.all()); n > 0 {
		t.Fatalf("%d messages were taken by an orchestrator that is down", n)
	}

	l.answer(http.StatusOK)
	l.listen()
	clock.skip(180 * time.Second)
	f.within(30*time.Second, "all have arrived", func() bool { return len(l.all()) >= count })
	f.drained(30 * time.Second)
	f.check()
	report(t, l.problems(theirs))
	if s := f.sqs.Stats(mainQueue); s.DeadLettered > 0 {
		t.Errorf("%d messages of the legacy orchestrator went to the dead letters", s.DeadLettered)
	}
}
