package db_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/audit"
)

// fillLedger writes messages that were sent: of 200 accounts at ten a minute each, to 10,000 recipients.
func (f *fleet) fillLedger(count int) {
	f.t.Helper()
	const at = `$2::timestamptz - interval '2 seconds' - ($1 - n) / 200 * interval '6.1 seconds' + n % 200 * interval '7 milliseconds'`
	for _, sql := range []string{
		`INSERT INTO hybrid_workflows (id, user_id, workflow_id, recipient_id, campaign_id, stage, not_before, provider_states, retry_attempts, trace_context, send_sequence, created_at, updated_at)
			SELECT md5(n::text)::uuid, 'creator-' || n % 200, 'wf-' || n, 'fan-' || n % 10007, CASE WHEN n % 2 = 0 THEN 'spring' ELSE '' END, 'sent', ` + at + `, '{}', '{}', '{}', 1, ` + at + `, ` + at + ` FROM generate_series(1, $1::int) n`,
		`INSERT INTO inbox SELECT workflow_id, user_id, recipient_id, id, workflow_id, 'messages', created_at FROM hybrid_workflows WHERE $1 > 0 AND $2::timestamptz IS NOT NULL`,
		`INSERT INTO send_attempts (workflow, sequence, user_id, recipient_id, state, limiter, reserved_at, reservation_ends, fence, started_at, call_deadline, ended_at, gateway_message_id)
			SELECT id, 1, user_id, recipient_id, 'accepted', 'bucket', created_at, created_at + interval '30 seconds', 1, created_at, created_at + interval '20 seconds', created_at + interval '90 milliseconds', 'gw-' || workflow_id
			FROM hybrid_workflows WHERE $1 > 0 AND $2::timestamptz IS NOT NULL`,
	} {
		if _, err := f.plain.Exec(f.ctx, sql, count, start); err != nil {
			f.t.Fatal(err)
		}
	}
	f.exec(`VACUUM ANALYZE`)
}

// peak watches how much memory is in use at most while do runs.
func peak(do func()) uint64 {
	var most atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	go func() {
		defer close(stopped)
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			if now.HeapAlloc > before.HeapAlloc {
				most.Store(max(most.Load(), now.HeapAlloc-before.HeapAlloc))
			}
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	do()
	close(stop)
	<-stopped
	return most.Load()
}

// Ten times the calls take no more memory.
func TestAuditMemoryIsBounded(t *testing.T) {
	f := newFleet(t, "10/60s", "off")
	f.fillLedger(100_000)
	used := peak(func() {
		report := f.audit()
		wantFound(t, report, map[audit.Kind]int64{})
		if report.Calls != 100_000 || report.Accounts != 200 {
			t.Errorf("%d calls of %d accounts", report.Calls, report.Accounts)
		}
	})
	if used > 32<<20 {
		t.Errorf("%d MB were used at most", used>>20)
	}
}

// BenchmarkAudit audits 1,000,000 attempts: go test ./db -bench 'Audit$' -run '^$'.
func BenchmarkAudit(b *testing.B) {
	f := newFleet(b, "10/60s", "100/24h")
	f.fillLedger(1_000_000)
	for _, tt := range []struct {
		name string
		last time.Duration
	}{{"everything", 0}, {"the last 2 hours", 2 * time.Hour}} {
		b.Run(tt.name, func(b *testing.B) {
			var used uint64
			var calls int64
			for b.Loop() {
				used = max(used, peak(func() {
					report := f.audit(func(r *db.AuditRequest) { r.Last = tt.last })
					if report.Failed() {
						b.Fatalf("%+v", found(report))
					}
					calls = report.Calls
				}))
			}
			b.ReportMetric(float64(used)/(1<<20), "peak-MB")
			b.ReportMetric(float64(calls), "calls")
		})
	}
}
