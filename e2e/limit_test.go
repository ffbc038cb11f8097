package e2e_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

const (
	limitCount  = 10
	limitWindow = 2 * time.Second
	limitGuard  = 50 * time.Millisecond
)

// I1: whatever the latency and the number of workers, the gateway never sees more than the limit in any window; and
// the fleet uses at least 95 % of what a strict limiter can (a small run, beside whatever else, 70 %). It measures time and so runs alone, before the parallel ones;
// but the tests of other packages may use the machine at the same time in a small run.
func TestStrictLimitIsKeptAndUsed(t *testing.T) {
	f := newFleet(t)
	f.faults(gatewaysim.Faults{Rules: onBothWays(400 * time.Millisecond)})
	f.start(4)
	const accounts, count = 20, 60
	f.put(newInputs(accounts, count)...)
	f.drained(2 * time.Minute)
	d := f.check()
	f.checkLimit(d, limitCount, limitWindow)

	used, worst := usedShare(d.arrivals, f.answers.mean())
	t.Logf("mean latency %s; used %.1f %% of what a strict limiter can (worst account %.1f %%)", f.answers.mean().Round(time.Millisecond), 100*used, 100*worst)
	if want := pick(0.70, 0.95, 0.95); used < want {
		t.Errorf("only %.1f %% of the possible rate were used, want %.0f %%", 100*used, 100*want)
	}
}

// usedShare is the rate of saturated accounts as a share of what a strict limiter can reach, on average and at worst.
//
// Each of the limit's tokens pays for one message, and is back one window and guard after that message's call ended.
// So a token's messages are window + guard + latency apart at best, and the limit's tokens together send
//
//	limit / (window + guard + mean latency)
//
// The rate that was reached is measured between the first and the last round of an account (a round is `limit`
// messages): the mean of the last round's arrivals minus the mean of the first's, over the rounds between. Means,
// because the very last of 60 random arrivals says more about the luck of one token than about the rate.
func usedShare(arrivals []gatewaysim.Arrival, latency time.Duration) (mean, worst float64) {
	byAccount := map[string][]time.Duration{}
	for _, a := range arrivals {
		byAccount[a.UserID] = append(byAccount[a.UserID], a.Since)
	}
	best := limitWindow + limitGuard + latency // between two messages of a token
	worst = 1
	for _, times := range byAccount {
		slices.Sort(times)
		rounds := len(times)/limitCount - 1
		first, last := times[:limitCount], times[len(times)-limitCount:]
		each := (average(last) - average(first)) / time.Duration(rounds)
		share := float64(best) / float64(each)
		mean += share / float64(len(byAccount))
		worst = min(worst, share)
	}
	return mean, worst
}

func average(times []time.Duration) (mean time.Duration) {
	for _, t := range times {
		mean += t / time.Duration(len(times))
	}
	return mean
}

// I1 across crashes: a killed worker's tokens are held until nothing of it can arrive any more.
func TestStrictLimitUnderCrashes(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.shortVisibility()
	f.faults(gatewaysim.Faults{Rules: onBothWays(400 * time.Millisecond)})
	f.start(pick(3, 3, 4))
	crashes := f.crash(time.Second, pick(6, 8, 40))
	f.put(newInputs(pick(6, 10, 20), pick(30, 40, 120))...)
	killed := crashes.await()
	took := f.drained(3 * time.Minute)
	d := f.check()
	f.checkLimit(d, limitCount, limitWindow)
	t.Logf("%d workers killed; drained %s after the last; %d doubts settled", killed, took.Round(time.Second), d.resolved())
}

// I1 in bypass: a worker that can't reach the limiter says so and goes on slowly; what it sends counts all the same.
func TestStrictLimitInBypass(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.faults(gatewaysim.Faults{Rules: onBothWays(200 * time.Millisecond)})
	whole := f.start(pick(1, 2, 3))
	cutOff := f.start(1, "DATABASE_URL="+f.roleWithout("account_tokens"))[0]
	const each = 60
	f.put(newInputs(pick(4, 8, 20), each)...)
	f.within(20*time.Second, "the worker that is cut off bypasses the limiter", func() bool { return cutOff.log.count("bypass_with_warning") > 0 })
	f.within(time.Minute, "a message sent in bypass", func() bool {
		return number(f, `SELECT count(*) FROM send_attempts WHERE limiter = 'bypass' AND state = 'accepted'`) > 0
	})
	f.drained(2 * time.Minute)
	d := f.check()
	f.checkLimit(d, limitCount, limitWindow)
	for _, p := range whole {
		if p.log.count("bypass_with_warning") > 0 {
			t.Errorf("%s bypasses the limiter, which it can reach", p.name)
		}
	}
	bypassed := 0
	for _, a := range d.attempts {
		if a.limiter == "bypass" && a.state == "accepted" {
			bypassed++
		}
	}
	t.Logf("%d of %d messages were sent in bypass", bypassed, len(d.inputs))
}

// I1 across a change: windows entirely after a lowering hold no more than the new limit (what had its tokens before
// excepted), a raise is used, and neither makes a window hold more than the larger of the two.
func TestStrictLimitIsLoweredAndRaised(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.faults(gatewaysim.Faults{Rules: onBothWays(400 * time.Millisecond)})
	f.start(2)
	const lowered = 4
	accounts := pick(4, 8, 20)
	f.put(newInputs(accounts, 90)...)
	f.awaitSent(accounts * 15)
	low := f.setLimit(lowered)
	f.awaitSent(f.sent() + accounts*3*lowered)
	high := f.setLimit(limitCount)
	f.drained(2 * time.Minute)
	d := f.check()
	f.checkLimit(d, limitCount, limitWindow)

	between := f.releasedBetween(d, low, high)
	report(t, limitProblems(between, lowered, limitWindow, gatewaysim.ByAccount))
	most, _ := gatewaysim.MaxInWindow(f.releasedBetween(d, high, high.Add(time.Hour)), limitWindow, gatewaysim.ByAccount)
	if most <= lowered {
		t.Errorf("after the limit was raised to %d, the most in a window was %d", limitCount, most)
	}
	t.Logf("%d arrivals under the lowered limit", len(between))
	if len(between) < 2*accounts*lowered {
		t.Errorf("only %d arrivals under the lowered limit: the test says nothing", len(between))
	}
}

// setLimit changes the limit of all accounts, and returns the database's time of the change.
func (f *fleet) setLimit(count int) time.Time {
	f.t.Helper()
	if err := f.store.SetLimit(f.t.Context(), limit.ScopeAccount, "", limit.Rules{{Capacity: count, Window: limitWindow}}, limitGuard, "e2e"); err != nil {
		f.t.Fatal(err)
	}
	return query(f, pgx.RowTo[time.Time], `SELECT changed_at FROM limit_policies WHERE scope = 'account' AND user_id = ''`)[0]
}

// releasedBetween keeps, of each account, the arrivals from the first attempt on that got its tokens in that time:
// before it arrive those that had theirs already. It ends with the first attempt that got its tokens after the time.
func (f *fleet) releasedBetween(d dump, from, to time.Time) (kept []gatewaysim.Arrival) {
	f.t.Helper()
	type release struct {
		attemptID
		at time.Time
	}
	released := map[attemptID]time.Time{}
	for _, r := range query(f, func(row pgx.CollectableRow) (r release, err error) {
		return r, row.Scan(&r.workflow, &r.sequence, &r.at)
	},
		`SELECT workflow::text, sequence, reserved_at FROM send_attempts`) {
		released[r.attemptID] = r.at
	}
	lastBefore, firstAfter := map[string]time.Duration{}, map[string]time.Duration{}
	for _, a := range d.arrivals {
		switch at := released[attemptID{a.ClientRef, a.Attempt}]; {
		case at.Before(from):
			lastBefore[a.UserID] = max(lastBefore[a.UserID], a.Since)
		case !at.Before(to):
			if first, seen := firstAfter[a.UserID]; !seen || a.Since < first {
				firstAfter[a.UserID] = a.Since
			}
		}
	}
	for _, a := range d.arrivals {
		if end, ends := firstAfter[a.UserID]; a.Since > lastBefore[a.UserID] && (!ends || a.Since < end) {
			kept = append(kept, a)
		}
	}
	return kept
}

// I1 with a process whose environment says something else: it warns, and obeys the database.
func TestStrictLimitIsTheDatabases(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	right := f.start(1)[0]
	wrong := f.start(1, "RATE_LIMIT_ACCOUNT=50/2s")[0]
	f.put(newInputs(2, pick(30, 40, 60))...)
	f.drained(time.Minute)
	d := f.check()
	f.checkLimit(d, limitCount, limitWindow)
	const warning = "another limit than the database"
	if wrong.log.count(warning) != 1 || right.log.count(warning) != 0 {
		t.Errorf("warnings: %d from the process with another limit, %d from the one with the same", wrong.log.count(warning), right.log.count(warning))
	}
	if n := number(f, `SELECT count(DISTINCT worker) FROM send_attempts WHERE state = 'accepted'`); n != 2 {
		t.Errorf("%d processes have sent, want both", n)
	}
}

// I1 for recipients: messages for one recipient keep their distance, from whichever account they come, and cost
// the other recipients of the account nothing.
func TestStrictLimitOfRecipients(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_RECIPIENT=1/2s,3/10s", "RATE_LIMIT_ACCOUNT=20/2s")
	f.faults(gatewaysim.Faults{Rules: onBothWays(300 * time.Millisecond)})
	f.start(2)
	const recipients, each = 6, 4
	var inputs []input
	for _, account := range []string{"creator-0", "creator-1"} {
		for r := range recipients {
			for n := range each / 2 {
				in := newInput(account, r*each+n)
				in.recipient = "fan-" + strconv.Itoa(r)
				inputs = append(inputs, in)
			}
		}
	}
	f.put(inputs...)
	f.drained(2 * time.Minute)
	d := f.check()
	f.checkLimit(d, 20, limitWindow)
	byRecipient := func(a gatewaysim.Arrival) string { return a.RecipientID }
	report(t, append(limitProblems(d.arrivals, 1, 2*time.Second, byRecipient), limitProblems(d.arrivals, 3, 10*time.Second, byRecipient)...))
}

// I1 for requests that something on the way holds back after their caller gave up: their tokens stay taken until they
// can't arrive any more.
func TestStrictLimitOfRequestsThatAreHeldBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "GATEWAY_TIMEOUT=1s", "GATEWAY_SETTLE=6s")
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{{Kind: gatewaysim.Hold, Min: 3 * time.Second, Max: 6 * time.Second, Probability: 0.3}}})
	f.start(2)
	f.put(newInputs(3, pick(35, 50, 100))...)
	f.drained(2 * time.Minute)
	f.everythingHasArrived()
	d := f.check()
	f.checkLimit(d, limitCount, limitWindow)
	t.Logf("%d of %d requests were held back", f.gateway.Stats().Faults[gatewaysim.Hold], len(d.arrivals))
}
