// Package limit decides who may send now. It promises that in any half-open window of a rule's length, seen
// where the messages arrive, there are never more than the rule's capacity, whatever the latency.
//
// It does so by tokens, not by a rate: a token is held from before the call until the call has certainly
// ended, and returns one window (plus a guard) after that. A refilling token bucket, GCRA or a log of grant
// times lets up to twice the capacity through, because two sends that were granted a window apart can arrive
// closer together than that.
//
// The decision is pure; where tokens are kept and how they are locked is the database's business.
package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxCapacity is the largest capacity of a rule: a token's number has twelve bits in the send ledger.
const MaxCapacity = 4096

// MaxRules is how many rules may apply together: a rule's number has four bits in the send ledger.
const MaxRules = 16

// Rule allows Capacity messages in any window of length Window.
type Rule struct {
	Capacity int
	Window   time.Duration
}

// Rules apply together: a message needs a token of each. No rules means no limit.
type Rules []Rule

// Scope says what a limit counts by.
type Scope string

// The scopes.
const (
	ScopeAccount   Scope = "account"   // messages that an account sends
	ScopeRecipient Scope = "recipient" // messages that a recipient receives, from whichever account
)

// Off is the text of a limit that is switched off.
const Off = "off"

// ParseRules reads a list such as "1/60s,10/24h", or "off".
func ParseRules(text string) (Rules, error) {
	text = strings.TrimSpace(text)
	if strings.EqualFold(text, Off) {
		return Rules{}, nil
	}
	var rules Rules
	for _, part := range strings.Split(text, ",") {
		rule, err := parseRule(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	if len(rules) > MaxRules {
		return nil, fmt.Errorf("a limit may have at most %d rules, not %d; leave out those that others imply", MaxRules, len(rules))
	}
	return rules, nil
}

func parseRule(text string) (Rule, error) {
	const remedy = `write capacity/window, such as "10/60s" or "1/60s,10/24h", or "off"`
	count, window, found := strings.Cut(text, "/")
	if !found {
		return Rule{}, fmt.Errorf("limit %q has no window; %s", text, remedy)
	}
	capacity, err := strconv.Atoi(strings.TrimSpace(count))
	if err != nil || capacity < 1 || capacity > MaxCapacity {
		return Rule{}, fmt.Errorf("limit %q: capacity must be a whole number from 1 to %d; %s", text, MaxCapacity, remedy)
	}
	length, err := time.ParseDuration(strings.TrimSpace(window))
	if err != nil || length < time.Millisecond || length > 366*24*time.Hour {
		return Rule{}, fmt.Errorf("limit %q: window must be a duration from 1ms to 8784h; %s", text, remedy)
	}
	return Rule{Capacity: capacity, Window: length.Truncate(time.Microsecond)}, nil
}

// String is the form that ParseRules reads.
func (r Rules) String() string {
	if len(r) == 0 {
		return Off
	}
	parts := make([]string, len(r))
	for i, rule := range r {
		parts[i] = rule.String()
	}
	return strings.Join(parts, ",")
}

// String is the form that ParseRules reads: "10/1m0s" is written as "10/60s" is, in the shortest unit that fits.
func (r Rule) String() string {
	w := r.Window
	unit := w.String()
	switch {
	case w%time.Hour == 0:
		unit = fmt.Sprintf("%dh", w/time.Hour)
	case w%time.Second == 0:
		unit = fmt.Sprintf("%ds", w/time.Second)
	}
	return fmt.Sprintf("%d/%s", r.Capacity, unit)
}

// Equal says whether both lists hold the same rules in the same order.
func (r Rules) Equal(other Rules) bool {
	if len(r) != len(other) {
		return false
	}
	for i := range r {
		if r[i] != other[i] {
			return false
		}
	}
	return true
}

// Policy is what holds for one account: its own rules, those for its recipients, and the guard.
type Policy struct {
	Account   Rules
	Recipient Rules
	Guard     time.Duration // added to each window: clock granularity, and rounding at the platform
}

// Of returns the rules of a scope.
func (p Policy) Of(s Scope) Rules {
	if s == ScopeRecipient {
		return p.Recipient
	}
	return p.Account
}
