package cost

import (
	"testing"
	"time"
)

// A table that is taken says one thing at most about any time, and prices nothing below 0.
func FuzzParse(f *testing.F) {
	// Short ones: the fuzzer spends its time on making long ones shorter.
	f.Add([]byte(`entries:
  - {id: a, provider: openai, model: m, effectiveFrom: 2026-01-01, effectiveTo: 2026-02-01, components: {input: "1", output: "0.000001"}, source: s, checkedAt: 2026-01-01}
  - {id: b, provider: openai, model: m, effectiveFrom: 2026-02-01, components: {input: "1", output: "2"}, source: s, checkedAt: 2026-01-01}
factors: {longContext: [], tiers: [], zones: []}
`))
	f.Add([]byte(`{entries: [{id: a, provider: azure, model: m, zone: datazone, tier: flex, effectiveFrom: 2026-01-01, components: {input: "0", cached: "1", cacheWrite: "2", output: "3.5"}, source: s, checkedAt: 2026-01-01}],
factors: {longContext: [{above: 9, input: "2", cached: "2", cacheWrite: "2", output: "1.5"}], tiers: [{tier: flex, models: [m], factor: "0.5"}], zones: [{zone: datazone, factor: "1.1"}]}}`))
	f.Add([]byte("entries: &a [*a]\nfactors: {<<: *a}\n"))
	f.Add([]byte("? [a\n: - !!str b\n---\n|\n %YAML"))
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := Parse(text)
		if err != nil {
			if err.Error() == "" || len(table.entries) > 0 {
				t.Fatalf("refused with %q and %d entries", err, len(table.entries))
			}
			return
		}
		forever := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
		end := func(e *entry) time.Time {
			if e.to.IsZero() {
				return forever
			}
			return e.to
		}
		for i, a := range table.entries {
			if !a.from.Before(end(a)) {
				t.Fatalf("entry %s ends before it begins", a.id)
			}
			for _, b := range table.entries[:i] {
				later, earlier := a.from, end(a)
				if b.from.After(later) {
					later = b.from
				}
				if end(b).Before(earlier) {
					earlier = end(b)
				}
				if a.key == b.key && later.Before(earlier) || a.id == b.id {
					t.Fatalf("entries %s and %s overlap", a.id, b.id)
				}
			}
			cost := table.Price(Call{Provider: a.provider, Model: a.model, Zone: a.zone, Tier: a.tier, At: a.from}, Usage{Input: 300_000, Output: 7}, false)
			if cost.PicoUSD == nil || *cost.PicoUSD < 0 || cost.PriceID != a.id {
				t.Fatalf("entry %s: %+v", a.id, cost)
			}
		}
		table.Stale(forever)
	})
}
