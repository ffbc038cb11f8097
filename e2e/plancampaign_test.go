package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

// newMember is the n-th message of a campaign whose text is written once and holds each recipient's own name.
func newMember(n int) input {
	in := newBrief("creator", n)
	in.campaign, in.brief = "spring", "Spring is here"
	name := fmt.Sprintf("Ann %d", n)
	in.fields, in.content = map[string]string{"name": name}, "Hello "+name+", spring is here!"
	return in
}

// The text of a campaign is written by one call, whatever the number of recipients, and although the worker that hands
// it out is killed in the middle: each gets it once, with their own name. Those that come later get it without a call.
// While the campaign is paused, no call is made.
func TestCampaignTextIsWrittenOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	answers := make(held)
	sim := f.provide(providersim.Options{Sleep: answers.sleep})
	f.must(sim.SetDefault(providersim.Azure, &providersim.Fault{Text: "Hello {{name|you}}, spring is here!", Delay: time.Hour}))
	f.run("campaign", "pause", "creator", "spring", "--reason", "not yet")
	f.startLeader()
	victim := f.start(1)[0]
	count := pick(1200, 1600, 10_000)
	var members []input
	for n := range count {
		members = append(members, newMember(n))
	}
	f.put(members...)
	waiting := func() int { return f.stages()["planning"] }
	f.within(2*time.Minute, "all wait for the campaign", func() bool {
		return waiting() == count && number(f, `SELECT count(*) FROM texts WHERE waits_for = 'campaign'`) == 1
	})
	if calls := sim.Calls(0); len(calls) != 0 {
		t.Errorf("%d calls were made for a paused campaign", len(calls))
	}
	if said := f.run("explain", members[0].workflow); !strings.Contains(said, "campaign spring is paused") {
		t.Errorf("explain does not say that the campaign is paused:\n%s", said)
	}
	f.run("campaign", "resume", "creator", "spring")
	f.within(30*time.Second, "the call is made", func() bool { return len(sim.Calls(0)) == 1 })

	// The worker waits for the text's row, the test for the whole table: it is the test's turn when the worker has
	// handed out the first part.
	unlock := f.lockText(members[0].workflow)
	answers <- struct{}{}
	f.within(10*time.Second, "the worker has the text", func() bool { return f.blocked() > 0 })
	between := make(chan func())
	go func() { between <- f.lock("texts") }()
	f.within(10*time.Second, "the test is next", func() bool {
		return number(f, `SELECT count(*) FROM pg_locks WHERE relation = 'texts'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted`) == 1
	})
	unlock()
	unlock = <-between
	left := waiting()
	victim.kill()
	unlock()
	if left == 0 || left == count {
		t.Fatalf("%d of %d messages had no text when the worker was killed: that is not the middle", left, count)
	}
	f.start(2)
	took := f.drained(3 * time.Minute)
	for n := range 20 {
		f.put(newMember(count + n))
	}
	f.drained(time.Minute)
	d := f.check()
	p := f.plans(sim)
	report(t, p.problems())
	if len(sim.Calls(0)) != 1 || len(p.texts) != 1 {
		t.Errorf("%d calls for %d texts, want one for one", len(sim.Calls(0)), len(p.texts))
	}
	t.Logf("%d messages with one call; the worker was killed when %d had no text yet; all were sent %s later", len(d.workflows), left, took.Round(100*time.Millisecond))
}
