package metrics

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	document = "../../docs/metrics.md"
	begin    = "<!-- made from internal/metrics; UPDATE_DOCS=1 go test ./internal/metrics -->\n"
)

// TestDocument: docs/metrics.md says what the catalogue says. With UPDATE_DOCS=1 it is written.
func TestDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	head, table, found := strings.Cut(string(text), begin)
	if !found {
		t.Fatalf("%s lacks the line %q", document, begin)
	}
	if table == Table() {
		return
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		t.Fatalf("%s is not what the catalogue says: UPDATE_DOCS=1 go test ./internal/metrics", document)
	}
	if err := os.WriteFile(document, []byte(head+begin+Table()), 0o644); err != nil {
		t.Fatal(err)
	}
}

var units = regexp.MustCompile(`_(seconds|usd|messages|jobs|tokens|accounts|connections|requests|streams|info|ready|paused|bypass|breaker|frozen|off|findings|flight|total)$`)

// TestNames: names have the prefix and end in their unit, counters in _total; labels are bounded and no ids.
func TestNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range Catalogue() {
		if seen[f.Name] {
			t.Errorf("%s is there twice", f.Name)
		}
		seen[f.Name] = true
		if !strings.HasPrefix(f.Name, "huntaze_") || !units.MatchString(strings.TrimSuffix(f.Name, "_today_usd")) && !strings.HasSuffix(f.Name, "_usd") {
			t.Errorf("%s does not end in its unit", f.Name)
		}
		if (f.Kind == Counter) != strings.HasSuffix(f.Name, "_total") {
			t.Errorf("%s is a %s", f.Name, f.Kind)
		}
		if (f.Source == Fleet) != strings.HasPrefix(f.Name, "huntaze_fleet_") {
			t.Errorf("%s is of the %s", f.Name, f.Source)
		}
		if f.Kind == Histogram && len(f.Buckets) == 0 || f.Help == "" || f.Group == "" {
			t.Errorf("%s is incomplete", f.Name)
		}
		for _, l := range f.Labels {
			if l.Values == nil && l.Of == "" {
				t.Errorf("%s: nothing bounds %s", f.Name, l.Name)
			}
			if slices.Contains([]string{"user_id", "account", "recipient", "workflow", "campaign", "le"}, l.Name) {
				t.Errorf("%s: %s is not bounded", f.Name, l.Name)
			}
		}
	}
}

// TestInstruments: every family can be registered as what it is.
func TestInstruments(t *testing.T) {
	t.Parallel()
	r := prometheus.NewPedanticRegistry()
	for _, f := range Catalogue() {
		switch f.Kind {
		case Counter:
			f.NewCounter(r)
		case Gauge:
			f.NewGauge(r)
		case Histogram:
			f.NewHistogram(r)
		}
	}
}
