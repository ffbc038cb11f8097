package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// winner is a message that gets its tokens.
type winner struct {
	record    record
	account   *account
	slots     []int     // one for each rule of the account
	recipient []int     // one for each rule of the recipient
	tokenBack time.Time // when a token that it could have taken came back; zero: there was one all the time
}

// deferral is a message whose recipient has no token: it goes behind the others until one may be free.
type deferral struct {
	record record
	until  time.Time
	booked bool // until lies behind what was booked for this recipient before
}

type choice struct {
	winners   []winner
	deferrals []deferral
}

// choose decides which candidates go. Its only I/O is reading the recipients' tokens.
func (s *Store) choose(ctx context.Context, tx pgx.Tx, accounts []*account, now time.Time) (choice, error) {
	recipients, err := s.readRecipients(ctx, tx, accounts, now)
	if err != nil {
		return choice{}, err
	}
	var c choice
	for _, a := range accounts {
		c.add(a, recipients, now, s.config.Timing)
	}
	return c, nil
}

// recipient is what a release knows of one recipient. The strict bucket counts an open call for as long as it
// may still arrive; the hopeful one assumes that it ends now. The first decides, the second says when to look again.
type recipient struct {
	policy          limit.Policy
	strict, hopeful *limit.Bucket
	bookedUntil     time.Time
}

func (s *Store) readRecipients(ctx context.Context, tx pgx.Tx, accounts []*account, now time.Time) (map[string]*recipient, error) {
	recipients := map[string]*recipient{}
	var keys []string
	for _, a := range accounts {
		if a.wanted == 0 || len(a.policy.Recipient) == 0 {
			continue
		}
		for _, r := range a.due {
			if recipients[r.recipientID] == nil {
				recipients[r.recipientID] = &recipient{policy: a.policy, strict: limit.NewBucket(a.policy.Recipient), hopeful: limit.NewBucket(a.policy.Recipient)}
				keys = append(keys, r.recipientID)
			}
		}
	}
	if len(keys) == 0 {
		return recipients, nil
	}
	var st statements
	st.query("recipients' tokens", into(scanHold, func(h hold) error { recipients[h.key].add(h, now); return nil }),
		heldTokensSQL, string(limit.ScopeRecipient), keys)
	st.query("recipients", func(rows pgx.Rows) error {
		var key string
		var booked time.Time
		_, err := pgx.ForEachRow(rows, []any{&key, &booked}, func() error { recipients[key].bookedUntil = booked; return nil })
		return err
	}, `SELECT recipient_id, booked_until FROM recipient_limits WHERE recipient_id = ANY($1)`, keys)
	return recipients, st.run(ctx, tx)
}

func (r *recipient) add(h hold, now time.Time) {
	r.strict.Add(h.rule, limit.Use{Slot: h.slot, FreeAt: h.until})
	r.hopeful.Add(h.rule, limit.Use{Slot: h.slot, FreeAt: h.atBest(r.policy.Recipient, r.policy.Guard, now)})
}

// add lets the best messages of one account go while it has tokens. A recipient without a token costs the
// account none: the message is put behind and the next one takes its turn.
func (c *choice) add(a *account, recipients map[string]*recipient, now time.Time, timing Timing) {
	until := func(r limit.Rule) time.Time { return now.Add(timing.hold() + r.Window + a.policy.Guard) }
	atBest := func(r limit.Rule) time.Time { return now.Add(r.Window + a.policy.Guard) }
	waiting := 0
	for _, r := range a.turns() {
		to := recipients[r.recipientID]
		if a.released >= a.wanted || to != nil && !to.policy.Recipient.Equal(a.policy.Recipient) {
			// A recipient that another account's rules were applied to in this transaction has its turn in the next.
			waiting++
			continue
		}
		var recipientSlots []int
		if to != nil {
			slots, ok := to.strict.Take(now, until)
			if !ok {
				d := deferUntil(r, to, a.policy, now)
				c.deferrals = append(c.deferrals, d)
				a.nextLook(d.until)
				continue
			}
			to.hopeful.Take(now, atBest)
			recipientSlots = slots
		}
		tokenBack := a.bucket.Returned(now)
		slots, _ := a.bucket.Take(now, until) // wanted was counted under the same lock: there is one
		a.hopeful.Take(now, atBest)
		a.released++
		c.winners = append(c.winners, winner{record: r, account: a, slots: slots, recipient: recipientSlots, tokenBack: tokenBack})
	}
	a.planNext(waiting, now)
}

// planNext says when another look at the account is worthwhile. Whoever ends a call looks when its token
// returns; the times here are for messages that nobody's call will bring to mind.
func (a *account) planNext(waiting int, now time.Time) {
	switch {
	case waiting == 0 && len(a.due)+len(a.closing) >= a.readMost():
		a.nextLook(now) // all that was read is gone or put behind: there may be more
	case waiting == 0:
	case a.blockedUntil.After(now):
		a.nextLook(a.blockedUntil)
	case a.restCount > 0 && a.released > 0:
		a.nextLook(now.Add(probeLease)) // the answer to the probe decides; this is for the case that none comes
	case a.request.Bypass && len(a.policy.Account) > 0:
		rule := a.policy.Account[0]
		a.nextLook(now.Add(rule.Window / time.Duration(rule.Capacity)))
	default:
		a.nextToken, a.nextHope = a.bucket.NextFree(now), a.hopeful.NextFree(now)
	}
}

// deferUntil finds a time for a message whose recipient has no token now. Messages for one recipient are
// booked one behind the other, so that each is put back about once however many there are. One that was
// booked before and finds its turn taken only moves a little.
func deferUntil(r record, to *recipient, p limit.Policy, now time.Time) deferral {
	spacing := time.Duration(0)
	for i, rule := range p.Recipient {
		if each := (rule.Window + p.Guard) / time.Duration(rule.Capacity); i == 0 || each < spacing {
			spacing = each
		}
	}
	free := to.hopeful.NextFree(now)
	if r.state.WaitReason == workflow.WaitRecipient && free.Sub(now) <= spacing {
		return deferral{record: r, until: free}
	}
	if behind := to.bookedUntil.Add(spacing); behind.After(free) {
		free = behind
	}
	to.bookedUntil = free
	return deferral{record: r, until: free, booked: true}
}

// writeChoice makes the choice durable: holds first, for they may be refused, then everything else.
func (s *Store) writeChoice(ctx context.Context, tx pgx.Tx, accounts []*account, c choice, now time.Time, careful bool) ([]Job, error) {
	if err := s.insertHolds(ctx, tx, &c, now, careful); err != nil {
		return nil, err
	}
	var moves updates
	var history timeline
	var jobs []Job
	for _, w := range c.winners {
		next, steps, err := workflow.Transition(w.record.state, workflow.Event{Kind: workflow.EventReleased, At: now, Bypass: w.account.request.Bypass})
		if err != nil {
			return nil, err
		}
		sequence := w.record.sequence + 1
		moves.add(w.record, next, sequence)
		for range steps {
			jobs = append(jobs, Job{Kind: workflow.StepSend, Workflow: w.record.id, Sequence: sequence, Priority: w.record.priority,
				Trace: traceOf(w.record.trace), Waits: w.waited(now)})
		}
	}
	for _, a := range accounts {
		for _, one := range a.closing {
			event := one.event(now)
			next, _, err := workflow.Transition(one.state, event)
			if err != nil {
				return nil, err
			}
			moves.add(one.record, next, one.sequence)
			history.add(one.id, event.Kind, reasonDetail(event.Reason))
		}
	}
	for _, d := range c.deferrals {
		next, _, err := workflow.Transition(d.record.state, workflow.Event{Kind: workflow.EventDeferred, At: now, RetryAt: d.until, Wait: workflow.WaitRecipient})
		if err != nil {
			return nil, err
		}
		moves.add(d.record, next, d.record.sequence)
		if d.record.state.WaitReason != workflow.WaitRecipient {
			history.add(d.record.id, workflow.EventDeferred, map[string]any{"reason": workflow.WaitRecipient, "until": d.until})
		}
	}
	var st statements
	if len(moves.ids) > 0 {
		st.count("move", func(n int64) error {
			if n != int64(len(moves.ids)) {
				return errChanged
			}
			return nil
		}, updateRecordsSQL, moves.args(now)...)
	}
	s.queueAttempts(&st, c.winners, now)
	queueBookings(&st, c.deferrals)
	queuePasses(&st, accounts, c.winners)
	history.queue(&st, now)
	jobs = append(jobs, queueAccounts(&st, accounts, now)...)
	queueTokens(&st, c.winners, now.Add(s.config.Timing.hold()))
	return jobs, st.run(ctx, tx)
}

func (w winner) limiter() string {
	if w.account.request.Bypass {
		return "bypass"
	}
	return "bucket"
}

// insertHolds writes the tokens of the winners into the ledger. Its exclusion constraint has the last word: a
// message that it refuses stays parked, and what the ledger knows better than the bucket is taken over. That
// is rare, and asking row by row (careful) costs twice as much: without it a refusal fails the transaction with
// errRefused, and the caller tries again with care.
func (s *Store) insertHolds(ctx context.Context, tx pgx.Tx, c *choice, now time.Time, careful bool) error {
	if len(c.winners) == 0 {
		return nil
	}
	type row struct {
		winner int
		scope  limit.Scope
		key    string
		rule   int
		slot   int
		until  time.Time
	}
	var rows []row
	for i, w := range c.winners {
		provisional := now.Add(s.config.Timing.hold() + w.account.policy.Guard)
		for rule, slot := range w.slots {
			rows = append(rows, row{i, limit.ScopeAccount, w.record.userID, rule, slot, provisional.Add(w.account.policy.Account[rule].Window)})
		}
		for rule, slot := range w.recipient {
			rows = append(rows, row{i, limit.ScopeRecipient, w.record.recipientID, rule, slot, provisional.Add(w.account.policy.Recipient[rule].Window)})
		}
	}
	// One order for everybody: two transactions that want the same tokens wait for each other, and never in a circle.
	slices.SortFunc(rows, func(a, b row) int {
		if c := strings.Compare(string(a.scope), string(b.scope)); c != 0 {
			return c
		}
		if c := strings.Compare(a.key, b.key); c != 0 {
			return c
		}
		return (a.rule-b.rule)*limit.MaxCapacity + a.slot - b.slot
	})
	var ids []uuid.UUID
	var sequences []int32
	var scopes, keys, users []string
	var rules, slots []int16
	var until []time.Time
	for _, r := range rows {
		w := c.winners[r.winner]
		ids = append(ids, w.record.id)
		sequences = append(sequences, int32(w.record.sequence+1))
		scopes, keys, users = append(scopes, string(r.scope)), append(keys, r.key), append(users, w.record.userID)
		rules, slots, until = append(rules, int16(r.rule)), append(slots, int16(r.slot)), append(until, r.until)
	}
	onConflict := ""
	if careful {
		onConflict = "ON CONFLICT ON CONSTRAINT send_holds_strict_limit DO NOTHING"
	}
	written, err := tx.Query(ctx, `
		INSERT INTO send_holds (workflow, sequence, scope, key, rule, slot, user_id, held)
		SELECT h.workflow, h.sequence, h.scope, h.key, h.rule, h.slot, h.user_id, tstzrange($9, h.until)
		FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::smallint[], $6::smallint[], $7::text[], $8::timestamptz[])
			AS h(workflow, sequence, scope, key, rule, slot, user_id, until)
		`+onConflict+`
		RETURNING workflow, scope, rule`, ids, sequences, scopes, keys, rules, slots, users, until, now)
	if err != nil {
		return fmt.Errorf("holds: %w", err)
	}
	count := map[uuid.UUID]int{}
	var id uuid.UUID
	var scope string
	var rule int
	if _, err := pgx.ForEachRow(written, []any{&id, &scope, &rule}, func() error { count[id]++; return nil }); err != nil {
		return fmt.Errorf("holds: %w", refusedError(err))
	}
	return s.dropRefused(ctx, tx, c, count, now)
}

// errRefused: the ledger refused a token that the bucket gave out.
var errRefused = errors.New("the ledger refused a token")

func refusedError(err error) error {
	if hasCode(err, exclusionViolation) {
		return errRefused
	}
	return err
}

// dropRefused takes back the winners that did not get all their tokens.
func (s *Store) dropRefused(ctx context.Context, tx pgx.Tx, c *choice, count map[uuid.UUID]int, now time.Time) error {
	var kept []winner
	var ids []uuid.UUID
	var sequences []int32
	var users []string
	for _, w := range c.winners {
		if count[w.record.id] == len(w.slots)+len(w.recipient) {
			kept = append(kept, w)
			continue
		}
		ids = append(ids, w.record.id)
		sequences = append(sequences, int32(w.record.sequence+1))
		if w.limiter() == "bucket" {
			users = append(users, w.record.userID)
		}
		w.account.released--
		w.account.nextLook(now.Add(refusedPause))
	}
	if len(ids) == 0 {
		return nil
	}
	c.winners = kept
	var st statements
	st.exec("drop refused", `DELETE FROM send_holds h USING `+few("workflow, sequence", "$1::uuid[]", "$2::int[]")+` r
		WHERE h.workflow = r.workflow AND h.sequence = r.sequence`, ids, sequences)
	if len(users) > 0 {
		queueSync(&st, users)
	}
	return st.run(ctx, tx)
}
