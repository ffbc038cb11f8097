// Package readiness says of each part of a process whether it can do its work: for /readyz, and for the metric.
//
// It promises an answer within a bounded time, whatever a part does; that however many ask, no part is looked at more than
// about once a second; and that an answer names parts and reasons only, never an address or an error's own words.
package readiness

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

const (
	// within is how long a look may take: less than what probes usually wait.
	within = 2 * time.Second
	// fresh is how long an answer stands.
	fresh = time.Second
)

// Part is something that a process needs.
type Part struct {
	Name  string
	Check func(ctx context.Context) (reason string) // empty: it can work
}

// State is how a part is.
type State struct {
	Ready  bool       `json:"ready"`
	Reason string     `json:"reason,omitempty"`
	Since  *time.Time `json:"since,omitempty"` // when it was first seen not to be ready
}

// Report is how a process is: ready when all of its parts are.
type Report struct {
	Ready bool             `json:"ready"`
	Parts map[string]State `json:"parts"`
}

// Checker looks at parts.
type Checker struct {
	parts []Part
	now   func() time.Time

	mu     sync.Mutex // held while parts are looked at: who comes meanwhile gets the same answer
	at     time.Time
	report Report
}

// New returns a checker. Now is the machine's time.
func New(now func() time.Time, parts ...Part) *Checker {
	return &Checker{parts: parts, now: now}
}

// Report looks at all parts at once.
func (c *Checker) Report(ctx context.Context) Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.at.IsZero() && c.now().Sub(c.at) < fresh {
		return c.report
	}
	// Of its own: who asked may hang up, and the answer is for others as well.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	reasons := make([]chan string, len(c.parts))
	for i, part := range c.parts {
		reasons[i] = make(chan string, 1)
		go func() { reasons[i] <- part.Check(ctx) }()
	}
	report := Report{Ready: true, Parts: map[string]State{}}
	for i, part := range c.parts {
		reason := "does not answer in time"
		select {
		case reason = <-reasons[i]:
		case <-ctx.Done():
			select { // it may have been in time, all the same
			case reason = <-reasons[i]:
			default:
			}
		}
		state := State{Ready: reason == "", Reason: reason}
		if !state.Ready {
			report.Ready = false
			if state.Since = c.report.Parts[part.Name].Since; state.Since == nil {
				now := c.now().UTC()
				state.Since = &now
			}
		}
		report.Parts[part.Name] = state
	}
	c.report, c.at = report, c.now()
	return report
}

// ServeHTTP answers with the report: 200, or 503 when a part is not ready.
func (c *Checker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	report := c.Report(r.Context())
	w.Header().Set("Content-Type", "application/json")
	if !report.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(report)
}
