package db

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

const (
	// probeLease is how long the one message that probes after a rest may take to be answered before
	// another one is sent: longer than a call may last.
	probeLease = 45 * time.Second
	// refusedPause is how soon an account is looked at again after the ledger refused what the bucket allowed.
	refusedPause = time.Second
)

// queueAttempts writes the winners' attempts. The unique index on open attempts has the last word on I2.
func (s *Store) queueAttempts(st *statements, winners []winner, now time.Time) {
	if len(winners) == 0 {
		return
	}
	ids, sequences := make([]uuid.UUID, len(winners)), make([]int32, len(winners))
	users, recipients, limiters := make([]string, len(winners)), make([]string, len(winners)), make([]string, len(winners))
	slots := make([]string, len(winners))
	for i, w := range winners {
		ids[i], sequences[i] = w.record.id, int32(w.record.sequence+1)
		users[i], recipients[i], limiters[i] = w.record.userID, w.record.recipientID, w.limiter()
		slots[i] = slotList(w.slots)
	}
	st.exec("attempts", `
		INSERT INTO send_attempts (workflow, sequence, user_id, recipient_id, limiter, account_slots, state, reserved_at, reservation_ends)
		SELECT a.workflow, a.sequence, a.user_id, a.recipient_id, a.limiter, a.account_slots::smallint[], 'reserved', $7, $8
		FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[]) AS a(workflow, sequence, user_id, recipient_id, limiter, account_slots)`,
		ids, sequences, users, recipients, limiters, slots, now, now.Add(s.config.Timing.Reservation))
	st.onError(func(err error) error {
		if hasCode(err, uniqueViolation) {
			return fmt.Errorf("%w: %w", errChanged, err)
		}
		return err
	})
}

// slotList is Postgres' text form of an array: unnest would flatten an array of arrays.
func slotList(slots []int) string {
	text := "{"
	for i, slot := range slots {
		if i > 0 {
			text += ","
		}
		text += strconv.Itoa(slot)
	}
	return text + "}"
}

// queueTokens marks the winners' tokens as busy in the bucket until their calls have certainly ended.
func queueTokens(st *statements, winners []winner, busyUntil time.Time) {
	var users []string
	var rules, slots []int16
	var ids []uuid.UUID
	var sequences []int32
	for _, w := range winners {
		if w.account.request.Bypass {
			continue
		}
		for rule, slot := range w.slots {
			users, rules, slots = append(users, w.record.userID), append(rules, int16(rule)), append(slots, int16(slot))
			ids, sequences = append(ids, w.record.id), append(sequences, int32(w.record.sequence+1))
		}
	}
	if len(users) == 0 {
		return
	}
	st.exec("tokens", `
		INSERT INTO account_tokens (user_id, rule, slot, busy_until, workflow, sequence)
		SELECT t.user_id, t.rule, t.slot, $6, t.workflow, t.sequence
		FROM unnest($1::text[], $2::smallint[], $3::smallint[], $4::uuid[], $5::int[]) AS t(user_id, rule, slot, workflow, sequence)
		ON CONFLICT (user_id, rule, slot) DO UPDATE SET busy_until = excluded.busy_until, workflow = excluded.workflow, sequence = excluded.sequence`,
		users, rules, slots, ids, sequences, busyUntil)
	st.onError(limiterError)
}

// syncTokensSQL makes the buckets of accounts agree with the ledger, which is the truth: for each token the
// latest attempt that holds or held it, and the end of its call. Needed after a bypass, during which the
// buckets were not told, and after a worker that could not reach them.
var syncTokensSQL = `
INSERT INTO account_tokens AS t (user_id, rule, slot, busy_until, workflow, sequence)
SELECT DISTINCT ON (h.key, h.rule, h.slot) h.key, h.rule, h.slot,
    CASE a.state
        WHEN 'reserved' THEN h.upper - h.length
        WHEN 'in_flight' THEN h.upper - h.length
        WHEN 'unknown' THEN h.upper - h.length
        WHEN 'not_sent' THEN least(a.ended_at, h.upper)
        ELSE a.ended_at
    END, h.workflow, h.sequence
FROM (SELECT h.*, upper(h.held) AS upper, lower(h.held) AS lower,
             (SELECT p.windows[h.rule + 1] + p.guard FROM limit_policies p
              WHERE p.scope = 'account' AND p.user_id = coalesce((SELECT o.user_id FROM limit_policies o WHERE o.scope = 'account' AND o.user_id = h.user_id), '')) AS length
      FROM ` + few("key", "$1::text[]") + ` k
      CROSS JOIN LATERAL (` + heldBy("'account'", "k.key") + `) h) h
CROSS JOIN LATERAL (SELECT * FROM send_attempts a WHERE a.workflow = h.workflow AND a.sequence = h.sequence LIMIT 1) a
WHERE h.length IS NOT NULL
ORDER BY h.key, h.rule, h.slot, h.lower DESC
ON CONFLICT (user_id, rule, slot) DO UPDATE SET busy_until = excluded.busy_until, workflow = excluded.workflow, sequence = excluded.sequence
WHERE (t.workflow, t.sequence) IS DISTINCT FROM (excluded.workflow, excluded.sequence) OR t.busy_until IS DISTINCT FROM excluded.busy_until`

// freeTokensSQL gives back the tokens of accounts that the ledger no longer holds: their calls were ended by a
// worker that could not reach the buckets.
const freeTokensSQL = `
UPDATE account_tokens t SET busy_until = CASE WHEN a.state IN ('accepted', 'rejected') THEN a.ended_at ELSE 'epoch' END
FROM send_attempts a
WHERE t.user_id = ANY($1) AND t.busy_until > hybrid_clock() AND a.workflow = t.workflow AND a.sequence = t.sequence
  AND a.state NOT IN ('reserved', 'in_flight', 'unknown')`

// queueSync makes the buckets of accounts, whose rows are locked, agree with the ledger.
func queueSync(st *statements, users []string) {
	st.exec("tokens", syncTokensSQL, users)
	st.onError(limiterError)
	st.exec("free tokens", freeTokensSQL, users)
	st.onError(limiterError)
}

func queueBookings(st *statements, deferrals []deferral) {
	latest := map[string]time.Time{}
	for _, d := range deferrals {
		if d.booked && d.until.After(latest[d.record.recipientID]) {
			latest[d.record.recipientID] = d.until
		}
	}
	if len(latest) == 0 {
		return
	}
	var keys []string
	var times []time.Time
	for key, at := range latest {
		keys, times = append(keys, key), append(times, at)
	}
	st.exec("bookings", `INSERT INTO recipient_limits AS r (recipient_id, booked_until)
		SELECT b.recipient_id, b.booked_until FROM unnest($1::text[], $2::timestamptz[]) AS b(recipient_id, booked_until) ORDER BY 1
		ON CONFLICT (recipient_id) DO UPDATE SET booked_until = greatest(r.booked_until, excluded.booked_until)`, keys, times)
}

// queueAccounts keeps one durable wake-up for every account with parked messages: wake_at says when the job
// of it is due, and decides whether another one is needed.
func queueAccounts(st *statements, accounts []*account, now time.Time) []Job {
	var jobs []Job
	var users []string
	var wakes []*time.Time
	var rests []time.Time
	for _, a := range accounts {
		wakeAt, rest := a.wakeAt, a.restUntil
		if wakeAt != nil && (slices.ContainsFunc(a.request.WakeUps, wakeAt.Equal) || now.Sub(*wakeAt) > lostJob) {
			wakeAt = nil // its job is this one, or lost
		}
		if a.waiting() {
			if due := wakeUpTime(a.wake(), now); wakeAt == nil || wakeAt.After(due.Add(backupDelay)) {
				wakeAt = &due
				jobs = append(jobs, Job{Kind: workflow.StepRelease, UserID: a.request.UserID, At: due})
			}
		}
		if a.restCount > 0 && a.released > 0 {
			rest = now.Add(probeLease)
		}
		if sameTime(wakeAt, a.wakeAt) && rest.Equal(a.restUntil) {
			continue
		}
		users, wakes, rests = append(users, a.request.UserID), append(wakes, wakeAt), append(rests, rest)
	}
	if len(users) > 0 {
		st.exec("wake-ups", `UPDATE accounts a SET wake_at = u.wake_at, rest_until = u.rest_until
			FROM `+few("user_id, wake_at, rest_until", "$1::text[]", "$2::timestamptz[]", "$3::timestamptz[]")+` u WHERE a.user_id = u.user_id`, users, wakes, rests)
	}
	return jobs
}

// wakeUpTime is when the durable wake-up for a look at next is due. A look within the next minute is also
// known to a timer, so its job only has to be there if that fails; a later one may outlive every process.
func wakeUpTime(next, now time.Time) time.Time {
	at := next
	if next.Sub(now) <= time.Minute {
		at = next.Add(backupDelay)
	}
	return at.Round(time.Microsecond) // what Postgres keeps: the job and the row must agree
}

func sameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}
