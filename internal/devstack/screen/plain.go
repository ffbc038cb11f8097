package screen

import (
	"fmt"
	"strings"
	"time"
)

// Summary is the state in one line, for where there is no terminal.
func Summary(s Snapshot) string {
	written := ""
	if s.All.Writing > 0 {
		written = fmt.Sprintf("being written %d, ", s.All.Writing)
	}
	parts := []string{fmt.Sprintf("sent %d, %squeued %d, in doubt %d, failed %d", s.All.Sent, written, s.All.Queued+s.All.Sending, s.All.InDoubt, s.All.Failed)}
	if s.Gateway.Simulated {
		parts = append(parts, fmt.Sprintf("%d in the last minute", s.LastMinute))
	}
	for _, a := range s.Accounts {
		for _, w := range a.Waits {
			if w.Reason == ForToken && a.NextFree.After(s.Now) {
				parts = append(parts, fmt.Sprintf("%s: %d wait for a token, the next in %s", clean(a.Name), w.Count, countdown(a.NextFree.Sub(s.Now))))
			}
		}
	}
	if s.Sample.Total > 0 && !s.Sample.Ended {
		parts = append(parts, fmt.Sprintf("sample %d of %d", s.Sample.Done, s.Sample.Total))
	}
	if s.Trouble != "" {
		parts = append(parts, clean(s.Trouble))
	}
	return stamp(s.Now) + strings.Join(parts, "; ")
}

// String is the arrival in one line, without its content: lines may end up in a file.
func (a Arrival) String() string {
	text := stamp(a.At) + "arrived at the gateway: " + clean(a.Account) + " to " + clean(a.Recipient)
	if a.Took >= 0 {
		text += " in " + Span(a.Took)
	}
	if a.Outcome != "" {
		text += ": " + clean(a.Outcome)
	}
	return text
}

// Line is the problem in one line.
func (q Problem) Line(at time.Time) string { return stamp(at) + q.String() }

func stamp(at time.Time) string { return Clock(at) + "  " }
