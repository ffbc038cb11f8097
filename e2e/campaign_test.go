package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const campaignText = "Hello {{name}}!"

// I3, I5, I10: a campaign over HTTP. Its recipients become messages although the worker that makes them is killed three
// times in the middle; each gets it once, although it is paused twice in the middle of sending; what the API counts is
// true.
func TestCampaignFromTheFirstRequestToTheLastMessage(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	f.faults(gatewayLatency)
	a := f.startAPI("creator")
	count := pick(4000, 5000, 100_000)
	made := a.create(map[string]any{"userId": "creator", "name": "spring", "content": campaignText})
	recipients := recipientsOf("creator", count)
	// The list has some twice; the campaign has each once.
	first, second := withTwice(newRandom(t), recipients[:count*9/10]), append(slices.Clone(recipients[:50]), recipients[count*9/10:]...)
	f.uploadTo(a, made, first, 0)

	a.act(made.ID, "start")
	for kill := range 3 {
		f.killInExpansion(made.ID, kill)
		if kill < 2 {
			// What River does by itself minutes later.
			f.exec(`UPDATE river.river_job SET state = 'available', scheduled_at = now() WHERE kind = 'expand' AND state = 'running'`)
		}
	}
	f.exec(`DROP TRIGGER e2e_stop ON campaign_expansions`)
	f.uploadTo(a, made, second, len(first)) // while nobody works
	a.act(made.ID, "pause")                 // no reason not to make messages
	f.start(3)
	f.lostExpansionIsOverdue(made.ID)
	took := f.within(2*time.Minute, "all are messages", func() bool { return !a.show(made.ID).Expanding })
	if n := number(f, `SELECT count(*) FROM hybrid_workflows WHERE campaign_id = $1`, made.ID); n != count {
		t.Fatalf("%d messages for %d recipients", n, count)
	}
	t.Logf("%d recipients are messages, %s after the third worker was killed", count, took.Round(100*time.Millisecond))

	a.act(made.ID, "resume")
	for _, part := range []int{3, 2} {
		f.awaitSent(max(count/part, f.sent()+1))
		report(t, f.miscounted(made.ID))
		f.pauseInTheMiddle(a, made.ID, count)
	}
	f.drained(pick(time.Minute, time.Minute, 10*time.Minute))
	f.within(10*time.Second, "the campaign is completed", func() bool { return a.show(made.ID).State == "completed" })
	if c := a.checkCounts(t, made.ID); c.Counts["sent"] != count || c.Recipients != count {
		t.Errorf("at the end the API counts %d recipients and %v, want %d sent", c.Recipients, c.Counts, count)
	}
	f.check()
}

// withTwice repeats every hundredth recipient somewhere behind it.
func withTwice(random *rand.Rand, recipients []input) (all []input) {
	for n, in := range recipients {
		if all = append(all, in); n%100 == 99 {
			all = append(all, recipients[random.IntN(n)])
		}
	}
	return all
}

// uploadTo adds a list to a campaign, of which so many lines are there, and notes who is new.
func (f *fleet) uploadTo(a *api, c campaign, list []input, lines int) {
	f.t.Helper()
	known := map[string]bool{}
	for in := range f.inputs {
		known[in.recipient] = true
	}
	added := 0
	for _, in := range withLines(c, lines+1, slices.Clone(list)) {
		if !known[in.recipient] {
			known[in.recipient] = true
			added++
			f.expect(in)
		}
	}
	u := a.upload(c.ID, list)
	if want := (uploaded{Lines: len(list), Added: added, Duplicates: len(list) - added, Recipients: len(f.inputs)}); u != want {
		f.t.Errorf("the API says of a list %+v, want %+v", u, want)
	}
}

// stopExpansion makes the expansion of a campaign wait in the middle of a transaction, once it would get past a line.
func (f *fleet) stopExpansion(line int) (let func()) {
	f.t.Helper()
	const lock = 20261128
	conn, err := f.pool.Acquire(f.t.Context())
	f.must(err)
	_, err = conn.Exec(f.t.Context(), `SELECT pg_advisory_lock($1)`, lock)
	f.must(err)
	f.exec(fmt.Sprintf(`
		CREATE OR REPLACE FUNCTION e2e_stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(%d); RETURN NEW; END $$;
		DROP TRIGGER IF EXISTS e2e_stop ON campaign_expansions;
		CREATE TRIGGER e2e_stop BEFORE UPDATE ON campaign_expansions FOR EACH ROW WHEN (NEW.done > %d) EXECUTE FUNCTION e2e_stop()`, lock, line))
	return func() {
		_, err := conn.Exec(f.t.Context(), `SELECT pg_advisory_unlock($1)`, lock)
		f.must(err)
		conn.Release()
	}
}

// killInExpansion starts a worker alone and kills it while it makes messages: some are there, some are not, and a part
// is written but not committed.
func (f *fleet) killInExpansion(id string, kill int) {
	f.t.Helper()
	const progress = `SELECT done FROM campaign_expansions WHERE campaign = $1`
	before := number(f, progress, id)
	let := f.stopExpansion(before + 1500)
	victim := f.start(1)[0]
	f.within(time.Minute, "the worker is in the middle", func() bool {
		return number(f, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'`) > 0
	})
	done, all := number(f, progress, id), number(f, `SELECT last_line FROM campaign_expansions WHERE campaign = $1`, id)
	victim.kill()
	let()
	if done <= before || done >= all {
		f.t.Fatalf("kill %d: the expansion was at line %d of %d: that is not the middle", kill+1, done, all)
	}
	f.t.Logf("kill %d at line %d of %d", kill+1, done, all)
}

// lostExpansionIsOverdue lets the time pass, but in a full run, that the reconciler grants a job, and its leader to
// come back.
func (f *fleet) lostExpansionIsOverdue(id string) {
	f.t.Helper()
	if chaos < full {
		f.exec(`UPDATE river.river_leader SET expires_at = now()`)
		f.exec(`UPDATE campaign_expansions SET due_at = due_at - interval '1 minute' WHERE campaign = $1`, id)
	}
}

// pauseInTheMiddle pauses a campaign that is being sent and lets it go on. Nothing begins in between.
func (f *fleet) pauseInTheMiddle(a *api, id string, count int) {
	f.t.Helper()
	begin := time.Now()
	paused := a.act(id, "pause")
	took := time.Since(begin)
	f.settled()
	time.Sleep(1500 * time.Millisecond) // the reconciler has run
	c := a.checkCounts(f.t, id)
	sent := c.Counts["sent"]
	resumed := a.act(id, "resume")
	if n := f.startedBetween(paused.ChangedAt, resumed.ChangedAt); n > 0 {
		f.t.Errorf("%d calls began while the campaign was paused", n)
	}
	if sent == 0 || sent >= count || c.State != "paused" {
		f.t.Errorf("%d of %d were sent when the campaign was %s: that is not the middle", sent, count, c.State)
	}
	f.awaitSent(sent + 1)
	first := query(f, pgx.RowTo[time.Time], `SELECT min(started_at) FROM send_attempts WHERE started_at > $1`, resumed.ChangedAt)[0]
	f.t.Logf("paused at %d of %d, within %s, with %d in flight; the first call began %s after it was resumed",
		sent, count, took.Round(time.Millisecond), paused.InFlight, first.Sub(resumed.ChangedAt).Round(time.Millisecond))
}

// I3, I10: of a campaign that is cancelled in the middle every message is either sent or cancelled, and none is sent
// that had not begun.
func TestCancelledCampaignAccountsForEveryMessage(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	f.faults(gatewayLatency)
	a := f.startAPI("creator")
	f.start(2)
	count := pick(2000, 3000, 10_000)
	recipients := recipientsOf("creator", count)
	var list []map[string]any
	for _, in := range recipients {
		list = append(list, map[string]any{"recipientId": in.recipient, "mergeFields": in.fields})
	}
	made := a.create(map[string]any{"userId": "creator", "name": "a mistake", "content": campaignText, "recipients": list, "start": true})
	f.expect(withLines(made, 1, recipients)...)
	f.within(time.Minute, "all are messages", func() bool { return !a.show(made.ID).Expanding })
	f.awaitSent(count / 4)
	cancelled := a.act(made.ID, "cancel")
	f.drained(time.Minute)
	c := a.checkCounts(t, made.ID)
	if n := f.startedBetween(cancelled.ChangedAt, f.clock()); n > 0 {
		t.Errorf("%d calls began after the campaign was cancelled", n)
	}
	if c.State != "cancelled" || c.Counts["sent"]+c.Counts["cancelled"] != count || c.Counts["cancelled"] == 0 {
		t.Errorf("the campaign is %s with %v, want %d sent or cancelled", c.State, c.Counts, count)
	}
	f.check("cancelled")
	t.Logf("of %d messages %d were sent, %d of them were in flight, and %d cancelled", count, c.Counts["sent"], cancelled.InFlight, c.Counts["cancelled"])
}
