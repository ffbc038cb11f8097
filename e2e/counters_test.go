package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/audit"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// What four workers have counted is exactly what the gateway received and the database holds, after every kind of fault
// but the death of a process, which takes its counters with it: replies lost after the acceptance, refused
// connections, deliveries twice, deletes that fail, connections to Postgres that end anywhere, and commits whose answer got
// lost.
func TestCountersAreExact(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=10/2s", "SEND_RESERVATION=15s") // no process dies: what is reserved is only late
	t.Logf("SEED=%d", seed)
	const accounts, each = 250, 20
	f.faults(gatewaysim.Faults{Rules: []gatewaysim.Rule{
		latency(0, 50*time.Millisecond),
		{Kind: gatewaysim.RateLimit, Probability: 0.01},
		{Kind: gatewaysim.Refuse, Probability: 0.02},
		{Kind: gatewaysim.ErrorAfter, Probability: 0.02},
		{Kind: gatewaysim.ResetAfter, Probability: 0.02},
		{Kind: gatewaysim.LostReply, Probability: 0.02},
		{Kind: gatewaysim.ResetBefore, Probability: 0.01},
		{Kind: gatewaysim.ErrorBefore, Probability: 0.01},
	}})
	if err := f.sqs.SetFaults(sqstest.Faults{Seed: seed, Queues: []string{mainQueue}, Duplicate: sqstest.Rate{Probability: 0.05}, RedeliverAfterDelete: sqstest.Rate{Probability: 0.02},
		PartialBatch: []sqstest.ActionFault{{Rate: sqstest.Rate{Probability: 0.05}, Actions: []string{"DeleteMessageBatch"}}},
		Fail:         []sqstest.ActionFault{{Rate: sqstest.Rate{Probability: 0.05}, Actions: []string{"DeleteMessageBatch"}}}}); err != nil {
		t.Fatal(err)
	}
	front := newFront(t, f.answers.measure(f.gateway))
	cutter, url := throughCutter(t, f.url, 100)
	f.shortVisibility() // what was not deleted comes again soon
	f.start(4, "DATABASE_URL="+url, "GATEWAY_URL=http://"+front.address)
	begin, random, terminated, downs := time.Now(), newRandom(t), 0, 0
	committed := uint32(0)
	stopTerminating := repeat(t, random, 500*time.Millisecond, func() {
		if now := cutter.commits.Load(); now >= committed+50 { // on a slow machine nothing would ever come to its end otherwise
			committed = now
			terminated += f.terminateSome(random, 3)
		}
	})
	stopRefusing := repeat(t, newRandom(t), 3*time.Second, func() {
		front.down()
		downs++
		time.Sleep(100 * time.Millisecond) // while calls are refused
		front.up()
	})
	f.put(newInputs(accounts, each)...)
	f.within(4*time.Minute, "most messages are over", func() bool {
		return number(f, `SELECT count(*) FROM hybrid_workflows WHERE stage IN ('sent', 'failed')`) > accounts*each*9/10
	})
	stopTerminating()
	stopRefusing()
	f.faults(gatewaysim.Faults{})
	f.within(time.Minute, "no account rests", func() bool { // an operator knows that the gateway is well again
		resting, _, err := f.store.Resting(t.Context(), accounts)
		for _, r := range resting {
			_, err = f.store.EndRest(t.Context(), r.UserID)
		}
		return err == nil && len(resting) == 0 && f.stages()["queued"] == 0
	})
	f.drained(4 * time.Minute)
	took := time.Since(begin)

	var problems []string
	f.within(20*time.Second, "the processes have counted", func() bool {
		problems = f.countProblems(accounts * each)
		return len(problems) == 0 || time.Since(begin) > took+10*time.Second
	})
	report(t, problems)
	outcomes, stats := f.series("huntaze_send_outcomes_total"), f.gateway.Stats()
	t.Logf("%d messages in %s; outcomes %v; gateway %v, faults %v; %d commits of %d lost their answer, %d connections were terminated, the gateway went away %d times",
		accounts*each, took.Round(time.Second), outcomes, stats.Outcomes, stats.Faults, cutter.cut.Load(), cutter.commits.Load(), terminated, downs)
	for _, outcome := range []string{"accepted", "rejected", "not_sent", "rate_limited", "unknown"} {
		if outcomes[outcome] == 0 {
			t.Errorf("no outcome was %s: the test says too little", outcome)
		}
	}
	if _, faults := f.sqs.Faults(); cutter.cut.Load() < 10 || terminated < 10 || downs == 0 || faults.Duplicate == 0 || faults.Fail == 0 || faults.PartialBatch == 0 {
		t.Errorf("too few faults: %+v", faults)
	}
	f.check("failed")
}

// countProblems compares the counters of the processes with the gateway's log and the database.
func (f *fleet) countProblems(messages int) (found []string) {
	f.t.Helper()
	same := func(what string, counted, want int) {
		if counted != want {
			found = append(found, fmt.Sprintf("%s: counted %d, want %d", what, counted, want))
		}
	}
	intakes, outcomes := f.series("huntaze_intake_messages_total"), f.series("huntaze_send_outcomes_total")
	stages := f.stages()
	ledger := counts(f, `SELECT CASE WHEN state = 'not_sent' AND status = 429 THEN 'rate_limited' ELSE state END, count(*) FROM send_attempts GROUP BY 1`)
	ledger["unknown"] += number(f, `SELECT count(*) FROM workflow_events WHERE kind = 'unknown'`) // also those that are settled
	same("intakes", intakes["accepted"], messages)
	same("workflows", stages["sent"]+stages["failed"], messages)
	same("released messages", f.metric("huntaze_released_messages_total"), number(f, `SELECT count(*) FROM send_attempts`))
	for outcome := range maps.Keys(ledger) {
		same("outcomes "+outcome, outcomes[outcome], ledger[outcome])
	}
	same("outcomes accepted and the gateway", outcomes["accepted"], int(f.gateway.Stats().Accepted))
	same("outcomes accepted and messages sent", outcomes["accepted"], stages["sent"])

	out, err := f.try(nil, "audit", "--since", "all", "--json")
	var report audit.Report
	if err != nil || json.Unmarshal([]byte(out), &report) != nil || len(report.Findings) > 0 {
		return append(found, fmt.Sprintf("the audit: %v\n%s", err, out))
	}
	want := audit.Sums{Received: int64(messages), Sent: int64(outcomes["accepted"]), Failed: int64(stages["failed"])}
	if report.Sums != want {
		found = append(found, fmt.Sprintf("the audit's sums are %+v, want %+v", report.Sums, want))
	}
	return found
}

// metric sums a counter, over all labels, of the processes that run.
func (f *fleet) metric(name string) (sum int) {
	f.t.Helper()
	for _, n := range f.series(name) {
		sum += n
	}
	return sum
}

// series sums a counter with at most one label, by its value, over the processes that run.
func (f *fleet) series(name string) map[string]int {
	f.t.Helper()
	sums := map[string]int{}
	for _, p := range f.alive() {
		_, page := p.get("/metrics")
		for line := range strings.Lines(page) {
			labelled, value, _ := strings.Cut(line, " ")
			bare, label, _ := strings.Cut(labelled, "{")
			if bare != name {
				continue
			}
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				f.t.Fatalf("metric %s: %v", line, err)
			}
			_, label, _ = strings.Cut(label, `"`)
			sums[strings.TrimSuffix(label, `"}`)] += int(n)
		}
	}
	return sums
}
