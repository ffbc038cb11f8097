package cli

import (
	"testing"
	"time"
)

func TestAudit(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	f.run("audit").wants(t, exitOK).prints(t, `
From 2026-03-01 12:00:00 UTC to 2026-03-02 12:00:00 UTC: 0 calls of 0 accounts were placed in their windows.
0 received = 0 sent + 0 failed + 0 cancelled + 0 expired + 0 live + 0 quarantined

Nothing was found.
`)
	f.take(message("creator-7", 1), message("creator-7", 2), message("creator-7", 3))
	f.end("wf-1", accepted())
	f.advance(10 * time.Second)
	second := accepted()
	second.GatewayMessageID = "gw-2"
	f.end("wf-2", second)
	f.advance(time.Hour)
	f.run("audit", "--since", "all").wants(t, exitOK, "From the first message to 2026-03-02 13:00:10 UTC: 2 calls of 1 accounts", "3 received = 2 sent + 0 failed + 0 cancelled + 0 expired + 1 live + 0 quarantined", "Nothing was found.")

	f.run("audit", "--account-limit", "1/60s").wants(t, exitFindings, "violation  account_limit  creator-7", "2026-03-02 11:59:10.000001 to 2026-03-02 12:00:10.000001", "2 to 2, allowed 1/60s", "sends_enabled")
	f.run("audit", "--account-limit", "1/60s", "--since", "30m").wants(t, exitOK, "Nothing was found.")
	f.run("audit", "--account-limit", "1/10s").wants(t, exitOK, "Nothing was found.")
	f.run("audit", "--account-limit", "1/60s", "--until", "2026-03-02T12:00:05Z").wants(t, exitOK, "Nothing was found.")
	f.exec(`UPDATE hybrid_workflows SET stage = 'failed' WHERE workflow_id = 'wf-1'`)
	f.exec(`DELETE FROM inbox WHERE workflow_id = 'wf-2'`)
	f.run("audit", "--limit", "1").wants(t, exitFindings, "inconsistent  accepted_not_sent  creator-7", "wf-1", "inconsistent  sum_differs", "2 more are not shown: see --limit.")

	var report struct {
		Failed       bool
		Inconsistent int
		Totals       map[string]int
		Findings     []struct {
			Kind, Severity, UserID, Remedy string
			Messages                       []struct{ WorkflowID, ClientRef string }
		}
		Sums map[string]int
	}
	f.run("audit", "--json").wants(t, exitFindings).json(t, &report)
	if !report.Failed || report.Inconsistent != 3 || report.Totals["workflow_without_inbox"] != 1 || report.Sums["received"] != 2 || len(report.Findings) != 3 ||
		report.Findings[0].Messages[0].WorkflowID != "wf-1" || report.Findings[0].UserID != "creator-7" || report.Findings[0].Remedy == "" {
		t.Errorf("%+v", report)
	}
}

func TestAuditMisused(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"audit", "--since", "yesterday"}, `--since "yesterday": give a length of time`},
		{[]string{"audit", "--since", "-3h"}, `--since "-3h"`},
		{[]string{"audit", "--until", "soon"}, `--until "soon"`},
		{[]string{"audit", "--since", "1h", "--until", "2h"}, "--until is not after --since"},
		{[]string{"audit", "--account-limit", "10"}, `--account-limit: limit "10" has no window`},
		{[]string{"audit", "--recipient-limit", "0/60s"}, "--recipient-limit"},
		{[]string{"audit", "--limit", "0"}, "--limit 0"},
		{[]string{"audit", "wf-1"}, "huntaze audit"},
		{[]string{"audit"}, "DATABASE_URL is not set"},
	} {
		c.run(tt.args...).wants(t, exitMisused, tt.says)
	}
}
