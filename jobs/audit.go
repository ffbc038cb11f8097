package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/audit"
)

// AuditArgs checks the ledger against itself.
type AuditArgs struct{}

// Kind implements river.JobArgs.
func (AuditArgs) Kind() string { return "audit" }

const (
	// AuditEvery is how often the ledger is audited.
	AuditEvery = time.Hour
	// auditMinute is the minute of the hour at which it is: not that of everybody's hourly work.
	auditMinute = 23 * time.Minute
	// auditRange is how far back an audit looks: two hours, so that one that failed leaves nothing out.
	auditRange = 2 * AuditEvery
	// auditLogged is how many findings are logged one by one; all are counted.
	auditLogged = 20
	// auditTimeout is shorter than the time after which River takes a job for stuck.
	auditTimeout = 3 * time.Minute
)

// Auditor audits the ledger.
type Auditor interface {
	Audit(ctx context.Context, request db.AuditRequest) (*audit.Report, error)
}

// AuditWorker runs the audit.
type AuditWorker struct {
	river.WorkerDefaults[AuditArgs]
	auditor Auditor
	tell    func(*audit.Report)
	logger  *slog.Logger
}

// NewAuditWorker returns the worker of the audit; tell gets each report.
func NewAuditWorker(a Auditor, tell func(*audit.Report), logger *slog.Logger) *AuditWorker {
	return &AuditWorker{auditor: a, tell: tell, logger: logger}
}

// Timeout implements river.Worker.
func (w *AuditWorker) Timeout(*river.Job[AuditArgs]) time.Duration { return auditTimeout }

// Work implements river.Worker. What it finds does not make it fail: the next one would find the same.
func (w *AuditWorker) Work(ctx context.Context, _ *river.Job[AuditArgs]) error {
	report, err := w.auditor.Audit(ctx, db.AuditRequest{Last: auditRange, Most: auditLogged})
	if err != nil {
		return err
	}
	w.tell(report)
	for _, f := range report.Findings {
		w.logger.ErrorContext(ctx, "audit: "+f.Kind.Meaning(), "kind", f.Kind, "severity", f.Severity, "user_id", f.Account, "recipient_id", f.Recipient, "campaign_id", f.Campaign,
			"messages", f.Messages, "rule", f.Rule, "from", f.From, "to", f.To, "allowed", f.Allowed, "found", f.Found, "at_least", f.AtLeast, "detail", f.Detail, "remedy", f.Remedy)
	}
	w.logger.InfoContext(ctx, "audit", "calls", report.Calls, "accounts", report.Accounts, "received", report.Sums.Received,
		"violations", report.Total(audit.Violation), "inconsistent", report.Total(audit.Inconsistent), "possible", report.Total(audit.Possible))
	return nil
}

// AuditPeriodically returns the periodic job: once in each hour for the whole fleet, at the same minute whenever its leader began.
func AuditPeriodically() *river.PeriodicJob {
	return river.NewPeriodicJob(hourly{}, func() (river.JobArgs, *river.InsertOpts) {
		return AuditArgs{}, &river.InsertOpts{MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByPeriod: AuditEvery}}
	}, nil)
}

// hourly is a schedule by the clock: a leader that begins does not move it.
type hourly struct{}

// Next implements river.PeriodicSchedule.
func (hourly) Next(now time.Time) time.Time {
	next := now.Truncate(AuditEvery).Add(auditMinute)
	if !next.After(now) {
		next = next.Add(AuditEvery)
	}
	return next
}
