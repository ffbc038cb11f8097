package db_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/audit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// audit audits the whole ledger.
func (f *fleet) audit(adjust ...func(*db.AuditRequest)) *audit.Report {
	f.t.Helper()
	request := db.AuditRequest{Most: 20}
	for _, change := range adjust {
		change(&request)
	}
	report, err := f.store.Audit(f.ctx, request)
	if err != nil {
		f.t.Fatal(err)
	}
	return report
}

// found is what was found, by kind.
func found(r *audit.Report) map[audit.Kind]int64 {
	totals := map[audit.Kind]int64{}
	for kind, n := range r.Totals {
		if n > 0 {
			totals[kind] = n
		}
	}
	return totals
}

func wantFound(t testing.TB, r *audit.Report, want map[audit.Kind]int64) {
	t.Helper()
	if diff := cmp.Diff(want, found(r)); diff != "" {
		text, _ := json.MarshalIndent(r.Findings, "", " ")
		t.Fatalf("findings (-want +got):\n%s\n%s", diff, text)
	}
}

// A fleet whose workers die, whose commits get lost and whose calls end in doubt audits clean: not even the possibility of a
// violation is reported.
func TestAuditOfSimulatedFleetIsClean(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "3/60s,40/24h", "1/60s,4/24h")
	store, faults := f.faultyStore()
	s := newSim(f, store)
	chance := rand.New(rand.NewPCG(7, 7))
	s.crash = func() bool {
		if chance.IntN(4) == 0 {
			faults.next.Store(int32(lostAfter))
		}
		return chance.IntN(9) == 0
	}
	var batch []workflow.Delivery
	for _, user := range []string{"ann", "ben"} {
		batch = append(batch, messages(user, 25, inCampaign("spring"))...)
		batch = append(batch, message(user, 100, toRecipient("fan-of-both")), message(user, 101, toRecipient("fan-of-both")))
	}
	f.park(batch...)
	s.drain()
	s.checkEnd()
	report := f.audit()
	wantFound(t, report, map[audit.Kind]int64{})
	sums := report.Sums
	if !sums.Balanced() || sums.Received != int64(len(batch)) || sums.Sent == 0 || report.Calls < sums.Sent || report.Accounts != 2 {
		t.Errorf("sums %+v, %d calls of %d accounts", sums, report.Calls, report.Accounts)
	}
	// The same ledger by half the limit is not clean.
	strict := f.audit(func(r *db.AuditRequest) { r.Account = []audit.Rule{{Capacity: 1, Window: time.Minute}} })
	if strict.Totals[audit.AccountLimit] == 0 || !strict.Failed() {
		t.Errorf("by 1/60s: %v", found(strict))
	}
}

// What the oracle's operations leave behind audits clean, too, as long as the rules stay.
func TestAuditOfRandomFleetIsClean(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	rapid.Check(t, func(rt *rapid.T) {
		o := newOracle(f, rt)
		f.exec(`DELETE FROM campaign_counts; DELETE FROM campaign_deltas`)
		rt.Repeat(map[string]func(*rapid.T){
			"ingest": o.ingest, "release": o.release, "release2": o.release, "begin": o.begin, "begin2": o.begin, "finish": o.finish, "finish2": o.finish,
			"settle": o.settle, "late": o.finishAgain, "advance": o.advance, "campaign": o.setCampaign,
		})
		report, err := f.store.Audit(f.ctx, db.AuditRequest{Most: 5})
		if err != nil {
			rt.Fatal(err)
		}
		for kind, n := range found(report) {
			// Late evidence of acceptance corrects an attempt whose tokens are back already.
			late := kind == audit.AccountLimitPossible || kind == audit.RecipientLimitPossible
			if !late && kind != audit.OverdueAttempt { // no reconciler runs
				rt.Fatalf("%d times %s: %+v", n, kind, report.Findings)
			}
		}
	})
}

// sent brings messages of an account to their end, a window apart from what was before.
func (f *fleet) sent(batch ...workflow.Delivery) []db.Attempt {
	f.t.Helper()
	f.AdvanceClock(f.t, 10*time.Minute)
	before := len(f.attempts())
	f.ingest(true, batch...)
	attempts := f.attempts()[before:]
	if len(attempts) != len(batch) {
		f.t.Fatalf("%d of %d messages were released", len(attempts), len(batch))
	}
	for i, a := range attempts {
		done := f.finish(db.Finish{Attempt: a, Fence: f.mustBegin(a), Outcome: workflow.EventAccepted, GatewayMessageID: fmt.Sprintf("gw-%s-%d", a.Workflow, i)})
		if !done.Applied {
			f.t.Fatal("not applied")
		}
	}
	return attempts
}

// Breaking the limit by hand, in a copy of the ledger, is found: the constraint does not know of it, the audit does.
func TestAuditFindsBrokenLimit(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "1/60s")
	f.sent(messages("ann", 2)...)
	second := f.sent(messages("ben", 2)...)
	f.AdvanceClock(f.t, time.Minute+time.Second)
	third := f.sent(message("ben", 7, toRecipient("fan-ben-0")))
	wantFound(t, f.audit(), map[audit.Kind]int64{})

	ids := []uuid.UUID{second[0].Workflow, second[1].Workflow, third[0].Workflow}
	at := one[time.Time](f, `SELECT started_at FROM send_attempts WHERE workflow = $1`, ids[0])
	move := func(by time.Duration) {
		f.exec(`UPDATE send_attempts SET started_at = $2, ended_at = $2 WHERE workflow = $1`, ids[2], at.Add(by))
	}
	move(time.Minute) // exactly a window later: half-open
	wantFound(t, f.audit(), map[audit.Kind]int64{})
	move(time.Minute - time.Microsecond)
	report := f.audit()
	wantFound(t, report, map[audit.Kind]int64{audit.AccountLimit: 1, audit.RecipientLimit: 1})
	got := report.Findings[0]
	if got.Account != "ben" || got.Rule != "2/60s" || got.Allowed != 2 || got.Found != 3 || got.AtLeast != 3 || len(got.Messages) != 3 || !report.Failed() ||
		got.Messages[0].WorkflowID == "" || got.From.After(at) || got.To.Before(at.Add(time.Minute)) || got.Remedy == "" {
		t.Errorf("%+v", got)
	}
	if got := report.Findings[1]; got.Recipient != "fan-ben-0" || got.Allowed != 1 || got.Found != 2 {
		t.Errorf("%+v", got)
	}
	wantFound(t, f.audit(func(r *db.AuditRequest) {
		r.Account = []audit.Rule{{Capacity: 3, Window: time.Minute}}
		r.Recipient = []audit.Rule{}
	}), map[audit.Kind]int64{})
	// It was over before the range.
	f.AdvanceClock(f.t, time.Hour)
	wantFound(t, f.audit(func(r *db.AuditRequest) { r.Last = 30 * time.Minute }), map[audit.Kind]int64{})
	// Of a reply that took its time nobody knows when the message arrived.
	f.exec(`UPDATE send_attempts SET ended_at = $2 WHERE workflow = $1`, ids[2], at.Add(time.Minute+time.Second))
	wantFound(t, f.audit(), map[audit.Kind]int64{audit.AccountLimitPossible: 1, audit.RecipientLimitPossible: 1})
	// Nor of one whose reply was lost: it may have arrived as soon as the limit allows.
	move(time.Minute - time.Microsecond)
	f.exec(`UPDATE send_attempts SET state = 'unknown' WHERE workflow = $1`, ids[2])
	f.exec(`UPDATE hybrid_workflows SET stage = 'in_doubt' WHERE id = $1`, ids[2])
	wantFound(t, f.audit(), map[audit.Kind]int64{audit.AccountLimitPossible: 1, audit.RecipientLimitPossible: 1})
}

// What is over the rules in force may have been allowed before an operator changed them.
func TestAuditKnowsThatRulesChange(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "5/60s", "off")
	f.sent(messages("ann", 5)...)
	f.AdvanceClock(f.t, time.Hour)
	if err := f.store.SetLimit(f.ctx, "account", "", rules(t, "2/60s"), -1, "operator"); err != nil {
		t.Fatal(err)
	}
	report := f.audit()
	wantFound(t, report, map[audit.Kind]int64{audit.AccountLimitPossible: 1})
	if report.Failed() || !strings.Contains(report.Findings[0].Detail, "not known") {
		t.Errorf("%+v", report.Findings[0])
	}
	report = f.audit(func(r *db.AuditRequest) { r.Account = []audit.Rule{{Capacity: 2, Window: time.Minute}} })
	wantFound(t, report, map[audit.Kind]int64{audit.AccountLimit: 1})
}

// Recipients are judged by the most that one of the accounts may, and only by calls of accounts that have a limit.
func TestAuditOfRecipientsOfManyAccounts(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "off", "1/60s")
	for user, own := range map[string]string{"ben": "3/30s", "cyd": "off"} {
		if err := f.store.SetLimit(f.ctx, "recipient", user, rules(t, own), -1, "seeded from the environment"); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 6 {
		f.sent(message("cyd", n, toRecipient("fan")))
		f.sent(message("ben", n, toRecipient("fan")))
	}
	wantFound(t, f.audit(), map[audit.Kind]int64{})
	f.exec(`UPDATE send_attempts SET started_at = (SELECT min(started_at) FROM send_attempts), ended_at = (SELECT min(started_at) FROM send_attempts)`)
	report := f.audit()
	wantFound(t, report, map[audit.Kind]int64{audit.RecipientLimit: 1})
	if got := report.Findings[0]; got.Found != 6 || got.Rule != "3/30s" {
		t.Errorf("%+v", got)
	}
}

// An audit that asked what enforces the limit would repeat its mistakes.
func TestAuditIsIndependent(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("audit*.go")
	more, errMore := filepath.Glob(filepath.Join("..", "internal", "audit", "*.go"))
	if err != nil || errMore != nil || len(files) == 0 || len(more) == 0 {
		t.Fatal(files, err, more, errMore)
	}
	for _, file := range append(files, more...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"send_holds", "account_tokens", "recipient_limits", "account_slots", "internal/limit\"", "heldTokensSQL", "w.content", "w.brief"} {
			if strings.Contains(string(text), word) {
				t.Errorf("%s uses %s", file, word)
			}
		}
	}
}
