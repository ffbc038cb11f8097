package db

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Attempt names one try of a send in the ledger.
type Attempt struct {
	Workflow uuid.UUID
	Sequence int
}

// compare orders attempts. Whoever locks several locks them in this order.
func (a Attempt) compare(b Attempt) int {
	return cmp.Or(bytes.Compare(a.Workflow[:], b.Workflow[:]), cmp.Compare(a.Sequence, b.Sequence))
}

// Verdict is the answer to the question whether a call may start.
type Verdict string

// The verdicts.
const (
	VerdictGo       Verdict = "go"       // the attempt is in flight under a fence of its own: call now
	VerdictWithdraw Verdict = "withdraw" // it was not started and must not be: give the tokens back
	VerdictDone     Verdict = "done"     // it was started before, by this job or another: never call again
)

// Start is a call that may begin, with everything that it needs; or the reason why not.
type Start struct {
	Verdict     Verdict
	Reason      string // why it is withdrawn
	Fence       int64
	UserID      string
	WorkflowID  string
	RecipientID string
	CampaignID  string // empty: it belongs to none
	Content     string
	Trace       workflow.TraceContext
	Attempt     int           // the number of the try, from 1
	Capacity    int           // how many messages the account may send in Window; 0: no limit
	Window      time.Duration // of the account's first rule
}

// Begin marks reserved attempts as in flight, each under a new fence: the step before the call to the gateway.
// What was paused or cancelled before this commits is not started: the campaign's row is locked against a
// pause while the attempt is written. Nor is what was released before its account was told to rest. After a failover it fails with ErrFailover.
func (s *Store) Begin(ctx context.Context, attempts []Attempt) ([]Start, error) {
	index := map[Attempt]int{}
	for i, a := range attempts {
		index[a] = i // of several that are the same one may go
	}
	ids, sequences := make([]uuid.UUID, 0, len(index)), make([]int32, 0, len(index))
	for _, a := range slices.SortedFunc(maps.Keys(index), Attempt.compare) {
		ids, sequences = append(ids, a.Workflow), append(sequences, int32(a.Sequence))
	}
	var starts []Start
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		starts = make([]Start, len(attempts))
		for i := range starts {
			starts[i].Verdict = VerdictDone
		}
		var st statements
		st.query("fleet state", into(scanFleet, func(f fleet) error { return f.check() }), fleetSQL)
		st.exec("kill switch", "SELECT hold_sends_switch()") // before it is read: a change waits for the calls that start, and they for it
		st.exec("campaigns", lockCampaignsSQL, ids)
		st.query("begin", func(rows pgx.Rows) error { return collectStarts(rows, index, starts) }, beginSQL, ids, sequences, s.config.Worker, s.config.Timing.CallTimeout)
		if err := st.run(ctx, tx); err != nil {
			return err
		}
		return readRefused(ctx, tx, ids, sequences, index, starts)
	})
	return starts, err
}

// A pause must wait for the calls that are about to start, and they for it.
const lockCampaignsSQL = `
SELECT 1 FROM campaigns c
WHERE (c.user_id, c.campaign_id) IN (SELECT w.user_id, w.campaign_id FROM hybrid_workflows w WHERE w.id = ANY($1) AND w.campaign_id || '' <> '')
ORDER BY c.user_id, c.campaign_id FOR SHARE`

// state || ” keeps the planner on the primary keys: it takes the indexes of what is open for small.
var beginSQL = `
UPDATE send_attempts a
SET state = 'in_flight', fence = nextval('send_fence'), started_at = t.now, call_deadline = t.now + $4, worker = $3
FROM ` + few("workflow, sequence", "$1::uuid[]", "$2::int[]") + ` r
JOIN hybrid_workflows w ON w.id = r.workflow AND w.stage || '' = 'sending' AND w.send_sequence = r.sequence
LEFT JOIN LATERAL (SELECT c.state FROM campaigns c WHERE c.user_id = w.user_id AND c.campaign_id = w.campaign_id LIMIT 1) c ON true
LEFT JOIN LATERAL (SELECT p.capacities[1] AS capacity, p.windows[1] AS length FROM limit_policies p
    WHERE p.scope = 'account' AND p.user_id = coalesce((SELECT o.user_id FROM limit_policies o WHERE o.scope = 'account' AND o.user_id = w.user_id), '') LIMIT 1) p ON true
JOIN LATERAL (SELECT b.rest_until, b.rest_since FROM accounts b WHERE b.user_id = w.user_id LIMIT 1) b ON true
CROSS JOIN (SELECT hybrid_clock() AS now) t
CROSS JOIN fleet_state f
WHERE a.workflow = r.workflow AND a.sequence = r.sequence AND a.state || '' = 'reserved' AND a.reservation_ends > t.now
  AND coalesce(c.state, 'running') IN ('running', 'completed') AND NOT EXISTS (SELECT 1 FROM opt_outs o WHERE o.user_id = w.user_id AND o.recipient_id = w.recipient_id)
  AND f.frozen_until <= t.now AND sends_enabled(w.user_id)
  AND (b.rest_until <= t.now OR a.reserved_at > b.rest_since)
RETURNING a.workflow, a.sequence, a.fence, w.user_id, w.workflow_id, w.recipient_id, w.campaign_id, w.content, w.trace_context,
    coalesce(p.capacity, 0), coalesce(p.length, interval '0')`

func collectStarts(rows pgx.Rows, index map[Attempt]int, starts []Start) error {
	var a Attempt
	var started Start
	var trace []byte
	_, err := pgx.ForEachRow(rows, []any{&a.Workflow, &a.Sequence, &started.Fence, &started.UserID, &started.WorkflowID, &started.RecipientID, &started.CampaignID, &started.Content, &trace, &started.Capacity, &started.Window}, func() error {
		one := started
		one.Verdict, one.Attempt = VerdictGo, a.Sequence
		if err := json.Unmarshal(trace, &one.Trace); err != nil {
			return fmt.Errorf("trace_context of %s: %w", a.Workflow, err)
		}
		starts[index[a]] = one
		return nil
	})
	return err
}

// refusedSQL says why reserved attempts were not begun.
var refusedSQL = `
SELECT a.workflow, a.sequence, a.user_id,
       CASE WHEN c.state NOT IN ('running', 'completed') THEN 'campaign_' || c.state
            WHEN EXISTS (SELECT 1 FROM opt_outs o WHERE o.user_id = w.user_id AND o.recipient_id = w.recipient_id) THEN 'opted_out'
            WHEN NOT sends_enabled(w.user_id) THEN 'sends_disabled'
            WHEN a.reservation_ends <= hybrid_clock() THEN 'reservation_expired'
            WHEN f.frozen_until > hybrid_clock() THEN 'fleet_frozen'
            WHEN w.stage <> 'sending' OR w.send_sequence <> r.sequence THEN 'superseded'
            ELSE 'account_resting' END
FROM ` + few("workflow, sequence", "$1::uuid[]", "$2::int[]") + ` r
JOIN send_attempts a ON a.workflow = r.workflow AND a.sequence = r.sequence AND a.state || '' = 'reserved'
JOIN hybrid_workflows w ON w.id = r.workflow
LEFT JOIN LATERAL (SELECT c.state FROM campaigns c WHERE c.user_id = w.user_id AND c.campaign_id = w.campaign_id LIMIT 1) c ON true
CROSS JOIN fleet_state f`

// readRefused finds out why attempts were not begun. Mostly there are none.
func readRefused(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, sequences []int32, index map[Attempt]int, starts []Start) error {
	var leftIDs []uuid.UUID
	var leftSequences []int32
	for i, id := range ids {
		if starts[index[Attempt{id, int(sequences[i])}]].Verdict != VerdictGo {
			leftIDs, leftSequences = append(leftIDs, id), append(leftSequences, sequences[i])
		}
	}
	if len(leftIDs) == 0 {
		return nil
	}
	var st statements
	st.query("refused", func(rows pgx.Rows) error { return collectRefused(rows, index, starts) }, refusedSQL, leftIDs, leftSequences)
	return st.run(ctx, tx)
}

func collectRefused(rows pgx.Rows, index map[Attempt]int, starts []Start) error {
	var a Attempt
	var userID, reason string
	_, err := pgx.ForEachRow(rows, []any{&a.Workflow, &a.Sequence, &userID, &reason}, func() error {
		starts[index[a]] = Start{Verdict: VerdictWithdraw, Reason: reason, UserID: userID}
		return nil
	})
	return err
}
