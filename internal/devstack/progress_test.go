package devstack

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// begin makes a database with the usual limits.
func begin(t *testing.T) (*pgxpool.Pool, *db.Store) {
	t.Helper()
	database := pgtest.New(t, schema)
	fleet, err := db.Open(t.Context(), database.URL, 2, "test") // with the settings of the fleet's sessions
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fleet.Close)
	pool, store := database.Pool(t), db.NewStore(fleet, nil, db.Config{})
	if _, err := store.SeedLimits(t.Context(), tenAMinute.policy.Account, tenAMinute.policy.Recipient, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	return pool, store
}

func execute(t *testing.T, pool *pgxpool.Pool, statement string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// put inserts messages of an account that are in the same situation.
func put(t *testing.T, pool *pgxpool.Pool, account, stage, reason, campaign, notBefore string, count int) {
	t.Helper()
	execute(t, pool, `INSERT INTO accounts (user_id, created_at) VALUES ($1, now()) ON CONFLICT DO NOTHING`, account)
	execute(t, pool, `
		WITH w AS (INSERT INTO hybrid_workflows (id, user_id, workflow_id, recipient_id, campaign_id, stage, wait_reason, not_before, provider_states, retry_attempts, trace_context, created_at, updated_at)
		SELECT gen_random_uuid(), $1, 'wf-' || $2 || $3 || n, 'fan', $4, $2, $3, now() + $5::interval, '{}', '{}', '{}', now(), now() FROM generate_series(1, $6::int) n
			RETURNING id, user_id, workflow_id, recipient_id)
		INSERT INTO inbox (workflow_id, user_id, recipient_id, workflow, message_id, source, received_at) SELECT workflow_id, user_id, recipient_id, id, id, 'q', now() FROM w`,
		account, stage, reason, campaign, notBefore, count)
}

func TestProgress(t *testing.T) {
	t.Parallel()
	pool, store := begin(t)
	put(t, pool, "a", "sent", "", "", "0", 3)
	put(t, pool, "a", "failed", "", "", "0", 1)
	put(t, pool, "a", "in_doubt", "", "", "0", 1)
	put(t, pool, "a", "queued", "", "", "-1s", 4)
	put(t, pool, "a", "queued", "schedule", "", "1h", 2)
	put(t, pool, "a", "queued", "recipient", "", "-1s", 1) // its time has come: it waits for a token now
	put(t, pool, "a", "queued", "retry", "spring", "-1s", 3)
	put(t, pool, "b", "queued", "", "", "-1s", 1)
	execute(t, pool, `INSERT INTO campaigns (user_id, campaign_id, state, changed_at, created_at) VALUES ('a', 'spring', 'paused', now(), now())`)
	execute(t, pool, `UPDATE accounts SET rest_until = now() + interval '1 minute', rest_reason = 'too_many_requests' WHERE user_id = 'b'`)
	execute(t, pool, `INSERT INTO account_tokens (user_id, rule, slot, busy_until, workflow, sequence) VALUES
		('a', 0, 0, now() + interval '1 minute', gen_random_uuid(), 1), ('a', 0, 1, now() - interval '10 seconds', gen_random_uuid(), 1), ('a', 0, 2, now() - interval '2 minutes', gen_random_uuid(), 1)`)

	p, err := store.Progress(t.Context(), []string{"unknown", "b", "a"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Accounts {
		for j := range p.Accounts[i].Waiting {
			p.Accounts[i].Waiting[j].Next = time.Time{}
		}
	}
	policy := limit.Policy{Account: tenAMinute.policy.Account, Recipient: tenAMinute.policy.Recipient, Guard: 500 * time.Millisecond}
	want := []db.AccountProgress{
		{UserID: "b", Live: map[workflow.Stage]int{workflow.StageQueued: 1}, Waiting: []db.Waiting{{Count: 1}}, Policy: policy, RestReason: "too_many_requests"},
		{UserID: "a", Live: map[workflow.Stage]int{workflow.StageInDoubt: 1, workflow.StageQueued: 10}, Policy: policy,
			Waiting: []db.Waiting{{Count: 5}, {Reason: db.WaitPaused, Count: 3}, {Reason: workflow.WaitSchedule, Count: 2}},
			Tokens:  []db.TokenUse{{}, {InUse: true}}},
	}
	if diff := cmp.Diff(want, p.Accounts, cmpopts.IgnoreFields(db.TokenUse{}, "FreeAt"), cmpopts.IgnoreFields(db.AccountProgress{}, "RestUntil")); diff != "" {
		t.Error(diff)
	}
	tokens := p.Accounts[1].Tokens
	if back := tokens[0].FreeAt.Sub(p.Now).Round(time.Second); back < 49*time.Second || back > 51*time.Second {
		t.Errorf("the cooling token is back in %s", back)
	}
	if back := tokens[1].FreeAt.Sub(p.Now); back != time.Minute+500*time.Millisecond {
		t.Errorf("the token in use is back in %s, if its call ended now", back)
	}
	if !p.Accounts[0].RestUntil.After(p.Now) || !p.Accounts[1].RestUntil.IsZero() {
		t.Errorf("rests: %s, %s", p.Accounts[0].RestUntil, p.Accounts[1].RestUntil)
	}
}

// However much there is, a look reads no more than a few thousand rows of each account.
func TestProgressReadsABoundedNumberOfRows(t *testing.T) {
	t.Parallel()
	pool, store := begin(t)
	put(t, pool, "a", "queued", "", "", "-1s", 40_000)
	put(t, pool, "b", "sent", "", "", "-1s", 40_000)
	put(t, pool, "c", "in_doubt", "", "", "-1s", 10)
	execute(t, pool, "ANALYZE hybrid_workflows")
	read := func() (rows int64) {
		if err := pool.QueryRow(t.Context(), `SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'hybrid_workflows'`).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	before := settled(t, read)
	p, err := store.Progress(t.Context(), []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "what was read is counted", func() bool { return read() > before })
	if n := settled(t, read) - before; n > 20_000 {
		t.Errorf("%d rows were read", n)
	}
	if !p.Accounts[0].More || p.Accounts[1].More || p.Accounts[2].Live[workflow.StageInDoubt] != 10 {
		t.Errorf("%+v", p.Accounts)
	}
	users, err := store.KnownAccounts(t.Context(), 2)
	if diff := cmp.Diff([]string{"a", "b"}, users); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
}

// settled waits until a figure stays the same: sessions report theirs with a delay of up to a second.
func settled(t *testing.T, read func() int64) int64 {
	t.Helper()
	last, since := read(), time.Now()
	eventually(t, time.Minute, "the figure settles", func() bool {
		if now := read(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 3*time.Second/2
	})
	return last
}

func TestMessagesAndQuarantine(t *testing.T) {
	t.Parallel()
	pool, store := begin(t)
	put(t, pool, "a", "sent", "", "", "0", 2)
	found, err := store.Messages(t.Context(), []workflow.Key{{UserID: "a", WorkflowID: "wf-sent1", RecipientID: "fan"}, {UserID: "a", WorkflowID: "none", RecipientID: "fan"}})
	if err != nil || len(found) != 1 || found[0].Key.WorkflowID != "wf-sent1" || found[0].Stage != workflow.StageSent {
		t.Errorf("%+v, %v", found, err)
	}
	last, err := store.LastQuarantined(t.Context())
	if err != nil || last != 0 {
		t.Errorf("%d, %v", last, err)
	}
	for _, id := range []string{"1", "2"} {
		execute(t, pool, `INSERT INTO quarantine (message_id, source, field, reason, body, received_at) VALUES ($1, 'q', 'priority', 'is a string', $2, now())`, id, []byte("body "+id))
	}
	all, err := store.QuarantinedAfter(t.Context(), 0, 10)
	if err != nil || len(all) != 2 || all[0].Problem.Field != "priority" {
		t.Fatalf("%+v, %v", all, err)
	}
	later, err := store.QuarantinedAfter(t.Context(), all[0].ID, 10)
	if sum := sha256.Sum256([]byte("body 2")); err != nil || len(later) != 1 || string(later[0].BodySHA256) != string(sum[:]) {
		t.Errorf("%+v, %v", later, err)
	}
}

func TestADatabaseOfOthersIsNotForDevelopment(t *testing.T) {
	t.Parallel()
	pool, store := begin(t)
	check := func(want bool) {
		t.Helper()
		if got, err := store.IsForDevelopment(t.Context()); got != want || err != nil {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}
	check(true) // empty
	put(t, pool, "a", "queued", "", "", "0", 1)
	check(false)
	d := database{store: store}
	if err := d.checkPurpose(t.Context(), true); err == nil {
		t.Error("a simulated gateway may work in a database of others")
	}
	if err := d.checkPurpose(t.Context(), false); err != nil {
		t.Error(err)
	}
	if err := store.MarkForDevelopment(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(true)
}
