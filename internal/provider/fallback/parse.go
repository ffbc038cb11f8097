package fallback

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
)

// file is a matrix as it is written. Its words and numbers take what they find, so that the check can name the row
// of whatever is wrong, and go on to the next.
type file struct {
	Bounds struct {
		DeadlineMs    number `yaml:"deadlineMs"`
		MaxCalls      number `yaml:"maxCalls"`
		RetryAfterMs  number `yaml:"retryAfterMs"`
		MaxCharged    number `yaml:"maxCharged"`
		QueueMaxWaits number `yaml:"queueMaxWaits"`
		QueueMaxAgeMs number `yaml:"queueMaxAgeMs"`
	} `yaml:"bounds"`
	Rows []fileRow `yaml:"rows"`
}

type fileRow struct {
	Scenario   word   `yaml:"scenario"`
	Fallback   word   `yaml:"fallback"`
	MaxRetries number `yaml:"maxRetries"`
	DelayMs    number `yaml:"delayMs"`
}

// word is a text, or what stands in its place.
type word string

// UnmarshalYAML takes anything.
func (w *word) UnmarshalYAML(unmarshal func(any) error) error {
	var v any
	if err := unmarshal(&v); err != nil {
		return err
	}
	*w = word(fmt.Sprint(v))
	return nil
}

// number is a whole number, or what stands in its place.
type number struct {
	given string // as it is shown; empty: not there
	value int64
	whole bool
}

// UnmarshalYAML takes anything.
func (n *number) UnmarshalYAML(unmarshal func(any) error) error {
	var v any
	if err := unmarshal(&v); err != nil {
		return err
	}
	switch v := v.(type) {
	case int64:
		n.value, n.whole = v, true
	case uint64:
		n.value, n.whole = int64(min(v, 1<<62)), true // the end of a range is far below
	}
	n.given = fmt.Sprint(v)
	if text, is := v.(string); is {
		n.given = fmt.Sprintf("%q", text)
	}
	return nil
}

// problem says what is wrong with a number; empty: nothing.
func (n number) problem(name, unit string, least, most int64) string {
	remedy := fmt.Sprintf("give %s from %d to %d", unit, least, most)
	switch {
	case n.given == "":
		return name + " is missing; " + remedy
	case !n.whole || n.value < least || n.value > most:
		return fmt.Sprintf("%s is %s; %s", name, n.given, remedy)
	}
	return ""
}

func (n number) milliseconds() time.Duration { return time.Duration(n.value) * time.Millisecond }

const (
	anyNumber    = "a whole number"
	milliseconds = "whole milliseconds"
)

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
	own.takeBounds(base)
	if problems := append(own.checkRows(), own.checkBounds()...); len(problems) > 0 {
		return Matrix{}, errors.New(strings.Join(problems, "; "))
	}
	b := own.Bounds
	m := Matrix{rows: map[Scenario]Row{}, bounds: Bounds{
		Deadline: b.DeadlineMs.milliseconds(), MaxCalls: int(b.MaxCalls.value), RetryAfter: b.RetryAfterMs.milliseconds(),
		MaxCharged: int(b.MaxCharged.value), QueueMaxWaits: int(b.QueueMaxWaits.value), QueueMaxAge: b.QueueMaxAgeMs.milliseconds(),
	}}
	for _, r := range append(base.Rows, own.Rows...) {
		m.rows[Scenario(r.Scenario)] = Row{Fallback: Way(r.Fallback), MaxRetries: int(r.MaxRetries.value), Delay: r.DelayMs.milliseconds()}
	}
	return m, nil
}

func decode(text []byte) (f file, err error) {
	const form = "not the YAML of a matrix: %s; it has bounds (deadlineMs, maxCalls, retryAfterMs, maxCharged, queueMaxWaits, queueMaxAgeMs) and a list of rows (scenario, fallback, maxRetries, delayMs)"
	d := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) { // nothing in it: nothing is replaced
		return f, fmt.Errorf(form, yaml.FormatError(err, false, false))
	}
	var more any
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return f, fmt.Errorf(form, "there is a second document after ---, which would be ignored")
	}
	return f, nil
}

// takeBounds fills in what the file does not say.
func (f *file) takeBounds(base file) {
	for _, b := range []struct{ own, base *number }{
		{&f.Bounds.DeadlineMs, &base.Bounds.DeadlineMs}, {&f.Bounds.MaxCalls, &base.Bounds.MaxCalls}, {&f.Bounds.RetryAfterMs, &base.Bounds.RetryAfterMs},
		{&f.Bounds.MaxCharged, &base.Bounds.MaxCharged}, {&f.Bounds.QueueMaxWaits, &base.Bounds.QueueMaxWaits}, {&f.Bounds.QueueMaxAgeMs, &base.Bounds.QueueMaxAgeMs},
	} {
		if b.own.given == "" {
			*b.own = *b.base
		}
	}
}

func (f file) checkBounds() (problems []string) {
	const month = 30 * 24 * time.Hour
	b := f.Bounds
	for _, problem := range []string{
		b.DeadlineMs.problem("deadlineMs", milliseconds, 1000, time.Hour.Milliseconds()),
		b.MaxCalls.problem("maxCalls", anyNumber, 1, 50),
		b.RetryAfterMs.problem("retryAfterMs", milliseconds, 0, time.Hour.Milliseconds()),
		b.MaxCharged.problem("maxCharged", anyNumber, 1, 100_000),
		b.QueueMaxWaits.problem("queueMaxWaits", anyNumber, 1, 100_000),
		b.QueueMaxAgeMs.problem("queueMaxAgeMs", milliseconds, 1000, month.Milliseconds()),
	} {
		if problem != "" {
			problems = append(problems, "bounds: "+problem)
		}
	}
	return problems
}

// The ranges of a row's numbers.
const (
	mostRetries = 10
	mostDelay   = 24 * time.Hour
	leastWait   = time.Second // in the queue: less would be a loop
)

func (f file) checkRows() (problems []string) {
	seen, known := map[word]bool{}, Scenarios()
	for i, r := range f.Rows {
		name := fmt.Sprintf("row %q", string(r.Scenario))
		if r.Scenario == "" {
			name = fmt.Sprintf("row %d", i+1)
		}
		say := func(problem string) {
			if problem != "" {
				problems = append(problems, name+": "+problem)
			}
		}
		if !slices.Contains(known, Scenario(r.Scenario)) {
			say("there is no such scenario; known are " + list(known))
			continue
		}
		if seen[r.Scenario] {
			say("appears twice; keep one")
		}
		seen[r.Scenario] = true
		if ways := waysOf(Scenario(r.Scenario)); !slices.Contains(ways, Way(r.Fallback)) {
			say(fmt.Sprintf("fallback %q is not possible; choose one of %s", string(r.Fallback), list(ways)))
		}
		say(r.MaxRetries.problem("maxRetries", anyNumber, 0, mostRetries))
		least := time.Duration(0)
		if Way(r.Fallback) == ToQueue {
			least = leastWait
		}
		say(r.DelayMs.problem("delayMs", milliseconds, least.Milliseconds(), mostDelay.Milliseconds()))
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
