// Package wording says in a person's words what the machine knows: times, counts, what happened to a message, what it
// waits for and why a provider is not called. The command line and the console say the same thing with the same words.
//
// It promises that no word of it comes from a message's text or from a recipient's fields, and that two calls with the
// same arguments say the same: it has no clock. What comes from outside, ids and reasons, stands in it as it is: whoever
// shows it makes it harmless for the place where it is shown.
package wording

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
)

const momentLayout = "2006-01-02 15:04:05 UTC"

// Moment is a time for a person. Everybody reads the same clock, so it is UTC.
func Moment(at time.Time) string { return at.UTC().Format(momentLayout) }

// Relative says how far a time is from now.
func Relative(at, now time.Time) string {
	if d := at.Sub(now); d > 0 {
		return "in " + Length(d)
	}
	return Length(now.Sub(at)) + " ago"
}

// When is a time and how far it is from now.
func When(at, now time.Time) string { return Moment(at) + " (" + Relative(at, now) + ")" }

// Length is a duration with two units at most.
func Length(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 2*day:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	default:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
}

// Number is a count with its certainty, in groups of three digits.
func Number(c db.Count) string {
	text := Grouped(c.Number)
	if c.Certainty == db.AtLeast {
		return "over " + text
	}
	return text
}

// Grouped is a number in groups of three digits.
func Grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Plural is a number with the word that it counts.
func Plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return Grouped(int64(n)) + " " + word + "s"
}

// Counted is a count with the word that it counts.
func Counted(c db.Count, word string) string {
	if c.Number == 1 {
		return Number(c) + " " + word
	}
	return Number(c) + " " + word + "s"
}

// Labelled is a label with its value, or nothing.
func Labelled(label string, value any) string {
	if value == "" || value == 0 {
		return ""
	}
	return fmt.Sprintf("%s %v", label, value)
}

// Joined puts the parts that are not empty into a sentence.
func Joined(parts ...string) string {
	var kept []string
	for _, part := range parts {
		if part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ", ")
}
