package db

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

// mostSlots is how many tokens of a rule the ledger can tell apart (send_holds.slot).
const mostSlots = 4096

// openAttempt is an attempt that may still arrive at the gateway.
type openAttempt struct {
	Attempt
	userID, key string
	slots       []int16 // of the account's bucket
	rules       []int16 // of which it holds a token already
}

// adoption is what is on its way when a rule begins, with the tokens that it gets.
type adoption struct {
	calls        []openAttempt
	changed      []int // indexes of those that got a token
	owners       []int // for each new token the index of whose it is
	rules, slots []int16
	given        []int16 // the rules, each once
	capacities   []int32 // with room for all tokens
	beyond       bool    // that is more than the rules allow
}

// adoptOpen gives what is already on its way tokens of rules that it was not released by: it may arrive in the new rule's first
// window, together with what the rule lets go. There may be more of it than the rule allows; then nothing goes until
// the surplus has returned. The holds that it adds are as long as they can be; adjustHolds gives them their time.
func (s *Store) adoptOpen(ctx context.Context, tx pgx.Tx, policy LimitPolicy, userID string) (adoption, error) {
	calls, err := lockOpenAttempts(ctx, tx, policy, userID)
	if err != nil || len(calls) == 0 {
		return adoption{}, err
	}
	users := map[string]bool{}
	var keys []string
	for _, c := range calls {
		users[c.userID] = true
		keys = append(keys, c.key)
	}
	slices.Sort(keys)
	var held []hold
	var read statements
	read.exec("lock accounts", `SELECT 1 FROM accounts WHERE user_id = ANY($1) ORDER BY user_id FOR UPDATE`, slices.Sorted(maps.Keys(users)))
	read.query("tokens in the ledger", into(scanHold, func(h hold) error { held = append(held, h); return nil }), heldTokensSQL, string(policy.Scope), slices.Compact(keys))
	if err := read.run(ctx, tx); err != nil {
		return adoption{}, err
	}
	a := adopt(policy, calls, held)
	if len(a.changed) == 0 {
		return adoption{}, nil
	}
	return a, s.writeAdoption(ctx, tx, policy, a)
}

// tellBuckets makes the buckets of the accounts whose calls got tokens agree with the ledger.
func (a adoption) tellBuckets(ctx context.Context, tx pgx.Tx, scope limit.Scope) error {
	if len(a.changed) == 0 || scope != limit.ScopeAccount {
		return nil
	}
	users := map[string]bool{}
	for _, i := range a.changed {
		users[a.calls[i].userID] = true
	}
	var st statements
	queueSync(&st, slices.Sorted(maps.Keys(users)))
	return st.run(ctx, tx)
}

// lockOpenAttempts locks what is on its way by a policy and lacks a token of it, in the order in which Finish does.
func lockOpenAttempts(ctx context.Context, tx pgx.Tx, policy LimitPolicy, userID string) ([]openAttempt, error) {
	rows, err := tx.Query(ctx, `
		SELECT a.workflow, a.sequence, a.user_id, CASE $1 WHEN 'account' THEN a.user_id ELSE a.recipient_id END, a.account_slots,
			ARRAY(SELECT h.rule FROM send_holds h WHERE h.workflow = a.workflow AND h.sequence = a.sequence AND h.scope = $1)
		FROM send_attempts a
		WHERE a.state IN ('reserved', 'in_flight', 'unknown') AND $2 IN ('', a.user_id)
		  AND $3 = coalesce((SELECT o.user_id FROM limit_policies o WHERE o.scope = $1 AND o.user_id = a.user_id), '')
		ORDER BY a.workflow, a.sequence FOR UPDATE OF a`, string(policy.Scope), userID, policy.UserID)
	if err != nil {
		return nil, fmt.Errorf("what is on its way: %w", err)
	}
	calls, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c openAttempt, err error) {
		return c, row.Scan(&c.Workflow, &c.Sequence, &c.userID, &c.key, &c.slots, &c.rules)
	})
	if err != nil {
		return nil, fmt.Errorf("what is on its way: %w", err)
	}
	return slices.DeleteFunc(calls, func(c openAttempt) bool { return !c.lacks(policy) }), nil
}

func (c openAttempt) lacks(policy LimitPolicy) bool {
	for rule := range policy.Rules {
		if c.lacksRule(policy.Scope, rule) {
			return true
		}
	}
	return false
}

// lacksRule says whether it was released without a token of the rule. Those of an account are also in the attempt, where
// they stay when the ledger's row is deleted.
func (c openAttempt) lacksRule(scope limit.Scope, rule int) bool {
	if scope == limit.ScopeAccount {
		return len(c.slots) <= rule
	}
	return !slices.Contains(c.rules, int16(rule))
}

// adopt gives each call the lowest free token of each rule that it lacks, also beyond the capacity.
func adopt(policy LimitPolicy, calls []openAttempt, held []hold) adoption {
	type token struct {
		key        string
		rule, slot int
	}
	inUse := map[token]bool{}
	for _, h := range held {
		inUse[token{h.key, h.rule, h.slot}] = true
	}
	capacities, _ := ruleColumns(policy.Rules)
	a := adoption{calls: calls, capacities: capacities}
	for i := range calls {
		c, before := &calls[i], len(a.owners)
		for rule := range policy.Rules {
			if !c.lacksRule(policy.Scope, rule) || policy.Scope == limit.ScopeAccount && len(c.slots) != rule {
				continue
			}
			slot := 0
			for inUse[token{c.key, rule, slot}] {
				slot++
			}
			if slot >= mostSlots {
				continue // so many more than the rule allows that one more or less changes nothing
			}
			inUse[token{c.key, rule, slot}] = true
			a.owners, a.rules, a.slots = append(a.owners, i), append(a.rules, int16(rule)), append(a.slots, int16(slot))
			if policy.Scope == limit.ScopeAccount {
				c.slots = append(c.slots, int16(slot))
			}
			if int32(slot) >= a.capacities[rule] {
				a.capacities[rule], a.beyond = int32(slot)+1, true
			}
			if !slices.Contains(a.given, int16(rule)) {
				a.given = append(a.given, int16(rule))
			}
		}
		if len(a.owners) > before {
			a.changed = append(a.changed, i)
		}
	}
	return a
}

func (s *Store) writeAdoption(ctx context.Context, tx pgx.Tx, policy LimitPolicy, a adoption) error {
	capacities, windows := ruleColumns(policy.Rules)
	var ids, attemptIDs []uuid.UUID
	var sequences, attemptSequences []int32
	var keys, users, slots []string
	var lengths []time.Duration
	for i, call := range a.owners {
		c := a.calls[call]
		ids, sequences, keys, users = append(ids, c.Workflow), append(sequences, int32(c.Sequence)), append(keys, c.key), append(users, c.userID)
		lengths = append(lengths, s.config.Timing.hold()+windows[a.rules[i]]+policy.Guard)
	}
	for _, call := range a.changed {
		c := a.calls[call]
		list := make([]int, len(c.slots))
		for i, slot := range c.slots {
			list[i] = int(slot)
		}
		attemptIDs, attemptSequences, slots = append(attemptIDs, c.Workflow), append(attemptSequences, int32(c.Sequence)), append(slots, slotList(list))
	}
	var st statements
	setCapacities := func(to []int32) {
		if a.beyond {
			st.exec("capacities", `UPDATE limit_policies SET capacities = $3 WHERE scope = $1 AND user_id = $2`, string(policy.Scope), policy.UserID, to)
		}
	}
	// The ledger takes no token beyond the limit in force, whoever writes it: for these the limit is higher, within the transaction.
	setCapacities(a.capacities)
	st.exec("holds", `
		INSERT INTO send_holds (workflow, sequence, scope, key, rule, slot, user_id, held)
		SELECT h.workflow, h.sequence, $1, h.key, h.rule, h.slot, h.user_id, tstzrange(t.now, t.now + h.length)
		FROM unnest($2::uuid[], $3::int[], $4::text[], $5::smallint[], $6::smallint[], $7::text[], $8::interval[]) AS h(workflow, sequence, key, rule, slot, user_id, length),
			(SELECT hybrid_clock() AS now) t`, string(policy.Scope), ids, sequences, keys, a.rules, a.slots, users, lengths)
	setCapacities(capacities)
	if policy.Scope == limit.ScopeAccount {
		st.exec("attempts", `UPDATE send_attempts a SET account_slots = u.slots::smallint[]
			FROM `+few("workflow, sequence, slots", "$1::uuid[]", "$2::int[]", "$3::text[]")+` u
			WHERE a.workflow = u.workflow AND a.sequence = u.sequence`, attemptIDs, attemptSequences, slots)
	}
	return st.run(ctx, tx)
}
