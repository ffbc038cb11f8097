package trace_test

import (
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/trace"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
	valid   = "00-" + traceID + "-" + spanID + "-01"
)

func TestParseTraceparent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     trace.Remote
		ok       bool
	}{
		{"sampled", valid, trace.Remote{TraceID: traceID, SpanID: spanID, Sampled: true}, true},
		{"not sampled", "00-" + traceID + "-" + spanID + "-00", trace.Remote{TraceID: traceID, SpanID: spanID}, true},
		{"other flags", "00-" + traceID + "-" + spanID + "-03", trace.Remote{TraceID: traceID, SpanID: spanID, Sampled: true}, true},
		{"white space around", " " + valid + "\t", trace.Remote{TraceID: traceID, SpanID: spanID, Sampled: true}, true},
		{"future version", "cc" + valid[2:], trace.Remote{TraceID: traceID, SpanID: spanID, Sampled: true}, true},
		{"future version with more", "cc" + valid[2:] + "-what", trace.Remote{TraceID: traceID, SpanID: spanID, Sampled: true}, true},
		{"future version run on", "cc" + valid[2:] + "what", trace.Remote{}, false},
		{"version 00 with more", valid + "-what", trace.Remote{}, false},
		{"version ff", "ff" + valid[2:], trace.Remote{}, false},
		{"empty", "", trace.Remote{}, false},
		{"short", valid[:54], trace.Remote{}, false},
		{"upper case", strings.ToUpper(valid), trace.Remote{}, false},
		{"zero trace", "00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", trace.Remote{}, false},
		{"zero span", "00-" + traceID + "-" + strings.Repeat("0", 16) + "-01", trace.Remote{}, false},
		{"no hex", "00-" + strings.Repeat("g", 32) + "-" + spanID + "-01", trace.Remote{}, false},
		{"flags no hex", valid[:53] + "zz", trace.Remote{}, false},
		{"other separators", strings.ReplaceAll(valid, "-", "_"), trace.Remote{}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, ok := trace.ParseTraceparent(test.in)
			if got != test.want || ok != test.ok {
				t.Errorf("ParseTraceparent(%q) = %+v, %v; want %+v, %v", test.in, got, ok, test.want, test.ok)
			}
		})
	}
}

func TestParseXRay(t *testing.T) {
	t.Parallel()
	const root = "1-4bf92f35-77b34da6a3ce929d0e0e4736"
	tests := []struct {
		name, in string
		want     trace.Remote
		ok       bool
	}{
		{"whole", "Root=" + root + ";Parent=" + spanID + ";Sampled=1", trace.Remote{TraceID: traceID, SpanID: spanID, Sampled: true}, true},
		{"other order and more", "Self=1-2-3; Sampled=0 ;Parent=" + spanID + ";Lineage=a:1;Root=" + root, trace.Remote{TraceID: traceID, SpanID: spanID}, true},
		{"no parent", "Root=" + root + ";Sampled=?", trace.Remote{TraceID: traceID}, true},
		{"upper case", "ROOT=" + strings.ToUpper(root) + ";parent=" + strings.ToUpper(spanID), trace.Remote{TraceID: traceID, SpanID: spanID}, true},
		{"no root", "Parent=" + spanID, trace.Remote{}, false},
		{"empty", "", trace.Remote{}, false},
		{"version 2", "Root=2" + root[1:], trace.Remote{}, false},
		{"short root", "Root=" + root[:34], trace.Remote{}, false},
		{"no hex", "Root=1-4bf92f35-77b34da6a3ce929d0e0e473g", trace.Remote{}, false},
		{"bad parent", "Root=" + root + ";Parent=1", trace.Remote{}, false},
		{"zero parent", "Root=" + root + ";Parent=0000000000000000", trace.Remote{}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, ok := trace.ParseXRay(test.in)
			if got != test.want || ok != test.ok {
				t.Errorf("ParseXRay(%q) = %+v, %v; want %+v, %v", test.in, got, ok, test.want, test.ok)
			}
		})
	}
}

func TestNewIsValidForXRayToo(t *testing.T) {
	t.Parallel()
	now := time.Unix(0x65432100, 0)
	a, b := trace.New(now), trace.New(now)
	if a.TraceID == b.TraceID || a.SpanID == b.SpanID {
		t.Fatal("two traces share an id")
	}
	if !strings.HasPrefix(a.TraceID, "65432100") {
		t.Errorf("trace id %s does not begin with the seconds", a.TraceID)
	}
	if a.ParentSpanID != "" || !a.Timestamp.Equal(now) {
		t.Errorf("New = %+v", a)
	}
	if _, ok := trace.ParseTraceparent(trace.Traceparent(a)); !ok {
		t.Errorf("traceparent %q is not valid", trace.Traceparent(a))
	}
}

func TestFromHeaders(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	const other = "1-65432100-0123456789abcdef01234567"
	tests := []struct {
		name                 string
		headers              map[string]string
		trace, parent, state string
	}{
		{"w3c", map[string]string{"traceparent": valid, "tracestate": "a=b,c=d"}, traceID, spanID, "a=b,c=d"},
		{"any case", map[string]string{"Traceparent": valid, "TraceState": "a=b"}, traceID, spanID, "a=b"},
		{"w3c before x-ray", map[string]string{"traceparent": valid, "AWSTraceHeader": "Root=" + other}, traceID, spanID, ""},
		{"x-ray when w3c is broken", map[string]string{"traceparent": "x", "tracestate": "a=b", "AWSTraceHeader": "Root=" + other + ";Parent=" + spanID}, "654321000123456789abcdef01234567", spanID, ""},
		{"state too long", map[string]string{"traceparent": valid, "tracestate": strings.Repeat("a", 513)}, traceID, spanID, ""},
		{"state of too many parts", map[string]string{"traceparent": valid, "tracestate": strings.Repeat("a=b,", 40)}, traceID, spanID, ""},
		{"state with a NUL", map[string]string{"traceparent": valid, "tracestate": "a=\x00"}, traceID, spanID, ""},
		{"state with letters beyond ASCII", map[string]string{"traceparent": valid, "tracestate": "a=é"}, traceID, spanID, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := trace.FromHeaders(test.headers, now)
			if got.TraceID != test.trace || got.ParentSpanID != test.parent || got.TraceState != test.state {
				t.Errorf("FromHeaders = %+v", got)
			}
			if got.SpanID == got.ParentSpanID || len(got.SpanID) != 16 || !got.Timestamp.Equal(now) {
				t.Errorf("FromHeaders made no span of its own: %+v", got)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		if got := trace.FromHeaders(nil, now); !strings.HasPrefix(got.TraceID, "6553f100") || got.ParentSpanID != "" {
			t.Errorf("FromHeaders = %+v", got)
		}
	})
}

func TestTraceparentOfNothing(t *testing.T) {
	t.Parallel()
	tc := trace.New(time.Now())
	tc.SpanID = ""
	if got := trace.Traceparent(tc); got != "" {
		t.Errorf("Traceparent = %q, want none", got)
	}
}

// FuzzFromHeaders shows the first promise: whatever came in, what comes out is valid and goes round.
func FuzzFromHeaders(f *testing.F) {
	f.Add(valid, "a=b", "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent="+spanID+";Sampled=1")
	f.Add("", "", "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736")
	f.Add("ff-0", "\x00", "Root=;Parent==;;")
	f.Fuzz(func(t *testing.T, parent, state, xray string) {
		tc := trace.FromHeaders(map[string]string{"traceparent": parent, "tracestate": state, "AWSTraceHeader": xray}, time.Unix(1, 0))
		header := trace.Traceparent(tc)
		remote, ok := trace.ParseTraceparent(header)
		if !ok || remote.TraceID != tc.TraceID || remote.SpanID != tc.SpanID {
			t.Fatalf("%+v is written as %q", tc, header)
		}
		if tc.ParentSpanID != "" {
			if _, ok := trace.ParseTraceparent("00-" + tc.TraceID + "-" + tc.ParentSpanID + "-01"); !ok {
				t.Fatalf("parent of %+v is not valid", tc)
			}
		}
		if strings.ContainsFunc(tc.TraceState, func(r rune) bool { return r < 0x20 || r > 0x7e }) || len(tc.TraceState) > 512 {
			t.Fatalf("trace state %q", tc.TraceState)
		}
	})
}
