package trace_test

import (
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/trace"
)

// A producer's decision against its trace is kept and handed on; without one the decision is ours.
func TestAProducersDecisionIsKept(t *testing.T) {
	t.Parallel()
	const root = "Root=1-65432100-0123456789abcdef01234567;Parent=" + spanID
	for header, refused := range map[[2]string]bool{
		{"traceparent", valid}: false, {"traceparent", valid[:53] + "00"}: true,
		{"AWSTraceHeader", root}: false, {"AWSTraceHeader", root + ";Sampled=?"}: false, {"AWSTraceHeader", root + ";Sampled=1"}: false, {"AWSTraceHeader", root + "; Sampled=0"}: true,
	} {
		tc := trace.FromHeaders(map[string]string{header[0]: header[1]}, time.Unix(1, 0))
		remote, _ := trace.ParseTraceparent(trace.Traceparent(tc))
		if tc.NotSampled != refused || remote.Sampled == refused {
			t.Errorf("%v: refused %v, handed on as sampled %v", header, tc.NotSampled, remote.Sampled)
		}
	}
}
