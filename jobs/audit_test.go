package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/audit"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

type fakeAuditor struct {
	request db.AuditRequest
	report  *audit.Report
	err     error
}

func (f *fakeAuditor) Audit(_ context.Context, request db.AuditRequest) (*audit.Report, error) {
	f.request = request
	return f.report, f.err
}

func TestAudit(t *testing.T) {
	t.Parallel()
	report := audit.NewReport(20)
	report.Add(audit.Finding{Kind: audit.TwoAcceptances, Account: "creator-7"})
	report.Close()
	auditor := &fakeAuditor{report: report}
	var log bytes.Buffer
	var told *audit.Report
	w := jobs.NewAuditWorker(auditor, func(r *audit.Report) { told = r }, slog.New(slog.NewTextHandler(&log, nil)))
	if err := w.Work(t.Context(), &river.Job[jobs.AuditArgs]{}); err != nil {
		t.Fatal(err)
	}
	if told != report || auditor.request.Last != 2*time.Hour || !auditor.request.Since.IsZero() || auditor.request.Account != nil {
		t.Errorf("told %v, request %+v", told, auditor.request)
	}
	for _, want := range []string{"level=ERROR", "kind=two_acceptances", "user_id=creator-7", "violations=1"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, log.String())
		}
	}
	told, auditor.err = nil, errors.New("no database")
	if err := w.Work(t.Context(), &river.Job[jobs.AuditArgs]{}); !errors.Is(err, auditor.err) || told != nil {
		t.Errorf("%v, told %v: an audit that failed says nothing", err, told)
	}
}
