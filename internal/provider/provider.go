// Package provider has texts written by language models: Azure OpenAI and OpenAI. One call is one HTTP request,
// without retries, and its result is one of a closed list of classes: what to do about each stands elsewhere
// (package fallback), as data.
//
// It promises that a result never holds a key, a prompt or a provider's own words: those may echo the prompt.
package provider

import (
	"context"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Name is one of the two providers.
type Name string

// The providers, by the names that the workflow's state gives them.
const (
	Azure  Name = "azure"
	OpenAI Name = "openai"
)

// Names lists the providers.
var Names = []Name{Azure, OpenAI}

// Target is where a provider is asked: it fails, cools down and is paid as one.
type Target struct {
	Provider   Name
	Host       string // of the endpoint
	Deployment string // Azure: the deployment; OpenAI: the model
	Model      string // that is paid for; with the zone it names the price. Never taken from an answer.
	Zone       string // Azure: global, datazone or regional; OpenAI: global
	Tier       string // service tier that is asked for; empty: the provider's default
}

// Key names a target in the database and in logs.
func (t Target) Key() string { return string(t.Provider) + "/" + t.Host + "/" + t.Deployment }

// Client asks one target.
type Client interface {
	Target() Target
	// Complete makes one call. It returns by the context's deadline at the latest; it never retries.
	Complete(ctx context.Context, r Request) Result
}

// Request is what a model is asked for.
type Request struct {
	ID              string // of the attempt: sent as X-Client-Request-Id
	System          string // instructions
	User            string // data, delimited
	SchemaName      string
	Schema          []byte // JSON schema of the answer, within the subset that both providers take in strict mode
	MaxOutputTokens int
	Trace           workflow.TraceContext // sent as traceparent; its other parts are nobody else's business
}

// Class says what kind of outcome a call had. The list is closed.
type Class string

// The classes. The first is the only success.
const (
	Completed       Class = "completed"        // a text that keeps to the schema
	Canceled        Class = "canceled"         // by us, as when a process stops
	Timeout         Class = "timeout"          // our deadline, 408, 504, Azure's Timeout
	Connection      Class = "connection"       // refused, reset, DNS, TLS, an answer that breaks off
	RateLimited     Class = "rate_limited"     // a 429 that passes by itself
	BillingStop     Class = "billing_stop"     // a 429 that needs money or a person
	Overloaded      Class = "overloaded"       // 503, 529, a 500 that speaks of capacity
	ServerError     Class = "server_error"     // other 5xx, HTML, an answer that is none
	Auth            Class = "auth"             // 401, 403
	NotFound        Class = "not_found"        // the deployment or the model does not exist
	ContentFiltered Class = "content_filtered" // the prompt or the text, by the provider's filter
	ContextLength   Class = "context_length"   // the prompt is too long for the model
	InvalidRequest  Class = "invalid_request"  // other 400, 409 and 422: our mistake
	Refusal         Class = "refusal"          // the model declines, in a 200
	Truncated       Class = "truncated"        // the text ended at max_completion_tokens
	SchemaViolation Class = "schema_violation" // a 200 whose text is not what was asked for
)

// Classes lists every class.
var Classes = []Class{Completed, Canceled, Timeout, Connection, RateLimited, BillingStop, Overloaded, ServerError, Auth, NotFound,
	ContentFiltered, ContextLength, InvalidRequest, Refusal, Truncated, SchemaViolation}

// Billed says what a call that ended in a class costs, as far as the class tells.
type Billed string

// The kinds.
const (
	BilledUsage Billed = "usage" // what the answer says that it used; without usage it is unknown
	BilledMaybe Billed = "maybe" // nobody knows whether the model had begun
	BilledNot   Billed = "not"   // refused before the model began
)

// Result is what became of a call.
type Result struct {
	Class        Class
	Text         string        // Completed only
	Why          string        // the model's own reason for it; Completed only. For people who look into the database, nowhere else.
	Status       int           // HTTP; 0: no answer
	Code         string        // the provider's error code if it is a known word, else empty; safe to log
	Unclassified bool          // the shape is on no list; Class is the nearest
	RequestID    string        // given by the provider
	RetryAfter   time.Duration // how long the provider wants to be left alone; 0: it did not say
	Veto         bool          // x-should-retry: false
	FilterDown   bool          // the provider's content filter did not run
	Model        string        // that answered, as the provider calls it
	Tier         string        // service tier that was used
	Usage        Usage
	Limits       Limits
	Billed       Billed
}

// Usage are the tokens of a call, as both providers count them: Input includes Cached and CacheWrite, Output
// includes Reasoning.
type Usage struct {
	Known      bool  `json:"known"`
	Input      int64 `json:"input"`
	Cached     int64 `json:"cached"`
	CacheWrite int64 `json:"cacheWrite"`
	Output     int64 `json:"output"`
	Reasoning  int64 `json:"reasoning"`
}

// Limits are the rate-limit headers of an answer; a number that was not sent, or makes no sense, is -1.
type Limits struct {
	Requests, RemainingRequests int64 // per minute
	Tokens, RemainingTokens     int64
	ResetRequests, ResetTokens  time.Duration // until the remaining are all back; -1: unknown
}
