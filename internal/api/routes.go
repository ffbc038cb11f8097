package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/huntaze/hybrid-orchestrator/internal/readiness"
)

// routes puts the parts together: ids and log around everything; keys, rates and idempotency around /v1.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Huntaze Hybrid Orchestrator", s.config.Version)
	config.Info.Description = "Creates campaigns, fills them with recipients, starts, pauses and cancels them, and says where every message is and why. Errors are problem documents (RFC 9457) that name the field."
	config.DocsPath, config.SchemasPath, config.OpenAPIPath = "", "", ""
	config.CreateHooks = nil // they add $schema to every answer, and a workflow has exactly the members of its contract
	config.RejectUnknownQueryParameters = true
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"key": {Type: "http", Scheme: "bearer", Description: "A key of the API, made by huntaze apikey create."}}
	config.Security = []map[string][]string{{"key": {}}}
	s.api = humago.New(mux, config)
	s.campaignRoutes()
	s.accountRoutes()
	register(s, huma.Operation{OperationID: "get-workflow", Method: http.MethodGet, Path: "/v1/workflows/{workflowId}", Summary: "The state of one message, with its timeline", Tags: []string{"Workflows"}}, s.getWorkflow)

	description, err := json.Marshal(s.api.OpenAPI())
	if err != nil {
		panic("api: the description can't be written: " + err.Error()) // a fault of the program
	}
	v1 := s.authenticate(s.idempotent(s.known(mux)))
	return s.observe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := infoOf(r.Context())
		switch {
		case strings.HasPrefix(r.URL.Path, "/v1/"):
			s.patience(w)
			v1.ServeHTTP(w, r)
		case r.URL.Path == "/openapi.json" && reads(r):
			i.route = r.URL.Path
			w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
			_, _ = w.Write(description)
		case r.URL.Path == "/livez" && reads(r):
			i.route = r.URL.Path
			_, _ = w.Write([]byte("ok\n"))
		case r.URL.Path == "/readyz" && reads(r):
			i.route = r.URL.Path
			s.ready.ServeHTTP(w, r)
		case s.config.Beside != nil:
			i.route = "beside"
			_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // of a request before it on the connection
			s.config.Beside.ServeHTTP(w, r)
		default:
			writeProblem(w, r, noRoute())
		}
	}))
}

// patience is how long a client may take from now on to accept its answer: one that takes none must not keep a
// connection for ever.
func (s *Server) patience(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2 * s.config.RequestTimeout))
}

func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func noRoute() *Problem {
	return problem(http.StatusNotFound, codeNotFound, "there is no such route; they are in /openapi.json", FieldError{In: "path", Field: "path", Reason: "is not known"})
}

// known answers what the mux would answer in plain text: unknown routes and methods, and paths that are not clean.
func (s *Server) known(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		escaped := r.URL.EscapedPath()
		_, pattern := mux.Handler(r)
		if pattern == "" || path.Clean(escaped) != escaped {
			answer := &recorder{ResponseWriter: w, header: http.Header{}}
			if pattern == "" {
				mux.ServeHTTP(answer, r)
			}
			if answer.status != http.StatusMethodNotAllowed {
				writeProblem(w, r, noRoute())
				return
			}
			w.Header().Set("Allow", answer.header.Get("Allow"))
			writeProblem(w, r, problem(http.StatusMethodNotAllowed, codeMethod, "this route knows other methods: "+answer.header.Get("Allow"), FieldError{In: "path", Field: "method", Reason: "is not one of " + answer.header.Get("Allow")}))
			return
		}
		infoOf(r.Context()).route = pattern
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) drains(context.Context) string {
	if s.draining.Load() {
		return "draining"
	}
	return ""
}

func (s *Server) reachable(ctx context.Context) string {
	if err := s.store.Ping(ctx); err != nil {
		return "does not answer, or can't be written to"
	}
	return ""
}

// Ready says of each part whether it can work.
func (s *Server) Ready() *readiness.Checker { return s.ready }

// register adds a route whose handler is bounded in time and whose errors become problems.
func register[I, O any](s *Server, op huma.Operation, handle func(context.Context, caller, *I) (*O, error)) {
	s.describe(&op)
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, s.config.RequestTimeout)
		defer cancel()
		return call(ctx, s, in, handle)
	})
}

// registerLong is register for what takes its time and has bounds of its own.
func registerLong[I, O any](s *Server, op huma.Operation, handle func(context.Context, caller, *I) (*O, error)) {
	s.describe(&op)
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) { return call(ctx, s, in, handle) })
}

func (s *Server) describe(op *huma.Operation) {
	op.MaxBodyBytes, op.BodyReadTimeout = s.config.MaxBodyBytes, s.config.RequestTimeout
	op.Errors = []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable}
}

// call runs a handler for the caller of the request.
func call[I, O any](ctx context.Context, s *Server, in *I, handle func(context.Context, caller, *I) (*O, error)) (*O, error) {
	out, err := handle(ctx, infoOf(ctx).caller, in)
	if err != nil {
		return nil, s.asProblem(ctx, err)
	}
	return out, nil
}

// asProblem makes a problem of an error.
func (s *Server) asProblem(ctx context.Context, err error) *Problem {
	var p *Problem
	if !errors.As(err, &p) {
		p = s.storeProblem(err)
	}
	i := infoOf(ctx)
	p.RequestID, i.problem = i.id, p
	return p
}

// inTime is the latest time that an API takes: further ones are typing errors.
const inTime = 10 * 366 * 24 * time.Hour
