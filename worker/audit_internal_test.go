package worker

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/huntaze/hybrid-orchestrator/internal/audit"
)

// A process that never ran an audit says nothing about one; after one every kind has its number.
func TestAuditMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	read := func() map[string]float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				switch family.GetName() {
				case "huntaze_audit_findings":
					values[metric.GetLabel()[0].GetValue()] = metric.GetGauge().GetValue()
				case "huntaze_audit_last_success_timestamp_seconds":
					values["at"] = metric.GetGauge().GetValue()
				}
			}
		}
		return values
	}
	if values := read(); len(values) != 0 {
		t.Errorf("before the first audit: %v", values)
	}
	report := audit.NewReport(1)
	report.At = time.UnixMilli(1_700_000_000_500)
	report.Add(audit.Finding{Kind: audit.AccountLimit})
	report.Add(audit.Finding{Kind: audit.AccountLimit})
	m.audited(report)
	if values := read(); len(values) != len(audit.Kinds)+1 || values["account_limit"] != 2 || values["at"] != 1_700_000_000.5 {
		t.Errorf("after it: %v", values)
	}
	clean := audit.NewReport(1)
	clean.At = report.At.Add(time.Hour)
	m.audited(clean)
	if values := read(); values["account_limit"] != 0 || values["at"] != 1_700_003_600.5 {
		t.Errorf("after the next: %v", values)
	}
}
