// Package trace carries one trace from whoever produced a message to the gateway's request. It reads the
// context that a producer sent along, in the form of W3C Trace Context (https://www.w3.org/TR/trace-context/)
// or of AWS X-Ray, and writes it in the W3C form.
//
// Two promises: what it returns is always valid, whatever came in, so that it can be stored and sent on
// without a further look; and a trace id that it makes itself begins with the time in seconds, as X-Ray wants
// it, so that the same id can be looked up in every back end.
package trace

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// The names under which a trace context travels.
const (
	HeaderTraceparent = "traceparent"    // message attribute or HTTP header
	HeaderTracestate  = "tracestate"     // message attribute or HTTP header
	HeaderXRay        = "AWSTraceHeader" // system attribute of an SQS message
)

// Remote is the producer's end of a trace.
type Remote struct {
	TraceID string // 32 lower-case hex digits, not all zero
	SpanID  string // 16 lower-case hex digits, not all zero; empty when the producer named no span
	Sampled bool
}

// FromHeaders continues the trace that the headers name, or begins one when they name none that is valid.
// Names are compared without regard to case. W3C goes before X-Ray: a producer that sets both has set the
// former itself, while the latter may come from a service in between.
//
// SpanID of the result is a new span, for the workflow; ParentSpanID is the producer's.
func FromHeaders(headers map[string]string, now time.Time) workflow.TraceContext {
	var parent, state, xray string
	for name, value := range headers {
		switch {
		case strings.EqualFold(name, HeaderTraceparent):
			parent = value
		case strings.EqualFold(name, HeaderTracestate):
			state = value
		case strings.EqualFold(name, HeaderXRay):
			xray = value
		}
	}
	remote, ok := ParseTraceparent(parent)
	refused := ok && !remote.Sampled
	if !ok {
		state = "" // the specification: without a valid traceparent, tracestate must not be used
		remote, ok = ParseXRay(xray)
		refused = ok && refusedByXRay(xray)
	}
	if !ok {
		return New(now)
	}
	if !validTracestate(state) {
		state = ""
	}
	return workflow.TraceContext{
		TraceID:      remote.TraceID,
		SpanID:       NewSpanID(),
		ParentSpanID: remote.SpanID,
		TraceState:   state,
		Timestamp:    now,
		NotSampled:   refused,
	}
}

// New begins a trace. The first four bytes of its id are the seconds since 1970, the other twelve random.
func New(now time.Time) workflow.TraceContext {
	var id [16]byte
	binary.BigEndian.PutUint32(id[:4], uint32(now.Unix()))
	fillRandom(id[4:])
	return workflow.TraceContext{TraceID: hex.EncodeToString(id[:]), SpanID: NewSpanID(), Timestamp: now}
}

// NewSpanID returns 16 random hex digits, never all zero.
func NewSpanID() string {
	var id [8]byte
	fillRandom(id[:])
	return hex.EncodeToString(id[:])
}

// fillRandom fills b with random bytes that are not all zero: both specifications call such an id invalid.
func fillRandom(b []byte) {
	for {
		_, _ = rand.Read(b) // documented never to fail: it ends the process instead
		for _, c := range b {
			if c != 0 {
				return
			}
		}
	}
}

// Traceparent writes the context as a W3C header, with our span as the parent of whatever receives it, and
// marked as sampled unless its producer decided against that. It returns "" when tc holds no valid ids.
func Traceparent(tc workflow.TraceContext) string {
	if !validID(tc.TraceID, 32) || !validID(tc.SpanID, 16) {
		return ""
	}
	if tc.NotSampled {
		return "00-" + tc.TraceID + "-" + tc.SpanID + "-00"
	}
	return "00-" + tc.TraceID + "-" + tc.SpanID + "-01"
}

// ParseTraceparent reads a W3C traceparent header. Versions newer than 00 are read by the rules of 00, as the
// specification asks.
func ParseTraceparent(s string) (Remote, bool) {
	const length = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	s = strings.Trim(s, " \t")
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return Remote{}, false
	}
	version, traceID, spanID, flags := s[:2], s[3:35], s[36:52], s[53:55]
	switch {
	case !isHex(version) || version == "ff" || !isHex(flags):
		return Remote{}, false
	case len(s) > length && (version == "00" || s[length] != '-'):
		return Remote{}, false
	case !validID(traceID, 32) || !validID(spanID, 16):
		return Remote{}, false
	}
	flag, _ := hex.DecodeString(flags)
	return Remote{TraceID: traceID, SpanID: spanID, Sampled: flag[0]&1 == 1}, true
}

// ParseXRay reads an X-Ray trace header: Root=1-8 hex-24 hex;Parent=16 hex;Sampled=1, in any order and with
// other parts between them. Parent may be missing.
func ParseXRay(s string) (Remote, bool) {
	var remote Remote
	for part := range strings.SplitSeq(s, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		value = strings.ToLower(value)
		switch strings.ToLower(name) {
		case "root":
			if len(value) != 35 || value[:2] != "1-" || value[10] != '-' {
				return Remote{}, false
			}
			remote.TraceID = value[2:10] + value[11:]
		case "parent":
			if !validID(value, 16) {
				return Remote{}, false
			}
			remote.SpanID = value
		case "sampled":
			remote.Sampled = value == "1"
		}
	}
	if !validID(remote.TraceID, 32) {
		return Remote{}, false
	}
	return remote, true
}

// refusedByXRay says whether an X-Ray header decides against recording. One without a word on it, or with "?", leaves
// the decision to us.
func refusedByXRay(s string) bool {
	for part := range strings.SplitSeq(s, ";") {
		if name, value, _ := strings.Cut(strings.TrimSpace(part), "="); strings.EqualFold(name, "sampled") {
			return value == "0"
		}
	}
	return false
}

// validID says whether s is an id of that many lower-case hex digits, not all zero.
func validID(s string, digits int) bool {
	return len(s) == digits && isHex(s) && strings.Trim(s, "0") != ""
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// validTracestate says whether a tracestate may be handed on. It looks at size and characters only: what the
// vendors' parts mean is theirs. 512 characters and 32 parts are what the specification asks everybody to carry.
func validTracestate(s string) bool {
	if len(s) > 512 || strings.Count(s, ",") >= 32 {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
