package db

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

// AccountState is what an account may send now, and why not more.
type AccountState struct {
	UserID     string
	Known      bool // false: nothing of it was ever received
	Policy     limit.Policy
	Tokens     []RuleTokens // one for each rule of the account, in their order
	RestUntil  time.Time    // nothing is sent before
	RestReason string
	Rests      int        // in a row; while it is not 0 one message at a time finds out whether the gateway takes it
	WakeAt     *time.Time // when the account is looked at next at the latest; nil: nobody waits
}

// RuleTokens are the tokens of one rule of an account.
type RuleTokens struct {
	Rule     limit.Rule
	Taken    int       // more than the rule's capacity for a while after it was lowered
	NextFree time.Time // not before now
	// FreeSince is when the token came back that has been free for longest; zero: it was never used, or none is free.
	FreeSince time.Time
	returns   []time.Time // of the taken ones, the earliest first
	freed     []time.Time // when the others came back
}

// AccountState returns the state of one account. One that was never heard of has all its tokens.
func (s *Store) AccountState(ctx context.Context, userID string) (state AccountState, now time.Time, err error) {
	err = s.readTx(ctx, func(tx pgx.Tx) error {
		f, err := readFleet(ctx, tx)
		if err != nil {
			return err
		}
		states, err := readAccountStates(ctx, tx, []string{userID}, f.now)
		if err != nil {
			return err
		}
		state, now = *states[userID], f.now
		return nil
	})
	return state, now, err
}

// readTx runs reads that belong together: all of them see the same state of the database.
func (s *Store) readTx(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, do)
}

func readAccountStates(ctx context.Context, tx pgx.Tx, users []string, now time.Time) (map[string]*AccountState, error) {
	states := make(map[string]*AccountState, len(users))
	for _, user := range users {
		states[user] = &AccountState{UserID: user}
	}
	var st statements
	st.query("limit policies", func(rows pgx.Rows) error {
		policies, err := collectPolicies(rows)
		if err != nil {
			return err
		}
		for user, state := range states {
			state.Policy = policies.forAccount(user)
			state.Tokens = make([]RuleTokens, len(state.Policy.Account))
			for i, rule := range state.Policy.Account {
				state.Tokens[i].Rule = rule
			}
		}
		return nil
	}, policiesSQL, users)
	st.query("accounts", func(rows pgx.Rows) error {
		var user string
		var one AccountState
		_, err := pgx.ForEachRow(rows, []any{&user, &one.RestUntil, &one.RestReason, &one.Rests, &one.WakeAt}, func() error {
			state := states[user]
			state.Known, state.RestUntil, state.RestReason, state.Rests, state.WakeAt = true, one.RestUntil, one.RestReason, one.Rests, one.WakeAt
			return nil
		})
		return err
	}, `SELECT user_id, rest_until, rest_reason, rest_count, wake_at FROM accounts WHERE user_id = ANY($1)`, users)
	st.query("tokens", into(scanHold, func(h hold) error {
		state := states[h.key]
		if h.rule >= len(state.Tokens) {
			return nil
		}
		tokens := &state.Tokens[h.rule]
		if at := h.until.Add(tokens.Rule.Window + state.Policy.Guard); at.After(now) {
			tokens.returns = append(tokens.returns, at)
		} else if h.slot < tokens.Rule.Capacity {
			tokens.freed = append(tokens.freed, at)
		}
		return nil
	}), `SELECT user_id, rule, slot, busy_until FROM account_tokens WHERE user_id = ANY($1)`, users)
	if err := st.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	for _, state := range states {
		for i := range state.Tokens {
			state.Tokens[i].count(now)
		}
	}
	return states, nil
}

func (t *RuleTokens) count(now time.Time) {
	slices.SortFunc(t.returns, time.Time.Compare)
	t.Taken, t.NextFree = len(t.returns), now
	if len(t.freed) > 0 && t.Taken+len(t.freed) >= t.Rule.Capacity {
		t.FreeSince = slices.MinFunc(t.freed, time.Time.Compare)
	}
	if surplus := t.Taken - t.Rule.Capacity; surplus >= 0 {
		t.NextFree = t.returns[surplus]
	}
}

// Free is how many of the rule's tokens are free.
func (t RuleTokens) Free() int { return max(0, t.Rule.Capacity-t.Taken) }

// NextFree is when the account has a token of every rule, not before now.
func (a AccountState) NextFree(now time.Time) time.Time {
	next := now
	for _, tokens := range a.Tokens {
		if tokens.NextFree.After(next) {
			next = tokens.NextFree
		}
	}
	return next
}

// Turn is about when a message goes that has the given number of messages of its account ahead of it, if
// nothing but the account's limit is in the way: every token goes round once in a window and guard.
func (a AccountState) Turn(ahead int, now time.Time) time.Time {
	turn := now
	for _, tokens := range a.Tokens {
		if at := tokens.turn(ahead, a.Policy.Guard, now); at.After(turn) {
			turn = at
		}
	}
	if a.RestUntil.After(turn) {
		return a.RestUntil
	}
	return turn
}

func (t RuleTokens) turn(ahead int, guard time.Duration, now time.Time) time.Time {
	at := now
	if free := t.Free(); ahead%t.Rule.Capacity >= free {
		// The surplus of a lowered limit comes back first and helps nobody.
		at = t.returns[max(0, t.Taken-t.Rule.Capacity)+ahead%t.Rule.Capacity-free]
	}
	return at.Add(time.Duration(ahead/t.Rule.Capacity) * (t.Rule.Window + guard))
}
