package limit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

func TestParseRules(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text  string
		rules limit.Rules
		again string // the form that String writes
	}{
		{"10/60s", limit.Rules{{Capacity: 10, Window: time.Minute}}, "10/60s"},
		{"10/1m", limit.Rules{{Capacity: 10, Window: time.Minute}}, "10/60s"},
		{" 1/60s , 10 / 24h ", limit.Rules{{Capacity: 1, Window: time.Minute}, {Capacity: 10, Window: 24 * time.Hour}}, "1/60s,10/24h"},
		{"1/90m", limit.Rules{{Capacity: 1, Window: 90 * time.Minute}}, "1/5400s"},
		{"3/1.5s", limit.Rules{{Capacity: 3, Window: 1500 * time.Millisecond}}, "3/1.5s"},
		{"4096/1ms", limit.Rules{{Capacity: 4096, Window: time.Millisecond}}, "4096/1ms"},
		{"1/8784h", limit.Rules{{Capacity: 1, Window: 366 * 24 * time.Hour}}, "1/8784h"},
		{"1/1.0000009s", limit.Rules{{Capacity: 1, Window: time.Second}}, "1/1s"}, // what Postgres keeps
		{"off", limit.Rules{}, "off"},
		{" OFF ", limit.Rules{}, "off"},
		{strings.TrimSuffix(strings.Repeat("1/60s,", limit.MaxRules), ","), nil, strings.TrimSuffix(strings.Repeat("1/60s,", limit.MaxRules), ",")},
	}
	for _, test := range tests {
		rules, err := limit.ParseRules(test.text)
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if diff := cmp.Diff(test.rules, rules); test.rules != nil && diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.text, diff)
		}
		if again := rules.String(); again != test.again {
			t.Errorf("%q is written as %q, want %q", test.text, again, test.again)
		}
	}
	if s := limit.Rules(nil).String(); s != "off" {
		t.Errorf("no rules are written as %q", s)
	}
}

func TestParseRulesErrors(t *testing.T) {
	t.Parallel()
	const remedy = `write capacity/window, such as "10/60s" or "1/60s,10/24h", or "off"`
	for text, part := range map[string]string{
		"": "window", "10": "window", "10/": "window", "10/60": "window", "10/0s": "window", "10/-5s": "window",
		"10/999us": "window", "10/8785h": "window", "10/soon": "window", "off,10/60s": "window", "10/60s,": "window", ",": "window",
		"10/60s/2": "window", "10/9223372036854775808ns": "window",
		"/60s": "capacity", "0/60s": "capacity", "-1/60s": "capacity", "4097/60s": "capacity", "ten/60s": "capacity",
		"1.5/60s": "capacity", "99999999999999999999/60s": "capacity", "1/60s,x/24h": "capacity",
	} {
		rules, err := limit.ParseRules(text)
		if err == nil || rules != nil {
			t.Errorf("%q was read as %v", text, rules)
			continue
		}
		if !strings.Contains(strings.TrimSuffix(err.Error(), remedy), part) || !strings.HasSuffix(err.Error(), remedy) {
			t.Errorf("%q: the error must name the %s and what to write: %v", text, part, err)
		}
	}
	if _, err := limit.ParseRules(strings.Repeat("1/60s,", limit.MaxRules) + "1/60s"); err == nil || !strings.Contains(err.Error(), "at most 16 rules") {
		t.Errorf("17 rules: %v", err)
	}
}

func drawRules(t *rapid.T) limit.Rules {
	rule := rapid.Custom(func(t *rapid.T) limit.Rule {
		unit := rapid.SampledFrom([]time.Duration{time.Microsecond, time.Millisecond, time.Second, time.Minute, time.Hour}).Draw(t, "unit")
		least := max(1, int64(time.Millisecond/unit))
		return limit.Rule{
			Capacity: rapid.IntRange(1, limit.MaxCapacity).Draw(t, "capacity"),
			Window:   time.Duration(rapid.Int64Range(least, int64(366*24*time.Hour/unit)).Draw(t, "window")) * unit,
		}
	})
	return rapid.SliceOfN(rule, 0, limit.MaxRules).Draw(t, "rules")
}

func TestRulesRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rules := drawRules(t)
		again, err := limit.ParseRules(rules.String())
		if err != nil || !again.Equal(rules) {
			t.Fatalf("%v is written as %q, read as %v: %v", rules, rules.String(), again, err)
		}
	})
}

func FuzzParseRules(f *testing.F) {
	for _, seed := range []string{"10/60s", "1/60s,10/24h", "off", "", ",", "/", "1/1h1m1.000001s", "+5/1e3s", "1/µs", "4096/8784h", "0x1/1s", "\x00/\xff", "1/-0s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := limit.ParseRules(text)
		if err != nil {
			if rules != nil || strings.ContainsAny(err.Error(), "\n\r\x00") {
				t.Fatalf("%q: rules %v, error %q", text, rules, err)
			}
			return
		}
		if len(rules) > limit.MaxRules {
			t.Fatalf("%q: %d rules", text, len(rules))
		}
		for _, r := range rules {
			if r.Capacity < 1 || r.Capacity > limit.MaxCapacity || r.Window < time.Millisecond || r.Window > 366*24*time.Hour || r.Window%time.Microsecond != 0 {
				t.Fatalf("%q was read as %+v", text, r)
			}
		}
		again, err := limit.ParseRules(rules.String())
		if err != nil || !again.Equal(rules) || again.String() != rules.String() {
			t.Fatalf("%q is written as %q, read as %v: %v", text, rules, again, err)
		}
	})
}

func TestRulesEqual(t *testing.T) {
	t.Parallel()
	one, other := limit.Rule{Capacity: 1, Window: time.Second}, limit.Rule{Capacity: 1, Window: time.Minute}
	tests := []struct {
		a, b limit.Rules
		want bool
	}{
		{nil, limit.Rules{}, true}, {limit.Rules{one}, limit.Rules{one}, true}, {limit.Rules{one, other}, limit.Rules{one, other}, true},
		{limit.Rules{one}, nil, false}, {limit.Rules{one}, limit.Rules{other}, false}, {limit.Rules{one, other}, limit.Rules{other, one}, false},
		{limit.Rules{one}, limit.Rules{one, one}, false}, {limit.Rules{one}, limit.Rules{{Capacity: 2, Window: time.Second}}, false},
	}
	for _, test := range tests {
		if test.a.Equal(test.b) != test.want || test.b.Equal(test.a) != test.want {
			t.Errorf("%v and %v: want equal %v", test.a, test.b, test.want)
		}
	}
}

func TestPolicyOf(t *testing.T) {
	t.Parallel()
	p := limit.Policy{Account: limit.Rules{{Capacity: 10, Window: time.Minute}}, Recipient: limit.Rules{{Capacity: 1, Window: time.Hour}}}
	if !p.Of(limit.ScopeAccount).Equal(p.Account) || !p.Of(limit.ScopeRecipient).Equal(p.Recipient) {
		t.Error("the scopes are mixed up")
	}
}
