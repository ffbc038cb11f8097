package db_test

import (
	"cmp"
	"slices"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// begin says whether the call of an attempt may start.
func (m *model) begin(a *modelAttempt) db.Verdict {
	if a.state != "reserved" {
		return db.VerdictDone
	}
	rest := m.rests[a.message.key.UserID]
	resting := rest.until.After(m.now) && !a.reservedAt.After(rest.since)
	if !a.reservationEnds.After(m.now) || !m.running(a.message) || resting {
		return db.VerdictWithdraw
	}
	a.state, a.startedAt, a.deadline = "in_flight", m.now, m.now.Add(20*time.Second)
	return db.VerdictGo
}

// finish says whether a report changes anything, and does what it says.
func (m *model) finish(r db.Finish, bucketKnows bool) (applied bool) {
	a := m.attempts[r.Attempt]
	if a == nil || a.fence != r.Fence || !m.closes(a, r.Outcome) {
		return false
	}
	a.endedAt = m.now
	a.state = string(r.Outcome)
	if a.refused = r.Outcome == workflow.EventRateLimited; a.refused {
		a.state = "not_sent"
	}
	m.move(a, r)
	m.returnTokens(a, bucketKnows)
	m.rest(a, r)
	return true
}

func (m *model) closes(a *modelAttempt, outcome workflow.EventKind) bool {
	switch a.state {
	case "reserved":
		return outcome == workflow.EventWithdrawn
	case "in_flight":
		return true
	case "unknown":
		return outcome != workflow.EventUnknown && outcome != workflow.EventWithdrawn
	case "not_sent", "withdrawn":
		if outcome != workflow.EventAccepted || a.fence == 0 {
			return false
		}
		for _, other := range m.attempts {
			if other.message == a.message && slices.Contains([]string{"reserved", "in_flight", "unknown", "accepted"}, other.state) {
				return false
			}
		}
		return true
	}
	return false
}

func (m *model) move(a *modelAttempt, r db.Finish) {
	event := workflow.Event{Kind: r.Outcome, At: m.now, Reason: r.Reason}
	switch r.Outcome {
	case workflow.EventNotSent:
		event.RetryAt = m.now.Add(workflow.RetryDelay(a.message.state.Attempts + 1))
		if r.ResolvedBy != "" {
			event.RetryAt = m.now
		}
	case workflow.EventWithdrawn:
		if r.Fence != 0 {
			event.RetryAt = m.now.Add(time.Second)
		}
	}
	next, _, err := workflow.Transition(a.message.state, event)
	if err != nil {
		panic(err)
	}
	a.message.state = next
}

// arrived says whether the request reached the gateway.
func (a *modelAttempt) arrived() bool {
	return a.refused || a.state != "not_sent" && a.state != "withdrawn"
}

// callEnd is when the call of a closed attempt has certainly ended.
func (m *model) callEnd(a *modelAttempt) time.Time {
	if a.state != "unknown" {
		return a.endedAt
	}
	end := a.endedAt
	if a.deadline.After(end) {
		end = a.deadline
	}
	return end.Add(120 * time.Second)
}

// slack: the hold of a recipient's token that lasts a day may end some minutes late, which saves a write.
func slack(scope limit.Scope, r limit.Rule) bool {
	return scope == limit.ScopeRecipient && r.Window/200 > hold
}

func (m *model) returnTokens(a *modelAttempt, bucketKnows bool) {
	for _, h := range m.holds {
		if h.attempt != a || !h.upper.After(m.now) {
			continue
		}
		policy := m.policy(h.scope, a.message.key.UserID)
		switch {
		case h.rule >= len(policy.rules):
			continue // of a rule that is gone: it stays as it is
		case !a.arrived():
			h.upper = latest(h.lower, m.now)
		case slack(h.scope, policy.rules[h.rule]):
		default:
			h.upper = m.callEnd(a).Add(policy.rules[h.rule].Window + policy.guard)
		}
	}
	if !bucketKnows {
		return
	}
	for rule, slot := range a.slots {
		at := modelSlot{rule, slot}
		if m.buckets[a.message.key.UserID][at].attempt != a.Attempt {
			continue
		}
		busy := time.Unix(0, 0)
		if a.arrived() {
			busy = m.callEnd(a)
		}
		m.token(a.message.key.UserID, at, modelToken{busy: busy, attempt: a.Attempt})
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (m *model) rest(a *modelAttempt, r db.Finish) {
	user := a.message.key.UserID
	rest := m.rests[user]
	switch {
	case r.Rest > 0:
		length := r.Rest
		if r.Outcome == workflow.EventNotSent {
			length = min(r.Rest<<min(rest.count, 10), max(r.Rest, time.Minute))
		}
		until := m.now.Add(length)
		if !a.startedAt.After(rest.since) {
			until = latest(rest.until, until)
		}
		rest = modelRest{until: until, since: m.now, count: rest.count + 1}
	case r.Outcome == workflow.EventAccepted || r.Outcome == workflow.EventRejected:
		if rest.count > 0 && a.startedAt.After(rest.since) {
			rest = modelRest{since: rest.since}
		}
	}
	m.rests[user] = rest
}

// setLimit changes the rules of a scope, and the length of the holds that are in force. Nil rules: the account
// has none of its own any more.
func (m *model) setLimit(scope limit.Scope, userID string, rules limit.Rules, newGuard time.Duration) {
	before := map[*modelHold]modelPolicy{}
	for _, h := range m.holds {
		before[h] = m.policy(h.scope, h.attempt.message.key.UserID)
	}
	if rules == nil {
		delete(m.policies[scope], userID)
	} else {
		if newGuard < 0 {
			newGuard = m.policy(scope, userID).guard
		}
		m.policies[scope][userID] = modelPolicy{rules: rules, guard: newGuard}
	}
	for _, one := range m.byID { // the next look puts them off by the new rules
		if scope == limit.ScopeRecipient && one.state.Stage == workflow.StageQueued && one.state.WaitReason == workflow.WaitRecipient && (userID == "" || userID == one.key.UserID) {
			one.state.NotBefore, one.state.WaitReason = m.now, workflow.WaitNone
		}
	}
	adopted := m.adopt(scope, userID)
	for _, h := range m.holds {
		policy := m.policy(h.scope, h.attempt.message.key.UserID)
		if h.scope != scope || userID != "" && h.attempt.message.key.UserID != userID || !h.upper.After(m.now) || h.rule >= len(policy.rules) {
			continue
		}
		old, length := before[h], policy.rules[h.rule].Window+policy.guard // none before: just adopted
		if h.rule < len(old.rules) && old.rules[h.rule].Window == policy.rules[h.rule].Window && old.guard == policy.guard {
			continue // it is held for the time that it should be
		}
		switch {
		case h.attempt.state == "reserved" || h.attempt.state == "in_flight":
			h.upper = h.lower.Add(hold + length)
		case h.attempt.state == "withdrawn":
			h.upper = latest(h.lower, h.attempt.endedAt)
		default:
			h.upper = latest(h.lower, m.callEnd(h.attempt).Add(length))
		}
	}
	for user := range adopted {
		m.sync(user, nil)
	}
}

// adopt gives what is on its way the lowest free token of each rule that it was released without. It returns the accounts
// whose tokens these are.
func (m *model) adopt(scope limit.Scope, userID string) map[string]bool {
	var open []*modelAttempt
	for _, a := range m.attempts {
		if (a.state == "reserved" || a.state == "in_flight" || a.state == "unknown") && (userID == "" || userID == a.message.key.UserID) {
			open = append(open, a)
		}
	}
	slices.SortFunc(open, func(a, b *modelAttempt) int {
		return cmp.Or(slices.Compare(a.Workflow[:], b.Workflow[:]), cmp.Compare(a.Sequence, b.Sequence))
	})
	users := map[string]bool{}
	for _, a := range open {
		key, user := a.message.key.RecipientID, a.message.key.UserID
		if scope == limit.ScopeAccount {
			key = user
		}
		for rule, r := range m.policy(scope, user).rules {
			has := slices.ContainsFunc(m.holds, func(h *modelHold) bool { return h.attempt == a && h.scope == scope && h.rule == rule })
			if has || scope == limit.ScopeAccount && len(a.slots) > rule {
				continue
			}
			slot := 0
			for slices.ContainsFunc(m.held(scope, key), func(h *modelHold) bool { return h.rule == rule && h.slot == slot }) {
				slot++
			}
			m.holds = append(m.holds, &modelHold{attempt: a, scope: scope, key: key, rule: rule, slot: slot, lower: m.now, upper: m.now.Add(hold + r.Window)})
			if scope == limit.ScopeAccount {
				a.slots = append(a.slots, slot)
				users[user] = true
			}
		}
	}
	return users
}

// reconcile is what the reconciler does to a fleet whose only fault is that workers were lost.
func (m *model) reconcile() {
	for _, a := range m.attempts {
		switch {
		case a.state == "reserved" && a.reservationEnds.Before(m.now.Add(-time.Second)):
			m.finish(db.Finish{Attempt: a.Attempt, Outcome: workflow.EventWithdrawn, Reason: "reservation_expired"}, true)
		case a.state == "in_flight" && a.deadline.Before(m.now.Add(-15*time.Second)):
			m.finish(db.Finish{Attempt: a.Attempt, Fence: a.fence, Outcome: workflow.EventUnknown, Reason: "worker_lost"}, true)
		}
	}
	for _, one := range m.byID {
		if one.state.Stage == workflow.StageQueued && m.campaigns[campaignKey{one.key.UserID, one.campaign}] == db.CampaignCancelled {
			one.state.Stage, one.state.WaitReason = workflow.StageCancelled, workflow.WaitNone
		}
	}
	for user, tokens := range m.buckets {
		for _, token := range tokens {
			if a := m.attempts[token.attempt]; token.busy.After(m.now) && a.state != "reserved" && a.state != "in_flight" && a.state != "unknown" {
				m.sync(user, nil)
				break
			}
		}
	}
}
