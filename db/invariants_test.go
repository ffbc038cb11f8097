package db_test

import (
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// invariant is a query that finds what must not be. Each of its rows is one text.
type invariant struct{ name, sql string }

var invariants = []invariant{
	{"a message is in one place: its stage is that of its latest attempt", `
		SELECT format('%s stage %s, latest attempt %s', w.id, w.stage, coalesce(a.state, 'none'))
		FROM hybrid_workflows w LEFT JOIN send_attempts a ON a.workflow = w.id AND a.sequence = w.send_sequence
		WHERE NOT CASE w.stage
			WHEN 'sending' THEN coalesce(a.state, '') IN ('reserved', 'in_flight')
			WHEN 'in_doubt' THEN coalesce(a.state, '') = 'unknown'
			WHEN 'sent' THEN EXISTS (SELECT 1 FROM send_attempts s WHERE s.workflow = w.id AND s.state = 'accepted')
			ELSE coalesce(a.state, 'none') IN ('none', 'not_sent', 'withdrawn', 'rejected') END
		   OR w.stage = 'queued' AND coalesce(a.state, '') = 'rejected'`},
	{"a message has at most one attempt that is open or was accepted", `
		SELECT workflow::text FROM send_attempts WHERE state IN ('reserved', 'in_flight', 'unknown', 'accepted') GROUP BY workflow HAVING count(*) > 1`},
	{"the attempts of a message are numbered without a gap", `
		SELECT workflow::text FROM send_attempts GROUP BY workflow HAVING count(*) <> max(sequence) OR min(sequence) <> 1`},
	{"every key that was taken in has its workflow, and every workflow its key", `
		SELECT format('%s %s', i.workflow, w.id) FROM inbox i FULL JOIN hybrid_workflows w
			ON w.id = i.workflow AND w.user_id = i.user_id AND w.workflow_id = i.workflow_id AND w.recipient_id = i.recipient_id
		WHERE w.id IS NULL OR i.workflow IS NULL`},
	{"every attempt had one send job", `
		SELECT format('%s/%s: %s jobs', a.workflow, a.sequence, count(j.id)) FROM send_attempts a
		LEFT JOIN test_job_log j ON j.kind = 'send' AND j.workflow = a.workflow AND j.sequence = a.sequence
		GROUP BY a.workflow, a.sequence HAVING count(j.id) <> 1`},
	{"no two holds of a token overlap", `
		SELECT format('%s %s rule %s slot %s: %s and %s', a.scope, a.key, a.rule, a.slot, a.held, b.held)
		FROM send_holds a JOIN send_holds b ON a.scope = b.scope AND a.key = b.key AND a.rule = b.rule AND a.slot = b.slot AND a.held && b.held
			AND (a.workflow, a.sequence) < (b.workflow, b.sequence)`},
	{"an open attempt's tokens are held beyond the last moment at which its call may arrive", `
		SELECT format('%s/%s %s: %s rule %s held to %s', a.workflow, a.sequence, a.state, h.scope, h.rule, upper(h.held))
		FROM send_attempts a JOIN send_holds h USING (workflow, sequence)
		WHERE a.state IN ('reserved', 'in_flight') AND upper(h.held) < greatest(a.reservation_ends, a.call_deadline)`},
	{"an attempt holds the account's tokens that it says", `
		SELECT format('%s/%s: slots %s, holds %s', a.workflow, a.sequence, a.account_slots, h.slots)
		FROM send_attempts a LEFT JOIN LATERAL (SELECT coalesce(array_agg(h.slot ORDER BY h.rule), '{}') AS slots FROM send_holds h
			WHERE h.workflow = a.workflow AND h.sequence = a.sequence AND h.scope = 'account' AND h.key = a.user_id) h ON true
		WHERE a.account_slots IS DISTINCT FROM h.slots`},
	{"holds belong to an attempt", `
		SELECT format('%s/%s', h.workflow, h.sequence) FROM send_holds h LEFT JOIN send_attempts a USING (workflow, sequence) WHERE a.workflow IS NULL`},
	{"the sums of the stages are the messages", `
		SELECT format('%s: %s kept, %s there', stage, k.n, w.n) FROM (SELECT stage, sum(number) AS n FROM (SELECT * FROM stage_counts UNION ALL SELECT * FROM stage_deltas) a GROUP BY 1) k
		FULL JOIN (SELECT stage, count(*) AS n FROM hybrid_workflows GROUP BY 1) w USING (stage) WHERE coalesce(k.n, 0) <> coalesce(w.n, 0)`},
	{"an account has one wake-up at most, and it is a job", `
		SELECT format('%s wakes at %s: %s jobs', a.user_id, a.wake_at, count(j.id)) FROM accounts a
		LEFT JOIN test_job_log j ON j.kind = 'release' AND j.user_id = a.user_id AND j.at = a.wake_at
		WHERE a.wake_at IS NOT NULL GROUP BY a.user_id, a.wake_at HAVING count(j.id) < 1`},
}

// violations returns what breaks an invariant in the database.
func (f *fleet) violations() []string {
	f.t.Helper()
	var batch pgx.Batch
	for _, i := range invariants {
		batch.Queue(i.sql)
	}
	results := f.plain.SendBatch(f.ctx, &batch)
	defer func() { _ = results.Close() }()
	var found []string
	for _, i := range invariants {
		rows, err := results.Query()
		if err != nil {
			f.t.Fatalf("%s: %v", i.name, err)
		}
		broken, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			f.t.Fatalf("%s: %v", i.name, err)
		}
		for _, b := range broken {
			found = append(found, i.name+": "+b)
		}
	}
	return found
}

// check fails the test when an invariant is broken.
func (f *fleet) check() {
	f.t.Helper()
	if diff := cmp.Diff([]string(nil), f.violations()); diff != "" {
		f.t.Fatalf("invariants (+broken):\n%s", diff)
	}
}
