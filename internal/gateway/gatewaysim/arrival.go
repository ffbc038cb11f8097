package gatewaysim

import "time"

// Outcome is what the simulated gateway made of an arrival.
type Outcome string

// The outcomes. Only Accepted is a send.
const (
	Accepted    Outcome = "accepted"     // taken; what was answered is in Status and Fault
	Duplicate   Outcome = "duplicate"    // answered like the first one, not taken again (Options.Deduplicate)
	RateLimited Outcome = "rate_limited" // answered 429
	Refused     Outcome = "refused"      // any other answer, or none, without taking it
)

// Arrival is one POST whose body was read to its end: one line of the arrival log.
type Arrival struct {
	Seq int64 `json:"seq"` // 1 for the first of the log
	// Since is the time since the log was begun, by the monotonic clock; over a restart of the simulator it
	// continues by the wall clock. All analysis uses it.
	Since       time.Duration `json:"sinceNs"`
	At          time.Time     `json:"at"` // wall clock, for people
	ClientRef   string        `json:"clientRef"`
	UserID      string        `json:"userId"`
	RecipientID string        `json:"recipientId"`
	Attempt     int           `json:"attempt"`       // X-Attempt; 0 when missing
	ContentHash string        `json:"contentSha256"` // hexadecimal; of the content's bytes
	Content     string        `json:"content,omitempty"`
	Traceparent string        `json:"traceparent,omitempty"`
	Outcome     Outcome       `json:"outcome"`
	Status      int           `json:"status"`          // HTTP status of the answer; 0 when it got none
	Fault       Kind          `json:"fault,omitempty"` // the fault that decided, if one did
	MessageID   string        `json:"messageId,omitempty"`
}
