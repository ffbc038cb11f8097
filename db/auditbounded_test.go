package db_test

import (
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/audit"
)

// The hourly audit reads what changed in its hours and not what the tables keep.
func TestAuditReadsItsHours(t *testing.T) {
	var seen measured
	f := newFleet(t, "10/60s", "off")
	store := seen.watch(f)
	f.fillLedger(400_000) // 3 h 20 min
	if _, err := store.Now(f.ctx); unavailable(err) {
		t.Skipf("this Postgres does not explain its statements to us: %v", err)
	}
	seen.take()
	report, err := store.Audit(f.ctx, db.AuditRequest{Last: 5 * time.Minute, Most: 20})
	if err != nil {
		t.Fatal(err)
	}
	wantFound(t, report, map[audit.Kind]int64{})
	if report.Sums.Sent < 9000 || report.Sums.Sent > 11_000 {
		t.Fatalf("%d messages in the range: the test says too little", report.Sums.Sent)
	}
	for _, one := range seen.take() {
		most := 60_000.0 // the range, what is before it for a window, and the rest of the blocks
		switch {
		case strings.Contains(one.Query, "campaign_counts"):
			most = 500_000 // all of the campaigns of which a message changed
		case strings.Contains(one.Query, "GROUP BY a.gateway_message_id"):
			most = 500_000 // a day
		case strings.Contains(one.Query, ") pairs JOIN"):
			most = 500_000 // an index that is cheaper to read than to look into so often; a larger one is not
		}
		if one.Rows > most {
			t.Errorf("%.0f rows, want %.0f at most: %s\n%s", one.Rows, most, one.Query, strings.Join(one.Scans, "\n"))
		}
	}
}
