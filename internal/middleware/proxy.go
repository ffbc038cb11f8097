package middleware

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/trace"
)

func newTransport(responseTimeout time.Duration) *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: responseTimeout,
		DisableCompression:    true, // an answer that was unpacked would not be the one that came
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       4 * time.Second, // less than servers keep a connection, so that no request meets one that closes
	}
}

func newClient(transport http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     transport,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// progress is how far a request to the legacy orchestrator came.
type progress struct{ written atomic.Bool }

// hand gives a request to the legacy orchestrator and its answer to whoever asked.
func (m *Middleware) hand(w http.ResponseWriter, r *http.Request) {
	p := &progress{}
	ctx := httptrace.WithClientTrace(context.WithValue(r.Context(), progressKey, p), &httptrace.ClientTrace{WroteHeaders: func() { p.written.Store(true) }})
	// Otherwise net/http would add what the answer does not have.
	w.Header()["Content-Type"], w.Header()["Date"] = nil, nil
	m.proxy.ServeHTTP(w, r.WithContext(ctx))
}

func (m *Middleware) newProxy(transport http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:       m.rewrite,
		Transport:     transport,
		FlushInterval: -1, // events are passed on as they come
		ErrorHandler:  m.failed,
		ErrorLog:      log.New(io.Discard, "", 0), // what it says is the client's own doing: it went away
	}
}

// fromOthers are headers that ReverseProxy takes for its own and removes. Whoever is before us may have set them.
var fromOthers = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// repeats are headers that make net/http believe that a request may be sent twice. It looks for them by this spelling;
// in small letters they mean the same to everybody else.
var repeats = []string{"Idempotency-Key", "X-Idempotency-Key"}

func (m *Middleware) rewrite(pr *httputil.ProxyRequest) {
	in, out := pr.In, pr.Out
	out.URL.Scheme, out.URL.Host, out.Host = m.target.Scheme, m.target.Host, ""
	out.URL.RawQuery, out.URL.ForceQuery = in.URL.RawQuery, in.URL.ForceQuery
	path, _, _ := strings.Cut(in.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		path = in.URL.EscapedPath() // the absolute form, or not from a server
	}
	out.URL.Path, out.URL.RawPath = m.target.Path+in.URL.Path, m.target.EscapedPath()+path
	if whole := out.URL.RawPath; out.URL.EscapedPath() != whole && !strings.HasPrefix(whole, "//") {
		out.URL.Opaque = whole // what url.URL would encode otherwise is written as it came
	}
	for _, name := range fromOthers {
		if values, ok := in.Header[name]; ok {
			out.Header[name] = values
		}
	}
	for _, name := range repeats {
		if values, ok := out.Header[name]; ok {
			delete(out.Header, name)
			out.Header[strings.ToLower(name)] = values
		}
	}
	out.GetBody = nil
	out.Trailer = in.Trailer // filled as the body is read
	if tc, ok := TraceFrom(in.Context()); ok {
		if _, valid := trace.ParseTraceparent(in.Header.Get(trace.HeaderTraceparent)); !valid {
			out.Header.Set(trace.HeaderTraceparent, trace.Traceparent(tc))
		}
	}
}

// failed answers when the legacy orchestrator did not. Nothing was written to the client yet.
func (m *Middleware) failed(w http.ResponseWriter, r *http.Request, err error) {
	tc, _ := TraceFrom(r.Context())
	status, detail := http.StatusBadGateway, "the legacy orchestrator could not be reached; the request was not handed over"
	if p, ok := r.Context().Value(progressKey).(*progress); ok && p.written.Load() {
		detail = "the legacy orchestrator did not answer; it may have taken the request"
		var network net.Error
		if errors.As(err, &network) && network.Timeout() {
			status = http.StatusGatewayTimeout
		}
	}
	if r.Context().Err() == nil { // whoever asked is still there
		m.logger.Warn("the legacy orchestrator did not handle a request", "method", r.Method, "status", status, "trace_id", tc.TraceID, "error", cause(err))
	}
	delete(w.Header(), "Date")
	problem(w, status, detail)
}
