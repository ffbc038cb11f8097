package fallback_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
)

// The six rows of the specification, to the letter.
func TestSpecifiedRows(t *testing.T) {
	t.Parallel()
	m := fallback.Default()
	for scenario, want := range map[fallback.Scenario]fallback.Row{
		"azure_timeout":         {Fallback: "openai", MaxRetries: 2, Delay: 5000 * time.Millisecond},
		"azure_rate_limited":    {Fallback: "openai", MaxRetries: 1, Delay: 1000 * time.Millisecond},
		"openai_timeout":        {Fallback: "azure", MaxRetries: 2, Delay: 5000 * time.Millisecond},
		"openai_rate_limited":   {Fallback: "queue", MaxRetries: 0, Delay: 60000 * time.Millisecond},
		"onlyfans_rate_limited": {Fallback: "queue", MaxRetries: 0, Delay: 45000 * time.Millisecond},
		"rate_limiter_down":     {Fallback: "bypass_with_warning", MaxRetries: 1, Delay: 2000 * time.Millisecond},
	} {
		if diff := cmp.Diff(want, m.Row(scenario)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", scenario, diff)
		}
	}
}

func TestEachScenarioHasARow(t *testing.T) {
	t.Parallel()
	m := fallback.Default()
	all := fallback.Scenarios()
	for i, s := range all {
		if m.Row(s).Fallback == "" {
			t.Errorf("%s has no row", s)
		}
		if slices.Contains(all[:i], s) {
			t.Errorf("%s is listed twice", s)
		}
	}
	if want := 6 + 2*13; len(all) != want {
		t.Errorf("%d scenarios, want %d", len(all), want)
	}
	if m.IsZero() || !(fallback.Matrix{}).IsZero() {
		t.Error("IsZero does not tell a matrix from none")
	}
	want := fallback.Bounds{Deadline: 5 * time.Minute, MaxCalls: 8, RetryAfter: time.Minute, MaxCharged: 100, QueueMaxWaits: 1440, QueueMaxAge: 24 * time.Hour}
	if diff := cmp.Diff(want, m.Bounds()); diff != "" {
		t.Errorf("bounds (-want +got):\n%s", diff)
	}
}

// Each class of each provider's results has a row, but for those that are nobody's failure.
func TestScenarioOfEachClass(t *testing.T) {
	t.Parallel()
	nobodys := []provider.Class{provider.Completed, provider.Canceled, fallback.Lost}
	for _, name := range provider.Names {
		for _, class := range append(slices.Clone(provider.Classes), fallback.GateFailed, fallback.Lost) {
			scenario := fallback.ScenarioOf(name, class)
			switch {
			case slices.Contains(nobodys, class):
				if scenario != "" {
					t.Errorf("%s %s is nobody's failure, but the row is %s", name, class, scenario)
				}
			case !slices.Contains(fallback.Scenarios(), scenario) || !strings.HasPrefix(string(scenario), string(name)+"_"):
				t.Errorf("%s %s has the row %q", name, class, scenario)
			}
		}
	}
}

// A file replaces only what it has.
func TestPartialFile(t *testing.T) {
	t.Parallel()
	m, err := fallback.Parse([]byte(`# ours
bounds:
  maxCalls: 3 # of a chain
rows:
  - scenario: azure_timeout # the first
    fallback: queue
    maxRetries: 0
    delayMs: 1_000
  - {scenario: openai_refusal, fallback: azure, maxRetries: 10, delayMs: 86400000}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := fallback.Default().Bounds()
	want.MaxCalls = 3
	if diff := cmp.Diff(want, m.Bounds()); diff != "" {
		t.Errorf("bounds (-want +got):\n%s", diff)
	}
	for _, s := range fallback.Scenarios() {
		row := fallback.Default().Row(s)
		switch s {
		case "azure_timeout":
			row = fallback.Row{Fallback: fallback.ToQueue, Delay: time.Second}
		case "openai_refusal":
			row = fallback.Row{Fallback: "azure", MaxRetries: 10, Delay: 24 * time.Hour}
		}
		if diff := cmp.Diff(row, m.Row(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
}

func TestNothingInTheFile(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "rows: []\n", "bounds: {}\n", "bounds:\nrows:\n", "bounds: {maxCalls: }\n"} {
		m, err := fallback.Parse([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := cmp.Diff(fallback.Default(), m, cmp.AllowUnexported(fallback.Matrix{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	good, bad := filepath.Join(folder, "good.yaml"), filepath.Join(folder, "bad.yaml")
	for path, text := range map[string]string{good: "bounds: {maxCalls: 2}", bad: "bounds: {maxCalls: 0}"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := fallback.Load(""); err != nil || m.Bounds().MaxCalls != 8 {
		t.Errorf("no file: %v, %v", m.Bounds(), err)
	}
	if m, err := fallback.Load(good); err != nil || m.Bounds().MaxCalls != 2 {
		t.Errorf("a file: %v, %v", m.Bounds(), err)
	}
	if m, err := fallback.Load(bad); err == nil || !m.IsZero() || !strings.Contains(err.Error(), "bad.yaml") || !strings.Contains(err.Error(), "maxCalls is 0") {
		t.Errorf("a bad file: %v", err)
	}
	missing := filepath.Join(folder, "missing.yaml")
	if m, err := fallback.Load(missing); err == nil || !m.IsZero() || !strings.Contains(err.Error(), missing) {
		t.Errorf("a missing file: %v", err)
	}
}
