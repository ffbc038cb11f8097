package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/audit"
)

// auditLookBack is how long before the range a call may have begun that arrived in it, besides a window and GATEWAY_SETTLE.
const auditLookBack = 10 * time.Minute

// auditCallsSQL lists the calls that arrived or may have, with the interval in which they did. A call arrived before its
// outcome was written down, and while it can have been on its way: until its deadline, and as long as anything may
// hold it after that. What is known not to have been sent is not there.
const auditCallsSQL = `
SELECT c.key, c.user_id, c.workflow, c.sequence, c.began, greatest(c.began, least(c.ended, c.latest, @now)), c.certain
FROM (
    SELECT a.%[1]s COLLATE "C" AS key, a.user_id, a.workflow, a.sequence, coalesce(a.started_at, a.reserved_at) AS began,
        CASE WHEN a.state IN ('accepted', 'rejected') THEN a.ended_at END AS ended, coalesce(a.call_deadline, a.ended_at, a.started_at, a.reserved_at) + @settle::interval AS latest,
        a.state IN ('accepted', 'rejected') AS certain
    FROM send_attempts a
    WHERE a.state IN ('accepted', 'rejected', 'unknown', 'in_flight')
      AND coalesce(a.ended_at, a.reserved_at) >= @from::timestamptz - @reservation::interval
      AND coalesce(a.started_at, a.reserved_at) >= @from::timestamptz AND coalesce(a.started_at, a.reserved_at) <= @until::timestamptz) c
ORDER BY c.key, c.began`

// auditedCall is a row of it.
type auditedCall struct {
	key, userID string
	audit.Call
}

// eachCall streams the calls of one account or recipient after the other.
func (a *auditing) eachCall(ctx context.Context, tx pgx.Tx, column string, window time.Duration, do func(*auditedCall)) error {
	rows, err := tx.Query(ctx, fmt.Sprintf(auditCallsSQL, column), pgx.NamedArgs{"now": a.report.At, "settle": a.timing.Settle, "reservation": a.timing.Reservation,
		"from": a.since.Add(-window - a.timing.Settle - auditLookBack), "until": a.report.Until})
	if err != nil {
		return err
	}
	var c auditedCall
	_, err = pgx.ForEachRow(rows, []any{&c.key, &c.userID, &c.Workflow, &c.Attempt, &c.From, &c.To, &c.Certain}, func() error { do(&c); return nil })
	return err
}

// accountWindows judges the calls of each account by its rules.
func (a *auditing) accountWindows(ctx context.Context, tx pgx.Tx) error {
	account, first := "", true
	var windows []*audit.Windows
	end := func() {
		for _, w := range windows {
			w.Flush()
		}
	}
	err := a.eachCall(ctx, tx, "user_id", longest(a.rules.account), func(c *auditedCall) {
		if first || c.key != account {
			end()
			account, first, windows = c.key, false, nil
			a.report.Accounts++
			policy := of(a.rules.account, account)
			for _, rule := range policy.rules {
				windows = append(windows, audit.NewWindows(rule, func(s audit.Stretch) {
					a.noteStretch(s, rule, policy.since, audit.Finding{Account: account}, audit.AccountLimit, audit.AccountLimitPossible)
				}))
			}
		}
		a.report.Calls++
		for _, w := range windows {
			w.Add(c.Call)
		}
	})
	end()
	return err
}

// recipientWindows judges the calls to each recipient, from whichever accounts.
func (a *auditing) recipientWindows(ctx context.Context, tx pgx.Tx) error {
	policy := a.rules.forRecipients()
	if len(policy.rules) == 0 {
		return nil
	}
	recipient := ""
	var windows []*audit.Windows
	for _, rule := range policy.rules {
		windows = append(windows, audit.NewWindows(rule, func(s audit.Stretch) {
			a.noteStretch(s, rule, policy.since, audit.Finding{Recipient: recipient}, audit.RecipientLimit, audit.RecipientLimitPossible)
		}))
	}
	end := func() {
		for _, w := range windows {
			w.Flush()
		}
	}
	err := a.eachCall(ctx, tx, "recipient_id", longest(a.rules.recipient), func(c *auditedCall) {
		if c.key != recipient {
			end()
			recipient = c.key
		}
		for i := range of(a.rules.recipient, c.userID).rules {
			windows[i].Add(c.Call)
		}
	})
	end()
	return err
}

// noteStretch reports a stretch in which a rule was or may have been broken, unless it was over before the range.
func (a *auditing) noteStretch(s audit.Stretch, rule audit.Rule, known time.Time, f audit.Finding, certain, possible audit.Kind) {
	if s.Last.Before(a.since) {
		return
	}
	f.Kind, f.Detail = possible, ""
	switch {
	case s.Certain() && !s.First.Before(known):
		f.Kind = certain
	case s.Certain():
		f.Detail = fmt.Sprintf("the rules in force are of %s; those before are not known. ", known.UTC().Format(time.RFC3339))
	}
	f.Detail += fmt.Sprintf("%d calls belong to it, begun from %s to %s", s.Calls, s.First.Format(time.RFC3339Nano), s.Last.Format(time.RFC3339Nano))
	f.Rule, f.Allowed, f.Found, f.AtLeast = rule.String(), int64(rule.Capacity), s.Most, s.AtLeast
	f.From, f.To = s.Window, s.Window.Add(rule.Window)
	for _, c := range s.Some {
		f.Messages = append(f.Messages, audit.Message{ClientRef: c.Workflow, Attempt: c.Attempt})
	}
	a.report.Add(f)
}

// auditRow is what a check finds: the same columns for all.
type auditRow struct {
	account, recipient, campaign, detail string
	workflows                            []uuid.UUID
	attempt                              int
	found, allowed                       int64
	at                                   *time.Time
}
