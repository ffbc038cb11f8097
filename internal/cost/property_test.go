package cost_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/cost"
)

// world is one model's prices and factors as they stand in a table's text.
type world struct {
	price            [4]string // input, cached, cacheWrite, output; the middle ones may be empty
	long             [4]string
	above            int64
	flex, datazone   string
	ownFlex, ownZone bool // the only entry is for flex, or for the data zone
}

func drawDecimal(t *rapid.T, name string, places int, least, most int64) string {
	digits := rapid.IntRange(0, places).Draw(t, name+" places")
	unit := int64(1)
	for range digits {
		unit *= 10
	}
	n := rapid.Int64Range(least*unit, most*unit).Draw(t, name)
	if digits == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d.%0*d", n/unit, digits, n%unit)
}

func drawFactor(t *rapid.T, name string, least int64) string {
	n := rapid.Int64Range(least, 1000).Draw(t, name)
	return fmt.Sprintf("%d.%02d", n/100, n%100)
}

func drawWorld(t *rapid.T) world {
	w := world{
		above: rapid.Int64Range(1, 1000).Draw(t, "above"),
		flex:  drawFactor(t, "flex", 1), datazone: drawFactor(t, "datazone", 1),
		ownFlex: rapid.Bool().Draw(t, "own flex"), ownZone: rapid.Bool().Draw(t, "own zone"),
	}
	most := rapid.SampledFrom([]int64{1, 50, 10_000}).Draw(t, "dearest")
	for i, name := range []string{"input", "cached", "cacheWrite", "output"} {
		w.price[i], w.long[i] = drawDecimal(t, name, 6, 0, most), drawFactor(t, name+" long", 100)
		if (i == 1 || i == 2) && rapid.IntRange(0, 3).Draw(t, "left out") == 0 {
			w.price[i] = ""
		}
	}
	return w
}

func (w world) table(t *rapid.T) cost.Table {
	var components []string
	for i, name := range []string{"input", "cached", "cacheWrite", "output"} {
		if w.price[i] != "" {
			components = append(components, fmt.Sprintf("%s: %q", name, w.price[i]))
		}
	}
	own := ""
	if w.ownFlex {
		own += ", tier: flex"
	}
	if w.ownZone {
		own += ", zone: datazone"
	}
	text := fmt.Sprintf(`
entries:
  - {id: a, provider: openai, model: m%s, effectiveFrom: 2026-01-01, components: {%s}, source: test, checkedAt: 2026-01-01}
factors:
  longContext: [{above: %d, input: %q, cached: %q, cacheWrite: %q, output: %q}]
  tiers: [{tier: flex, factor: %q}]
  zones: [{zone: datazone, factor: %q}]
`, own, strings.Join(components, ", "), w.above, w.long[0], w.long[1], w.long[2], w.long[3], w.flex, w.datazone)
	prices, err := cost.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return prices
}

// call is in the data zone and flex wherever there is only a price for those.
func (w world) call(t *rapid.T) cost.Call {
	c := cost.Call{Provider: "openai", Model: "m", Zone: "global", At: october}
	if w.ownFlex || rapid.Bool().Draw(t, "ask for flex") {
		c.Tier = "flex"
	}
	if w.ownZone || rapid.Bool().Draw(t, "in the data zone") {
		c.Zone = "datazone"
	}
	return c
}

func drawUsage(t *rapid.T) cost.Usage {
	tokens := rapid.OneOf(rapid.Int64Range(0, 20), rapid.Int64Range(0, 2000), rapid.Int64Range(0, 1<<33))
	kept, written, fresh := tokens.Draw(t, "cached"), tokens.Draw(t, "written"), tokens.Draw(t, "fresh")
	return cost.Usage{Input: kept + written + fresh, Cached: kept, CacheWrite: written, Output: tokens.Draw(t, "output")}
}

func rational(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic(text)
	}
	return r
}

// expect computes the components anew, with fractions of any size; nil means that there is no amount.
func (w world) expect(c cost.Call, u cost.Usage) []*big.Int {
	var amounts []*big.Int
	total := new(big.Int)
	for i, tokens := range []int64{u.Input - u.Cached - u.CacheWrite, u.Cached, u.CacheWrite, u.Output} {
		if w.price[i] == "" {
			if tokens > 0 {
				return nil
			}
			amounts = append(amounts, new(big.Int))
			continue
		}
		exact := new(big.Rat).Mul(rational(w.price[i]), big.NewRat(tokens, 1_000_000)) // USD
		if u.Input > w.above {
			exact.Mul(exact, rational(w.long[i]))
		}
		if c.Tier == "flex" && !w.ownFlex {
			exact.Mul(exact, rational(w.flex))
		}
		if c.Zone == "datazone" && !w.ownZone {
			exact.Mul(exact, rational(w.datazone))
		}
		amount := halfToEven(exact.Mul(exact, big.NewRat(1_000_000_000_000, 1)))
		amounts = append(amounts, amount)
		total.Add(total, amount)
	}
	if !total.IsInt64() {
		return nil
	}
	return amounts
}

// halfToEven is the whole number nearest to a fraction that is not negative.
func halfToEven(r *big.Rat) *big.Int {
	twice := new(big.Int).Mul(r.Num(), big.NewInt(2))
	// Half up first: ⌊(2n + d) / 2d⌋. Exactly between two it is one too many if it is odd.
	nearest, rest := new(big.Int).DivMod(new(big.Int).Add(twice, r.Denom()), new(big.Int).Mul(r.Denom(), big.NewInt(2)), new(big.Int))
	if rest.Sign() == 0 && nearest.Bit(0) == 1 {
		nearest.Sub(nearest, big.NewInt(1))
	}
	return nearest
}

func TestPriceIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		call, usage := w.call(t), drawUsage(t)
		got, want := w.table(t).Price(call, usage, false), w.expect(call, usage)
		if want == nil {
			if got.Kind != cost.Unpriced || got.PicoUSD != nil || got.Components != nil || got.Missing+got.Anomaly == "" {
				t.Fatalf("%+v, want no amount and a reason", got)
			}
			return
		}
		if got.Kind != cost.Actual || got.Missing != "" || got.Anomaly != "" {
			t.Fatalf("%+v, want an amount", got)
		}
		sum := int64(0)
		for i, part := range []int64{got.Components.Input, got.Components.Cached, got.Components.CacheWrite, got.Components.Output} {
			if part < 0 || want[i].Cmp(big.NewInt(part)) != 0 {
				t.Errorf("component %d is %d, want %s", i, part, want[i])
			}
			sum += part
		}
		if *got.PicoUSD != sum {
			t.Errorf("total %d, the components are %d", *got.PicoUSD, sum)
		}
	})
}

// More tokens of any kind never cost less, also over the threshold of a long prompt.
func TestPriceIsMonotone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		prices, call, less := w.table(t), w.call(t), drawUsage(t)
		fresh, kept := rapid.Int64Range(0, 2000).Draw(t, "more fresh"), rapid.Int64Range(0, 2000).Draw(t, "more cached")
		written, out := rapid.Int64Range(0, 2000).Draw(t, "more written"), rapid.Int64Range(0, 2000).Draw(t, "more output")
		more := cost.Usage{Input: less.Input + fresh + kept + written, Cached: less.Cached + kept, CacheWrite: less.CacheWrite + written, Output: less.Output + out}
		a, b := prices.Price(call, less, false), prices.Price(call, more, false)
		if a.PicoUSD != nil && b.PicoUSD != nil && *a.PicoUSD > *b.PicoUSD {
			t.Fatalf("%+v costs %d, %+v %d", less, *a.PicoUSD, more, *b.PicoUSD)
		}
		if a.PicoUSD == nil && b.PicoUSD != nil {
			t.Fatalf("%+v has no price, %+v has one", less, more)
		}
	})
}

func TestWorstIsNeverLess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		prices, call, usage := w.table(t), w.call(t), drawUsage(t)
		inputTokens := usage.Input + rapid.Int64Range(0, 2000).Draw(t, "more input")
		maxOutput := usage.Output + rapid.Int64Range(0, 2000).Draw(t, "more output")
		price, worst := prices.Price(call, usage, false), prices.Worst(call, inputTokens, maxOutput)
		if price.PicoUSD != nil && worst.PicoUSD != nil && *worst.PicoUSD < *price.PicoUSD-2 {
			t.Fatalf("at worst %d, in truth %d", *worst.PicoUSD, *price.PicoUSD)
		}
		if worst.Kind != cost.Estimated && worst.Anomaly != cost.AnomalyOverflow {
			t.Fatalf("%+v", worst)
		}
	})
}

// Whatever a provider says, there is no amount below 0 and none that can be mistaken.
func TestAnyUsageIsSafe(t *testing.T) {
	t.Parallel()
	prices := table(t)
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, 2000))
		usage := cost.Usage{Input: count.Draw(t, "input"), Cached: count.Draw(t, "cached"), CacheWrite: count.Draw(t, "written"),
			Output: count.Draw(t, "output"), Reasoning: count.Draw(t, "reasoning")}
		call := cost.Call{Provider: "openai", At: october,
			Model: rapid.SampledFrom([]string{"sol", "dear", "free", "fine", "nano", "unknown"}).Draw(t, "model"),
			Zone:  rapid.SampledFrom([]string{"", "global", "datazone", "regional"}).Draw(t, "zone"),
			Tier:  rapid.SampledFrom([]string{"", "flex", "priority", "scale"}).Draw(t, "tier")}
		got := prices.Price(call, usage, rapid.Bool().Draw(t, "estimated"))
		priced := got.Kind == cost.Actual || got.Kind == cost.Estimated
		if priced != (got.PicoUSD != nil) || priced != (got.Components != nil) || priced != (got.Missing == "" && got.Kind != cost.Unpriced) {
			t.Fatalf("%+v", got)
		}
		if !priced {
			return
		}
		parts := *got.Components
		if min(*got.PicoUSD, parts.Input, parts.Cached, parts.CacheWrite, parts.Output) < 0 || parts.Input+parts.Cached+parts.CacheWrite+parts.Output != *got.PicoUSD {
			t.Fatalf("%+v: %d, %+v", got, *got.PicoUSD, parts)
		}
		if usage.Cached > usage.Input && got.Anomaly != cost.AnomalyNegativeFresh {
			t.Fatalf("%+v passes without a word", usage)
		}
	})
}
