package cost_test

import (
	"os"
	"strings"
	"testing"

	"github.com/huntaze/hybrid-orchestrator/internal/cost"
)

const good = `entries:
  - id: one
    provider: openai
    model: sol
    effectiveFrom: 2026-07-09
    effectiveTo: 2026-10-03
    components: {input: "5", cached: "0.50", output: "30"}
    source: the price page
    checkedAt: 2026-08-02
  - id: two
    provider: openai
    model: sol
    zone: global
    effectiveFrom: 2026-10-03
    components: {input: "4", output: "20.000000000"}
    source: "the price page"
    checkedAt: 2026-10-03
factors:
  longContext: [{above: 272000, input: "2", cached: "2", cacheWrite: "2", output: "1.5"}]
  tiers:
    - {tier: flex, provider: openai, factor: "0.5"}
    - {tier: flex, provider: azure, models: [sol], factor: "0.5"}
  zones: [{zone: datazone, factor: "1.1"}]
`

func TestParse(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"as it is":                   good,
		"without factors":            good[:strings.Index(good, "factors:")] + "factors: {longContext: [], tiers: [], zones: []}",
		"the same time in two tiers": strings.Replace(good, "zone: global\n    effectiveFrom: 2026-10-03", "tier: flex\n    effectiveFrom: 2026-07-09", 1),
		"the same time in two zones": strings.Replace(good, "zone: global\n    effectiveFrom: 2026-10-03", "zone: datazone\n    effectiveFrom: 2026-07-09", 1),
		"the later one first":        strings.NewReplacer("effectiveFrom: 2026-07-09\n    effectiveTo: 2026-10-03", "effectiveFrom: 2026-11-01", "effectiveFrom: 2026-10-03", "effectiveFrom: 2026-10-03\n    effectiveTo: 2026-11-01").Replace(good),
		"the dearest price":          strings.Replace(good, `"30"`, `"10000"`, 1),
		"the cheapest price":         strings.Replace(good, `"30"`, `"0.000001"`, 1),
		"a price of 0":               strings.Replace(good, `"30"`, `"0"`, 1),
		"Windows":                    strings.ReplaceAll(good, "\n", "\r\n"),
	} {
		if _, err := cost.Parse([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every error names the place, the field and what to do.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, old, new string   // what to change in the good table
		want           []string // parts of the error
	}{
		{"negative", `"0.50"`, `"-0.50"`, []string{"entry one", "cached", "is negative", "USD per million"}},
		{"a word", `"0.50"`, `"half"`, []string{"entry one", "cached", `"half"`, "is not a decimal", "write USD"}},
		{"an exponent", `"0.50"`, `"5e-1"`, []string{"entry one", "cached", "is not a decimal"}},
		{"a plus", `"0.50"`, `"+0.50"`, []string{"entry one", "cached", "is not a decimal"}},
		{"a comma", `"0.50"`, `"0,50"`, []string{"entry one", "cached", "is not a decimal"}},
		{"a currency", `"0.50"`, `"$0.50"`, []string{"entry one", "cached", "is not a decimal"}},
		{"two points", `"0.50"`, `"0.5.0"`, []string{"entry one", "cached", "is not a decimal"}},
		{"only a point", `"0.50"`, `"."`, []string{"entry one", "cached", "is not a decimal"}},
		{"nothing before the point", `"0.50"`, `".5"`, []string{"entry one", "cached", "is not a decimal"}},
		{"nothing after it", `"0.50"`, `"5."`, []string{"entry one", "cached", "is not a decimal"}},
		{"digits of another script", `"0.50"`, `"٥"`, []string{"entry one", "cached", "is not a decimal"}},
		{"no number at all", `"0.50"`, `""`, []string{"entry one", "cached", "is empty"}},
		{"too fine", `"0.50"`, `"0.5000001"`, []string{"entry one", "cached", "too fine", "6 places"}},
		{"too dear", `"0.50"`, `"10000.000001"`, []string{"entry one", "cached", "too large", "10000"}},
		{"far too dear", `"0.50"`, `"99999999999999999999999"`, []string{"entry one", "cached", "too large"}},
		{"without quotes", `"0.50"`, `0.50`, []string{"entry one", "cached", "write it in quotes"}},
		{"whole, without quotes", `"5"`, `5`, []string{"entry one", "input", "write it in quotes"}},
		{"null", `"0.50"`, `null`, []string{"entry one", "cached", "is not a number"}},
		{"an alias", `"0.50"`, `*x`, []string{"entry one", "cached", "is not a number"}},
		{"no input", `input: "5", `, ``, []string{"entry one", "components", "input is missing", "add it"}},
		{"no output", `, output: "30"`, ``, []string{"entry one", "components", "output is missing"}},
		{"an unknown component", `cached:`, `reasoning:`, []string{"entry one", "components", "reasoning is unknown", "cacheWrite"}},
		{"components that are none", `{input: "5", cached: "0.50", output: "30"}`, `"5"`, []string{"entry one", "components", "has no fields"}},
		{"no components", `    components: {input: "5", cached: "0.50", output: "30"}` + "\n", ``, []string{"entry one", "components is missing"}},

		{"an unknown provider", "provider: openai", "provider: acme", []string{"entry one", "provider", `"acme" is unknown`, "azure, openai"}},
		{"an unknown zone", "zone: global", "zone: mars", []string{"entry two", "zone", `"mars" is unknown`, "datazone"}},
		{"an unknown tier", "zone: global", "tier: gold", []string{"entry two", "tier", `"gold" is unknown`, "priority"}},
		{"an unknown field", "source: the", "sauce: the", []string{"entry one", "source is missing"}},
		{"a field too many", "zone: global", "region: global", []string{"entry two", "region is unknown", "effectiveFrom"}},
		{"a field twice", "zone: global", "model: sol", []string{"mapping key", "model", "already defined"}},
		{"no id", "  - id: one\n   ", "  -", []string{"entry number 1", "id is missing"}},
		{"no provider", "    provider: openai\n", "", []string{"entry one", "provider is missing"}},
		{"no model", "    model: sol\n", "", []string{"entry one", "model is missing"}},
		{"an empty model", "model: sol", `model: ""`, []string{"entry one", "model is empty"}},
		{"a model that is a number", "model: sol", "model: 5.4", []string{"entry one", "model is not a text", "quotes"}},
		{"a model with a space", "model: sol", `model: "sol "`, []string{"entry one", "model", "is not one word"}},
		{"an id with a space", "id: one", "id: number one", []string{"number one", "id", "is not one word"}},
		{"no source", "    source: the price page\n", "", []string{"entry one", "source is missing"}},
		{"no check", "    checkedAt: 2026-08-02\n", "", []string{"entry one", "checkedAt is missing"}},
		{"no beginning", "    effectiveFrom: 2026-07-09\n", "", []string{"entry one", "effectiveFrom is missing"}},
		{"no date", "2026-08-02", "August", []string{"entry one", "checkedAt", `"August" is not a day`, "2026-10-03"}},
		{"a day that is none", "2026-07-09", "2026-02-30", []string{"entry one", "effectiveFrom", "is not a day"}},
		{"a time of day", "2026-07-09", `"2026-07-09T10:00:00Z"`, []string{"entry one", "effectiveFrom", "is not a day"}},
		{"the zero time", "2026-07-09", `"0001-01-01"`, []string{"entry one", "effectiveFrom", "is not a day"}},

		{"the end before the beginning", "2026-07-09", "2026-11-09", []string{"entry one", "effectiveTo", "is not after effectiveFrom"}},
		{"the end at the beginning", "2026-07-09", "2026-10-03", []string{"entry one", "effectiveTo", "is not after effectiveFrom"}},
		{"a day of both", "effectiveTo: 2026-10-03", "effectiveTo: 2026-10-04", []string{"entry two", "effectiveFrom", "overlap", "entry one", "end the earlier"}},
		{"an end that is left out", "    effectiveTo: 2026-10-03\n", "", []string{"entry two", "overlap", "entry one"}},
		{"all of it", "effectiveFrom: 2026-10-03", "effectiveFrom: 2026-08-01\n    effectiveTo: 2026-08-02", []string{"entry two", "overlap", "entry one"}},
		{"an id twice", "id: two", "id: one", []string{"entry one", "id is used twice"}},

		{"no factors", good[strings.Index(good, "factors:"):], "", []string{"the table", "factors is missing"}},
		{"no long context", `  longContext: [{above: 272000, input: "2", cached: "2", cacheWrite: "2", output: "1.5"}]` + "\n", "", []string{"factors", "longContext is missing"}},
		{"no threshold", "above: 272000, ", "", []string{"longContext number 1", "above is missing"}},
		{"a threshold of 0", "272000", "0", []string{"longContext number 1", "above", "above 0"}},
		{"a threshold in words", "272000", `"many"`, []string{"longContext number 1", "above is not a whole number"}},
		{"a threshold in hexadecimal", "272000", "0x10", []string{"longContext number 1", "above", "digits only"}},
		{"a surcharge that is none", `"1.5"`, `"0.99"`, []string{"longContext number 1", "output", "too small", "1.00"}},
		{"half a surcharge", `cached: "2", `, "", []string{"longContext number 1", "cached is missing"}},
		{"a factor of 0", `"0.5"`, `"0"`, []string{"tiers number 1", "factor", "too small", "0.01"}},
		{"a negative factor", `"0.5"`, `"-1"`, []string{"tiers number 1", "factor", "is negative"}},
		{"a factor too fine", `"1.1"`, `"1.125"`, []string{"zones number 1", "factor", "too fine", "2 places"}},
		{"a factor too large", `"1.1"`, `"10.01"`, []string{"zones number 1", "factor", "too large"}},
		{"a factor without quotes", `"1.1"`, `1.1`, []string{"zones number 1", "factor", "quotes"}},
		{"a factor for the global zone", "zone: datazone", "zone: global", []string{"zones number 1", "zone", "datazone"}},
		{"a factor for no zone", "zone: datazone, ", "", []string{"zones number 1", "zone"}},
		{"a factor for an unknown tier", "tier: flex", "tier: gold", []string{"tiers number 1", "tier", "gold"}},
		{"a factor with a field too many", "tier: flex, provider: openai", "tier: flex, service: openai", []string{"tiers number 1", "service is unknown"}},
		{"two factors for one call", "provider: azure, models", "models", []string{"tiers number 2", "number 1", "narrow one"}},
		{"models that are no list", "[sol]", "sol", []string{"tiers number 2", "models is not a list"}},
		{"no models", "[sol]", "[]", []string{"tiers number 2", "models", "leave it out"}},
		{"a model that is no text", "[sol]", "[5]", []string{"tiers number 2", "models", "quotes"}},

		{"nothing", good, "", []string{"the table", "has no fields"}},
		{"a text", good, "prices", []string{"the table", "has no fields"}},
		{"a list", good, "- a", []string{"the table", "has no fields"}},
		{"no entries", good[:strings.Index(good, "factors:")], "entries: []\n", []string{"entries is empty", "add the prices"}},
		{"entries that are no list", good[:strings.Index(good, "factors:")], "entries: {}\n", []string{"entries is not a list"}},
		{"an entry that is none", "  - id: one\n", "  - one\n  - id: one\n", []string{"entry number 1", "has no fields"}},
		{"an unknown list", "factors:", "others: []\nfactors:", []string{"the table", "others is unknown", "entries, factors"}},
		{"two documents", "factors:", "---\nfactors:", []string{"2 documents"}},
		{"not YAML", "[sol]", "[sol", []string{"not YAML"}},
		{"an unknown name", "model: sol", "{a: b}: sol", []string{"not YAML"}},
		{"a long line", "the price page", strings.Repeat("the price page ", 100), []string{"line 8", "1024"}},
		{"a long text", "entries:", strings.Repeat("# many words\n", 6000) + "entries:", []string{"65536", "leave out"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(good, test.old, test.new, 1)
			if text == good {
				t.Fatal("nothing is changed")
			}
			prices, err := cost.Parse([]byte(text))
			if err == nil {
				t.Fatal("taken")
			}
			if got := prices.Price(cost.Call{Provider: "openai", Model: "sol", At: october}, cost.Usage{}, false); got.Kind != cost.Unpriced {
				t.Errorf("refused, and yet prices: %+v", got)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v\nlacks %q", err, part)
				}
			}
		})
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/prices.yaml"
	if _, err := cost.Load(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "name a file") {
		t.Errorf("no file: %v", err)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Replace(good, `"5"`, `"-5"`, 1))
	if _, err := cost.Load(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "entry one") {
		t.Errorf("a wrong file: %v", err)
	}
	write(good)
	prices, err := cost.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := prices.Price(cost.Call{Provider: "openai", Model: "sol", At: october}, cost.Usage{Output: 1}, false); got.PriceID != "two" || *got.PicoUSD != 20_000_000 {
		t.Errorf("%+v", got)
	}
}
