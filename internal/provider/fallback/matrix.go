// Package fallback decides what follows when a text could not be had: another try, the other provider, a wait, a
// text that stands ready, or the end. The rules are data (Matrix); a Plan applies them to one text at a time and
// remembers in its Checkpoint where it is. It is pure: no clock, no network, no database.
//
// It promises that every chain of tries ends: in a text, in a failure with its reason, or in a wait of known
// length; that no target is entered twice in a chain; and that waits are bounded by number and age.
package fallback

import (
	_ "embed"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
)

// Scenario names a row of the matrix.
type Scenario string

// The scenarios that are not made of a provider and a class.
const (
	OnlyFansRateLimited Scenario = "onlyfans_rate_limited" // the gateway answered 429
	RateLimiterDown     Scenario = "rate_limiter_down"     // the token buckets can't be used
	BudgetExceeded      Scenario = "budget_exceeded"       // the money for texts is spent
	AllOpen             Scenario = "all_open"              // no target may be called now
	AllFailed           Scenario = "all_failed"            // each target was tried in vain
	Deadline            Scenario = "deadline"              // a chain took too long, or too many calls
)

// GateFailed is the class of a text that the gate refused. It stands beside the provider's own classes.
const GateFailed provider.Class = "gate_failed"

// Lost is the class of a call whose process ended before it said how.
const Lost provider.Class = "lost"

// ending is how the scenarios of a class end, for either provider.
var ending = map[provider.Class]string{
	provider.Timeout: "timeout", provider.RateLimited: "rate_limited", provider.Connection: "unavailable", provider.Overloaded: "unavailable",
	provider.ServerError: "unavailable", provider.Auth: "auth", provider.NotFound: "not_found", provider.BillingStop: "billing_stop",
	provider.ContentFiltered: "content_filtered", provider.ContextLength: "context_length", provider.InvalidRequest: "invalid_request",
	provider.Refusal: "refusal", provider.Truncated: "truncated", provider.SchemaViolation: "schema_violation", GateFailed: "gate_failed",
}

// ScenarioOf names the row for a class of a provider's results; empty for the classes that are nobody's failure
// (completed, canceled, lost).
func ScenarioOf(name provider.Name, class provider.Class) Scenario {
	if end, ok := ending[class]; ok {
		return Scenario(string(name) + "_" + end)
	}
	return ""
}

// Scenarios lists every row that a matrix has.
func Scenarios() []Scenario {
	all := []Scenario{OnlyFansRateLimited, RateLimiterDown, BudgetExceeded, AllOpen, AllFailed, Deadline}
	for _, name := range provider.Names {
		for _, end := range slices.Compact(slices.Sorted(maps.Values(ending))) {
			all = append(all, Scenario(string(name)+"_"+end))
		}
	}
	return all
}

// Way is what follows after the tries on a target.
type Way string

// The ways besides the two providers' names.
const (
	ToQueue        Way = "queue"               // a durable wait, then a new chain
	ToFallbackText Way = "fallback_text"       // the text that the template has ready; without one the message fails
	ToFailure      Way = "fail"                // the message fails with the scenario as its reason
	ToBypass       Way = "bypass_with_warning" // only for rate_limiter_down
)

// Row says what to do in a scenario.
type Row struct {
	Fallback   Way
	MaxRetries int           // further tries on the same target
	Delay      time.Duration // before each of them, and the length of a wait in the queue
}

// Bounds keep every chain of tries finite.
type Bounds struct {
	Deadline      time.Duration // of a chain, from its first call
	MaxCalls      int           // of a chain
	RetryAfter    time.Duration // a target that asks for a longer wait is left for its fallback
	MaxCharged    int           // calls for one text that may have been paid for in vain; then it fails instead of waiting
	QueueMaxWaits int           // then the message fails
	QueueMaxAge   time.Duration // from the first wait on; then the message fails
}

// Matrix is a checked set of rows, one for each scenario.
type Matrix struct {
	rows   map[Scenario]Row
	bounds Bounds
}

// Row returns the row of a scenario. There is one for each of Scenarios.
func (m Matrix) Row(s Scenario) Row { return m.rows[s] }

// IsZero says that no matrix was given.
func (m Matrix) IsZero() bool { return m.rows == nil }

// Bounds returns what keeps chains finite.
func (m Matrix) Bounds() Bounds { return m.bounds }

//go:embed matrix.yaml
var embedded []byte

// Default is the embedded matrix.
func Default() Matrix {
	m, err := Parse(embedded)
	if err != nil {
		panic("embedded fallback matrix: " + err.Error())
	}
	return m
}

// Load reads a matrix from a file; an empty path is the embedded one. Rows and bounds that the file does not have
// are taken from the embedded matrix.
func Load(path string) (Matrix, error) {
	if path == "" {
		return Default(), nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Matrix{}, fmt.Errorf("the fallback matrix can't be read: %w", err)
	}
	m, err := Parse(text)
	if err != nil {
		return Matrix{}, fmt.Errorf("fallback matrix %s: %w", path, err)
	}
	return m, nil
}
