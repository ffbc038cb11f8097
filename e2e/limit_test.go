package e2e_test

import (
	"slices"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

const (
	limitCount  = 10
	limitWindow = 2 * time.Second
	limitGuard  = 50 * time.Millisecond
)

// I1: whatever the latency and the number of workers, the gateway never sees more than the limit in any window; and
// the fleet uses at least 95 % of what a strict limiter can.
func TestStrictLimitIsKeptAndUsed(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(0, 400*time.Millisecond)}})
	f.start(4)
	const accounts, count = 20, 60
	f.put(newInputs(accounts, count)...)
	f.drained(2 * time.Minute)
	d := f.check()
	f.checkLimit(d, limitCount, limitWindow)

	used, worst := usedShare(d.arrivals, f.answers.mean())
	t.Logf("mean latency %s; used %.1f %% of what a strict limiter can (worst account %.1f %%)", f.answers.mean().Round(time.Millisecond), 100*used, 100*worst)
	if used < 0.95 {
		t.Errorf("only %.1f %% of the possible rate were used, want 95 %%", 100*used)
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
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(0, 400*time.Millisecond)}})
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
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{latency(0, 200*time.Millisecond)}})
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
