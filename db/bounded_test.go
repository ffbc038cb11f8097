package db_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// measured are the measured of all statements that a store runs, as Postgres itself measured them (auto_explain).
type measured struct {
	mu   sync.Mutex
	seen []statement
}

// statement is what one statement of the store read.
type statement struct {
	Query   string
	Rows    float64 // that its scans read, the ones thrown away included
	Buffers float64
	Scans   []string
}

// watch returns a store whose statements are explained, with the session settings of the fleet.
func (p *measured) watch(f *fleet) *db.Store {
	f.t.Helper()
	open := openPool(f.t, f.URL)
	config := open.Config()
	config.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { p.note(n.Message) }
	ready := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_analyze = on; SET auto_explain.log_buffers = on;
			SET auto_explain.log_timing = off; SET auto_explain.log_nested_statements = on; SET auto_explain.log_format = json; SET client_min_messages = log`)
		if err != nil {
			return fmt.Errorf("auto_explain, of Postgres' contrib modules, can't be loaded: %w", err)
		}
		return ready(ctx, conn)
	}
	pool, err := pgxpool.NewWithConfig(f.ctx, config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(pool.Close)
	return db.NewStore(pool, f.jobs, f.config)
}

type planNode struct {
	NodeType string     `json:"Node Type"`
	Relation string     `json:"Relation Name"`
	Index    string     `json:"Index Name"`
	Rows     float64    `json:"Actual Rows"`
	Loops    float64    `json:"Actual Loops"`
	Filtered float64    `json:"Rows Removed by Filter"`
	Recheck  float64    `json:"Rows Removed by Index Recheck"`
	Join     float64    `json:"Rows Removed by Join Filter"`
	Hit      float64    `json:"Shared Hit Blocks"`
	Read     float64    `json:"Shared Read Blocks"`
	Plans    []planNode `json:"Plans"`
}

func (p *measured) note(message string) {
	_, text, found := strings.Cut(message, "plan:\n")
	if !found {
		return
	}
	var explained struct {
		Query string   `json:"Query Text"`
		Plan  planNode `json:"Plan"`
	}
	if err := json.Unmarshal([]byte(text), &explained); err != nil || strings.Contains(explained.Query, "test_clock") {
		return
	}
	one := statement{Query: strings.Join(strings.Fields(explained.Query), " "), Buffers: explained.Plan.Hit + explained.Plan.Read}
	one.add(explained.Plan)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, one)
}

// add counts the rows that the scans below a node read.
func (p *statement) add(n planNode) {
	if strings.HasSuffix(n.NodeType, "Scan") {
		rows := (n.Rows + n.Filtered + n.Recheck) * n.Loops
		p.Rows += rows
		if n.Relation != "" {
			p.Scans = append(p.Scans, fmt.Sprintf("%s on %s %s: %.0f", n.NodeType, n.Relation, n.Index, rows))
		}
	}
	p.Rows += n.Join * n.Loops
	for _, below := range n.Plans {
		p.add(below)
	}
}

// take returns the plans seen since the last call.
func (p *measured) take() []statement {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

// unavailable says that the server does not let this user load auto_explain.
func unavailable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42501" || pg.Code == "58P01")
}

// backlog parks messages by one statement each: of one account, most of which can't go now, and of a thousand others.
func (f *fleet) backlog(total int) {
	f.t.Helper()
	const insert = `
		INSERT INTO hybrid_workflows (id, user_id, workflow_id, recipient_id, campaign_id, stage, priority, not_before, provider_states, retry_attempts, trace_context, content, created_at, updated_at)
		SELECT (lpad(to_hex($1::bigint * 10000000 + n), 12, '0') || '70008000000000000000')::uuid, CASE WHEN $2::text = '' THEN 'account-' || (n % 1000) ELSE $2 END,
			'wf-' || $1::bigint || '-' || n, 'fan-' || $1::bigint || '-' || n, $3, 'queued', $4, $5, '{}', '{}', '{}', 'Hello', $6, $6
		FROM generate_series(1, $7::int) n`
	share := func(part int) int { return total * part / 1000 }
	parts := []struct {
		userID, campaign string
		priority, count  int
		notBefore        time.Time
	}{
		{"big", "a-paused", 1, share(400), start.Add(-time.Hour)},
		{"big", "", 2, share(100), start.Add(7 * 24 * time.Hour)},
		{"big", "b-later", 1, share(100), start.Add(7 * 24 * time.Hour)},
		{"big", "", 3, share(150), start.Add(-time.Minute)},
		{"big", "c-ready", 3, share(150), start.Add(-time.Minute)},
		{"", "", 3, share(100), start.Add(-time.Minute)},
	}
	f.exec(`INSERT INTO limit_policies SELECT 'account', 'account-' || n, '{10}', '{60s}', '0s', $1, 'test' FROM generate_series(1, $2::int) n`, start, total/100)
	f.exec(`INSERT INTO accounts (user_id, created_at) SELECT 'account-' || n, $1::timestamptz FROM generate_series(0, 999) n UNION ALL SELECT 'big', $1`, start)
	f.exec(`INSERT INTO campaigns (user_id, campaign_id, state, changed_at, created_at) VALUES ('big', 'a-paused', 'paused', $1, $1), ('big', 'b-later', 'running', $1, $1), ('big', 'c-ready', 'running', $1, $1)`, start)
	for i, p := range parts {
		f.exec(insert, i, p.userID, p.campaign, p.priority, p.notBefore, start, p.count)
	}
}

// history fills the ledger with sends of the last days, and with others that are under way.
func (f *fleet) history(sent, held, underWay int) {
	f.t.Helper()
	f.exec(`INSERT INTO send_attempts (workflow, sequence, user_id, recipient_id, state, limiter, account_slots, reserved_at, reservation_ends, fence, started_at, call_deadline, ended_at)
		SELECT (lpad(to_hex(900000000 + n), 12, '0') || '70008000000000000000')::uuid, 1, 'big', 'fan-' || n, 'accepted', 'bucket', '{0}', $1::timestamptz - n * interval '7 seconds',
			$1::timestamptz - n * interval '6 seconds', n, $1, $1, $1::timestamptz - n * interval '6 seconds' FROM generate_series(1, $2::int) n`, start.Add(-24*time.Hour), sent)
	f.exec(`INSERT INTO send_holds (workflow, sequence, scope, key, rule, slot, user_id, held)
		SELECT (lpad(to_hex(900000000 + n), 12, '0') || '70008000000000000000')::uuid, 1, 'account', 'big', 0, n % 10, 'big',
			tstzrange($1::timestamptz - n * interval '7 seconds', $1::timestamptz - n * interval '7 seconds' + interval '61 seconds') FROM generate_series(1, $2::int) n`, start.Add(-24*time.Hour), held)
	f.exec(`INSERT INTO hybrid_workflows (id, user_id, workflow_id, recipient_id, stage, send_sequence, not_before, provider_states, retry_attempts, trace_context, content, created_at, updated_at)
		SELECT (lpad(to_hex(990000000 + n), 12, '0') || '70008000000000000000')::uuid, 'account-' || n, 'wf-under-way-' || n, 'fan-under-way-' || n, 'sending', 1, $1, '{}', '{}', '{}', 'Hello', $1, $1
		FROM generate_series(1, $2::int) n`, start.Add(24*time.Hour), underWay)
	f.exec(`INSERT INTO send_attempts (workflow, sequence, user_id, recipient_id, state, limiter, account_slots, reserved_at, reservation_ends, fence, started_at, call_deadline)
		SELECT id, 1, user_id, recipient_id, CASE row_number() OVER () % 2 WHEN 0 THEN 'in_flight' ELSE 'reserved' END, 'bucket', '{0}', $1, $1, 1, $1, $1 FROM hybrid_workflows WHERE stage = 'sending'`, start.Add(24*time.Hour))
	f.exec(`INSERT INTO send_holds (workflow, sequence, scope, key, rule, slot, user_id, held)
		SELECT workflow, 1, 'account', user_id, 0, 0, user_id, tstzrange($1, $1::timestamptz + interval '7 days') FROM send_attempts WHERE state IN ('in_flight', 'reserved')`, start)
}

// lifeOf runs everything that the fleet does for the messages of an account, and returns the plans by operation.
func (f *fleet) lifeOf(userID string, store *db.Store, seen *measured) map[string][]statement {
	f.t.Helper()
	all := map[string][]statement{}
	note := func(name string, err error) {
		f.t.Helper()
		if unavailable(err) {
			f.t.Skipf("this Postgres does not explain its statements to us: %v", err)
		}
		if err != nil {
			f.t.Fatalf("%s: %v", name, err)
		}
		all[name] = append(all[name], seen.take()...)
	}
	f.AdvanceClock(f.t, time.Hour)
	f.exec(`UPDATE accounts SET rest_count = 0, rest_until = 'epoch'`)
	seen.take()
	_, err := store.AccountsWaiting(f.ctx)
	note("accounts waiting", err)
	_, err = store.Reconcile(f.ctx)
	note("reconcile", err)
	from := len(f.attempts())
	released, err := store.Release(f.ctx, releaseOf(userID))
	note("release", err)
	if len(released) != 1 || released[0].Count != 10 {
		f.t.Fatalf("released: %+v, want 10 messages of %s", released, userID)
	}
	attempts := f.attempts()[from:]
	starts, err := store.Begin(f.ctx, attempts)
	note("begin", err)
	var reports []db.Finish
	outcomes := []workflow.EventKind{workflow.EventAccepted, workflow.EventAccepted, workflow.EventUnknown, workflow.EventNotSent, workflow.EventRateLimited, workflow.EventWithdrawn}
	for i, a := range attempts {
		report := db.Finish{Attempt: a, Fence: starts[i].Fence, Outcome: outcomes[i%len(outcomes)], Reason: "test", LookUpIn: time.Second}
		if report.Outcome == workflow.EventRateLimited {
			report.Rest = time.Second
		}
		reports = append(reports, report)
	}
	_, err = store.Finish(f.ctx, reports, true)
	note("finish", err)
	_, err = store.Release(f.ctx, releaseOf(userID))
	note("release without tokens", err)
	_, err = store.Ingest(f.ctx, []workflow.Delivery{message(userID, from, inCampaign("c-ready"))}, true)
	note("ingest", err)
	_, err = store.Release(f.ctx, []db.Release{{UserID: userID, Bypass: true, Allowance: 1}})
	note("release in bypass", err)
	_, err = store.Release(f.ctx, releaseOf(userID)) // whose bucket was not told
	note("release refused", err)
	err = store.SetLimit(f.ctx, limit.ScopeAccount, userID, limit.Rules{{Capacity: 10, Window: time.Hour}}, -time.Second, "test")
	note("limit of an account", err)
	err = store.ClearLimit(f.ctx, limit.ScopeAccount, userID)
	note("limit of an account again the default", err)
	_, err = store.SetCampaignState(f.ctx, userID, "c-ready", db.CampaignPaused, "")
	note("pause", err)
	_, err = store.SetCampaignState(f.ctx, userID, "c-ready", db.CampaignRunning, "")
	note("resume", err)
	_, err = store.Reconcile(f.ctx)
	note("reconcile again", err)
	return all
}

// TestBoundedReads: with a million messages parked no statement of the fleet reads more rows than with a thousand,
// whatever the tables held when it was planned. Postgres keeps a plan for as long as the connection lives.
func TestBoundedReads(t *testing.T) {
	few, many, grown := newWatched(t), newWatched(t), newWatched(t)
	grown.exec("ANALYZE")
	grown.lifeOf("early", grown.watched, &grown.seen)
	few.backlog(1000)
	grown.backlog(30_000)
	grown.history(1000, 1000, 2000)
	many.backlog(1_000_000)
	many.history(50_000, 10_000, 2000)
	few.lifeOf("big", few.watched, &few.seen)
	reference := few.lifeOf("big", few.watched, &few.seen)
	many.compare("planned for an empty database", reference)
	grown.compare("planned for a small one", reference)
	many.exec("ANALYZE")
	many.compare("planned for a large one", reference)
	many.pauses()
}

// pauses stops a campaign with 150,000 parked messages: at once, and nothing of it goes after that.
func (w *watched) pauses() {
	w.t.Helper()
	for _, state := range []db.CampaignState{db.CampaignPaused, db.CampaignRunning, db.CampaignCancelled} {
		begin := time.Now()
		if _, err := w.store.SetCampaignState(w.ctx, "big", "c-ready", state, "test"); err != nil {
			w.t.Fatal(err)
		}
		if took := time.Since(begin); took > time.Second {
			w.t.Errorf("%s after %s, want it within a second", state, took)
		}
		from := len(w.attempts())
		w.AdvanceClock(w.t, time.Hour)
		w.exec(`UPDATE accounts SET rest_count = 0, rest_until = 'epoch'`)
		w.release("big")
		var ids []uuid.UUID
		for _, a := range w.attempts()[from:] {
			ids = append(ids, a.Workflow)
		}
		ofIt := one[int](w.fleet, `SELECT count(*) FROM hybrid_workflows WHERE id = ANY($1) AND campaign_id = 'c-ready'`, ids)
		if len(ids) != 10 || ofIt > 0 && state != db.CampaignRunning {
			w.t.Errorf("%s: %d messages go, %d of the campaign", state, len(ids), ofIt)
		}
	}
}

// watched is a fleet whose statements are measured, and planned before there is much in the tables.
type watched struct {
	*fleet
	seen    measured
	watched *db.Store
}

func newWatched(t *testing.T) *watched {
	w := &watched{fleet: newFleet(t, "10/60s", "1/60s,10/24h")}
	w.watched = w.seen.watch(w.fleet)
	for _, user := range []string{"early", "earlier", "earliest"} {
		w.park(messages(user, 30)...)
	}
	w.lifeOf("early", w.watched, &w.seen)
	return w
}

func (w *watched) compare(how string, reference map[string][]statement) {
	w.t.Helper()
	life := w.lifeOf("big", w.watched, &w.seen)
	for _, name := range slices.Sorted(maps.Keys(life)) {
		got, few := total(life[name]), total(reference[name])
		w.t.Logf("%s: %s: %d statements, %.0f rows (%.0f with a thousand), %.0f buffers", how, name, len(life[name]), got.Rows, few.Rows, got.Buffers)
		most := few.Rows + 100
		switch name {
		case "reconcile", "reconcile again", "accounts waiting":
			most = 20_000 // a few for each account and each send that is under way
		case "pause":
			most = 3000 // for each send that is under way
		}
		if got.Rows > most || got.Buffers > 10*most+500 {
			w.t.Errorf("%s: %s reads %.0f rows and %.0f buffers; with a thousand messages %.0f and %.0f. Most of it:\n%s\n%s",
				how, name, got.Rows, got.Buffers, few.Rows, few.Buffers, got.Query, strings.Join(got.Scans, "\n"))
		}
	}
}

// total adds up what statements read; its query is that of the worst.
func total(all []statement) (sum statement) {
	worst := -1.0
	for _, one := range all {
		if one.Rows > worst {
			worst = one.Rows
			sum.Query, sum.Scans = one.Query, one.Scans
		}
		sum.Rows += one.Rows
		sum.Buffers += one.Buffers
	}
	return sum
}
