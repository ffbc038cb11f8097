package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/trace"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// The headers that every answer has.
const (
	headerRequestID   = "X-Request-Id"
	headerTraceparent = "Traceparent"
)

// info is what is known of the request that is being answered.
type info struct {
	id      string
	trace   workflow.TraceContext
	route   string
	caller  caller
	key     string    // Idempotency-Key
	since   time.Time // when the first try with that key came
	problem *Problem  // that it was answered with
}

type infoKey struct{}

// infoOf returns the request's; outside of one an empty one.
func infoOf(ctx context.Context) *info {
	if i, ok := ctx.Value(infoKey{}).(*info); ok {
		return i
	}
	return &info{}
}

// told is a response writer that remembers what was told. It can be unwrapped, so that deadlines reach the connection.
type told struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (t *told) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *told) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	n, err := t.ResponseWriter.Write(b)
	t.bytes += int64(n)
	return n, err
}

// Flush is for handlers beside the API that look for it.
func (t *told) Flush() { _ = http.NewResponseController(t.ResponseWriter).Flush() }

func (t *told) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// observe gives the request its ids, keeps a panic from ending the process, and writes one line to the log.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := s.config.Now()
		i := &info{id: requestID(r.Header.Get(headerRequestID)), trace: traceOf(r.Header, began)}
		r = r.WithContext(context.WithValue(r.Context(), infoKey{}, i))
		answer := &told{ResponseWriter: w}
		defer s.config.Metrics.begun(requestsInFlight)()
		w.Header().Set(headerRequestID, i.id)
		w.Header().Set(headerTraceparent, trace.Traceparent(i.trace))
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		defer func() {
			if cause := recover(); cause != nil {
				if cause == http.ErrAbortHandler {
					panic(cause)
				}
				s.logger.Error("a request panicked", "request", i.id, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
				if answer.status == 0 {
					writeProblem(answer, r, problem(http.StatusInternalServerError, codeInternal, "something went wrong here; it is in the log under the requestId"))
				}
			}
			s.log(r, i, answer, s.config.Now().Sub(began))
		}()
		next.ServeHTTP(answer, r)
	})
}

func (s *Server) log(r *http.Request, i *info, answer *told, took time.Duration) {
	s.config.Metrics.answered(r, i, answer.status, took)
	level := slog.LevelInfo
	attributes := []slog.Attr{slog.String("request", i.id), slog.String("trace_id", i.trace.TraceID), slog.String("method", r.Method), slog.String("route", i.route),
		slog.Int("status", answer.status), slog.Int64("bytes", answer.bytes), slog.Float64("took_seconds", took.Seconds()), slog.String("key", i.caller.key.ID)}
	if p := i.problem; p != nil {
		attributes = append(attributes, slog.String("problem", p.Code))
		if p.cause != nil {
			attributes = append(attributes, slog.String("cause", p.cause.Error()))
		}
	}
	switch {
	case answer.status >= 500:
		level = slog.LevelError
	case i.route == "/livez", i.route == "/readyz":
		level = slog.LevelDebug
	}
	s.logger.LogAttrs(r.Context(), level, "request", attributes...)
}

// requestID takes the caller's id, so that its log and ours can be put together, if it is harmless.
func requestID(wanted string) string {
	if wanted != "" && len(wanted) <= 128 && strings.Trim(wanted, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == "" {
		return wanted
	}
	return strings.ToLower(rand.Text())
}

func traceOf(h http.Header, now time.Time) workflow.TraceContext {
	return trace.FromHeaders(map[string]string{trace.HeaderTraceparent: h.Get(trace.HeaderTraceparent), trace.HeaderTracestate: h.Get(trace.HeaderTracestate)}, now)
}
