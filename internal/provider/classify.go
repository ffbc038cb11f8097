package provider

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
)

// Exchange is all that is known of one call, and all that [Classify] decides by.
type Exchange struct {
	Provider Name
	Status   int // 0: no answer
	Header   http.Header
	Body     []byte
	Err      error     // of the transport, or of reading the body: then the body is not whole
	Context  error     // of the call's context, when it ended
	Sent     bool      // a connection was had: the provider may have the request
	Now      time.Time // for a Retry-After that is a date, in an answer without one
}

// Classify says what became of a call. It is pure, never fails, and always gives one of [Classes].
func Classify(e Exchange) Result {
	// An answer that came in whole counts, even when the context ended meanwhile: it is paid for. Of a refusal that
	// broke off the status is enough.
	if e.Status == 0 || e.Status == http.StatusOK && e.Err != nil {
		return classifyFailure(e)
	}
	result := Result{Status: e.Status, Limits: readLimits(e.Provider, e.Header), RequestID: readRequestID(e.Header),
		Veto: e.Header.Get("X-Should-Retry") == "false"}
	if e.Status == http.StatusOK {
		classifyText(&result, e.Body)
		return result
	}
	result.RetryAfter = readRetryAfter(e.Header, e.Now)
	r := readRefusal(e)
	r.retryAfter = result.RetryAfter
	result.Code = r.word()
	for _, row := range refusals {
		if row.match(&r) {
			result.Class, result.Unclassified = row.class, row.unknown
			result.Billed = row.billed(&r)
			return result
		}
	}
	result.Class, result.Unclassified, result.Billed = ServerError, true, notUnlessElsewhere(&r)
	return result
}

// classifyFailure is the table of calls without an answer, or with one that broke off.
func classifyFailure(e Exchange) Result {
	result := Result{Status: e.Status, Limits: noLimits, Billed: BilledNot}
	if e.Status != 0 {
		result.RequestID, result.Limits = readRequestID(e.Header), readLimits(e.Provider, e.Header)
	}
	if e.Sent || e.Status != 0 {
		result.Billed = BilledMaybe
	}
	var local localError
	switch {
	case errors.Is(e.Context, context.Canceled):
		result.Class = Canceled
	case errors.Is(e.Context, context.DeadlineExceeded):
		result.Class = Timeout
	case errors.As(e.Err, &local):
		result.Class = local.class
	case errors.Is(e.Err, errTooLong):
		result.Class, result.Unclassified = ServerError, true
	default:
		result.Class = Connection
	}
	return result
}

// refusal is an answer that is not a 200.
type refusal struct {
	provider Name
	status   int
	object   bool   // with an "error" that is an object: the provider's own
	apim     bool   // or with a "statusCode", as the gateway in front of Azure says it
	code     string // as it was sent; only word makes it fit to show
	kind     string // the error's type
	inner    string // code of Azure's innererror
	message  string // looked into where no code tells, never shown

	retryAfter time.Duration
}

// row is a line of the table below.
type row struct {
	class   Class
	match   func(*refusal) bool
	billed  func(*refusal) Billed
	unknown bool // the class is the nearest, not certain
}

// refusals is the closed table of answers that are not a 200: the first match wins. A code goes before a status where
// the same status means several things, and texts are looked into only where neither tells.
var refusals = []row{
	{class: Timeout, match: func(r *refusal) bool { return r.is(408, 504) || timeoutWords[r.code] }, billed: maybe},
	{class: BillingStop, match: func(r *refusal) bool { return r.within(400, 499) && (billingWords[r.code] || billingWords[r.kind]) }, billed: not},
	{class: ContextLength, match: (*refusal).tooLargeForLimit, billed: not},
	{class: RateLimited, match: func(r *refusal) bool { return r.code == "slow_down" }, billed: not},
	{class: RateLimited, match: func(r *refusal) bool { return r.is(429) && r.knownLimit() }, billed: not},
	{class: RateLimited, match: func(r *refusal) bool { return r.is(429) }, billed: not, unknown: true},
	{class: Auth, match: func(r *refusal) bool { return r.is(401, 403) }, billed: not},
	{class: NotFound, match: func(r *refusal) bool { return r.is(404, 410) || r.within(400, 499) && missingWords[r.code] }, billed: not},
	{class: ContentFiltered, match: func(r *refusal) bool { return r.within(400, 499) && (filterWords[r.code] || filterWords[r.inner]) }, billed: notUnlessAzure},
	{class: ContextLength, match: (*refusal).tooLongForModel, billed: notUnlessAzure},
	{class: BillingStop, match: func(r *refusal) bool { return r.is(402) }, billed: not, unknown: true},
	{class: InvalidRequest, match: func(r *refusal) bool { return r.is(400, 405, 409, 413, 415, 422) }, billed: not},
	{class: Overloaded, match: func(r *refusal) bool { return r.is(503, 529) || r.within(500, 599) && r.ofCapacity() }, billed: not},
	{class: ServerError, match: func(r *refusal) bool { return r.within(500, 599) }, billed: notUnlessElsewhere},
}

func not(*refusal) Billed   { return BilledNot }
func maybe(*refusal) Billed { return BilledMaybe }

// notUnlessAzure: Azure says that a 400 of the content filter or of the input's length may be charged, because it did
// look at the prompt.
func notUnlessAzure(r *refusal) Billed {
	if r.provider == Azure {
		return BilledMaybe
	}
	return BilledNot
}

// notUnlessElsewhere: a provider that says itself that it failed does not charge; if something between says it, nobody
// knows what the provider did.
func notUnlessElsewhere(r *refusal) Billed {
	if r.object || r.within(300, 499) {
		return BilledNot
	}
	return BilledMaybe
}

func (r *refusal) is(statuses ...int) bool {
	for _, status := range statuses {
		if r.status == status {
			return true
		}
	}
	return false
}

func (r *refusal) within(from, to int) bool { return r.status >= from && r.status <= to }

// knownLimit recognises a 429 that passes by itself: by its code, by the form of the gateway in front of Azure, or
// because it says when to come back.
func (r *refusal) knownLimit() bool {
	return limitWords[r.code] || limitWords[r.kind] || r.apim || r.retryAfter > 0
}

// tooLargeForLimit: OpenAI answers a request that is over the whole limit of a minute with the code of a rate limit.
// It would never pass by waiting.
func (r *refusal) tooLargeForLimit() bool {
	return r.is(429) && strings.HasPrefix(r.message, "Request too large")
}

func (r *refusal) tooLongForModel() bool {
	if !r.within(400, 499) {
		return false
	}
	return lengthWords[r.code] || vagueWords[r.code] && says(r.message, "maximum context", "context window", "context length")
}

func (r *refusal) ofCapacity() bool {
	return capacityWords[r.code] || capacityWords[r.kind] ||
		(vagueWords[r.code] || r.code == "server_error") && says(r.message, "overloaded", "capacity", "high demand", "temporarily unable to process")
}

func says(message string, phrases ...string) bool {
	if message == "" {
		return false
	}
	message = strings.ToLower(message)
	for _, phrase := range phrases {
		if strings.Contains(message, phrase) {
			return true
		}
	}
	return false
}
