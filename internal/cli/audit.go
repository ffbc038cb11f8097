package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/audit"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

// auditFlags are what a person says of an audit.
type auditFlags struct {
	since, until       string
	account, recipient string
	most               int
	asJSON             bool
}

// fromTheBeginning is the value of --since for everything.
const fromTheBeginning = "all"

func (a *app) auditCommand() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check independently that no limit was broken, nothing went out twice and nothing is unaccounted for",
		Long: `Check independently that no limit was broken, nothing went out twice and nothing is unaccounted for.

It places the calls of the send ledger in time again and counts them in every window of every account and
recipient. It asks neither the tokens nor the holds that keep the limit. When a call arrived at the
gateway is known as an interval only: a "violation" is one wherever the calls arrived in theirs, and
what is only "possible" could have been one. It also compares what should agree: messages taken in,
workflows, attempts, counts of campaigns, texts, calls to providers and their costs.

The history of the rules is not kept. Those in force are used, of recipients the largest capacity and
the shortest window that any account has; what is over them from a time before an operator changed them is
only possible. Give the rules of then with --account-limit and --recipient-limit.

It changes nothing and works on the database as it is at one moment. The exit code is 3 if a violation or an
inconsistency was found.`,
		Example: `  huntaze audit
  huntaze audit --since all --json
  huntaze audit --since 2026-11-23T00:00:00Z --until 2026-11-24T00:00:00Z --account-limit 10/60s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			request, err := f.request()
			if err != nil {
				return misused(err)
			}
			return a.withStore(cmd.Context(), func(store *db.Store) error { return a.audit(cmd.Context(), store, f, request) })
		},
	}
	cmd.Flags().StringVar(&f.since, "since", "24h", "from when on: a length of time such as 24h, a time (RFC 3339), or all")
	cmd.Flags().StringVar(&f.until, "until", "", "until when: a time (RFC 3339) or how long ago, such as 1h (default: now)")
	cmd.Flags().StringVar(&f.account, "account-limit", "", "judge accounts by these rules, such as 10/60s, or off (default: those in force)")
	cmd.Flags().StringVar(&f.recipient, "recipient-limit", "", "judge recipients by these rules, such as 1/60s,10/24h, or off (default: those in force)")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	listLimit(cmd, &f.most, listMost)
	return cmd
}

// request checks what was said. Lengths of time go by the database's clock, which only the audit knows.
func (f auditFlags) request() (db.AuditRequest, error) {
	request := db.AuditRequest{Most: f.most}
	var err error
	if f.since != fromTheBeginning {
		if request.Last, request.Since, err = lengthOrTime(f.since); err != nil {
			return request, fmt.Errorf(`--since %q: give a length of time such as 24h, a time such as 2026-11-23T10:00:00Z, or "all"`, f.since)
		}
	}
	if f.until != "" {
		if request.UntilAgo, request.Until, err = lengthOrTime(f.until); err != nil {
			return request, fmt.Errorf("--until %q: give a time such as 2026-11-23T10:00:00Z, or how long ago, such as 1h", f.until)
		}
	}
	if !request.Since.IsZero() && !request.Until.IsZero() && !request.Since.Before(request.Until) || request.UntilAgo > 0 && request.Last > 0 && request.UntilAgo >= request.Last {
		return request, errors.New("--until is not after --since")
	}
	for _, rules := range []struct {
		flag, text string
		to         *[]audit.Rule
	}{{"--account-limit", f.account, &request.Account}, {"--recipient-limit", f.recipient, &request.Recipient}} {
		if rules.text == "" {
			continue
		}
		parsed, err := limit.ParseRules(rules.text)
		if err != nil {
			return request, fmt.Errorf("%s: %w", rules.flag, err)
		}
		*rules.to = []audit.Rule{}
		for _, r := range parsed {
			*rules.to = append(*rules.to, audit.Rule(r))
		}
	}
	return request, nil
}

func lengthOrTime(text string) (time.Duration, time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		if d <= 0 {
			return 0, time.Time{}, errors.New("not a length of time")
		}
		return d, time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	return 0, at, err
}

func (a *app) audit(ctx context.Context, store *db.Store, f auditFlags, request db.AuditRequest) error {
	report, err := store.Audit(ctx, request)
	if err != nil {
		return err
	}
	if f.asJSON {
		err = a.printJSON(auditJSON{report, report.Failed(), report.Total(audit.Violation), report.Total(audit.Inconsistent), report.Total(audit.Possible)})
	} else {
		err = a.printAudit(report)
	}
	if err == nil && report.Failed() {
		return codedError{nil, exitFindings}
	}
	return err
}

type auditJSON struct {
	*audit.Report
	Failed       bool  `json:"failed"`
	Violations   int64 `json:"violations"`
	Inconsistent int64 `json:"inconsistent"`
	Possible     int64 `json:"possible"`
}

func (a *app) printAudit(r *audit.Report) error {
	from := "the first message"
	if !r.Since.IsZero() {
		from = moment(r.Since)
	}
	s := r.Sums
	fmt.Fprintf(a.out, "From %s to %s: %s calls of %s accounts were placed in their windows.\n", from, moment(r.Until), grouped(r.Calls), grouped(r.Accounts))
	fmt.Fprintf(a.out, "%s received = %s sent + %s failed + %s cancelled + %s expired + %s live + %s quarantined\n\n",
		grouped(s.Received), grouped(s.Sent), grouped(s.Failed), grouped(s.Cancelled), grouped(s.Expired), grouped(s.Live), grouped(s.Quarantined))
	var rows [][]string
	for _, finding := range r.Findings {
		rows = append(rows, auditRow(finding))
	}
	if err := a.table("Nothing was found.", []string{"SEVERITY", "KIND", "ACCOUNT", "RECIPIENT", "CAMPAIGN", "WHEN", "NUMBERS", "MESSAGES", "DETAIL"}, rows); err != nil || len(rows) == 0 {
		return err
	}
	rows = nil
	total := int64(0)
	for _, kind := range audit.Kinds {
		if n := r.Totals[kind]; n > 0 {
			total += n
			rows = append(rows, []string{string(kind.Severity()), string(kind), grouped(n), kind.Meaning(), kind.Remedy()})
		}
	}
	fmt.Fprintln(a.out)
	if err := a.table("", []string{"SEVERITY", "KIND", "FOUND", "MEANS", "WHAT TO DO"}, rows); err != nil {
		return err
	}
	if hidden := total - int64(len(r.Findings)); hidden > 0 {
		fmt.Fprintf(a.out, "\n%s more are not shown: see --limit.\n", grouped(hidden))
	}
	return nil
}

// auditTime shows fractions of seconds: they decide what is in a window.
const auditTime = "2006-01-02 15:04:05.999999"

func auditRow(f audit.Finding) []string {
	when, numbers := "", ""
	if !f.From.IsZero() {
		when = f.From.Format(auditTime)
	}
	if !f.To.IsZero() {
		when += " to " + f.To.Format(auditTime)
	}
	switch {
	case f.Rule != "" && f.AtLeast > 0:
		numbers = fmt.Sprintf("%d to %d, allowed %s", f.AtLeast, f.Found, f.Rule)
	case f.Rule != "":
		numbers = fmt.Sprintf("up to %d, allowed %s", f.Found, f.Rule)
	case f.Found != 0 || f.Allowed != 0:
		numbers = fmt.Sprintf("%d, should be %d", f.Found, f.Allowed)
	}
	var messages []string
	for _, m := range f.Messages {
		name := m.WorkflowID
		if name == "" {
			name = m.ClientRef.String()
		}
		messages = append(messages, name)
	}
	return []string{string(f.Severity), string(f.Kind), f.Account, f.Recipient, f.Campaign, when, numbers, strings.Join(messages, " "), f.Detail}
}
