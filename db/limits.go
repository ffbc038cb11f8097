package db

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// policyLock makes a change of limits wait for the releases that run, and new releases wait for the change:
// no tokens are given out by rules that were already replaced.
const policyLock = 0x6875_6e74_6c69_6d69

// LimitPolicy is one row of `huntaze limits show`.
type LimitPolicy struct {
	Scope     limit.Scope
	UserID    string // empty: the default of all accounts
	Rules     limit.Rules
	Guard     time.Duration
	ChangedAt time.Time
	ChangedBy string
}

// policies are the rules in force for the accounts of one transaction.
type policies struct {
	byUser map[limit.Scope]map[string]LimitPolicy
}

var policiesSQL = `SELECT p.scope, p.user_id, p.capacities, p.windows, p.guard, p.changed_at, p.changed_by
	FROM (VALUES ('account'), ('recipient')) AS s(scope) CROSS JOIN ` + few("user_id", "array_append($1::text[], '')") + ` u
	CROSS JOIN LATERAL (SELECT * FROM limit_policies p WHERE p.scope = s.scope AND p.user_id = u.user_id LIMIT 1) p`

func scanPolicy(row pgx.CollectableRow) (p LimitPolicy, err error) {
	var capacities []int
	var windows []time.Duration
	if err = row.Scan(&p.Scope, &p.UserID, &capacities, &windows, &p.Guard, &p.ChangedAt, &p.ChangedBy); err != nil {
		return p, err
	}
	p.Rules = limit.Rules{}
	for i := range capacities {
		p.Rules = append(p.Rules, limit.Rule{Capacity: capacities[i], Window: windows[i]})
	}
	return p, nil
}

func collectPolicies(rows pgx.Rows) (policies, error) {
	all, err := pgx.CollectRows(rows, scanPolicy)
	if err != nil {
		return policies{}, fmt.Errorf("limit policies: %w", err)
	}
	p := policies{byUser: map[limit.Scope]map[string]LimitPolicy{limit.ScopeAccount: {}, limit.ScopeRecipient: {}}}
	for _, one := range all {
		p.byUser[one.Scope][one.UserID] = one
	}
	for _, scope := range []limit.Scope{limit.ScopeAccount, limit.ScopeRecipient} {
		if _, ok := p.byUser[scope][""]; !ok {
			return policies{}, fmt.Errorf("no default limit for scope %s; run `huntaze limits set`", scope)
		}
	}
	return p, nil
}

// of returns the policy of a scope for messages that an account sends.
func (p policies) of(scope limit.Scope, userID string) LimitPolicy {
	if own, ok := p.byUser[scope][userID]; ok {
		return own
	}
	return p.byUser[scope][""]
}

// SeedLimits writes the default policies when there are none yet. It returns those in force, so that a
// process whose environment says something else can warn.
func (s *Store) SeedLimits(ctx context.Context, account, recipient limit.Rules, guard time.Duration) ([]LimitPolicy, error) {
	for _, p := range []LimitPolicy{{Scope: limit.ScopeAccount, Rules: account}, {Scope: limit.ScopeRecipient, Rules: recipient}} {
		capacities, windows := ruleColumns(p.Rules)
		_, err := s.pool.Exec(ctx, `INSERT INTO limit_policies (scope, user_id, capacities, windows, guard, changed_at, changed_by)
			VALUES ($1, '', $2, $3, $4, hybrid_clock(), 'seeded from the environment') ON CONFLICT DO NOTHING`, p.Scope, capacities, windows, guard)
		if err != nil {
			return nil, fmt.Errorf("seed limits: %w", err)
		}
	}
	return s.Limits(ctx)
}

// Limits lists every policy, the defaults first.
func (s *Store) Limits(ctx context.Context) ([]LimitPolicy, error) {
	rows, err := s.pool.Query(ctx, `SELECT scope, user_id, capacities, windows, guard, changed_at, changed_by FROM limit_policies ORDER BY user_id, scope`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanPolicy)
}

// SetLimit changes the rules of a scope for one account, or the default when userID is empty. The change
// holds for the whole fleet from its commit on: nothing is forgotten (tokens keep the time of their last
// use) and nothing overshoots (after a lowering nothing goes until the surplus has returned). A negative guard keeps
// the guard in force.
func (s *Store) SetLimit(ctx context.Context, scope limit.Scope, userID string, rules limit.Rules, guard time.Duration, by string) error {
	var newGuard *time.Duration
	if guard >= 0 {
		newGuard = &guard
	}
	return s.changePolicy(ctx, scope, userID, func(tx pgx.Tx) error {
		capacities, windows := ruleColumns(rules)
		_, err := tx.Exec(ctx, `
			INSERT INTO limit_policies (scope, user_id, capacities, windows, guard, changed_at, changed_by)
			SELECT $1, $2, $3, $4, coalesce($5::interval,
				(SELECT guard FROM limit_policies WHERE scope = $1 AND user_id = $2), (SELECT guard FROM limit_policies WHERE scope = $1 AND user_id = ''), interval '0'),
				hybrid_clock(), $6
			ON CONFLICT (scope, user_id) DO UPDATE SET capacities = excluded.capacities, windows = excluded.windows,
				guard = excluded.guard, changed_at = excluded.changed_at, changed_by = excluded.changed_by`,
			scope, userID, capacities, windows, newGuard, by)
		if err != nil {
			return fmt.Errorf("set limit: %w", err)
		}
		return nil
	})
}

// ClearLimit removes an account's own rules, so that the default applies to it again.
func (s *Store) ClearLimit(ctx context.Context, scope limit.Scope, userID string) error {
	if userID == "" {
		return fmt.Errorf("the default limit can't be removed; set it to another value or to %q", limit.Off)
	}
	return s.changePolicy(ctx, scope, userID, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM limit_policies WHERE scope = $1 AND user_id = $2`, scope, userID); err != nil {
			return fmt.Errorf("clear limit: %w", err)
		}
		return nil
	})
}

// changePolicy runs a change of the rules while no release does, and makes what the old rules decided about the
// future agree with the new ones.
func (s *Store) changePolicy(ctx context.Context, scope limit.Scope, userID string, change func(pgx.Tx) error) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(policyLock)); err != nil {
			return err
		}
		before, err := readPolicy(ctx, tx, scope, userID)
		if err != nil {
			return err
		}
		if err := change(tx); err != nil {
			return err
		}
		after, err := readPolicy(ctx, tx, scope, userID)
		if err != nil {
			return err
		}
		if scope == limit.ScopeRecipient {
			if _, err := tx.Exec(ctx, `DELETE FROM recipient_limits`); err != nil { // booked by rules that are gone
				return fmt.Errorf("bookings of recipients: %w", err)
			}
		}
		changed := otherLengths(before, after)
		var adopted adoption
		if len(after.Rules) > len(before.Rules) {
			if adopted, err = s.adoptOpen(ctx, tx, after, userID); err != nil {
				return err
			}
		}
		if changed = append(changed, adopted.given...); len(changed) > 0 {
			if err := s.adjustHolds(ctx, tx, after, userID, changed); err != nil {
				return err
			}
		}
		return adopted.tellBuckets(ctx, tx, scope)
	})
	if err != nil || scope != limit.ScopeRecipient {
		return err
	}
	return s.recallDeferred(ctx, userID)
}

// recallAtOnce is how many messages share a transaction in recallDeferred.
const recallAtOnce = 1000

// recallDeferred makes messages that were put off for their recipient due again, of one account or of all: the next
// look puts off those that the new rules do not let go either.
func (s *Store) recallDeferred(ctx context.Context, userID string) error {
	rows, err := s.pool.Query(ctx, `SELECT id FROM hybrid_workflows WHERE stage = 'queued' AND wait_reason = $1 AND ($2 = '' OR user_id = $2)`, workflow.WaitRecipient, userID)
	if err != nil {
		return fmt.Errorf("messages that wait for their recipient: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("messages that wait for their recipient: %w", err)
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	for some := range slices.Chunk(ids, recallAtOnce) {
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE hybrid_workflows w SET not_before = hybrid_clock(), wait_reason = '', version = version + 1, updated_at = hybrid_clock()
				WHERE w.id IN (SELECT l.id FROM hybrid_workflows l WHERE l.id = ANY($1) AND l.stage = 'queued' AND l.wait_reason = $2 ORDER BY l.id FOR UPDATE)`, some, workflow.WaitRecipient)
			return err
		})
		if err != nil {
			return fmt.Errorf("recall messages that wait for their recipient: %w", err)
		}
	}
	return nil
}

// readPolicy is the policy of a scope that applies to an account; to those without rules of their own when userID is
// empty.
func readPolicy(ctx context.Context, tx pgx.Tx, scope limit.Scope, userID string) (LimitPolicy, error) {
	rows, err := tx.Query(ctx, policiesSQL, []string{userID})
	if err != nil {
		return LimitPolicy{}, fmt.Errorf("limit policies: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanPolicy)
	if err != nil {
		return LimitPolicy{}, fmt.Errorf("limit policies: %w", err)
	}
	policy := LimitPolicy{Scope: scope}
	for _, one := range all {
		if one.Scope == scope && (one.UserID == userID || policy.Rules == nil) {
			policy = one
		}
	}
	return policy, nil
}

// otherLengths lists the rules by which tokens are held for another time than before: those that are new, have another
// window, or another guard. A change of a capacity, the most frequent one, is none.
func otherLengths(before, after LimitPolicy) []int16 {
	var changed []int16
	for i, rule := range after.Rules {
		if i >= len(before.Rules) || before.Rules[i].Window != rule.Window || before.Guard != after.Guard {
			changed = append(changed, int16(i))
		}
	}
	return changed
}

// adjustHolds gives each token that is still held the time that it is held for under the new rules. Without it a
// shortened window would go on refusing until the old one had passed, and a lengthened one would not bind a worker
// that goes by the ledger alone. The holds are locked in the order in which Finish writes them.
func (s *Store) adjustHolds(ctx context.Context, tx pgx.Tx, policy LimitPolicy, userID string, changed []int16) error {
	whose := `$2 IN ('', h.user_id)`
	if policy.Scope == limit.ScopeAccount && userID != "" {
		whose = `h.user_id = $2 AND h.token >= first_token($1, $2) AND h.token <= first_token($1, $2) + 65535`
	}
	_, err := tx.Exec(ctx, `
		WITH held AS MATERIALIZED (
			SELECT h.workflow, h.sequence, h.scope, h.rule FROM send_holds h
			WHERE h.scope = $1 AND `+whose+` AND h.rule = ANY($5) AND h.held && tstzrange((SELECT hybrid_clock()), NULL)
			ORDER BY h.workflow, h.sequence, h.scope, h.rule FOR UPDATE)
		UPDATE send_holds h SET held = tstzrange(lower(h.held), greatest(lower(h.held), CASE
			WHEN a.state = 'withdrawn' THEN a.ended_at
			WHEN a.state IN ('reserved', 'in_flight') THEN lower(h.held) + $3::interval + p.windows[h.rule + 1] + p.guard
			WHEN a.state = 'unknown' THEN greatest(a.ended_at, a.call_deadline) + $4::interval + p.windows[h.rule + 1] + p.guard
			ELSE a.ended_at + p.windows[h.rule + 1] + p.guard END))
		FROM held, send_attempts a, limit_policies p
		WHERE h.workflow = held.workflow AND h.sequence = held.sequence AND h.scope = held.scope AND h.rule = held.rule
		  AND a.workflow = h.workflow AND a.sequence = h.sequence
		  AND p.scope = h.scope AND p.user_id = $6 AND p.user_id = coalesce((SELECT o.user_id FROM limit_policies o WHERE o.scope = h.scope AND o.user_id = h.user_id), '')`,
		policy.Scope, userID, s.config.Timing.hold(), s.config.Timing.Settle, changed, policy.UserID)
	if err != nil {
		return fmt.Errorf("adjust the holds to the new limit: %w", err)
	}
	return nil
}

func ruleColumns(rules limit.Rules) ([]int32, []time.Duration) {
	capacities, windows := []int32{}, []time.Duration{}
	for _, r := range rules {
		capacities = append(capacities, int32(r.Capacity))
		windows = append(windows, r.Window)
	}
	return capacities, windows
}

// forAccount is everything that holds for messages that an account sends.
func (p policies) forAccount(userID string) limit.Policy {
	account, recipient := p.of(limit.ScopeAccount, userID), p.of(limit.ScopeRecipient, userID)
	return limit.Policy{Account: account.Rules, Recipient: recipient.Rules, Guard: max(account.Guard, recipient.Guard)}
}
