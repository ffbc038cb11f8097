package db_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// refusal is how the database refuses what no code should write.
type refusal struct{ code, constraint string }

func (f *fleet) wantRefused(name string, want refusal, sql string, args ...any) {
	f.t.Helper()
	_, err := f.pool.Exec(f.ctx, sql, args...)
	var got *pgconn.PgError
	if !errors.As(err, &got) {
		f.t.Errorf("%s: error %v, want it refused with %s", name, err, want.code)
		return
	}
	if got.Code != want.code || got.ConstraintName != want.constraint {
		f.t.Errorf("%s: refused by %q with %s (%s), want %q with %s", name, got.ConstraintName, got.Code, got.Message, want.constraint, want.code)
	}
}

const insertHold = `INSERT INTO send_holds (workflow, sequence, scope, key, rule, slot, user_id, held)
	VALUES ($1, 1, $2, $3, $4, $5, $6, tstzrange($7, $8))`

// TestHoldsByHand writes holds as a faulty program would: the limit is a constraint of the database.
func TestHoldsByHand(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "3/60s,5/1h", "1/60s,10/24h")
	if err := f.store.SetLimit(f.ctx, "account", "narrow", rules(t, "1/60s"), guard, "test"); err != nil {
		t.Fatal(err)
	}
	if err := f.store.SetLimit(f.ctx, "account", "free", rules(t, "off"), guard, "test"); err != nil {
		t.Fatal(err)
	}
	minute := start.Add(time.Minute)
	f.exec(insertHold, uuid.New(), "account", "creator", 0, 2, "creator", start, minute)
	overlap := refusal{"23P01", "send_holds_strict_limit"}
	beyond := refusal{"23514", "send_holds_policy"}

	f.wantRefused("the same token at the same time", overlap, insertHold, uuid.New(), "account", "creator", 0, 2, "creator", start, minute)
	f.wantRefused("the same token before it has returned", overlap, insertHold, uuid.New(), "account", "creator", 0, 2, "creator", minute.Add(-time.Microsecond), minute.Add(time.Hour))
	f.wantRefused("a token beyond the capacity", beyond, insertHold, uuid.New(), "account", "creator", 0, 3, "creator", start, minute)
	f.wantRefused("a token of a rule that does not exist", beyond, insertHold, uuid.New(), "account", "creator", 2, 0, "creator", start, minute)
	f.wantRefused("a hold shorter than the window", beyond, insertHold, uuid.New(), "account", "creator", 0, 1, "creator", start, minute.Add(-time.Microsecond))
	f.wantRefused("an empty hold", beyond, insertHold, uuid.New(), "account", "creator", 0, 1, "creator", start, start)
	f.wantRefused("a hold without an end", beyond, insertHold, uuid.New(), "account", "creator", 0, 1, "creator", start, nil)
	f.wantRefused("a hold without a beginning", beyond, insertHold, uuid.New(), "account", "creator", 0, 1, "creator", nil, minute)
	f.wantRefused("a token beyond the account's own capacity", beyond, insertHold, uuid.New(), "account", "narrow", 0, 1, "narrow", start, minute)
	f.wantRefused("a token of an account without a limit", beyond, insertHold, uuid.New(), "account", "free", 0, 0, "free", start, minute)
	f.wantRefused("another account's rules", refusal{"23514", "send_holds_account"}, insertHold, uuid.New(), "account", "narrow", 0, 2, "creator", start, minute)
	f.wantRefused("no hold at all", refusal{"23502", ""}, insertHold+" RETURNING held IS NULL", uuid.New(), "account", nil, 0, 0, "creator", start, minute)
	f.wantRefused("a rule out of range", refusal{"23514", "send_holds_rule_check"}, insertHold, uuid.New(), "account", "creator", 16, 0, "creator", start, minute)
	f.wantRefused("a slot out of range", refusal{"23514", "send_holds_slot_check"}, insertHold, uuid.New(), "account", "creator", 0, 4096, "creator", start, minute)
	f.wantRefused("an unknown scope", refusal{"23514", "send_holds_scope_check"}, insertHold, uuid.New(), "planet", "creator", 0, 0, "creator", start, minute)
	f.wantRefused("a token of one's own invention", refusal{"428C9", ""},
		`INSERT INTO send_holds (workflow, sequence, scope, key, rule, slot, user_id, held, token) VALUES ($1, 1, 'account', 'creator', 0, 2, 'creator', tstzrange($2, $3), 42)`,
		uuid.New(), start, minute)
	f.wantRefused("another token for a hold that is there", refusal{"428C9", ""}, `UPDATE send_holds SET token = 42`)
	f.wantRefused("a second hold of one attempt for one rule", refusal{"23505", "send_holds_pkey"}, insertHold+`, ($1, 1, $2, $3, $4, 1, $6, tstzrange($7, $8))`,
		uuid.New(), "account", "creator", 0, 0, "creator", start, minute)

	f.exec(insertHold, uuid.New(), "account", "creator", 0, 2, "creator", minute, minute.Add(time.Minute)) // half-open: it has returned
	f.exec(insertHold, uuid.New(), "account", "creator", 1, 2, "creator", start, start.Add(time.Hour))     // another rule's
	f.exec(insertHold, uuid.New(), "account", "other", 0, 2, "other", start, minute)                       // another account's
	f.exec(insertHold, uuid.New(), "recipient", "creator", 0, 0, "creator", start, minute)                 // another scope's
	f.wantRefused("a longer hold than the next allows", overlap, `UPDATE send_holds SET held = tstzrange(lower(held), upper(held) + interval '1 microsecond')
		WHERE key = 'creator' AND scope = 'account' AND rule = 0 AND lower(held) = $1`, start)
}

// TestHoldsOfOneStatement: rows of one statement are checked against each other, and against the limit, each.
func TestHoldsOfOneStatement(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	many := `INSERT INTO send_holds (workflow, sequence, scope, key, rule, slot, user_id, held)
		SELECT gen_random_uuid(), 1, 'account', 'creator', 0, n, 'creator', tstzrange($1::timestamptz, $1 + interval '1 minute') FROM unnest($2::int[]) n`
	f.wantRefused("one token twice", refusal{"23P01", "send_holds_strict_limit"}, many, start, []int32{0, 0})
	f.wantRefused("the last beyond the capacity", refusal{"23514", "send_holds_policy"}, many, start, []int32{0, 1, 2})
	f.wantRefused("the first beyond the capacity", refusal{"23514", "send_holds_policy"}, many, start, []int32{2, 1, 0})
	f.exec(many, start, []int32{0, 1})
}

const insertAttempt = `INSERT INTO send_attempts (workflow, sequence, user_id, recipient_id, state, limiter, reserved_at, reservation_ends, fence)
	VALUES ($1, $2, 'creator', 'fan', $3, 'bucket', $4, $4, $5)`

// TestAttemptsByHand: the database refuses a second send of a message, whoever writes it.
func TestAttemptsByHand(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	for _, open := range []string{"reserved", "in_flight", "unknown", "accepted"} {
		id := uuid.New()
		f.exec(insertAttempt, id, 1, open, start, 1)
		for _, second := range []string{"reserved", "in_flight", "unknown", "accepted"} {
			f.wantRefused("after "+open+" a second one "+second, refusal{"23505", "send_attempts_one_open"}, insertAttempt, id, 2, second, start, 2)
		}
		f.exec(insertAttempt, id, 2, "withdrawn", start, nil)
		f.wantRefused("after "+open+" a closed one opened again", refusal{"23505", "send_attempts_one_open"}, `UPDATE send_attempts SET state = 'reserved' WHERE workflow = $1 AND sequence = 2`, id)
	}
	for _, closed := range []string{"rejected", "not_sent", "withdrawn"} {
		id := uuid.New()
		f.exec(insertAttempt, id, 1, closed, start, 1)
		f.exec(insertAttempt, id, 2, "reserved", start, nil)
	}
	for _, begun := range []string{"in_flight", "unknown", "accepted", "rejected"} {
		f.wantRefused(begun+" without a fence", refusal{"23514", "send_attempts_check"}, insertAttempt, uuid.New(), 1, begun, start, nil)
	}
	f.wantRefused("an unknown state", refusal{"23514", "send_attempts_state_check"}, insertAttempt, uuid.New(), 1, "perhaps", start, 1)
}

// TestReleaseRefusedByUniqueIndex: an attempt that the ledger has, though the workflow says otherwise, keeps the
// message from going a second time.
func TestReleaseRefusedByUniqueIndex(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.ingest(true, message("creator", 1))
	first := f.attempts()[0]
	f.send(first, workflow.EventAccepted)
	f.exec(`UPDATE hybrid_workflows SET stage = 'queued' WHERE id = $1`, first.Workflow) // by hand, or by a bug
	f.park(message("creator", 2))
	if released, err := f.store.Release(f.ctx, releaseOf("creator")); err == nil && released[0].Count > 1 {
		t.Errorf("%d messages were released; one of them was sent before", released[0].Count)
	}
	if n := one[int](f, `SELECT count(*) FROM send_attempts WHERE workflow = $1`, first.Workflow); n != 1 {
		t.Errorf("the message has %d attempts, want 1: it was accepted", n)
	}
}
