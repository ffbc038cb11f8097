package db_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// How large the tables are in these tests: beyond every bound of a read.
const (
	manyQueued = 120_000 // of one account, most of them in a campaign that is paused
	manySent   = 30_000
	manyOther  = 12_000 // doubts, quarantined messages, accounts
)

// fill makes tables that would be slow to read as a whole.
func (f *fleet) fill() {
	f.t.Helper()
	const states, retries = `'{"azure":"pending","openai":"pending","rateLimiter":"pending","onlyFans":"pending"}'`, `'{"azure":0,"openai":0,"onlyFans":0}'`
	f.exec(`CREATE FUNCTION test_uuid(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$`)
	f.exec(`INSERT INTO hybrid_workflows (id, user_id, workflow_id, recipient_id, campaign_id, stage, not_before, provider_states, retry_attempts, trace_context, content, send_sequence, created_at, updated_at)
		SELECT test_uuid(n), CASE WHEN n <= $1 THEN 'big' ELSE 'done' END, 'wf-' || n, 'fan-' || n,
			CASE WHEN n > $1 OR n % 3 = 0 THEN 'running' ELSE 'paused' END, CASE WHEN n <= $1 THEN 'queued' ELSE 'sent' END,
			$2::timestamptz - interval '1 day' + n * interval '1 millisecond', `+states+`, `+retries+`, '{"traceId":"","spanId":"","timestamp":"0001-01-01T00:00:00Z"}',
			'Hello', CASE WHEN n <= $1 THEN 0 ELSE 1 END, $2, $2
		FROM generate_series(1, $1::bigint + $3) n`, manyQueued, start, manySent)
	f.exec(`INSERT INTO inbox (workflow_id, user_id, recipient_id, workflow, message_id, source, received_at)
		SELECT workflow_id, user_id, recipient_id, id, 'sqs-' || workflow_id, 'messages', created_at FROM hybrid_workflows`)
	f.exec(`INSERT INTO send_attempts (workflow, sequence, user_id, recipient_id, state, limiter, reserved_at, reservation_ends, fence, started_at, call_deadline, ended_at)
		SELECT id, 1, user_id, recipient_id, CASE WHEN row_number() OVER () <= $1 THEN 'unknown' ELSE 'accepted' END, 'bucket', $2, $2, 1, $2, $2, $2
		FROM hybrid_workflows WHERE stage = 'sent'`, manyOther, start)
	f.exec(`INSERT INTO workflow_events (workflow, at, kind) SELECT id, $1, 'unknown' FROM hybrid_workflows WHERE stage = 'sent'`, start)
	f.exec(`INSERT INTO accounts (user_id, wake_at, rest_until, rest_reason, created_at) SELECT 'account-' || n, $2, $2::timestamptz + n * interval '1 second', 'rate_limited', $2 FROM generate_series(1, $1::int) n`, manyOther, start)
	f.exec(`INSERT INTO accounts (user_id, wake_at, created_at) VALUES ('big', $1, $1), ('done', NULL, $1)`, start)
	f.exec(`INSERT INTO campaigns (user_id, campaign_id, state, changed_at, created_at) VALUES ('big', 'paused', 'paused', $1, $1), ('big', 'running', 'running', $1, $1)`, start)
	f.exec(`INSERT INTO quarantine (message_id, source, field, reason, body, received_at) SELECT 'm-' || n, 'messages', 'body', 'is no JSON', '{', $2 FROM generate_series(1, $1::int) n`, manyOther, start)
	if _, err := f.plain.Exec(f.ctx, "ANALYZE"); err != nil {
		f.t.Fatal(err)
	}
}

// plans collects what Postgres did for the statements of a pool.
type plans struct {
	mu  sync.Mutex
	all []plan
}

type plan struct {
	Node    string  `json:"Node Type"`
	Table   string  `json:"Relation Name"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Recheck float64 `json:"Rows Removed by Index Recheck"`
	Plans   []plan  `json:"Plans"`
}

// read is how many rows the scans of our tables looked at.
func (p plan) read(count func(table, node string, rows float64)) {
	if p.Table != "" {
		count(p.Table, p.Node, (p.Rows+p.Removed+p.Recheck)*p.Loops)
	}
	for _, child := range p.Plans {
		child.read(count)
	}
}

func (p *plans) notice(_ *pgconn.PgConn, n *pgconn.Notice) {
	_, text, found := strings.Cut(n.Message, "plan:")
	if !found {
		return
	}
	var one struct{ Plan plan }
	if err := json.Unmarshal([]byte(text), &one); err != nil {
		one.Plan = plan{Node: err.Error()}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, one.Plan)
}

// watched is a store on a pool like the fleet's whose every statement says what it read.
func (f *fleet) watched() (*db.Store, *plans) {
	f.t.Helper()
	collected := &plans{}
	config := f.pool.Config()
	config.MaxConns = 1
	config.ConnConfig.OnNotice = collected.notice
	prepare := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		for _, sql := range []string{"LOAD 'auto_explain'", "SET auto_explain.log_min_duration = 0", "SET auto_explain.log_analyze = on", "SET auto_explain.log_timing = off",
			"SET auto_explain.log_format = json", "SET auto_explain.log_level = notice", "SET client_min_messages = notice"} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return err
			}
		}
		if prepare == nil {
			return nil
		}
		return prepare(ctx, conn)
	}
	pool, err := pgxpool.NewWithConfig(f.ctx, config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(pool.Close)
	return db.NewStore(pool, f.jobs, f.config), collected
}

// What an operator reads costs a bounded number of rows, whatever the backlog and the history.
func TestOperatorsReadsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.fill()
	store, collected := f.watched()
	last := fmt.Sprintf("wf-%d", manyQueued) // with a third of all the messages ahead of it
	tests := []struct {
		name string
		most float64 // rows of all our tables
		read func() (any, error)
	}{
		{"explain one that waits", 10_100, func() (any, error) { return store.Explain(f.ctx, db.Which{WorkflowID: last}, 20) }},
		{"explain one that was sent", 50, func() (any, error) {
			return store.Explain(f.ctx, db.Which{WorkflowID: fmt.Sprintf("wf-%d", manyQueued+1), UserID: "done"}, 20)
		}},
		{"explain none", 10, func() (any, error) { return store.Explain(f.ctx, db.Which{WorkflowID: "no-such"}, 20) }},
		{"account", 30, func() (any, error) { s, _, err := store.AccountState(f.ctx, "big"); return s, err }},
		{"campaigns", 2100, func() (any, error) { return store.Campaigns(f.ctx, "", db.Campaign{}, 100) }},
		{"campaign", 1, func() (any, error) { c, _, err := store.Campaign(f.ctx, "big", "paused"); return c, err }},
		{"quarantine", 101, func() (any, error) { return store.Quarantine(f.ctx, 0, 100) }},
		{"quarantine, second page", 101, func() (any, error) { return store.Quarantine(f.ctx, 5000, 100) }},
		{"quarantined message", 100, func() (any, error) { return store.QuarantinedMessage(f.ctx, "m-77") }},
		{"summary", 60_000, func() (any, error) { return store.Summarise(f.ctx) }},
		{"observation", 70_000, func() (any, error) { return store.Observe(f.ctx) }},
		// The accounts are few compared with their messages, and read as a whole.
		{"accounts that rest", manyOther + 10, func() (any, error) { r, _, err := store.Resting(f.ctx, 100); return r, err }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			collected.all = nil
			if _, err := tt.read(); err != nil {
				t.Fatal(err)
			}
			if len(collected.all) == 0 {
				t.Fatal("Postgres did not say what it did")
			}
			total, parts := 0.0, []string{}
			for _, p := range collected.all {
				p.read(func(table, node string, rows float64) {
					total += rows
					parts = append(parts, fmt.Sprintf("%s %s %.0f", node, table, rows))
					if node == "Seq Scan" && slices.Contains([]string{"hybrid_workflows", "inbox", "send_attempts", "workflow_events"}, table) {
						t.Errorf("reads the whole of %s", table)
					}
				})
			}
			if total > tt.most {
				t.Errorf("%.0f rows were read, want at most %.0f: %s", total, tt.most, strings.Join(parts, ", "))
			}
		})
	}
	t.Run("what they say", func(t *testing.T) {
		f.t = t
		f.checkBigSummary()
	})
}

// checkBigSummary: what is not counted to its end says so; stages are exact.
func (f *fleet) checkBigSummary() {
	t := f.t
	explained, err := f.store.Explain(f.ctx, db.Which{WorkflowID: fmt.Sprintf("wf-%d", manyQueued)}, 20)
	if err != nil {
		t.Fatal(err)
	}
	if w := explained.Workflows[0].Waits; len(w) != 1 || w[0].Kind != db.WaitsForTurn || *w[0].Ahead != (db.Count{Number: 10_000, Certainty: db.AtLeast}) {
		t.Errorf("the last of the queue waits for %+v", w)
	}
	sum, err := f.store.Summarise(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for stage, want := range map[workflow.Stage]int64{workflow.StageQueued: manyQueued, workflow.StageSent: manySent} {
		got := sum.Stages[stage]
		if got != (db.Count{Number: want, Certainty: db.Exactly}) {
			t.Errorf("%s: %+v, want %d", stage, got, want)
		}
	}
	if got := sum.Stages[workflow.StageSending]; got != (db.Count{Number: 0, Certainty: db.Exactly}) {
		t.Errorf("sending: %+v", got)
	}
	over := db.Count{Number: 10_000, Certainty: db.AtLeast}
	if sum.InDoubt != over || sum.NeedOperator != over || sum.Quarantined != over || sum.Resting != over {
		t.Errorf("doubts %+v, for an operator %+v, quarantined %+v, resting %+v; want over 10,000", sum.InDoubt, sum.NeedOperator, sum.Quarantined, sum.Resting)
	}
	if sum.Oldest == nil || sum.Oldest.WorkflowID != "wf-1" || sum.Oldest.Certainty != db.Exactly || sum.WaitingAccounts.Number != 1 {
		t.Errorf("the oldest is %+v of %+v accounts", sum.Oldest, sum.WaitingAccounts)
	}
}

// Waking all accounts enqueues one look for each, also when they are more than share a transaction.
func TestWakeWaiting(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	const accounts = 1203
	f.exec(`INSERT INTO accounts (user_id, wake_at, created_at) SELECT 'account-' || n, CASE WHEN n % 3 > 0 THEN $2::timestamptz + interval '1 day' END, $2 FROM generate_series(1, $1::int) n`, accounts, start)
	woken, err := f.store.WakeWaiting(f.ctx, "")
	if err != nil || woken != accounts*2/3 {
		t.Errorf("%d accounts were woken (%v), want %d", woken, err, accounts*2/3)
	}
	if jobs := len(f.readJobs(workflow.StepRelease)); jobs != accounts*2/3 {
		t.Errorf("%d looks were enqueued", jobs)
	}
	if late := one[int](f, `SELECT count(*)::int FROM accounts WHERE wake_at > hybrid_clock()`); late != 0 {
		t.Errorf("%d accounts sleep on", late)
	}
	if woken, err := f.store.WakeWaiting(f.ctx, "account-3"); err != nil || woken != 0 {
		t.Errorf("an account that nobody waits for was woken: %d, %v", woken, err)
	}
	f.jobs.fails.Store(true)
	f.exec(`UPDATE accounts SET wake_at = $1 WHERE wake_at IS NOT NULL`, start.Add(time.Hour))
	if _, err := f.store.WakeWaiting(f.ctx, ""); err == nil {
		t.Error("no error though no look could be enqueued")
	}
	if woken := one[int](f, `SELECT count(*)::int FROM accounts WHERE wake_at <= hybrid_clock()`); woken != 0 {
		t.Errorf("%d accounts count as woken although nobody looks at them", woken)
	}
}

// The messages ahead are those that go first: by priority, then by time, paused campaigns and those whose time
// has not come left out.
func TestMessagesAhead(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "1/60s", "off")
	f.park(message("creator", 0))
	f.release("creator")
	f.park(message("creator", 1, withPriority(2)), message("creator", 2), message("creator", 3, inCampaign("spring")))
	f.AdvanceClock(t, time.Second)
	f.park(message("creator", 4))
	f.AdvanceClock(t, time.Second)
	f.park(message("creator", 5, withPriority(1)), message("creator", 6), message("creator", 7, withPriority(4)),
		message("creator", 8, withPriority(1), notBefore(start.Add(time.Hour))), message("creator", 9, withPriority(1), inCampaign("paused")), message("other", 1))
	if _, err := f.store.SetCampaignState(f.ctx, "creator", "paused", db.CampaignPaused, ""); err != nil {
		t.Fatal(err)
	}
	for n, ahead := range map[int]int64{5: 0, 1: 1, 4: 4, 7: 6} {
		found, err := f.store.Explain(f.ctx, db.Which{WorkflowID: fmt.Sprintf("wf-creator-%d", n)}, 1)
		if err != nil || len(found.Workflows) != 1 {
			t.Fatalf("%+v, %v", found, err)
		}
		waits := found.Workflows[0].Waits
		if len(waits) != 1 || waits[0].Kind != db.WaitsForToken || *waits[0].Ahead != (db.Count{Number: ahead, Certainty: db.Exactly}) {
			t.Errorf("message %d waits for %+v, want %d ahead of it", n, waits, ahead)
		}
	}
}
