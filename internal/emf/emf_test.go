package emf

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	w := NewWriter(&out, "Huntaze")
	at := time.UnixMilli(1_764_331_200_123)
	for _, value := range []float64{1.5, math.NaN(), math.Inf(1)} {
		if err := w.Write(at, Metric{"BacklogAgeSeconds", Seconds, value, []Dimension{{"Service", "huntaze"}, {"Queue", "send"}}}); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d lines, want one: what is no number is left out", len(lines))
	}
	var got any
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"BacklogAgeSeconds": 1.5, "Service": "huntaze", "Queue": "send",
		"_aws": map[string]any{"Timestamp": 1_764_331_200_123.0, "CloudWatchMetrics": []any{map[string]any{
			"Namespace": "Huntaze", "Dimensions": []any{[]any{"Service", "Queue"}}, "Metrics": []any{map[string]any{"Name": "BacklogAgeSeconds", "Unit": "Seconds"}}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := w.Write(at, Metric{Name: "Lost", Unit: Count, Value: 1}); err == nil {
		t.Error("a metric without a dimension was written: CloudWatch would drop it in silence")
	}
}
