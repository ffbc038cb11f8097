package middleware

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/trace"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// headerXRay is how AWS' load balancers call the header that trace reads as HeaderXRay.
const headerXRay = "X-Amzn-Trace-Id"

type contextKey int

const (
	traceKey contextKey = iota
	progressKey
)

// TraceFrom returns the trace of a request that went through HTTP.
func TraceFrom(ctx context.Context) (workflow.TraceContext, bool) {
	tc, ok := ctx.Value(traceKey).(workflow.TraceContext)
	return tc, ok
}

// HTTP hands requests to next, or to the legacy orchestrator. Both get the trace: next in the context, see TraceFrom.
func (m *Middleware) HTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := Request{Trace: m.traceOf(r.Header), Reads: r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions}
		if m.target == nil {
			next.ServeHTTP(w, withTrace(r, request.Trace))
			return
		}
		var id Identity
		if m.config.Identify != nil {
			id = m.config.Identify(r)
		}
		if id.Ours {
			next.ServeHTTP(w, withTrace(r, request.Trace))
			return
		}
		r = withTrace(r, request.Trace) // a request of our own, whose body may be replaced
		userID, workflowID, err := peek(r)
		if err != nil {
			problem(w, http.StatusBadRequest, "the request's body could not be read to its end; nothing was done")
			return
		}
		request.UserID, request.WorkflowID, request.CampaignID = cmp.Or(id.UserID, userID), cmp.Or(id.WorkflowID, workflowID), id.CampaignID
		decision, err := m.Decide(r.Context(), request)
		if err != nil {
			m.logger.Error("no orchestrator can be chosen for a request", "method", r.Method, "trace_id", request.Trace.TraceID, "error", err)
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusServiceUnavailable, "it can't be decided now which orchestrator is to handle the request; nothing was done")
			return
		}
		r = withTrace(r, decision.Trace)
		if decision.Side == flags.Legacy {
			m.hand(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func withTrace(r *http.Request, tc workflow.TraceContext) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), traceKey, tc))
}

func (m *Middleware) traceOf(header http.Header) workflow.TraceContext {
	return trace.FromHeaders(map[string]string{
		trace.HeaderTraceparent: header.Get(trace.HeaderTraceparent),
		trace.HeaderTracestate:  strings.Join(header.Values(trace.HeaderTracestate), ","),
		trace.HeaderXRay:        header.Get(headerXRay),
	}, m.now())
}

// problem answers with problem details (RFC 9457).
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(status), status, detail})
}
