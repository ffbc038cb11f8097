package db

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Finish reports what became of an attempt.
type Finish struct {
	Attempt
	Fence            int64 // 0: the attempt was never begun
	Outcome          workflow.EventKind
	Reason           string // a machine word
	Detail           string // short and safe
	Status           int
	Evidence         []byte // JSON; nil: none
	GatewayMessageID string
	// Rest is how long the account sends nothing; 0: no rest. After a NotSent it doubles with each rest in a
	// row, up to a minute: nobody else said how long it should be.
	Rest       time.Duration
	RestReason string
	ResolvedBy string        // who settled a doubt; empty: the call itself
	LookUpIn   time.Duration // Unknown: when the resolver asks first
}

// Finished is the answer to a Finish.
type Finished struct {
	Applied bool // false: the attempt was settled before; nothing was changed
	Stage   workflow.Stage
	UserID  string
	// Next is how long from now on the account's token is back, or its message due again, when there are
	// parked messages that wait for it; negative: nothing waits.
	Next time.Duration
	// Elapsed is how long the message took from its intake to this outcome.
	Elapsed time.Duration
}

// attemptState is the state of the ledger that follows an outcome.
func attemptState(outcome workflow.EventKind) string {
	switch outcome {
	case workflow.EventAccepted, workflow.EventRejected, workflow.EventUnknown, workflow.EventWithdrawn:
		return string(outcome)
	}
	return "not_sent"
}

// Finish makes outcomes durable: the ledger's row by compare-and-set on its fence, the tokens' return, the
// workflow's transition, its timeline and the jobs that follow, in one transaction. A report that comes too
// late changes nothing, unless it is the evidence that the message was accepted. Without tokens it leaves the
// buckets alone, for a process that can't reach them; the ledger's holds are always set.
func (s *Store) Finish(ctx context.Context, reports []Finish, tokens bool) ([]Finished, error) {
	finished, err := s.finish(ctx, reports, tokens)
	for try := 1; try < changedTries && hasCode(err, uniqueViolation); try++ {
		// Late evidence of acceptance met a release of the same message: what that wrote is seen now.
		finished, err = s.finish(ctx, reports, tokens)
	}
	return finished, err
}

func (s *Store) finish(ctx context.Context, reports []Finish, tokens bool) ([]Finished, error) {
	var finished []Finished
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		f := finishing{store: s, reports: reports, tokens: tokens, index: map[Attempt]int{}, finished: make([]Finished, len(reports))}
		if err := f.closeAttempts(ctx, tx); err != nil {
			return err
		}
		if err := f.move(ctx, tx); err != nil {
			return err
		}
		finished = f.finished
		if len(f.jobs) == 0 {
			return nil
		}
		return s.enqueuer.EnqueueTx(ctx, tx, f.jobs)
	})
	return finished, err
}

// finishing is one batch of reports on its way into the database.
type finishing struct {
	store    *Store
	reports  []Finish
	tokens   bool
	index    map[Attempt]int
	finished []Finished
	closed   []closedAttempt
	records  map[uuid.UUID]record
	policies policies
	jobs     []Job
}

type closedAttempt struct {
	Attempt
	report      *Finish
	finished    *Finished
	userID      string
	recipientID string
	slots       []int16    // of the account's bucket
	endedAt     time.Time  // after the reply was seen, or now
	startedAt   *time.Time // of the call; nil: it was never begun
	deadline    *time.Time // of the call; nil: it was never begun
}

// closeAttemptsSQL closes the ledger's rows. Evidence of acceptance also corrects a row that was taken for not
// sent, unless the message is on its way again.
var closeAttemptsSQL = `
UPDATE send_attempts a
SET state = u.state, ended_at = t.now, status = u.status, reason = u.reason, detail = u.detail,
    evidence = CASE WHEN u.evidence = '' THEN a.evidence ELSE u.evidence::jsonb END, gateway_message_id = u.message_id, resolved_by = u.resolved_by,
    look_up_at = CASE WHEN u.state = 'unknown' THEN t.now + u.look_up_in END
FROM ` + few("workflow, sequence, fence, state, status, reason, detail, evidence, message_id, resolved_by, look_up_in",
	"$1::uuid[]", "$2::int[]", "$3::bigint[]", "$4::text[]", "$5::int[]", "$6::text[]", "$7::text[]", "$8::text[]", "$9::text[]", "$10::text[]", "$11::interval[]") + ` u,
    (SELECT hybrid_clock() AS now) t
WHERE a.workflow = u.workflow AND a.sequence = u.sequence AND coalesce(a.fence, 0) = u.fence
  AND (a.state = 'in_flight' OR (a.state = 'unknown' AND u.state NOT IN ('unknown', 'withdrawn')) OR (a.state = 'reserved' AND u.state = 'withdrawn')
       OR (a.state IN ('not_sent', 'withdrawn') AND u.state = 'accepted' AND a.fence IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM send_attempts o WHERE o.workflow = a.workflow AND o.state IN ('reserved', 'in_flight', 'unknown', 'accepted'))))
RETURNING a.workflow, a.sequence, a.user_id, a.recipient_id, a.account_slots, a.ended_at, a.started_at, a.call_deadline`

func (f *finishing) closeAttempts(ctx context.Context, tx pgx.Tx) error {
	for i := range f.finished {
		f.finished[i].Next = -1
	}
	order := f.order()
	n := len(order)
	ids, sequences, fences, states, statuses := make([]uuid.UUID, n), make([]int32, n), make([]int64, n), make([]string, n), make([]int32, n)
	reasons, details, evidence, messageIDs, resolvers := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	lookUps := make([]time.Duration, n)
	for j, i := range order {
		r := &f.reports[i]
		ids[j], sequences[j], fences[j], states[j] = r.Workflow, int32(r.Sequence), r.Fence, attemptState(r.Outcome)
		statuses[j], reasons[j], details[j], evidence[j] = int32(r.Status), r.Reason, r.Detail, string(r.Evidence)
		messageIDs[j], resolvers[j], lookUps[j] = r.GatewayMessageID, r.ResolvedBy, r.LookUpIn
	}
	rows, err := tx.Query(ctx, closeAttemptsSQL, ids, sequences, fences, states, statuses, reasons, details, evidence, messageIDs, resolvers, lookUps)
	if err != nil {
		return fmt.Errorf("close attempts: %w", err)
	}
	f.closed, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c closedAttempt, err error) {
		err = row.Scan(&c.Workflow, &c.Sequence, &c.userID, &c.recipientID, &c.slots, &c.endedAt, &c.startedAt, &c.deadline)
		i := f.index[c.Attempt]
		c.report, c.finished = &f.reports[i], &f.finished[i]
		return c, err
	})
	if err != nil {
		return fmt.Errorf("close attempts: %w", err)
	}
	return nil
}

// order returns the reports in the order of their attempts, in which every transaction locks them, one for each
// attempt: of two on the same, as from a worker that is late and the resolver, evidence of acceptance counts, or
// else the first.
func (f *finishing) order() []int {
	var order []int
	for i, r := range f.reports {
		first, twice := f.index[r.Attempt]
		switch {
		case !twice:
			order = append(order, i)
		case r.Outcome == workflow.EventAccepted && f.reports[first].Outcome != workflow.EventAccepted:
			order[slices.Index(order, first)] = i
		default:
			continue
		}
		f.index[r.Attempt] = i
	}
	slices.SortFunc(order, func(a, b int) int { return f.reports[a].compare(f.reports[b].Attempt) })
	return order
}

// move applies the transitions of the workflows whose attempts were closed.
func (f *finishing) move(ctx context.Context, tx pgx.Tx) error {
	if len(f.closed) == 0 {
		return nil
	}
	ids, byUser := make([]uuid.UUID, len(f.closed)), map[string]bool{}
	for i, c := range f.closed {
		ids[i] = c.Workflow
		byUser[c.userID] = true
	}
	users := slices.Collect(maps.Keys(byUser))
	f.records = map[uuid.UUID]record{}
	created := map[uuid.UUID]time.Time{}
	var read statements
	read.query("workflows", into(scanRecord, func(r record) error { f.records[r.id] = r; return nil }), lockRecordsSQL, ids)
	read.query("created", func(rows pgx.Rows) error {
		var id uuid.UUID
		var at time.Time
		_, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error { created[id] = at; return nil })
		return err
	}, `SELECT id, created_at FROM hybrid_workflows WHERE id = ANY($1)`, ids)
	read.query("limit policies", func(rows pgx.Rows) (err error) { f.policies, err = collectPolicies(rows); return err }, policiesSQL, users)
	if err := read.run(ctx, tx); err != nil {
		return err
	}
	var moves updates
	var history timeline
	now := f.closed[0].endedAt
	for _, c := range f.closed {
		r := f.records[c.Workflow]
		next, err := f.transition(c, r)
		switch {
		case errors.Is(err, workflow.ErrNotApplicable):
			next = r.state // it went on without this attempt, of which only the ledger and the tokens need to know
		case err != nil:
			return err
		default:
			moves.add(r, next, r.sequence)
		}
		if c.report.Outcome == workflow.EventUnknown { // the ledger forgets it when it is settled
			history.add(c.Workflow, c.report.Outcome, c.describe())
		}
		c.finished.Applied, c.finished.Stage, c.finished.UserID = true, next.Stage, c.userID
		c.finished.Elapsed = c.endedAt.Sub(created[c.Workflow])
	}
	var st statements
	st.count("move", func(n int64) error {
		if n != int64(len(moves.ids)) {
			return fmt.Errorf("%d of %d workflows moved under a lock", n, len(moves.ids))
		}
		return nil
	}, updateRecordsSQL, moves.args(now)...)
	history.queue(&st, now)
	for i := range f.closed {
		f.noteReturn(&f.closed[i])
	}
	f.queueAccountLocks(&st, users)
	f.queueRests(&st)
	f.queueHolds(&st)
	f.queueRequeued(&st, users, now)
	return st.run(ctx, tx)
}

func (c closedAttempt) describe() map[string]any {
	detail := map[string]any{"attempt": c.Sequence}
	for key, value := range map[string]string{"reason": c.report.Reason, "resolvedBy": c.report.ResolvedBy, "gatewayMessageId": c.report.GatewayMessageID} {
		if value != "" {
			detail[key] = value
		}
	}
	if c.report.Status != 0 {
		detail["status"] = c.report.Status
	}
	return detail
}

// withdrawnPause keeps a process that begins calls and thinks better of it from doing so in a loop.
const withdrawnPause = time.Second

func (f *finishing) transition(c closedAttempt, r record) (workflow.State, error) {
	event := workflow.Event{Kind: c.report.Outcome, At: c.endedAt, Reason: c.lastError()}
	switch c.report.Outcome {
	case workflow.EventNotSent:
		event.RetryAt = c.endedAt.Add(workflow.RetryDelay(r.state.Attempts + 1))
		if c.report.ResolvedBy != "" {
			event.RetryAt = c.endedAt // it waited long enough
		}
	case workflow.EventWithdrawn:
		if c.report.Fence != 0 {
			event.RetryAt = c.endedAt.Add(withdrawnPause)
		}
	case workflow.EventUnknown:
		event.RetryAt = c.endedAt.Add(c.report.LookUpIn)
	}
	next, steps, err := workflow.Transition(r.state, event)
	if err != nil {
		return next, fmt.Errorf("workflow %s: %w", r.id, err)
	}
	for _, step := range steps {
		switch step.Kind {
		case workflow.StepResolve:
			f.jobs = append(f.jobs, Job{Kind: workflow.StepResolve, Workflow: r.id, Sequence: c.Sequence, At: step.At, Trace: traceOf(r.trace)})
		case workflow.StepRelease:
			c.finished.Next = max(0, step.At.Sub(c.endedAt)) // the durable wake-up follows in queueRequeued
		}
	}
	return next, nil
}

// lastError is what the workflow remembers: the machine word, and what is safe to add.
func (c closedAttempt) lastError() string {
	if c.report.Detail == "" {
		return c.report.Reason
	}
	return c.report.Reason + ": " + c.report.Detail
}
