package db

import (
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// holdUntil says how long the attempt's tokens of a rule stay taken. What never left and what never arrived
// gives them back at once.
func (f *finishing) holdUntil(c closedAttempt, scope limit.Scope, rule limit.Rule, guard time.Duration) time.Time {
	switch {
	case !c.arrived():
		return c.endedAt
	case c.report.Outcome == workflow.EventUnknown:
		end := c.endedAt
		if c.deadline != nil && c.deadline.After(end) {
			end = *c.deadline
		}
		return end.Add(f.store.config.Timing.Settle + rule.Window + guard)
	}
	return c.endedAt.Add(rule.Window + guard)
}

// holdSlack is the part of a window that a recipient's hold may be longer than it must: one of a day that ends
// three minutes late is not worth a write. Not an account's: its bucket would give out what the ledger refuses.
const holdSlack = 200

// queueHolds sets when the tokens return, in the ledger and in the bucket.
func (f *finishing) queueHolds(st *statements) {
	var ids, tokenIDs []uuid.UUID
	var sequences, tokenSequences []int32
	var scopes, users []string
	var rules, tokenRules, slots []int16
	var until, busy []time.Time
	for _, c := range f.closed {
		for _, scope := range []limit.Scope{limit.ScopeAccount, limit.ScopeRecipient} {
			policy := f.policies.of(scope, c.userID)
			for rule, r := range policy.Rules {
				if scope == limit.ScopeRecipient && c.arrived() && r.Window/holdSlack > f.store.config.Timing.hold() {
					continue
				}
				ids, sequences, scopes, rules = append(ids, c.Workflow), append(sequences, int32(c.Sequence)), append(scopes, string(scope)), append(rules, int16(rule))
				until = append(until, f.holdUntil(c, scope, r, policy.Guard))
			}
		}
		for rule, slot := range c.slots {
			users, tokenRules, slots = append(users, c.userID), append(tokenRules, int16(rule)), append(slots, slot)
			tokenIDs, tokenSequences = append(tokenIDs, c.Workflow), append(tokenSequences, int32(c.Sequence))
			busy = append(busy, f.busyUntil(c))
		}
	}
	if len(ids) > 0 {
		st.exec("holds", `
			UPDATE send_holds h SET held = tstzrange(lower(h.held), greatest(lower(h.held), u.until))
			FROM `+few("workflow, sequence, scope, rule, until", "$1::uuid[]", "$2::int[]", "$3::text[]", "$4::smallint[]", "$5::timestamptz[]")+` u
			WHERE h.workflow = u.workflow AND h.sequence = u.sequence AND h.scope = u.scope AND h.rule = u.rule
			  AND upper(h.held) > hybrid_clock()`, ids, sequences, scopes, rules, until) // a hold that has passed may be another's by now
	}
	if f.tokens && len(slots) > 0 {
		st.exec("tokens", `
			UPDATE account_tokens t SET busy_until = u.busy_until
			FROM `+few("user_id, rule, slot, workflow, sequence, busy_until", "$1::text[]", "$2::smallint[]", "$3::smallint[]", "$4::uuid[]", "$5::int[]", "$6::timestamptz[]")+` u
			WHERE t.user_id = u.user_id AND t.rule = u.rule AND t.slot = u.slot AND t.workflow = u.workflow AND t.sequence = u.sequence`,
			users, tokenRules, slots, tokenIDs, tokenSequences, busy)
		st.onError(limiterError)
	}
}

// arrived says whether the message reached the gateway, so that its tokens stay taken for a window.
func (c closedAttempt) arrived() bool {
	switch c.report.Outcome {
	case workflow.EventNotSent, workflow.EventWithdrawn:
		return false
	}
	return true
}

// busyUntil is the end of the call as the bucket keeps it, to which the window is added when it is read.
func (f *finishing) busyUntil(c closedAttempt) time.Time {
	switch {
	case !c.arrived():
		return time.Unix(0, 0)
	case c.report.Outcome == workflow.EventUnknown:
		return f.holdUntil(c, limit.ScopeAccount, limit.Rule{}, 0)
	}
	return c.endedAt
}

// noteReturn tells the caller when the account's token is back. Next is only kept when something waits.
func (f *finishing) noteReturn(c *closedAttempt) {
	if c.finished.Next >= 0 {
		return // requeued: due again at that time
	}
	policy := f.policies.of(limit.ScopeAccount, c.userID)
	if len(policy.Rules) == 0 {
		c.finished.Next = 0
	}
	for _, rule := range policy.Rules {
		at := f.holdUntil(*c, limit.ScopeAccount, rule, policy.Guard).Sub(c.endedAt)
		if c.finished.Next < 0 || at < c.finished.Next {
			c.finished.Next = at
		}
	}
}

// queueAccountLocks locks the accounts whose rows will be written, all at once and before their tokens, as releases
// and the reconciler do. Most transactions write none.
func (f *finishing) queueAccountLocks(st *statements, users []string) {
	var written []string
	for _, c := range f.closed {
		if c.report.Rest > 0 || c.finished.Stage == workflow.StageQueued {
			written = append(written, c.userID)
		}
	}
	if len(written) > 0 {
		st.exec("lock accounts", `SELECT 1 FROM accounts WHERE user_id = ANY($1) AND (rest_count > 0 OR user_id = ANY($2)) ORDER BY user_id FOR UPDATE`, users, written)
	}
}

// queueRests lets accounts rest that the gateway told to, and ends the probing of those that got through. A call
// that began before the rest says nothing about it.
func (f *finishing) queueRests(st *statements) {
	var resting, through, reasons []string
	var lengths []time.Duration
	var growing []bool
	var answered, started []*time.Time
	for _, c := range f.closed {
		switch {
		case c.report.Rest > 0:
			growing = append(growing, c.report.Outcome == workflow.EventNotSent)
			resting, reasons, lengths = append(resting, c.userID), append(reasons, c.report.RestReason), append(lengths, c.report.Rest)
			answered = append(answered, c.startedAt)
			c.finished.Next = max(c.finished.Next, c.report.Rest)
		case c.report.Outcome == workflow.EventAccepted || c.report.Outcome == workflow.EventRejected:
			through, started = append(through, c.userID), append(started, c.startedAt)
		}
	}
	if len(through) > 0 {
		st.exec("rests", `UPDATE accounts a SET rest_count = 0, rest_until = 'epoch', rest_reason = ''
			FROM (SELECT user_id, max(started_at) AS started_at FROM unnest($1::text[], $2::timestamptz[]) AS t(user_id, started_at) GROUP BY user_id ORDER BY user_id LIMIT cardinality($1::text[])) t
			WHERE a.user_id = t.user_id AND a.rest_count > 0 AND t.started_at > a.rest_since`, through, started)
	}
	if len(resting) > 0 {
		// The answer to the message that probed ends the time that it was given for that.
		st.exec("rests", `UPDATE accounts a SET rest_until = greatest(CASE WHEN r.answered > a.rest_since THEN 'epoch' ELSE a.rest_until END,
				hybrid_clock() + CASE WHEN r.growing THEN least(r.length * power(2, least(a.rest_count, 10)), greatest(r.length, interval '60 seconds')) ELSE r.length END),
			rest_since = hybrid_clock(), rest_reason = r.reason, rest_count = a.rest_count + 1
			FROM (SELECT user_id, max(reason) AS reason, max(length) AS length, bool_or(growing) AS growing, max(answered) AS answered
				FROM unnest($1::text[], $2::text[], $3::interval[], $4::bool[], $5::timestamptz[]) AS r(user_id, reason, length, growing, answered)
				GROUP BY user_id ORDER BY user_id LIMIT cardinality($1::text[])) r
			WHERE a.user_id = r.user_id`, resting, reasons, lengths, growing, answered)
	}
}

// queueRequeued makes sure that messages which wait again have a durable wake-up, and says which accounts
// have anything waiting at all.
func (f *finishing) queueRequeued(st *statements, users []string, now time.Time) {
	earliest := map[string]time.Time{}
	for _, c := range f.closed {
		if c.finished.Stage != workflow.StageQueued {
			continue
		}
		at := c.endedAt.Add(c.finished.Next)
		if first, ok := earliest[c.userID]; !ok || at.Before(first) {
			earliest[c.userID] = at
		}
	}
	queueWakeUps(st, earliest, now, &f.jobs)
	st.query("waiting", func(rows pgx.Rows) error {
		waiting, user := map[string]bool{}, ""
		_, err := pgx.ForEachRow(rows, []any{&user}, func() error { waiting[user] = true; return nil })
		for i := range f.finished {
			if !waiting[f.finished[i].UserID] {
				f.finished[i].Next = -1
			}
		}
		return err
	}, waitingSQL, users)
}

// waitingSQL says which accounts have parked messages. The limit keeps the planner from joining all parked messages to
// a few accounts, which it takes for cheap when there were none yet.
var waitingSQL = `
SELECT u.user_id FROM ` + few("user_id", "$1::text[]") + ` u
CROSS JOIN LATERAL (SELECT 1 FROM hybrid_workflows w WHERE w.user_id = u.user_id AND w.stage = 'queued' ORDER BY w.user_id, w.campaign_id LIMIT 1) w`
