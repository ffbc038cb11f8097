package db_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/audit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// planted is a ledger with four messages that were sent, one that waits, one that is reserved and one in flight; W is the first
// one's id, Q that of the one that waits, R and I those of the others. Whoever plants runs without triggers, and drops constraints.
type planted struct {
	name string
	sql  string
	want map[audit.Kind]int64
}

var plantedAll = []planted{
	{"nothing", ``, nil},
	{"accepted twice", `INSERT INTO send_attempts SELECT workflow, 2, user_id, recipient_id, state, limiter, account_slots, reserved_at, reservation_ends, fence, started_at + interval '2 minutes', call_deadline + interval '2 minutes',
		ended_at + interval '2 minutes' FROM send_attempts WHERE workflow = 'W'`, map[audit.Kind]int64{audit.TwoAcceptances: 1}},
	{"two ids of one message", `INSERT INTO send_attempts SELECT (jsonb_populate_record(a, jsonb_build_object('sequence', 2, 'state', 'not_sent', 'gateway_message_id', 'other'))).* FROM send_attempts a WHERE workflow = 'W'`,
		map[audit.Kind]int64{audit.TwoMessageIDs: 1}},
	{"one id of two messages", `UPDATE send_attempts SET gateway_message_id = 'same' WHERE state = 'accepted' AND user_id = 'ann'`, map[audit.Kind]int64{audit.SharedMessageID: 1}},
	{"a reservation beyond its end", `UPDATE send_attempts SET reservation_ends = reservation_ends - interval '10 minutes' WHERE workflow = 'R'`, map[audit.Kind]int64{audit.OverdueAttempt: 1}},
	{"a call beyond its deadline", `UPDATE send_attempts SET call_deadline = call_deadline - interval '10 minutes' WHERE workflow = 'I'`, map[audit.Kind]int64{audit.OverdueAttempt: 1}},
	{"a call without a deadline", `UPDATE send_attempts SET call_deadline = NULL, started_at = started_at - interval '10 minutes' WHERE workflow = 'I'`, map[audit.Kind]int64{audit.OverdueAttempt: 1}},
	{"sent without acceptance", `UPDATE send_attempts SET state = 'not_sent' WHERE workflow = 'W'`, map[audit.Kind]int64{audit.SentWithoutAcceptance: 1}},
	{"sent without an attempt", `DELETE FROM send_attempts WHERE workflow = 'W'`, map[audit.Kind]int64{audit.SentWithoutAcceptance: 1}},
	{"accepted and failed", `UPDATE hybrid_workflows SET stage = 'failed' WHERE id = 'W'`, map[audit.Kind]int64{audit.AcceptedNotSent: 1, audit.CampaignCountDiffers: 2}},
	{"accepted and queued", `UPDATE hybrid_workflows SET stage = 'queued' WHERE id = 'W'`, map[audit.Kind]int64{audit.AcceptedNotSent: 1, audit.CampaignCountDiffers: 2}},
	{"queued with an open attempt", `UPDATE hybrid_workflows SET stage = 'queued' WHERE id = 'R'`, map[audit.Kind]int64{audit.WaitingWithOpenAttempt: 1}},
	{"cancelled with an open attempt", `UPDATE hybrid_workflows SET stage = 'cancelled' WHERE id = 'I'`, map[audit.Kind]int64{audit.FinalWithOpenAttempt: 1}},
	{"sending without an attempt", `UPDATE hybrid_workflows SET stage = 'sending' WHERE id = 'Q'`, map[audit.Kind]int64{audit.OnItsWayWithoutAttempt: 1}},
	{"in doubt with an attempt that is not", `UPDATE hybrid_workflows SET stage = 'in_doubt' WHERE id = 'I'`, map[audit.Kind]int64{audit.OnItsWayWithoutAttempt: 1}},
	{"a message vanished", `DELETE FROM hybrid_workflows WHERE id = 'W'`,
		map[audit.Kind]int64{audit.AttemptWithoutWorkflow: 1, audit.InboxWithoutWorkflow: 1, audit.SumDiffers: 1, audit.CampaignCountDiffers: 1}},
	{"a message that waits vanished", `DELETE FROM hybrid_workflows WHERE id = 'Q'`, map[audit.Kind]int64{audit.InboxWithoutWorkflow: 1, audit.SumDiffers: 1}},
	{"a message from nowhere", `DELETE FROM inbox WHERE workflow = 'Q'`, map[audit.Kind]int64{audit.WorkflowWithoutInbox: 1, audit.SumDiffers: 1}},
	{"a message became another's", `UPDATE hybrid_workflows SET recipient_id = 'somebody' WHERE id = 'W'`,
		map[audit.Kind]int64{audit.AttemptOfAnother: 1, audit.InboxWithoutWorkflow: 1, audit.WorkflowWithoutInbox: 1}},
	{"an attempt of another account", `UPDATE send_attempts SET user_id = 'cyd' WHERE workflow = 'W'`, map[audit.Kind]int64{audit.AttemptOfAnother: 1}},
	{"a campaign counts wrong", `UPDATE campaign_counts SET number = number + 1`, map[audit.Kind]int64{audit.CampaignCountDiffers: 1}},
	{"a campaign counts what is not there", `INSERT INTO campaign_counts VALUES ('zoe', 'ghost', 'queued', 1)`, map[audit.Kind]int64{audit.CampaignCountDiffers: 1}},
	{"recipients got lost", `INSERT INTO campaign_recipients SELECT id, n, 'lost-' || n FROM campaigns, generate_series(1, 3) n;
		INSERT INTO campaign_expansions (campaign, last_line, recipients, done) SELECT id, 3, 3, 2 FROM campaigns`, map[audit.Kind]int64{audit.RecipientWithoutMessage: 1}},
	{"two texts", aText("planning", "''") + aText("ready", "'x'"), map[audit.Kind]int64{audit.TwoTexts: 1}},
	{"a failed text makes room", aText("failed", "''") + aText("ready", "'x'"), nil},
	{"a text without words", aText("ready", "''"), map[audit.Kind]int64{audit.TextWithoutBody: 1}},
	{"a call with its cost", aText("planning", "''") + aCall + aCost, nil},
	{"a call without its cost", aText("planning", "''") + aCall, map[audit.Kind]int64{audit.CallWithoutCost: 1}},
	{"a cost without a call", aText("planning", "''") + aCost, map[audit.Kind]int64{audit.CostWithoutCall: 1}},
}

// aText is SQL that writes a text.
func aText(state, body string) string {
	return `INSERT INTO texts (id, user_id, campaign_id, scope, brief, fields, state, due_at, body, provider_states, retry_attempts, created_at, updated_at)
		VALUES (gen_random_uuid(), 'ann', 'spring', 'campaign:spring', 'b', '[]', '` + state + `', hybrid_clock(), ` + body + `, '{}', '{}', hybrid_clock(), hybrid_clock());`
}

const (
	aCall = `INSERT INTO plan_attempts (id, text, sequence, provider, target, state, probe, repair, worker, started_at, deadline, ended_at)
		SELECT gen_random_uuid(), id, 1, 'azure', 'azure:x', 'completed', false, false, 'w', hybrid_clock(), hybrid_clock(), hybrid_clock() FROM texts;`
	aCost = `INSERT INTO provider_costs (attempt, at, user_id, campaign_id, text, provider, target, deployment, model, zone, tier, input, cached, cache_write, output, reasoning, kind, pico_usd)
		SELECT coalesce((SELECT id FROM plan_attempts), gen_random_uuid()), hybrid_clock(), 'ann', 'spring', id, 'azure', 'azure:x', 'd', 'm', 'z', 't', 1, 0, 0, 1, 0, 'not_billed', 0 FROM texts;`
)

func TestAuditNamesWhatIsPlanted(t *testing.T) {
	t.Parallel()
	for _, tt := range plantedAll {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "2/60s", "off")
			ids := f.ledger()
			f.exec(`DROP INDEX send_attempts_one_open; DROP INDEX texts_scope; ALTER TABLE texts DROP CONSTRAINT texts_check`)
			for letter, id := range ids {
				tt.sql = strings.ReplaceAll(tt.sql, "'"+letter+"'", "'"+id.String()+"'")
			}
			if tt.sql != "" {
				f.exec(`SET session_replication_role = replica; ` + tt.sql + `; SET session_replication_role = origin`)
			}
			if tt.want == nil {
				tt.want = map[audit.Kind]int64{}
			}
			for _, last := range []time.Duration{0, 2 * time.Hour} { // all of it, and what the periodic job looks at
				if strings.Contains(tt.sql, "ghost") && last > 0 {
					continue // its campaign has no message that could have changed
				}
				report := f.audit(func(r *db.AuditRequest) { r.Last = last })
				wantFound(t, report, tt.want)
				if report.Failed() != (len(tt.want) > 0) {
					t.Errorf("failed: %v", report.Failed())
				}
				for _, finding := range report.Findings {
					if finding.Remedy == "" || finding.Kind.Meaning() == string(finding.Kind) {
						t.Errorf("%s says nothing", finding.Kind)
					}
				}
			}
		})
	}
}

// ledger makes the ledger in which something is planted.
func (f *fleet) ledger() map[string]uuid.UUID {
	f.t.Helper()
	first := f.sent(messages("ann", 2, inCampaign("spring"))...)
	f.sent(messages("ben", 2)...)
	f.AdvanceClock(f.t, 10*time.Minute)
	f.ingest(true, message("ann", 10), message("ann", 11), message("ann", 12))
	open := f.attempts()[4:]
	f.mustBegin(open[1])
	if _, err := f.store.Reconcile(f.ctx); err != nil {
		f.t.Fatal(err)
	}
	return map[string]uuid.UUID{"W": first[0].Workflow, "R": open[0].Workflow, "I": open[1].Workflow, "Q": one[uuid.UUID](f, `SELECT id FROM hybrid_workflows WHERE stage = $1`, workflow.StageQueued)}
}

// All are counted, the worst are shown.
func TestAuditShowsTheWorst(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	f.ledger()
	f.exec(`DELETE FROM inbox`)
	report := f.audit(func(r *db.AuditRequest) { r.Most, r.Account = 3, []audit.Rule{{Capacity: 1, Window: time.Minute}} })
	if len(report.Findings) != 3 || report.Findings[0].Kind != audit.AccountLimit || report.Totals[audit.WorkflowWithoutInbox] != 7 || report.Total(audit.Inconsistent) != 9 {
		t.Errorf("%d shown, %v", len(report.Findings), report.Totals)
	}
}
