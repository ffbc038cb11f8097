// Package workflow holds the domain of the fleet: one message to one recipient, the durable life it
// leads, and the pure function that says what an event does to it. It knows no clock, no database and no
// network, so that every state can be tested against every event.
package workflow

import (
	"encoding/json"
	"time"
)

// Priority says how urgent a message is within its account: 1 goes first, 4 last.
type Priority int

// The range and the default of a priority (the message contract).
const (
	PriorityUrgent  Priority = 1
	PriorityDefault Priority = 3
	PriorityLowest  Priority = 4
)

// DefaultMaxRetries is how many tries a message gets that is known not to have been sent, when it does not say.
const DefaultMaxRetries = 3

// Key identifies a workflow: the same key delivered any number of times makes one workflow.
type Key struct {
	UserID      string
	WorkflowID  string
	RecipientID string
}

// Message is what a producer hands over: the SQS message contract in Go.
type Message struct {
	WorkflowID  string
	UserID      string // the account; empty until it is resolved
	RecipientID string
	CampaignID  string // empty: belongs to no campaign
	Content     string // the text to send; empty when Brief asks for one to be written
	Brief       string
	Priority    Priority
	Attempts    int // tries made before the message came here
	MaxRetries  int
	NotBefore   time.Time // zero: now
	LastError   string
	ExpiresAt   time.Time // it is not sent at or after this; zero: never
	Unusable    string    // why it can't be sent at all, a machine word; empty: it can
	// MergeFields are the recipient's own words for {{name}} and the like in a text that is written from a brief.
	MergeFields map[string]string
	OwnText     bool            // the text is to be written for this recipient alone, not for its campaign
	Extra       json.RawMessage // fields that the contract does not name, kept as they came; nil when there are none
	Trace       TraceContext
}

// Key returns the identity of the workflow that the message belongs to.
func (m Message) Key() Key {
	return Key{UserID: m.UserID, WorkflowID: m.WorkflowID, RecipientID: m.RecipientID}
}

// TraceContext is carried from the producer to the gateway's request; its JSON is part of the API contract.
type TraceContext struct {
	TraceID      string    `json:"traceId"`                // 32 hex digits (W3C)
	SpanID       string    `json:"spanId"`                 // 16 hex digits
	ParentSpanID string    `json:"parentSpanId,omitempty"` // 16 hex digits; empty for a root
	TraceState   string    `json:"traceState,omitempty"`   // the producer's tracestate, handed on unchanged
	UserID       string    `json:"userId,omitempty"`
	WorkflowID   string    `json:"workflowId,omitempty"`
	Timestamp    time.Time `json:"timestamp"`
	// NotSampled says that the producer decided against recording its trace: then ours is not recorded either,
	// unless something goes wrong.
	NotSampled bool `json:"notSampled,omitempty"`
}

// Waited is a wait of a workflow, or of its text, that is over.
type Waited struct {
	Reason string    `json:"reason"` // a machine word, such as token or schedule
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero: until the step that it was a wait for begins
}
