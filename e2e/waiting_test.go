package e2e_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

// I7: messages that wait for a token cost no job and no reading that grows with their number.
func TestWaitingCostsNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=1/1h")
	// Campaigns that the reconciler looks at.
	for campaign, state := range map[string]db.CampaignState{"winter": db.CampaignCancelled, "summer": db.CampaignPaused} {
		if _, err := f.store.SetCampaignState(t.Context(), "creator", campaign, state, "e2e"); err != nil {
			t.Fatal(err)
		}
	}
	rest := time.Duration(pick(8, 10, 30)) * time.Second
	const few, many = 200, 2000
	less, more := f.measureWaiting(few, rest), f.measureWaiting(many, rest)
	f.check("queued")
	t.Logf("%s: %d waiting messages cost %+v, %d cost %+v", rest, few, less, many, more)
	if more.jobs > 0 {
		t.Errorf("%d waiting messages cost %d jobs", many, more.jobs)
	}
	// The same reading, and room for a poll or a vacuum more in one of the runs.
	if float64(more.rows) > 1.5*float64(less.rows)+100 {
		t.Errorf("%d waiting messages cost the reading of %d rows, %d of %d", many, more.rows, few, less.rows)
	}
	if float64(more.transactions) > 1.5*float64(less.transactions)+20 {
		t.Errorf("%d waiting messages cost %d transactions, %d cost %d", many, more.transactions, few, less.transactions)
	}
}

// waitingCost is what happens while nothing can be sent.
type waitingCost struct {
	jobs         int // of any kind but the reconciler's, which runs anyway
	rows         int // read from our tables, or their entries in indexes
	transactions int // in the whole database
}

// measureWaiting lets messages come in through the queue until so many are there, of which all but the first have to
// wait, and measures what that costs a new process, from its start to its end.
func (f *fleet) measureWaiting(count int, rest time.Duration) waitingCost {
	f.t.Helper()
	first := f.start(1)[0]
	var inputs []input
	for n := len(f.inputs); n < count; n++ {
		in := newInput("creator", n)
		in.campaign = "spring"
		inputs = append(inputs, in)
	}
	f.put(inputs...)
	f.within(time.Minute, "all but one wait", func() bool {
		stages := f.stages()
		return stages["sent"] == 1 && stages["queued"] == count-1 && f.sqs.Stats(mainQueue).InFlight == 0
	})
	first.terminate(9 * time.Second) // now all it has read is counted
	f.exec(`VACUUM ANALYZE`)         // which also reads what indexes of page ranges lack, so that autovacuum need not
	f.pool.Reset()                   // a session that ends has told what it read
	f.exec(`SELECT pg_stat_reset()`)
	before := f.jobs()
	second := f.start(1)[0]
	time.Sleep(rest)
	second.terminate(9 * time.Second)
	cost := waitingCost{jobs: f.jobs() - before}
	f.pool.Reset() // so that what these connections have counted is seen
	cost.rows = number(f, `SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'public')
		+ (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'public')`)
	cost.transactions = number(f, `SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()`)
	return cost
}

// jobs counts the jobs that were ever made, those left out that come by the clock.
func (f *fleet) jobs() int {
	return number(f, `SELECT count(*) FROM river.river_job WHERE kind NOT IN ('reconcile', 'audit')`)
}

// I9: an urgent message goes before all that wait in its account.
func TestUrgentMessageOvertakesABacklog(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	const backlog, urgent = 10_000, 5
	f.park("creator", "spring", backlog)
	f.start(2)
	f.awaitSent(2 * limitCount)
	var behind []int
	for n := range urgent {
		in := newInput("creator", backlog+n)
		in.priority = 1
		before := f.gateway.Stats().Accepted
		f.put(in)
		f.within(20*time.Second, "the urgent message is sent", func() bool {
			return number(f, `SELECT count(*) FROM hybrid_workflows WHERE workflow_id = $1 AND stage = 'sent'`, in.workflow) == 1
		})
		for i, a := range f.gateway.Arrivals(before) {
			if a.RecipientID == in.recipient {
				behind = append(behind, i)
			}
		}
	}
	t.Logf("urgent messages arrived behind %v others of %d", behind, backlog)
	// What had its tokens already goes first: at most one round, and one more that was under way.
	if len(behind) != urgent || slices.Max(behind) > 2*limitCount {
		t.Errorf("urgent messages arrived behind %v others, want at most %d", behind, 2*limitCount)
	}
	d := f.check("queued", "sending")
	f.checkLimit(d, limitCount, limitWindow)
}

// I9: a backlog of one account does not slow the messages of another. It measures time and so runs alone.
func TestBacklogDoesNotSlowOtherAccounts(t *testing.T) {
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=10/1s")
	f.start(2)
	backlog, probes := pick(30_000, 100_000, 100_000), pick(60, 80, 200)
	empty := f.latencies("before", probes)
	f.park("creator", "spring", backlog)
	f.awaitSent(probes + 2*limitCount) // it is being worked on
	loaded := f.latencies("behind", probes)
	t.Logf("median latency %s with an empty queue, %s with %d queued in another account", empty.Round(100*time.Microsecond), loaded.Round(100*time.Microsecond), backlog)
	const floor = 30 * time.Millisecond // below it is chance on a busy machine
	if float64(loaded) > 1.5*float64(max(empty, floor)) {
		t.Errorf("median latency %s with an empty queue, %s with %d queued in another account", empty, loaded, backlog)
	}
	d := f.check("queued", "sending")
	f.checkLimit(d, limitCount, time.Second)
}

// latencies sends one message for each of several accounts, one after the other, and returns the median of the times
// from putting it on the queue to its arrival at the gateway.
func (f *fleet) latencies(name string, count int) time.Duration {
	f.t.Helper()
	var times []time.Duration
	for n := range count {
		in := newInput(fmt.Sprintf("%s-%d", name, n), 0)
		put := time.Now()
		f.put(in)
		var arrived time.Time
		f.within(20*time.Second, "a message arrives", func() bool {
			for _, a := range f.gateway.Arrivals(0) {
				if a.UserID == in.user {
					arrived = a.At
				}
			}
			return !arrived.IsZero()
		})
		times = append(times, arrived.Sub(put))
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// I10: a pause of a campaign with a large backlog takes effect at once; only what was in flight still arrives, and
// it was counted.
func TestPauseStopsABacklogAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=50/1s", "SHUTDOWN_TIMEOUT=9s")
	// Messages arrive later than they are sent, so that some are in flight at any time.
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{{Kind: gatewaysim.Hold, Min: 50 * time.Millisecond, Max: 300 * time.Millisecond}}})
	backlog := pick(30_000, 100_000, 100_000)
	f.park("creator", "spring", backlog)
	f.park("other", "summer", 2000)
	f.start(3)
	f.awaitSent(100)
	for _, state := range []db.CampaignState{db.CampaignPaused, db.CampaignCancelled} {
		f.within(10*time.Second, "calls in flight", func() bool {
			return number(f, `SELECT count(*) FROM send_attempts WHERE state = 'in_flight' AND user_id = 'creator'`) >= 10
		})
		begin := time.Now()
		change, err := f.store.SetCampaignState(t.Context(), "creator", "spring", state, "e2e")
		took := time.Since(begin)
		if err != nil {
			t.Fatal(err)
		}
		// An arrival is stamped under the gateway's lock: whatever has no stamp now arrives after the return.
		after := f.gateway.Stats().Arrivals
		if took > time.Second {
			t.Errorf("%s took %s, want less than a second", state, took)
		}
		others := f.sentOf("summer")
		time.Sleep(3 * time.Second)
		late := 0
		for _, a := range f.gateway.Arrivals(after) {
			if a.UserID == "creator" {
				late++
			}
		}
		t.Logf("%s took %s with %d queued; %d were in flight, %d arrived after it", state, took.Round(100*time.Microsecond), backlog, change.InFlight, late)
		if late > change.InFlight {
			t.Errorf("%d messages arrived after the campaign was %s, %d were in flight", late, state, change.InFlight)
		}
		if n := number(f, `SELECT count(*) FROM send_attempts a JOIN campaigns c ON c.user_id = a.user_id AND c.campaign_id = 'spring'
			WHERE a.reserved_at > c.changed_at + interval '500 milliseconds'`); n > 0 {
			t.Errorf("%d messages of the %s campaign got tokens", n, state)
		}
		if f.sentOf("summer") <= others {
			t.Errorf("the other campaign stopped too")
		}
		if state == db.CampaignPaused {
			f.resume()
		}
	}
	f.within(time.Minute, "the cancelled messages are closed", func() bool {
		return number(f, `SELECT count(*) FROM hybrid_workflows WHERE campaign_id = 'spring' AND stage NOT IN ('cancelled', 'sent')`) == 0
	})
	d := f.check("queued", "sending", "cancelled")
	f.checkLimit(d, 50, time.Second)
}

// resume lets the paused campaign go on, and waits until it does.
func (f *fleet) resume() {
	f.t.Helper()
	before := f.sentOf("spring")
	begin := time.Now()
	if _, err := f.store.SetCampaignState(f.t.Context(), "creator", "spring", db.CampaignRunning, "e2e"); err != nil {
		f.t.Fatal(err)
	}
	f.within(30*time.Second, "the campaign goes on", func() bool { return f.sentOf("spring") > before+20 })
	f.t.Logf("resumed after %s", time.Since(begin).Round(time.Millisecond))
}

func (f *fleet) sentOf(campaign string) int {
	return query(f, pgx.RowTo[int], `SELECT count(*) FROM hybrid_workflows WHERE campaign_id = $1 AND stage = 'sent'`, campaign)[0]
}
