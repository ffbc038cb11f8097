package db_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

// compare fails when the database and the model differ in anything.
func (o *oracle) compare(rt *rapid.T) {
	if diff := cmp.Diff(o.modelPicture(), o.databasePicture()); diff != "" {
		rt.Fatalf("(-model +database):\n%s", diff)
	}
	if broken := o.violations(); len(broken) > 0 {
		rt.Fatalf("invariants:\n%s", broken)
	}
	if !o.bypassed {
		o.checkAgreement(rt)
	}
}

// checkAgreement: without a bypass the bucket never takes a token for free that the ledger has in use.
func (o *oracle) checkAgreement(rt *rapid.T) {
	for user, tokens := range o.model.buckets {
		rules := o.model.policy(limit.ScopeAccount, user).rules
		for _, h := range o.model.held(limit.ScopeAccount, user) {
			if h.rule >= len(rules) {
				continue
			}
			free := tokens[modelSlot{h.rule, h.slot}].busy.Add(rules[h.rule].Window + o.model.guard(user))
			if free.Before(h.upper) {
				rt.Fatalf("%s rule %d slot %d: in use until %s by the ledger, until %s by the bucket", user, h.rule, h.slot, h.upper, free)
			}
		}
	}
}

// drawing is what both sides hold, in a form that reads well when it differs.
type drawing struct {
	Messages, Attempts, Holds, Tokens, Rests map[string]string
}

func stamp(at time.Time) string {
	return at.UTC().Sub(start).String()
}

func (o *oracle) modelPicture() drawing {
	p := drawing{map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}}
	for id, m := range o.model.byID {
		p.Messages[id.String()] = fmt.Sprintf("%s, sequence %d, attempts %d, not before %s, waits for %q", m.state.Stage, m.sequence, m.state.Attempts, stamp(m.state.NotBefore), m.state.WaitReason)
	}
	for at, a := range o.model.attempts {
		p.Attempts[fmt.Sprint(at)] = fmt.Sprintf("%s, slots %v, ends %s", a.state, slices.Concat([]int{}, a.slots), stamp(a.reservationEnds))
	}
	for _, h := range o.model.holds {
		if h.upper.After(o.model.now) {
			p.Holds[fmt.Sprintf("%s %s rule %d slot %d", h.scope, h.key, h.rule, h.slot)] = fmt.Sprintf("%v from %s to %s", h.attempt.Attempt, stamp(h.lower), stamp(h.upper))
		}
	}
	for user, tokens := range o.model.buckets {
		for at, token := range tokens {
			p.Tokens[fmt.Sprintf("%s rule %d slot %d", user, at.rule, at.slot)] = fmt.Sprintf("%v to %s", token.attempt, stamp(token.busy))
		}
	}
	for user, rest := range o.model.rests {
		if rest.count > 0 {
			p.Rests[user] = fmt.Sprintf("%d to %s", rest.count, stamp(rest.until))
		}
	}
	return p
}

func (o *oracle) databasePicture() drawing {
	p := drawing{map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}}
	var batch pgx.Batch
	batch.Queue(`SELECT id, stage, send_sequence, attempts, not_before, wait_reason FROM hybrid_workflows`)
	batch.Queue(`SELECT workflow, sequence, state, account_slots, reservation_ends FROM send_attempts`)
	batch.Queue(`SELECT scope, key, rule, slot, workflow, sequence, lower(held), upper(held) FROM send_holds WHERE upper(held) > hybrid_clock()`)
	batch.Queue(`SELECT user_id, rule, slot, workflow, sequence, busy_until FROM account_tokens`)
	batch.Queue(`SELECT user_id, rest_count, rest_until FROM accounts WHERE rest_count > 0`)
	results := o.plain.SendBatch(o.ctx, &batch)
	defer func() { _ = results.Close() }()
	var a db.Attempt
	var text, key string
	var rule, slot, count int
	var slots []int
	var at, to time.Time
	each := func(row func() error, into ...any) {
		rows, err := results.Query()
		if err == nil {
			_, err = pgx.ForEachRow(rows, into, row)
		}
		if err != nil {
			o.rt.Fatal(err)
		}
	}
	each(func() error {
		p.Messages[a.Workflow.String()] = fmt.Sprintf("%s, sequence %d, attempts %d, not before %s, waits for %q", text, a.Sequence, count, stamp(at), key)
		return nil
	}, &a.Workflow, &text, &a.Sequence, &count, &at, &key)
	each(func() error {
		p.Attempts[fmt.Sprint(a)] = fmt.Sprintf("%s, slots %v, ends %s", text, slots, stamp(at))
		return nil
	}, &a.Workflow, &a.Sequence, &text, &slots, &at)
	each(func() error {
		p.Holds[fmt.Sprintf("%s %s rule %d slot %d", text, key, rule, slot)] = fmt.Sprintf("%v from %s to %s", a, stamp(at), stamp(to))
		return nil
	}, &text, &key, &rule, &slot, &a.Workflow, &a.Sequence, &at, &to)
	each(func() error {
		p.Tokens[fmt.Sprintf("%s rule %d slot %d", key, rule, slot)] = fmt.Sprintf("%v to %s", a, stamp(at))
		return nil
	}, &key, &rule, &slot, &a.Workflow, &a.Sequence, &at)
	each(func() error { p.Rests[key] = fmt.Sprintf("%d to %s", count, stamp(at)); return nil }, &key, &count, &at)
	return p
}
