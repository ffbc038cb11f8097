// Package audit judges what the ledger says was sent, without asking what decided about it. It knows neither tokens nor
// buckets: it places the calls in time again and counts.
//
// When a call arrived at the gateway is known as an interval only, from its start to the latest moment at which it
// can have been on its way. It promises:
//
//   - A limit is reported as broken, [AccountLimit] or [RecipientLimit], only if it was broken wherever in their
//     intervals the calls arrived. What was certainly not over the limit is never reported.
//   - It is reported as perhaps broken, [AccountLimitPossible] or [RecipientLimitPossible], if some placement breaks it and
//     no proof was found that all do. Of a stretch of up to 128 calls, and of a capacity below 64, a proof is found if there is one.
//   - Windows are half-open: of two calls that arrived exactly a window apart one is in, the other out.
//   - Its memory does not grow with the number of calls.
//   - A finding has ids, times and numbers; never a text.
package audit

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Violation    Severity = "violation"    // a promise was certainly broken
	Inconsistent Severity = "inconsistent" // two records of the same thing disagree: something is unaccounted for
	Possible     Severity = "possible"     // nobody can say that the promise was kept
)

// Severities lists them, the worst first.
var Severities = []Severity{Violation, Inconsistent, Possible}

// Rule allows Capacity messages in any half-open window of length Window.
type Rule struct {
	Capacity int
	Window   time.Duration
}

// String is the rule as a person writes it.
func (r Rule) String() string {
	switch {
	case r.Window%time.Hour == 0:
		return fmt.Sprintf("%d/%dh", r.Capacity, r.Window/time.Hour)
	case r.Window%time.Second == 0:
		return fmt.Sprintf("%d/%ds", r.Capacity, r.Window/time.Second)
	}
	return fmt.Sprintf("%d/%s", r.Capacity, r.Window)
}

// Message is one that a finding is about.
type Message struct {
	ClientRef  uuid.UUID `json:"clientRef"`            // the workflow's own id
	WorkflowID string    `json:"workflowId,omitempty"` // empty: no such workflow
	Attempt    int       `json:"attempt,omitempty"`
}

// Finding is one thing that should not be.
type Finding struct {
	Kind      Kind      `json:"kind"`
	Severity  Severity  `json:"severity"`
	Account   string    `json:"userId,omitempty"`
	Recipient string    `json:"recipientId,omitempty"`
	Campaign  string    `json:"campaignId,omitempty"`
	Messages  []Message `json:"messages,omitempty"` // some of them, where there are many
	Rule      string    `json:"rule,omitempty"`
	From      time.Time `json:"from,omitzero"` // of the window, or when it happened
	To        time.Time `json:"to,omitzero"`   // the window does not include it
	Allowed   int64     `json:"allowed"`
	Found     int64     `json:"found"`             // at the most, where that is not certain
	AtLeast   int64     `json:"atLeast,omitempty"` // of a limit: in some window, wherever the calls arrived
	Detail    string    `json:"detail,omitempty"`
	Remedy    string    `json:"remedy"`
}

// Sums says where the messages are that were received in the range. Received is the sum of all others.
type Sums struct {
	Received    int64 `json:"received"`
	Sent        int64 `json:"sent"`
	Failed      int64 `json:"failed"`
	Cancelled   int64 `json:"cancelled"`
	Expired     int64 `json:"expired"`
	Live        int64 `json:"live"`
	Quarantined int64 `json:"quarantined"`
}

// Balanced says whether every message that was received is accounted for.
func (s Sums) Balanced() bool {
	return s.Received == s.Sent+s.Failed+s.Cancelled+s.Expired+s.Live+s.Quarantined
}

// Report is what an audit found.
type Report struct {
	At       time.Time      `json:"at"`
	Since    time.Time      `json:"since,omitzero"` // zero: from the first message on
	Until    time.Time      `json:"until"`
	Calls    int64          `json:"calls"` // that were placed in the accounts' windows
	Accounts int64          `json:"accounts"`
	Sums     Sums           `json:"sums"`
	Totals   map[Kind]int64 `json:"totals"`   // of every kind; 0: none
	Findings []Finding      `json:"findings"` // the worst first, at most as many as were asked for

	most int
	kept map[Severity][]Finding
}

// NewReport returns an empty report that keeps at most so many findings and counts all.
func NewReport(most int) *Report {
	r := &Report{Totals: make(map[Kind]int64, len(Kinds)), Findings: []Finding{}, most: most, kept: map[Severity][]Finding{}}
	for _, kind := range Kinds {
		r.Totals[kind] = 0
	}
	return r
}

// Add counts a finding, with the severity and the remedy of its kind.
func (r *Report) Add(f Finding) {
	f.Severity, f.Remedy = f.Kind.Severity(), f.Kind.Remedy()
	r.Totals[f.Kind]++
	if len(r.kept[f.Severity]) < r.most {
		r.kept[f.Severity] = append(r.kept[f.Severity], f)
	}
}

// Close chooses the findings that are shown.
func (r *Report) Close() {
	r.Findings = r.Findings[:0]
	for _, severity := range Severities {
		kept := r.kept[severity]
		r.Findings = append(r.Findings, kept[:min(len(kept), r.most-len(r.Findings))]...)
	}
}

// Total is how many findings of a severity there are.
func (r *Report) Total(severity Severity) (n int64) {
	for kind, found := range r.Totals {
		if kind.Severity() == severity {
			n += found
		}
	}
	return n
}

// Failed says whether something was found that needs a person.
func (r *Report) Failed() bool { return r.Total(Violation)+r.Total(Inconsistent) > 0 }
