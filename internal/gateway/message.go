package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Message is what one attempt sends.
type Message struct {
	ClientRef   string // the workflow's own id, the same over all attempts; printable ASCII, at most 256 bytes
	UserID      string // the account
	RecipientID string
	Content     string
	Attempt     int // 1 for the first; sent as X-Attempt
	Trace       workflow.TraceContext
	// Since is the moment from which the call's timeout counts, by the monotonic clock: not later than the one from
	// which the ledger counts the call's deadline, so that the call has ended when the ledger says so. Zero: Send's own.
	Since time.Time
}

const maxClientRef = 256

// holds says whether a word of the gateway repeats something of the message that may not be logged.
func (m Message) holds(word string) bool {
	return strings.Contains(m.Content, word) || strings.Contains(m.RecipientID, word)
}

func (m Message) check() error {
	switch {
	case !usableClientRef(m.ClientRef):
		return errors.New("the client reference is empty, too long or not printable ASCII")
	case m.UserID == "":
		return errors.New("it names no account")
	case m.RecipientID == "":
		return errors.New("it names no recipient")
	case m.Content == "":
		return errors.New("it has no content")
	case !utf8.ValidString(m.UserID) || !utf8.ValidString(m.RecipientID) || !utf8.ValidString(m.Content):
		return errors.New("it is not UTF-8")
	}
	return nil
}

func usableClientRef(ref string) bool {
	return ref != "" && len(ref) <= maxClientRef && ref == strings.TrimSpace(ref) && isPrintableASCII(ref)
}

// newRequest makes the request of one attempt. It can't be sent twice: GetBody is nil, so net/http has nothing to
// repeat the body from, and there is no Idempotency-Key header, which would tell it that it may.
func (c *Client) newRequest(ctx context.Context, m Message) (*http.Request, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	body, err := encodeMessage(m)
	if err != nil {
		return nil, errors.New("it can't be written as JSON")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, io.NopCloser(bytes.NewReader(body)))
	if err != nil {
		return nil, errors.New("the gateway's URL can't be used")
	}
	request.ContentLength = int64(len(body))
	request.GetBody = nil
	c.setHeaders(request.Header, m.Trace)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Client-Ref", m.ClientRef)
	request.Header.Set("X-Attempt", strconv.Itoa(m.Attempt))
	return request, nil
}

// encodeMessage leaves <, > and & as they are: a gateway that compares or signs raw bytes sees the text itself.
func encodeMessage(m Message) ([]byte, error) {
	var body bytes.Buffer
	body.Grow(len(m.ClientRef) + len(m.UserID) + len(m.RecipientID) + len(m.Content) + 64)
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(struct {
		ClientRef   string `json:"clientRef"`
		UserID      string `json:"userId"`
		RecipientID string `json:"recipientId"`
		Content     string `json:"content"`
	}{m.ClientRef, m.UserID, m.RecipientID, m.Content})
	return body.Bytes(), err
}

func (c *Client) setHeaders(header http.Header, trace workflow.TraceContext) {
	header.Set("Accept", "application/json")
	header.Set("User-Agent", "huntaze")
	if c.config.Token != "" {
		header.Set("Authorization", "Bearer "+c.config.Token)
	}
	if parent := traceparent(trace); parent != "" {
		header.Set("Traceparent", parent)
		if state := trace.TraceState; state != "" && len(state) <= 512 && isPrintableASCII(state) {
			header.Set("Tracestate", state)
		}
		if whose := baggage(trace); whose != "" {
			header.Set("Baggage", whose)
		}
	}
}

// traceparent writes a W3C trace context, or nothing when the ids are not usable. The sampled flag is set, unless the
// trace is not recorded: everything else that the fleet sends is worth a trace on the gateway's side.
func traceparent(trace workflow.TraceContext) string {
	if !isTraceID(trace.TraceID, 32) || !isTraceID(trace.SpanID, 16) {
		return ""
	}
	if trace.NotSampled {
		return "00-" + trace.TraceID + "-" + trace.SpanID + "-00"
	}
	return "00-" + trace.TraceID + "-" + trace.SpanID + "-01"
}

// baggage says whose the trace is, as a W3C header. The ids are escaped: nothing in them has a meaning there.
func baggage(trace workflow.TraceContext) string {
	var parts []string
	for _, one := range []struct{ name, value string }{{"huntaze.user_id", trace.UserID}, {"huntaze.workflow_id", trace.WorkflowID}} {
		if one.value != "" {
			parts = append(parts, one.name+"="+strings.ReplaceAll(url.QueryEscape(one.value), "+", "%20"))
		}
	}
	return strings.Join(parts, ",")
}

// isTraceID: lower-case hexadecimal of the given length that is not all zeros.
func isTraceID(id string, length int) bool {
	if len(id) != length {
		return false
	}
	zero := true
	for i := range length {
		digit := id[i]
		if (digit < '0' || digit > '9') && (digit < 'a' || digit > 'f') {
			return false
		}
		zero = zero && digit == '0'
	}
	return !zero
}
