package cost_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/cost"
)

// The case in which another product's table lacked the price of a write and reported $0.000165.
func TestBuiltInPricesWritesToTheCache(t *testing.T) {
	t.Parallel()
	for provider, id := range map[string]string{"azure": "azure-gpt-5.6-sol", "openai": "openai-gpt-5.6-sol"} {
		got := cost.Default().Price(cost.Call{Provider: provider, Model: "gpt-5.6-sol", Zone: "global", At: september},
			cost.Usage{Input: 2219, CacheWrite: 2216, Output: 5}, false)
		if diff := cmp.Diff(actual(id, cost.Components{Input: 15_000_000, CacheWrite: 13_850_000_000, Output: 150_000_000}), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", provider, diff)
		}
		if text := cost.FormatUSD(*got.PicoUSD); text != "$0.014015" {
			t.Errorf("%s: %s", provider, text)
		}
	}
}

// Each model has a price from its day on; what was never seen has none.
func TestBuiltInCoverage(t *testing.T) {
	t.Parallel()
	both := []string{"gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-5.5",
		"gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano", "gpt-5-mini", "gpt-4.1-mini", "gpt-4o", "gpt-4o-mini"}
	models := map[string][]string{"azure": append([]string{"gpt-6.1-sol"}, both...), "openai": append([]string{"gpt-6.1-terra"}, both...)}
	all := append([]string{"gpt-6.1-sol", "gpt-6.1-terra"}, both...)
	november := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	for provider, known := range models {
		for _, model := range all {
			call := cost.Call{Provider: provider, Model: model, At: november}
			got := cost.Default().Price(call, cost.Usage{Input: 1000, Cached: 500, Output: 100}, false)
			if priced := got.PicoUSD != nil && *got.PicoUSD > 0; priced != slices.Contains(known, model) {
				t.Errorf("%s of %s: %+v", model, provider, got)
			}
		}
	}
}

// Azure halves its price for flex only where it has flex.
func TestBuiltInFlex(t *testing.T) {
	t.Parallel()
	for model, want := range map[string]bool{"gpt-5.6-sol": true, "gpt-5.6-terra": true, "gpt-5.6-luna": true, "gpt-6-astra": true, "gpt-6-luna": false, "gpt-5.4": false} {
		for zone, flex := range map[string]bool{"global": want, "datazone": false} {
			call := cost.Call{Provider: "azure", Model: model, Zone: zone, Tier: "flex", At: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)}
			if got := cost.Default().Worst(call, 10, 10); (got.Kind == cost.Estimated) != flex || !flex && got.Missing != cost.MissingTier {
				t.Errorf("%s, %s: %+v", model, zone, got)
			}
		}
	}
}

func TestStale(t *testing.T) {
	t.Parallel()
	prices := table(t)
	day := func(month time.Month, day int) time.Time { return time.Date(2026, month, day, 0, 0, 0, 0, time.UTC) }
	checkedInOctober := []string{"sol-2", "azure-sol", "mini", "bare", "zoned", "zoned-data", "zoned-regional", "tiered", "tiered-flex",
		"both-data", "both-batch", "fine", "nano", "free", "dear"}
	for _, test := range []struct {
		name string
		now  time.Time
		want []string
	}{
		{"30 days after the check", day(11, 2), []string{"gap-2"}}, // sol-1 and gap-1 are history
		{"a moment later", day(11, 2).Add(1), append(slices.Clone(checkedInOctober[:11]), append([]string{"gap-2"}, checkedInOctober[11:]...)...)},
		{"checked tomorrow, as another time zone may have it", day(10, 2), []string{"sol-1", "gap-2"}},
		{"checked in days to come", day(10, 1), append(append([]string{"sol-1"}, checkedInOctober[:11]...), append([]string{"gap-2"}, checkedInOctober[11:]...)...)},
	} {
		if diff := cmp.Diff(test.want, prices.Stale(test.now)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// Nobody has confirmed a price yet, so a fleet that starts with the built-in table is told so.
func TestBuiltInTableKnowsItsAge(t *testing.T) {
	t.Parallel()
	if stale := cost.Default().Stale(time.Date(2127, 1, 1, 0, 0, 0, 0, time.UTC)); len(stale) < 30 {
		t.Errorf("a hundred years later only %d entries are stale", len(stale))
	}
}
