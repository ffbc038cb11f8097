package db

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/audit"
)

// AuditRequest says what an audit looks at.
type AuditRequest struct {
	Since     time.Time     // zero: from the first message on
	Last      time.Duration // instead of Since: that long until now
	Until     time.Time     // zero: now
	UntilAgo  time.Duration // instead of Until: that long before now
	Account   []audit.Rule  // instead of the rules in force; nil: those
	Recipient []audit.Rule
	Most      int // findings that are kept; all are counted
}

// Audit checks the ledger against itself, as the database was at one moment: every account's and recipient's windows, and
// whether all that was received is accounted for. It reads neither the holds nor the buckets that keep the limit, and changes nothing.
//
// The history of the rules is not kept. Windows are judged by the rules in force; what is over them from a time before an
// operator changed them is only perhaps wrong. A recipient whom several accounts send to by different rules is
// judged by the largest capacity and the shortest window of them.
func (s *Store) Audit(ctx context.Context, request AuditRequest) (*audit.Report, error) {
	a := auditing{request: request, report: audit.NewReport(request.Most), timing: s.config.Timing}
	err := s.readTx(ctx, func(tx pgx.Tx) error {
		for _, step := range []struct {
			name string
			do   func(context.Context, pgx.Tx) error
		}{
			{"settings", a.settings}, {"rules", a.readRules}, {"windows of accounts", a.accountWindows}, {"windows of recipients", a.recipientWindows},
			{"checks", a.runChecks}, {"sums", a.readSums}, {"names", a.readNames},
		} {
			if err := step.do(ctx, tx); err != nil {
				return fmt.Errorf("audit: %s: %w", step.name, err)
			}
		}
		return nil
	})
	return a.report, err
}

// auditing is one audit on its way through the database.
type auditing struct {
	request AuditRequest
	report  *audit.Report
	timing  Timing
	since   time.Time // never zero
	rules   auditRules
}

// settings makes Postgres plan for what reads whole tables, unlike all other statements of a session, and leave the
// other processors to the fleet.
func (a *auditing) settings(ctx context.Context, tx pgx.Tx) error {
	for _, setting := range []string{"enable_seqscan = on", "enable_hashjoin = on", "enable_mergejoin = on", "enable_bitmapscan = on",
		"plan_cache_mode = force_custom_plan", "max_parallel_workers_per_gather = 0", "work_mem = '32MB'"} {
		if _, err := tx.Exec(ctx, "SET LOCAL "+setting); err != nil {
			return err
		}
	}
	if err := tx.QueryRow(ctx, "SELECT hybrid_clock()").Scan(&a.report.At); err != nil {
		return err
	}
	a.report.At = a.report.At.UTC()
	a.report.Since, a.report.Until = a.request.Since, a.request.Until
	if a.request.Last > 0 {
		a.report.Since = a.report.At.Add(-a.request.Last)
	}
	if a.request.UntilAgo > 0 {
		a.report.Until = a.report.At.Add(-a.request.UntilAgo)
	}
	if a.report.Until.IsZero() || a.report.Until.After(a.report.At) {
		a.report.Until = a.report.At
	}
	if a.since = a.report.Since; a.since.IsZero() {
		a.since = time.Unix(0, 0)
	}
	return nil
}

// auditRules are the rules by which windows are judged.
type auditRules struct {
	account   map[string]judgedBy // '' is the default
	recipient map[string]judgedBy
}

// judgedBy is a policy, and since when it is known to hold.
type judgedBy struct {
	rules []audit.Rule
	since time.Time
}

func of(rules map[string]judgedBy, userID string) judgedBy {
	if own, ok := rules[userID]; ok {
		return own
	}
	return rules[""]
}

// readRules reads the policies themselves and not through internal/limit: what enforces the rules has no say here. What was seeded
// has held from the first message on.
func (a *auditing) readRules(ctx context.Context, tx pgx.Tx) error {
	a.rules = auditRules{account: map[string]judgedBy{}, recipient: map[string]judgedBy{}}
	rows, err := tx.Query(ctx, `SELECT scope, user_id, capacities, windows, CASE WHEN changed_by = 'seeded from the environment' THEN 'epoch' ELSE changed_at END FROM limit_policies`)
	if err != nil {
		return err
	}
	var scope, userID string
	var capacities []int
	var windows []time.Duration
	var since time.Time
	if _, err := pgx.ForEachRow(rows, []any{&scope, &userID, &capacities, &windows, &since}, func() error {
		policy := judgedBy{since: since}
		for i := range capacities {
			policy.rules = append(policy.rules, audit.Rule{Capacity: capacities[i], Window: windows[i]})
		}
		map[string]map[string]judgedBy{"account": a.rules.account, "recipient": a.rules.recipient}[scope][userID] = policy
		return nil
	}); err != nil {
		return err
	}
	if a.request.Account != nil {
		a.rules.account = map[string]judgedBy{"": {rules: a.request.Account}}
	}
	if a.request.Recipient != nil {
		a.rules.recipient = map[string]judgedBy{"": {rules: a.request.Recipient}}
	}
	return nil
}

// forRecipients puts the rules together by which recipients are judged: of each place in the list the largest capacity
// and the shortest window. Accounts that have no rule there do not count.
func (r auditRules) forRecipients() judgedBy {
	var all judgedBy
	for _, policy := range r.recipient {
		if policy.since.After(all.since) {
			all.since = policy.since
		}
		for i, rule := range policy.rules {
			if i == len(all.rules) {
				all.rules = append(all.rules, rule)
				continue
			}
			all.rules[i].Capacity, all.rules[i].Window = max(all.rules[i].Capacity, rule.Capacity), min(all.rules[i].Window, rule.Window)
		}
	}
	return all
}

// longest is the longest window of any of the policies.
func longest(policies map[string]judgedBy) (d time.Duration) {
	for _, policy := range policies {
		for _, rule := range policy.rules {
			d = max(d, rule.Window)
		}
	}
	return d
}

// readNames adds to the findings that are shown how people know their messages.
func (a *auditing) readNames(ctx context.Context, tx pgx.Tx) error {
	a.report.Close()
	names := map[uuid.UUID]string{}
	for _, finding := range a.report.Findings {
		for _, m := range finding.Messages {
			names[m.ClientRef] = ""
		}
	}
	if len(names) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT w.id, w.workflow_id FROM hybrid_workflows w WHERE w.id = ANY($1)
		UNION SELECT i.workflow, i.workflow_id FROM inbox i WHERE i.workflow = ANY($1)`, slices.Collect(maps.Keys(names)))
	if err != nil {
		return err
	}
	var id uuid.UUID
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error { names[id] = name; return nil }); err != nil {
		return err
	}
	for f := range a.report.Findings {
		for m := range a.report.Findings[f].Messages {
			message := &a.report.Findings[f].Messages[m]
			message.WorkflowID = names[message.ClientRef]
		}
	}
	return nil
}
