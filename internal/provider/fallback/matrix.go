// Package fallback decides what follows when a text could not be had: another try, the other provider, a wait, a
// text that stands ready, or the end. The rules are data (Matrix); a Plan applies them to one text at a time and
// remembers in its Checkpoint where it is. It is pure: no clock, no network, no database.
//
// It promises that every chain of tries ends: in a text, in a failure with its reason, or in a wait of known
// length; that no target is entered twice in a chain; and that waits are bounded by number and age.
package fallback

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

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

type file struct {
	Bounds struct {
		DeadlineMs    *int64 `yaml:"deadlineMs"`
		MaxCalls      *int   `yaml:"maxCalls"`
		RetryAfterMs  *int64 `yaml:"retryAfterMs"`
		QueueMaxWaits *int   `yaml:"queueMaxWaits"`
		QueueMaxAgeMs *int64 `yaml:"queueMaxAgeMs"`
	} `yaml:"bounds"`
	Rows []fileRow `yaml:"rows"`
}

type fileRow struct {
	Scenario   string `yaml:"scenario"`
	Fallback   string `yaml:"fallback"`
	MaxRetries *int   `yaml:"maxRetries"`
	DelayMs    *int64 `yaml:"delayMs"`
}

// Parse reads and checks a matrix. The error lists everything that is wrong, each with the row that it is about.
func Parse(text []byte) (Matrix, error) {
	base, err := decode(embedded)
	if err != nil {
		return Matrix{}, err
	}
	own, err := decode(text)
	if err != nil {
		return Matrix{}, err
	}
	m := Matrix{rows: map[Scenario]Row{}}
	for _, r := range base.Rows {
		m.rows[Scenario(r.Scenario)] = r.row()
	}
	problems := own.check()
	for _, r := range own.Rows {
		m.rows[Scenario(r.Scenario)] = r.row()
	}
	m.bounds = own.bounds(base)
	problems = append(problems, m.bounds.check()...)
	if len(problems) > 0 {
		return Matrix{}, errors.New(strings.Join(problems, "; "))
	}
	return m, nil
}

func decode(text []byte) (f file, err error) {
	if err := yaml.UnmarshalWithOptions(text, &f, yaml.Strict()); err != nil {
		return f, fmt.Errorf("not the YAML of a matrix (bounds, rows): %s", yaml.FormatError(err, false, false))
	}
	return f, nil
}

func (r fileRow) row() Row {
	row := Row{Fallback: Way(r.Fallback)}
	if r.MaxRetries != nil {
		row.MaxRetries = *r.MaxRetries
	}
	if r.DelayMs != nil {
		row.Delay = time.Duration(*r.DelayMs) * time.Millisecond
	}
	return row
}

// The ranges of a row's numbers.
const (
	mostRetries = 10
	mostDelay   = 24 * time.Hour
	leastWait   = time.Second // in the queue: less would be a loop
)

func (f file) check() (problems []string) {
	seen, known := map[string]bool{}, Scenarios()
	for i, r := range f.Rows {
		name := fmt.Sprintf("row %q", r.Scenario)
		if r.Scenario == "" {
			name = fmt.Sprintf("row %d", i+1)
		}
		say := func(format string, args ...any) { problems = append(problems, name+": "+fmt.Sprintf(format, args...)) }
		if !slices.Contains(known, Scenario(r.Scenario)) {
			say("there is no such scenario; known are %s", list(known))
			continue
		}
		if seen[r.Scenario] {
			say("appears twice; keep one")
		}
		seen[r.Scenario] = true
		if ways := waysOf(Scenario(r.Scenario)); !slices.Contains(ways, Way(r.Fallback)) {
			say("fallback %q is not possible; choose one of %s", r.Fallback, list(ways))
		}
		switch {
		case r.MaxRetries == nil:
			say("maxRetries is missing; give a number from 0 to %d", mostRetries)
		case *r.MaxRetries < 0 || *r.MaxRetries > mostRetries:
			say("maxRetries is %d; give a number from 0 to %d", *r.MaxRetries, mostRetries)
		}
		switch {
		case r.DelayMs == nil:
			say("delayMs is missing; give milliseconds from 0 to %d", mostDelay.Milliseconds())
		case *r.DelayMs < 0 || *r.DelayMs > mostDelay.Milliseconds():
			say("delayMs is %d; give milliseconds from 0 to %d", *r.DelayMs, mostDelay.Milliseconds())
		case Way(r.Fallback) == ToQueue && *r.DelayMs < leastWait.Milliseconds():
			say("delayMs is %d; a queue waits for %d at least", *r.DelayMs, leastWait.Milliseconds())
		}
	}
	return problems
}

func list[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}

// waysOf lists what may follow in a scenario. Nothing falls back to itself, and what is about sending can't be
// answered by a provider.
func waysOf(s Scenario) []Way {
	switch {
	case s == RateLimiterDown:
		return []Way{ToBypass}
	case s == OnlyFansRateLimited:
		return []Way{ToQueue}
	case strings.HasPrefix(string(s), string(provider.Azure)+"_"):
		return []Way{Way(provider.OpenAI), ToQueue, ToFallbackText, ToFailure}
	case strings.HasPrefix(string(s), string(provider.OpenAI)+"_"):
		return []Way{Way(provider.Azure), ToQueue, ToFallbackText, ToFailure}
	}
	return []Way{ToQueue, ToFallbackText, ToFailure}
}

func (f file) bounds(base file) Bounds {
	return Bounds{
		Deadline:      time.Duration(or(f.Bounds.DeadlineMs, base.Bounds.DeadlineMs)) * time.Millisecond,
		MaxCalls:      or(f.Bounds.MaxCalls, base.Bounds.MaxCalls),
		RetryAfter:    time.Duration(or(f.Bounds.RetryAfterMs, base.Bounds.RetryAfterMs)) * time.Millisecond,
		QueueMaxWaits: or(f.Bounds.QueueMaxWaits, base.Bounds.QueueMaxWaits),
		QueueMaxAge:   time.Duration(or(f.Bounds.QueueMaxAgeMs, base.Bounds.QueueMaxAgeMs)) * time.Millisecond,
	}
}

func or[T any](own, base *T) (none T) {
	switch {
	case own != nil:
		return *own
	case base != nil:
		return *base
	}
	return none
}

func (b Bounds) check() (problems []string) {
	within := func(name string, got, least, most int64) {
		if got < least || got > most {
			problems = append(problems, fmt.Sprintf("bounds: %s is %d; give a number from %d to %d", name, got, least, most))
		}
	}
	within("deadlineMs", b.Deadline.Milliseconds(), 1000, time.Hour.Milliseconds())
	within("maxCalls", int64(b.MaxCalls), 1, 50)
	within("retryAfterMs", b.RetryAfter.Milliseconds(), 0, time.Hour.Milliseconds())
	within("queueMaxWaits", int64(b.QueueMaxWaits), 1, 100_000)
	within("queueMaxAgeMs", b.QueueMaxAge.Milliseconds(), 1000, (30 * 24 * time.Hour).Milliseconds())
	return problems
}
