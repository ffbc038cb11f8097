package fallback_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
)

const row = "rows: [{scenario: %s, fallback: %s, maxRetries: %s, delayMs: %s}]"

// What is wrong is named with its row and with what to write instead.
func TestParseErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []string
	}{
		{"unknown scenario", fmt.Sprintf(row, "azure_boredom", "openai", "1", "1"), []string{`row "azure_boredom": there is no such scenario`, "known are", "azure_timeout"}},
		{"a scenario without a name", "rows: [{fallback: openai, maxRetries: 1, delayMs: 1}]", []string{"row 1: there is no such scenario"}},
		{"a scenario that is a list", fmt.Sprintf(row, "[azure_timeout]", "openai", "1", "1"), []string{`row "[azure_timeout]": there is no such scenario`}},
		{"twice", strings.Replace(fmt.Sprintf(row, "azure_auth", "openai", "1", "1"), "]", ", {scenario: azure_auth, fallback: fail, maxRetries: 1, delayMs: 1}]", 1), []string{`row "azure_auth": appears twice; keep one`}},
		{"to itself", fmt.Sprintf(row, "azure_timeout", "azure", "1", "1"), []string{`row "azure_timeout": fallback "azure" is not possible; choose one of openai, queue, fallback_text, fail`}},
		{"to itself, the other", fmt.Sprintf(row, "openai_auth", "openai", "1", "1"), []string{`row "openai_auth": fallback "openai" is not possible; choose one of azure, queue, fallback_text, fail`}},
		{"a provider sends nothing", fmt.Sprintf(row, "onlyfans_rate_limited", "azure", "1", "1"), []string{`row "onlyfans_rate_limited": fallback "azure" is not possible; choose one of queue`}},
		{"a provider is no rate limiter", fmt.Sprintf(row, "rate_limiter_down", "queue", "1", "2000"), []string{`row "rate_limiter_down": fallback "queue" is not possible; choose one of bypass_with_warning`}},
		{"a bypass of a provider", fmt.Sprintf(row, "azure_timeout", "bypass_with_warning", "1", "1"), []string{`fallback "bypass_with_warning" is not possible`}},
		{"after all failed to one", fmt.Sprintf(row, "all_failed", "azure", "1", "1"), []string{`row "all_failed": fallback "azure" is not possible; choose one of queue, fallback_text, fail`}},
		{"a fallback that is a list", fmt.Sprintf(row, "azure_timeout", "[openai]", "1", "1"), []string{`row "azure_timeout": fallback "[openai]" is not possible; choose one of openai`}},
		{"no fallback", "rows: [{scenario: azure_timeout, maxRetries: 1, delayMs: 1}]", []string{`row "azure_timeout": fallback "" is not possible; choose one of openai`}},
		{"negative retries", fmt.Sprintf(row, "azure_timeout", "openai", "-1", "1"), []string{`row "azure_timeout": maxRetries is -1; give a whole number from 0 to 10`}},
		{"too many retries", fmt.Sprintf(row, "azure_timeout", "openai", "11", "1"), []string{"maxRetries is 11; give a whole number from 0 to 10"}},
		{"half a retry", fmt.Sprintf(row, "azure_timeout", "openai", "1.5", "1"), []string{"maxRetries is 1.5; give a whole number from 0 to 10"}},
		{"retries without end", fmt.Sprintf(row, "azure_timeout", "openai", ".inf", "1"), []string{"maxRetries is +Inf; give a whole number from 0 to 10"}},
		{"more retries than a number holds", fmt.Sprintf(row, "azure_timeout", "openai", "99999999999999999999", "1"), []string{`row "azure_timeout": maxRetries is`, "give a whole number"}},
		{"retries in words", fmt.Sprintf(row, "azure_timeout", "openai", "two", "1"), []string{`row "azure_timeout": maxRetries is "two"; give a whole number from 0 to 10`}},
		{"retries in quotes", fmt.Sprintf(row, "azure_timeout", "openai", `"2"`, "1"), []string{`maxRetries is "2"; give a whole number`}},
		{"retries as a list", fmt.Sprintf(row, "azure_timeout", "openai", "[2]", "1"), []string{`row "azure_timeout": maxRetries is [2]; give a whole number`}},
		{"retries that are true", fmt.Sprintf(row, "azure_timeout", "openai", "true", "1"), []string{`maxRetries is true; give a whole number`}},
		{"no retries", "rows: [{scenario: azure_timeout, fallback: openai, delayMs: 1}]", []string{`row "azure_timeout": maxRetries is missing; give a whole number from 0 to 10`}},
		{"negative delay", fmt.Sprintf(row, "azure_timeout", "openai", "1", "-5"), []string{"delayMs is -5; give whole milliseconds from 0 to 86400000"}},
		{"delay of more than a day", fmt.Sprintf(row, "azure_timeout", "openai", "1", "86400001"), []string{"delayMs is 86400001; give whole milliseconds from 0 to 86400000"}},
		{"delay that turns round", fmt.Sprintf(row, "azure_timeout", "openai", "1", "18446744073709552"), []string{"delayMs is 18446744073709552; give whole milliseconds"}},
		{"delay with a unit", fmt.Sprintf(row, "azure_timeout", "openai", "1", "5s"), []string{`delayMs is "5s"; give whole milliseconds from 0 to 86400000`}},
		{"no delay", "rows: [{scenario: azure_timeout, fallback: openai, maxRetries: 1}]", []string{`row "azure_timeout": delayMs is missing; give whole milliseconds from 0 to 86400000`}},
		{"a queue without delay", fmt.Sprintf(row, "azure_timeout", "queue", "1", "0"), []string{`row "azure_timeout": delayMs is 0; give whole milliseconds from 1000`}},
		{"a queue with too short a delay", fmt.Sprintf(row, "all_failed", "queue", "1", "999"), []string{`row "all_failed": delayMs is 999; give whole milliseconds from 1000`}},
		{"unknown field of a row", "rows:\n  - {scenario: azure_timeout, fallback: openai, retries: 1, delayMs: 1}", []string{"not the YAML of a matrix", "[2:49]", `unknown field "retries"`, "scenario, fallback, maxRetries, delayMs"}},
		{"unknown field", "row: []", []string{`unknown field "row"`, "rows"}},
		{"unknown bound", "bounds: {maxcalls: 3}", []string{`unknown field "maxcalls"`, "maxCalls"}},
		{"a field twice", "rows: [{scenario: azure_timeout, scenario: azure_auth, fallback: openai, maxRetries: 1, delayMs: 5}]", []string{`"scenario" already defined`}},
		{"not YAML", "a: b: c", []string{"not the YAML of a matrix: [1:4]", "rows (scenario"}},
		{"a tab", "rows:\n\t- x", []string{"not the YAML of a matrix: [2:1]"}},
		{"something else", "hello", []string{"not the YAML of a matrix", "bounds (deadlineMs"}},
		{"nothing, in so many words", "null", []string{"not the YAML of a matrix"}},
		{"rows that are no list", "rows: {azure_timeout: openai}", []string{"not the YAML of a matrix: [1:7]", "a list of rows"}},
		{"a row that is none", "rows: [azure_timeout]", []string{"not the YAML of a matrix: [1:8]"}},
		{"a row that is empty", "rows: [null]", []string{"row 1: there is no such scenario"}},
		{"two documents", "bounds: {maxCalls: 3}\n---\nrows: []", []string{"second document"}},
		{"deadline too short", "bounds: {deadlineMs: 999}", []string{"bounds: deadlineMs is 999; give whole milliseconds from 1000 to 3600000"}},
		{"deadline too long", "bounds: {deadlineMs: 3600001}", []string{"bounds: deadlineMs is 3600001"}},
		{"deadline that turns round", "bounds: {deadlineMs: 18446744073710552}", []string{"bounds: deadlineMs is 18446744073710552; give whole milliseconds from 1000 to 3600000"}},
		{"deadline that no number holds", "bounds: {deadlineMs: 18446744073709552000}", []string{`bounds: deadlineMs is "18446744073709552000"`}},
		{"no call", "bounds: {maxCalls: 0}", []string{"bounds: maxCalls is 0; give a whole number from 1 to 50"}},
		{"too many calls", "bounds: {maxCalls: 51}", []string{"bounds: maxCalls is 51"}},
		{"negative Retry-After", "bounds: {retryAfterMs: -1}", []string{"bounds: retryAfterMs is -1; give whole milliseconds from 0 to 3600000"}},
		{"no wait", "bounds: {queueMaxWaits: 0}", []string{"bounds: queueMaxWaits is 0; give a whole number from 1 to 100000"}},
		{"an age beyond a month", "bounds: {queueMaxAgeMs: 2592000001}", []string{"bounds: queueMaxAgeMs is 2592000001; give whole milliseconds from 1000 to 2592000000"}},
		{"a bound in words", "bounds: {queueMaxAgeMs: a day}", []string{`bounds: queueMaxAgeMs is "a day"`}},
		{"everything at once", `
bounds: {maxCalls: 0, deadlineMs: soon}
rows:
  - {scenario: azure_timeout, fallback: azure, maxRetries: 11, delayMs: -1}
  - {scenario: azure_boredom, fallback: azure, maxRetries: 0, delayMs: 0}
  - {scenario: azure_timeout, fallback: queue, maxRetries: two, delayMs: 0}
`, []string{
			`bounds: maxCalls is 0`, `bounds: deadlineMs is "soon"`, `row "azure_timeout": fallback "azure"`, "maxRetries is 11", "delayMs is -1",
			`row "azure_boredom": there is no such scenario`, `row "azure_timeout": appears twice`, `maxRetries is "two"`, "delayMs is 0; give whole milliseconds from 1000",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, err := fallback.Parse([]byte(test.text))
			if err == nil {
				t.Fatalf("was read: %v", m.Bounds())
			}
			if !m.IsZero() {
				t.Error("a matrix comes with the error")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q:\n%v", part, err)
				}
			}
			if strings.Contains(err.Error(), "Go ") {
				t.Errorf("the error speaks of Go: %v", err)
			}
		})
	}
}

// possible is what may follow in a scenario, by the specification of the matrix.
func possible(s fallback.Scenario) []fallback.Way {
	name, _, _ := strings.Cut(string(s), "_")
	switch {
	case s == fallback.RateLimiterDown:
		return []fallback.Way{fallback.ToBypass}
	case s == fallback.OnlyFansRateLimited:
		return []fallback.Way{fallback.ToQueue}
	case name == "azure":
		return []fallback.Way{"openai", fallback.ToQueue, fallback.ToFallbackText, fallback.ToFailure}
	case name == "openai":
		return []fallback.Way{"azure", fallback.ToQueue, fallback.ToFallbackText, fallback.ToFailure}
	}
	return []fallback.Way{fallback.ToQueue, fallback.ToFallbackText, fallback.ToFailure}
}

// What is accepted is whole, and within its ranges.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"", "rows: []", fmt.Sprintf(row, "azure_timeout", "queue", "10", "1000"), fmt.Sprintf(row, "openai_auth", "fail", "0", "0"),
		"bounds: {deadlineMs: 18446744073710552}", "bounds: {maxCalls: 1e1, queueMaxAgeMs: 0x7fffffff}", "rows: [null]", "rows: &a [*a]",
		"a: &a [1]\nb: *a", "bounds: {maxCalls: 3}\n---\n", "\xff\xfe", "{", "? [a]\n: b", "rows: [{<<: {scenario: azure_auth}}]",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := fallback.Parse(text)
		if err != nil {
			if !m.IsZero() || strings.TrimSpace(err.Error()) == "" {
				t.Fatalf("%v, %v", m, err)
			}
			return
		}
		for _, s := range fallback.Scenarios() {
			r := m.Row(s)
			if !slices.Contains(possible(s), r.Fallback) || r.MaxRetries < 0 || r.MaxRetries > 10 || r.Delay < 0 || r.Delay > 24*time.Hour ||
				r.Fallback == fallback.ToQueue && r.Delay < time.Second {
				t.Fatalf("%s: %+v", s, r)
			}
		}
		b := m.Bounds()
		if b.Deadline < time.Second || b.Deadline > time.Hour || b.MaxCalls < 1 || b.MaxCalls > 50 || b.RetryAfter < 0 || b.RetryAfter > time.Hour ||
			b.QueueMaxWaits < 1 || b.QueueMaxWaits > 100_000 || b.QueueMaxAge < time.Second || b.QueueMaxAge > 30*24*time.Hour {
			t.Fatalf("%+v", b)
		}
	})
}
