package cost_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/cost"
)

var (
	october   = time.Date(2026, 10, 3, 0, 0, 0, 0, time.UTC) // the day of sol's new price
	september = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	eastern   = time.FixedZone("EST", -5*60*60)
)

func table(t testing.TB) cost.Table {
	t.Helper()
	prices, err := cost.Load("testdata/prices.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return prices
}

func amount(kind cost.Kind, id string, c cost.Components) cost.Cost {
	total := c.Input + c.Cached + c.CacheWrite + c.Output
	return cost.Cost{Kind: kind, PriceID: id, PicoUSD: &total, Components: &c}
}

func actual(id string, c cost.Components) cost.Cost { return amount(cost.Actual, id, c) }

func odd(c cost.Cost, anomaly string) cost.Cost {
	c.Anomaly = anomaly
	return c
}

func missing(what, id string) cost.Cost {
	return cost.Cost{Kind: cost.Unpriced, Missing: what, PriceID: id}
}

// The expected numbers are computed by hand: tokens × pico-USD per token, which is USD per million × 10⁶.
func TestPrice(t *testing.T) {
	t.Parallel()
	openai := func(model, tier string, at time.Time) cost.Call {
		return cost.Call{Provider: "openai", Model: model, Zone: "global", Tier: tier, At: at}
	}
	azure := func(model, zone, tier string) cost.Call {
		return cost.Call{Provider: "azure", Model: model, Zone: zone, Tier: tier, At: october}
	}
	small := cost.Usage{Input: 1000, Output: 100}
	written := cost.Usage{Input: 2219, CacheWrite: 2216, Output: 5}
	tests := []struct {
		name  string
		call  cost.Call
		usage cost.Usage
		want  cost.Cost
	}{
		// 3 × 5, 2216 × 6.25, 5 × 30 millionths: $0.014015. A table without the write's price gave $0.000165.
		{"a write to the cache", openai("sol", "", september), written,
			actual("sol-1", cost.Components{Input: 15_000_000, CacheWrite: 13_850_000_000, Output: 150_000_000})},

		{"the last moment of a price", openai("sol", "", october.Add(-1)), written,
			actual("sol-1", cost.Components{Input: 15_000_000, CacheWrite: 13_850_000_000, Output: 150_000_000})},
		{"the first moment of the next", openai("sol", "", october), written, // 3 × 4, 2216 × 5, 5 × 20
			actual("sol-2", cost.Components{Input: 12_000_000, CacheWrite: 11_080_000_000, Output: 100_000_000})},
		{"the same moment in another time zone", openai("sol", "", time.Date(2026, 10, 2, 19, 0, 0, 0, eastern)), written,
			actual("sol-2", cost.Components{Input: 12_000_000, CacheWrite: 11_080_000_000, Output: 100_000_000})},
		{"the first moment of all", openai("sol", "", time.Date(2026, 7, 9, 0, 0, 0, 0, time.UTC)), small,
			actual("sol-1", cost.Components{Input: 5_000_000_000, Output: 3_000_000_000})},
		{"before that", openai("sol", "", time.Date(2026, 7, 8, 23, 59, 59, 999_999_999, time.UTC)), small, missing("entry", "")},
		{"no time", openai("sol", "", time.Time{}), small, missing("entry", "")},
		{"long after", openai("sol", "", october.AddDate(50, 0, 0)), small,
			actual("sol-2", cost.Components{Input: 4_000_000_000, Output: 2_000_000_000})},
		{"between two prices", openai("gap", "", time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)), small, missing("entry", "")},
		{"after the gap", openai("gap", "", time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)), small,
			actual("gap-2", cost.Components{Input: 2_000_000_000, Output: 200_000_000})},

		{"cached in part", openai("sol", "", october), cost.Usage{Input: 1000, Cached: 900, Output: 10}, // 100 × 4, 900 × 0.4, 10 × 20
			actual("sol-2", cost.Components{Input: 400_000_000, Cached: 360_000_000, Output: 200_000_000})},
		{"all cached", openai("sol", "", october), cost.Usage{Input: 1000, Cached: 1000},
			actual("sol-2", cost.Components{Cached: 400_000_000})},
		{"cached and written, nothing fresh", openai("sol", "", october), cost.Usage{Input: 1000, Cached: 400, CacheWrite: 600, Output: 1},
			actual("sol-2", cost.Components{Cached: 160_000_000, CacheWrite: 3_000_000_000, Output: 20_000_000})},
		{"reasoning is part of the output", openai("sol", "", october), cost.Usage{Input: 1000, Output: 100, Reasoning: 100},
			actual("sol-2", cost.Components{Input: 4_000_000_000, Output: 2_000_000_000})},
		{"no tokens", openai("sol", "", october), cost.Usage{}, actual("sol-2", cost.Components{})},
		{"one token", openai("nano", "", october), cost.Usage{Input: 1}, actual("nano", cost.Components{Input: 5500})},
		{"a price of 0 that the table states", openai("free", "", october), small, actual("free", cost.Components{})},

		{"a prompt at the threshold", openai("sol", "", october), cost.Usage{Input: 272_000, Output: 1000},
			actual("sol-2", cost.Components{Input: 1_088_000_000_000, Output: 20_000_000_000})},
		{"a prompt over it: the whole request", openai("sol", "", october), cost.Usage{Input: 272_001, Output: 1000}, // × 8, × 30
			actual("sol-2", cost.Components{Input: 2_176_008_000_000, Output: 30_000_000_000})},
		{"a long prompt, mostly cached", openai("sol", "", october), cost.Usage{Input: 300_000, Cached: 100_000, CacheWrite: 150_000, Output: 10},
			actual("sol-2", cost.Components{Input: 400_000_000_000, Cached: 80_000_000_000, CacheWrite: 1_500_000_000_000, Output: 300_000_000})},

		{"flex", openai("sol", "flex", october), small, actual("sol-2", cost.Components{Input: 2_000_000_000, Output: 1_000_000_000})},
		{"batch", openai("sol", "batch", october), small, actual("sol-2", cost.Components{Input: 2_000_000_000, Output: 1_000_000_000})},
		{"priority", openai("sol", "priority", october), small, actual("sol-2", cost.Components{Input: 8_000_000_000, Output: 4_000_000_000})},
		{"fast", openai("sol", "fast", october), small, actual("sol-2", cost.Components{Input: 8_000_000_000, Output: 4_000_000_000})},
		{"default", openai("sol", "default", october), small, actual("sol-2", cost.Components{Input: 4_000_000_000, Output: 2_000_000_000})},
		{"standard", openai("sol", "standard", october), small, actual("sol-2", cost.Components{Input: 4_000_000_000, Output: 2_000_000_000})},
		{"auto", openai("sol", "auto", october), small, actual("sol-2", cost.Components{Input: 4_000_000_000, Output: 2_000_000_000})},
		{"flex and a long prompt", openai("sol", "flex", october), cost.Usage{Input: 300_000, Output: 100}, // × 4 × 2 / 2, × 20 × 1.5 / 2
			actual("sol-2", cost.Components{Input: 1_200_000_000_000, Output: 1_500_000_000})},
		{"flex on Azure", azure("sol", "global", "flex"), small, actual("azure-sol", cost.Components{Input: 2_000_000_000, Output: 1_000_000_000})},
		{"flex on Azure for another model", azure("mini", "global", "flex"), small, missing("tier", "")},
		{"flex in Azure's data zone", azure("sol", "datazone", "flex"), small, missing("tier", "")},
		{"a tier that nobody knows", openai("sol", "scale", october), small, missing("tier", "")},

		{"data zone", azure("sol", "datazone", ""), cost.Usage{Input: 1000, Cached: 400, Output: 10}, // 600 × 4.4, 400 × 0.44, 10 × 22
			actual("azure-sol", cost.Components{Input: 2_640_000_000, Cached: 176_000_000, Output: 220_000_000})},
		{"data zone, batch and a long prompt", azure("sol", "datazone", "batch"), cost.Usage{Input: 300_000, Output: 7}, // × 4.4, × 16.5
			actual("azure-sol", cost.Components{Input: 1_320_000_000_000, Output: 115_500_000})},
		{"the data zone's own price", azure("zoned", "datazone", ""), cost.Usage{Input: 1000, Cached: 100, Output: 10}, // 900 × 1.3, 100 × 0.13, 10 × 4
			actual("zoned-data", cost.Components{Input: 1_170_000_000, Cached: 13_000_000, Output: 40_000_000})},
		{"the zone's own price and a tier's factor", azure("zoned", "datazone", "batch"), small,
			actual("zoned-data", cost.Components{Input: 650_000_000, Output: 200_000_000})},
		{"the tier's own price", azure("tiered", "global", "flex"), small, actual("tiered-flex", cost.Components{Input: 900_000_000, Output: 350_000_000})},
		{"the tier's own price and the zone's factor", azure("tiered", "datazone", "flex"), small,
			actual("tiered-flex", cost.Components{Input: 990_000_000, Output: 385_000_000})},
		{"the zone's price before the tier's", azure("both", "datazone", "batch"), small,
			actual("both-data", cost.Components{Input: 1_500_000_000, Output: 450_000_000})},
		{"without a price to multiply", azure("both", "global", ""), small, missing("entry", "")},
		{"a region's own price", azure("zoned", "regional", ""), small, actual("zoned-regional", cost.Components{Input: 1_500_000_000, Output: 500_000_000})},
		{"a region without a price", azure("sol", "regional", ""), small, missing("zone", "")},
		{"a zone that nobody knows", azure("sol", "moon", ""), small, missing("zone", "")},
		{"no zone is the global one", azure("zoned", "", ""), small, actual("zoned", cost.Components{Input: 1_000_000_000, Output: 300_000_000})},

		{"a model that nobody knows", openai("saturn", "", october), small, missing("entry", "")},
		{"a model in other letters", openai("SOL", "", october), small, missing("entry", "")},
		{"no model", openai("", "", october), small, missing("entry", "")},
		{"the other provider's model", openai("mini", "", october), small, missing("entry", "")},
		{"a provider that nobody knows", cost.Call{Provider: "acme", Model: "sol", At: october}, small, missing("entry", "")},
		{"a write without a price", azure("mini", "global", ""), cost.Usage{Input: 1000, CacheWrite: 1, Output: 1}, missing("cache_write", "mini")},
		{"cached without a price", azure("bare", "global", ""), cost.Usage{Input: 1000, Cached: 1, Output: 1}, missing("cached", "bare")},
		{"a price that is not needed", azure("bare", "global", ""), small, actual("bare", cost.Components{Input: 250_000_000, Output: 200_000_000})},

		{"more cached than came in", openai("sol", "", october), cost.Usage{Input: 100, Cached: 80, CacheWrite: 30, Output: 1}, // 80 × 0.4, 30 × 5, 20
			odd(actual("sol-2", cost.Components{Cached: 32_000_000, CacheWrite: 150_000_000, Output: 20_000_000}), "negative_fresh_input")},
		{"more cached than came in, and long", openai("sol", "", october), cost.Usage{Input: 1, Cached: 300_000},
			odd(actual("sol-2", cost.Components{Cached: 240_000_000_000}), "negative_fresh_input")},
		{"more reasoning than output", openai("sol", "", october), cost.Usage{Output: 1, Reasoning: 2},
			odd(actual("sol-2", cost.Components{Output: 20_000_000}), "reasoning_over_output")},
		{"a count below 0", openai("sol", "", october), cost.Usage{Input: 1000, Output: -1}, odd(missing("", ""), "negative_tokens")},

		// Half to even: 0.5, 1.5, 2.5, 3.5 pico-USD of input, and 1.5, 4.5, 7.5 of the rest.
		{"0.5 becomes 0", openai("fine", "flex", october), cost.Usage{Input: 1}, actual("fine", cost.Components{})},
		{"1.5 becomes 2", openai("fine", "flex", october), cost.Usage{Input: 3}, actual("fine", cost.Components{Input: 2})},
		{"2.5 becomes 2", openai("fine", "flex", october), cost.Usage{Input: 5}, actual("fine", cost.Components{Input: 2})},
		{"3.5 becomes 4", openai("fine", "flex", october), cost.Usage{Input: 7}, actual("fine", cost.Components{Input: 4})},
		{"each component by itself", openai("fine", "flex", october), cost.Usage{Input: 3, Cached: 1, CacheWrite: 1, Output: 1}, // 0.5, 1.5, 2.5, 3.5
			actual("fine", cost.Components{Cached: 2, CacheWrite: 2, Output: 4})},
		{"0.55 becomes 1, once and not at each factor", cost.Call{Provider: "openai", Model: "fine", Zone: "datazone", Tier: "flex", At: october},
			cost.Usage{Input: 1}, actual("fine", cost.Components{Input: 1})},
		{"1.1 becomes 1", cost.Call{Provider: "openai", Model: "fine", Zone: "datazone", At: october}, cost.Usage{Input: 1},
			actual("fine", cost.Components{Input: 1})},

		// 2⁶³ is 9,223,372,036,854,775,808; a token of dear costs 10¹⁰, over the threshold 2 × 10¹⁰.
		{"almost too much", openai("dear", "", october), cost.Usage{Input: 461_168_601},
			actual("dear", cost.Components{Input: 9_223_372_020_000_000_000})},
		{"too much", openai("dear", "", october), cost.Usage{Input: 461_168_602}, cost.Cost{Kind: cost.Unpriced, PriceID: "dear", Anomaly: "overflow"}},
		{"too much of the last", openai("dear", "", october), cost.Usage{Output: 922_337_204}, cost.Cost{Kind: cost.Unpriced, PriceID: "dear", Anomaly: "overflow"}},
		{"too much together", openai("dear", "", october), cost.Usage{Input: 400_000_000, Output: 400_000_000},
			cost.Cost{Kind: cost.Unpriced, PriceID: "dear", Anomaly: "overflow"}},
		{"the largest counts", openai("dear", "priority", october),
			cost.Usage{Input: math.MaxInt64, Cached: math.MaxInt64, CacheWrite: math.MaxInt64, Output: math.MaxInt64},
			cost.Cost{Kind: cost.Unpriced, PriceID: "dear", Anomaly: "overflow"}},
		{"the largest counts for nothing", openai("free", "", october), cost.Usage{Input: math.MaxInt64, Output: math.MaxInt64, Reasoning: math.MaxInt64},
			actual("free", cost.Components{})},
	}
	prices := table(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, prices.Price(test.call, test.usage, false)); diff != "" {
				t.Errorf("cost (-want +got):\n%s", diff)
			}
			want := test.want
			if want.Kind == cost.Actual {
				want.Kind = cost.Estimated
			}
			if diff := cmp.Diff(want, prices.Price(test.call, test.usage, true)); diff != "" {
				t.Errorf("estimated (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWorst(t *testing.T) {
	t.Parallel()
	estimated := func(id string, c cost.Components) cost.Cost { return amount(cost.Estimated, id, c) }
	call := func(provider, model, tier string) cost.Call {
		return cost.Call{Provider: provider, Model: model, Tier: tier, At: october}
	}
	tests := []struct {
		name          string
		call          cost.Call
		input, output int64
		want          cost.Cost
	}{
		{"all input as a write", call("openai", "sol", ""), 1000, 200, // 1000 × 5, 200 × 20
			estimated("sol-2", cost.Components{CacheWrite: 5_000_000_000, Output: 4_000_000_000})},
		{"no price for a write", call("azure", "mini", ""), 1000, 200,
			estimated("mini", cost.Components{Input: 250_000_000, Output: 400_000_000})},
		{"in its tier", call("openai", "sol", "flex"), 1000, 200,
			estimated("sol-2", cost.Components{CacheWrite: 2_500_000_000, Output: 2_000_000_000})},
		{"a long prompt", call("openai", "sol", ""), 272_001, 200, // × 10, × 30
			estimated("sol-2", cost.Components{CacheWrite: 2_720_010_000_000, Output: 6_000_000_000})},
		{"nothing", call("openai", "sol", ""), 0, 0, estimated("sol-2", cost.Components{})},
		{"an unknown model", call("openai", "saturn", ""), 1, 1, missing("entry", "")},
		{"an unknown tier", call("openai", "sol", "scale"), 1, 1, missing("tier", "")},
		{"a number below 0", call("openai", "sol", ""), -1, 1, odd(missing("", ""), "negative_tokens")},
		{"too much", call("openai", "dear", ""), math.MaxInt64, 1, cost.Cost{Kind: cost.Unpriced, PriceID: "dear", Anomaly: "overflow"}},
	}
	prices := table(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, prices.Worst(test.call, test.input, test.output)); diff != "" {
				t.Errorf("cost (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFreeHasAnAmount(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(amount(cost.NotBilled, "", cost.Components{}), cost.Free()); diff != "" {
		t.Errorf("cost (-want +got):\n%s", diff)
	}
}

func TestZeroTablePricesNothing(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(missing("entry", ""), cost.Table{}.Price(cost.Call{Provider: "openai", Model: "sol", At: october}, cost.Usage{Input: 1}, false)); diff != "" {
		t.Errorf("cost (-want +got):\n%s", diff)
	}
}

func BenchmarkPrice(b *testing.B) {
	prices := cost.Default()
	call := cost.Call{Provider: "azure", Model: "gpt-5.6-sol", Zone: "datazone", Tier: "batch", At: september}
	usage := cost.Usage{Input: 300_000, Cached: 100_000, CacheWrite: 2216, Output: 500}
	b.ReportAllocs()
	for b.Loop() {
		if prices.Price(call, usage, false).PicoUSD == nil {
			b.Fatal("unpriced")
		}
	}
}
