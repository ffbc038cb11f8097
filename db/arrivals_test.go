package db_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

// arrival is a message at the simulated gateway.
type arrival struct {
	at       time.Time
	attempt  *modelAttempt
	released time.Time
}

// change is a moment at which an account's rules became others.
type change struct {
	at    time.Time
	rules map[string]limit.Rules
}

// noteRules remembers the rules of every account from now on.
func (o *oracle) noteRules(scope limit.Scope) {
	now := map[string]limit.Rules{}
	for _, user := range oracleUsers {
		now[user] = o.model.policy(scope, user).rules
	}
	o.changes[scope] = append(o.changes[scope], change{at: o.model.now, rules: now})
	if scope == limit.ScopeRecipient && (!now["ann"].Equal(now["ben"]) || !now["ben"].Equal(now["cyd"])) {
		o.ownRules = true
	}
}

// arrive notes the arrival of an attempt: right after it began, or as late as possible.
func (o *oracle) arrive(rt *rapid.T, a *modelAttempt, latest time.Time) {
	at := a.startedAt
	if rapid.Bool().Draw(rt, "arrives late") {
		at = latest
	}
	if last := a.deadline.Add(120 * time.Second); at.After(last) {
		at = last
	}
	o.arrivals = append(o.arrivals, arrival{at: at, attempt: a, released: a.reservedAt})
}

// checkArrivals looks at the simulated gateway's log: between two changes of the rules, and from a change on for
// what was released after it, no window holds more than a rule allows. No message arrived twice.
func (o *oracle) checkArrivals() {
	twice := map[uuid.UUID]bool{}
	for _, a := range o.arrivals {
		if id := a.attempt.Workflow; twice[id] && !a.attempt.refused {
			o.rt.Fatalf("workflow %s arrived twice", id)
		}
		twice[a.attempt.Workflow] = twice[a.attempt.Workflow] || !a.attempt.refused
	}
	for _, user := range oracleUsers {
		o.checkWindows(limit.ScopeAccount, user, user)
	}
	if o.ownRules {
		return // a recipient that accounts allow different things has no one limit
	}
	for _, recipient := range oracleRecipients {
		o.checkWindows(limit.ScopeRecipient, recipient, oracleUsers[0])
	}
}

// checkWindows checks one account or recipient in each stretch of time in which the rules were the same. A
// window of that stretch in which at least one message arrived that was released in it holds no more than the
// rule allows, those included that were released before.
func (o *oracle) checkWindows(scope limit.Scope, key, policyOf string) {
	var own []arrival
	for _, a := range o.arrivals {
		if scope == limit.ScopeAccount && a.attempt.message.key.UserID == key || scope == limit.ScopeRecipient && a.attempt.message.key.RecipientID == key {
			own = append(own, a)
		}
	}
	slices.SortFunc(own, func(a, b arrival) int { return a.at.Compare(b.at) })
	all := o.changes[scope]
	for i, from := range all {
		to := o.model.now.Add(1000 * time.Hour)
		for _, next := range all[i+1:] {
			if !next.rules[policyOf].Equal(from.rules[policyOf]) {
				to = next.at
				break
			}
		}
		if i > 0 && all[i-1].rules[policyOf].Equal(from.rules[policyOf]) {
			continue // part of a longer stretch
		}
		for _, rule := range from.rules[policyOf] {
			o.checkRule(fmt.Sprintf("%s %s", scope, key), rule, own, from.at, to)
		}
	}
}

func (o *oracle) checkRule(name string, rule limit.Rule, arrivals []arrival, from, to time.Time) {
	for i, first := range arrivals {
		if first.at.Before(from) {
			continue
		}
		count, fresh := 0, false
		for _, a := range arrivals[i:] {
			if a.at.Sub(first.at) >= rule.Window || !a.at.Before(to) {
				break
			}
			count++
			fresh = fresh || !a.released.Before(from) && a.released.Before(to)
			if count > rule.Capacity && fresh {
				var log string
				for _, a := range arrivals {
					log += fmt.Sprintf("\n%s released %s, ended %s, slots %v, bypass %v: %s", stamp(a.at), stamp(a.released), stamp(a.attempt.endedAt), a.attempt.slots, a.attempt.bypass, a.attempt.state)
				}
				o.rt.Fatalf("%s: %d arrivals within %s from %s on, allowed are %d since %s%s", name, count, rule.Window, stamp(first.at), rule.Capacity, stamp(from), log)
			}
		}
	}
}
