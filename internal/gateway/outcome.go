package gateway

import "time"

// Class is what became of one send: the closed list that the ledger knows.
type Class string

// The classes. Only NotSent and RateLimited allow the message to be sent again without asking anybody.
const (
	// Accepted: the gateway answered 2xx. It is final, whatever the body of the answer looked like.
	Accepted Class = "accepted"
	// Rejected: the gateway refused the message or us with a documented 4xx. It is final for this attempt.
	Rejected Class = "rejected"
	// RateLimited: 429, the gateway did not take the message and wants the account to rest.
	RateLimited Class = "rate_limited"
	// NotSent: there was no connection, or not one byte of the request was written to it.
	NotSent Class = "not_sent"
	// Unknown: something was written and no clear answer came. The message is in doubt.
	Unknown Class = "unknown"
)

// Reason says in one machine word why an outcome has its class.
type Reason string

// The closed list of reasons. None stands for an accepted message with a usable message id.
const (
	None Reason = ""

	// With Accepted.
	BadReply Reason = "bad_reply" // 2xx whose body is missing, cut off, too long or has no usable messageId

	// With Rejected.
	RefusedCredentials Reason = "refused_credentials" // 401
	Forbidden          Reason = "forbidden"           // 403
	Refused            Reason = "refused"             // the other documented 4xx

	// With RateLimited.
	TooManyRequests Reason = "rate_limited" // 429

	// With NotSent.
	InvalidRequest Reason = "invalid_request" // the message can't be made into a request; nothing was tried
	ConnectFailed  Reason = "connect_failed"  // refused, unreachable, or the connection broke before it was ready
	DNSFailed      Reason = "dns_failed"      // the gateway's name was not resolved
	TLSFailed      Reason = "tls_failed"      // no TLS session: certificate or protocol
	ConnectTimeout Reason = "connect_timeout" // no connection (a new one or a free one) in time
	NothingWritten Reason = "nothing_written" // there was a connection, but it took no byte of the request

	// With NotSent before the first byte, with Unknown after it.
	Cancelled Reason = "cancelled" // the caller's context ended

	// With Unknown.
	Timeout         Reason = "timeout"          // no answer within the deadline
	ConnectionReset Reason = "connection_reset" // the peer reset the connection
	UnexpectedEOF   Reason = "unexpected_eof"   // the peer closed the connection without an answer
	MalformedReply  Reason = "malformed_reply"  // what came back is not an HTTP answer
	ConnectionLost  Reason = "connection_lost"  // any other failure after the first byte
	ServerError     Reason = "server_error"     // 5xx
	Redirect        Reason = "redirect"         // 3xx, not followed
	AmbiguousStatus Reason = "ambiguous_status" // every other status
)

// Outcome is the result of one send. It holds nothing that may not be logged or stored.
type Outcome struct {
	Class      Class
	MessageID  string        // with Accepted; empty when the gateway said 2xx without a usable id: never sent again
	Status     int           // HTTP status; 0 when none was seen
	RetryAfter time.Duration // with RateLimited: what the gateway asked for, at most MaxRetryAfter; 0 when it did not say
	Reason     Reason
	Detail     string // one short line for people; never the content, the token or the gateway's own words
	Evidence   Evidence
}

// Evidence is what was seen of one send; it is stored with the attempt, so that a person can judge it later.
type Evidence struct {
	// Connected: a connection was given to this request. Without one nothing can have been sent.
	Connected bool `json:"connected"`
	// ConnectionReused: the connection had carried another request before; a stale one is the commonest doubt.
	ConnectionReused bool `json:"connectionReused"`
	// BytesWritten counts what the operating system took of this request on this connection.
	BytesWritten int64 `json:"bytesWritten"`
	// HeadersWritten: the headers were handed to the connection's buffer (not: that they left it).
	HeadersWritten bool `json:"headersWritten"`
	// RequestWritten: the whole request, body included, was handed to that buffer. BytesWritten is the proof.
	RequestWritten bool `json:"requestWritten"`
	// FirstByte: at least one byte of an answer came back.
	FirstByte bool `json:"firstByte"`
	// Status is the HTTP status, 0 when none was seen.
	Status int `json:"status"`
	// Duration is from the call of Send to its return, by the monotonic clock.
	Duration time.Duration `json:"durationNs"`
}
