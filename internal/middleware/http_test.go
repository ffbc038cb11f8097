package middleware_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/middleware"
)

// front serves the middleware, with a handler behind it that notes what it got.
func (r *rig) front(t *testing.T) (front *httptest.Server, here *legacy) {
	t.Helper()
	here = &legacy{}
	front = httptest.NewServer(r.HTTP(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		here.mu.Lock()
		defer here.mu.Unlock()
		here.got = append(here.got, seen{Method: req.Method, URI: req.RequestURI, Body: string(body), Header: req.Header})
		tc, _ := middleware.TraceFrom(req.Context())
		fmt.Fprint(w, "here ", tc.TraceID)
	})))
	t.Cleanup(front.Close)
	return front, here
}

// raw sends the bytes of a request to a server and returns the bytes of the answer.
func raw(t interface{ Fatal(...any) }, server, request string) string {
	conn, err := net.Dial("tcp", strings.TrimPrefix(server, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// TestUnchanged: the legacy orchestrator can't tell a request that went through the middleware from one that did not,
// nor its client the answer, but for the trace.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	front, here := r.front(t)
	piece := rapid.SampledFrom([]string{"a", "/", "//", "%2F", "%2f", "%20", "+", ".", "..", ";", "=", "&", "'", `"`, "^", "|", "{}", "%C3%BC", "%00", ":", "@", "!", "*", "~", "%7E", "[", "]"})
	headers := rapid.SampledFrom([]string{
		"X-Odd: a\r\nX-Odd: b\r\n", "x-lOwEr:  spaces inside  \r\n", "X-Empty:\r\n", "X-Latin: caf\xe9\r\n", "Accept-Encoding: br\r\n", "User-Agent: me\r\n",
		"X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nX-Forwarded-Proto: https\r\nForwarded: for=1.2.3.4\r\n", "Cookie: a=1\r\nCookie: b=2\r\n", "Authorization: Bearer x.y\r\n",
		"Idempotency-Key: k-1\r\n", "X-Idempotency-Key: k-2\r\n", "If-None-Match: \"x\"\r\n", "Range: bytes=0-1\r\n", "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\n",
		"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nTracestate: a=b\r\n", "TE: trailers\r\n", "Keep-Alive: 5\r\n", "Content-Encoding: gzip\r\n",
	})
	kinds := rapid.SampledFrom([]string{"", "Content-Type: application/json\r\n", "Content-Type: text/csv\r\n", "Content-Type: application/x-ndjson; charset=x\r\n"})
	bodies := rapid.SampledFrom([]string{"", `{"userId":"creator-7","workflowId":"wf-1"}`, " {\"a\" : 1.0e3,\n\"userId\":null} trailing", "no json", "\x00\xff\xfe", strings.Repeat("é", 3000)})
	answers := []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/odd\r\n\r\nok", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\nX-A: 1\r\nX-A: 2\r\nDate: then\r\nServer: old\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 6\r\n\r\n<html>", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
	}
	rapid.Check(t, func(t *rapid.T) {
		path := "/" + strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "path"), "")
		if strings.HasPrefix(path, "//") {
			path = "/x" + path // begins a host in some libraries: see TestTwoSlashes
		}
		if query := rapid.SliceOfN(piece, 0, 6).Draw(t, "query"); len(query) > 0 {
			path += "?" + strings.Join(query, "")
		}
		path = rapid.SampledFrom([]string{path, path, strings.TrimRight(path, "?") + "?", path + "?;&%%"}).Draw(t, "uri")
		if strings.Contains(strings.SplitN(path, "?", 2)[0], "%0") {
			path = strings.ReplaceAll(path, "%00", "%01")
		}
		method := rapid.SampledFrom([]string{"GET", "POST", "PUT", "PATCH", "DELETE", "ODD"}).Draw(t, "method")
		body := bodies.Draw(t, "body")
		if method == "GET" {
			body = ""
		}
		request := method + " " + path + " HTTP/1.1\r\nHost: front.example\r\nConnection: close\r\n" + kinds.Draw(t, "kind")
		names := map[string]bool{}
		for _, header := range rapid.SliceOfNDistinct(headers, 0, 5, rapid.ID).Draw(t, "headers") {
			if name, _, _ := strings.Cut(header, ":"); !names[name] {
				names[name], request = true, request+header
			}
		}
		switch rapid.IntRange(0, 2).Draw(t, "framing") {
		case 0:
			if body != "" || method != "GET" {
				request += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
			} else {
				request += "\r\n"
			}
		case 1:
			request += "Transfer-Encoding: chunked\r\n\r\n"
			for part := range slices.Chunk([]byte(body), 7) {
				request += fmt.Sprintf("%x\r\n%s\r\n", len(part), part)
			}
			request += "0\r\n\r\n"
		default:
			request += "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
			if body != "" {
				request += fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
			}
			request += "0\r\nX-Sum: 42\r\n\r\n"
		}
		answer := rapid.SampledFrom(answers).Draw(t, "answer")
		r.legacy.answers(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, strings.Replace(answer, "\r\n", "\r\nConnection: close\r\n", 1))
				_ = conn.Close()
			}
		})
		want, got := raw(t, r.legacy.URL, request), raw(t, front.URL, request)
		both := r.legacy.take()
		if len(both) != 2 {
			t.Fatalf("%d requests arrived, want one directly and one through the middleware; the latter was answered %q", len(both), got)
		}
		direct, through := both[0], both[1]
		direct.Host, through.Host = "", ""
		for _, s := range []*seen{&direct, &through} {
			for _, hop := range []string{"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding"} {
				s.Header.Del(hop)
			}
			if s.Body == "" { // there is more than one way to say that
				s.Length, s.Encoding = 0, nil
				s.Header.Del("Content-Length")
			}
		}
		if direct.Header.Get("Traceparent") == "" {
			if through.Header.Get("Traceparent") == "" {
				t.Error("no trace was begun")
			}
			through.Header.Del("Traceparent")
		}
		if diff := cmp.Diff(direct, through); diff != "" {
			t.Errorf("request (-directly +through the middleware):\n%s\nof %q", diff, request)
		}
		if diff := cmp.Diff(parts(t, want), parts(t, got)); diff != "" {
			t.Errorf("answer (-directly +through the middleware):\n%s", diff)
		}
	})
	if n := len(here.take()); n > 0 {
		t.Errorf("%d requests were handled here, too", n)
	}
}

// parts is an answer without what belongs to its connection.
func parts(t *rapid.T, answer string) (all struct {
	Status string
	Header http.Header
	Body   string
}) {
	response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
	if err != nil {
		t.Fatalf("%v in %q", err, answer)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	response.Header.Del("Connection")
	all.Status, all.Header, all.Body = response.Status, response.Header, string(body)
	return all
}

func TestTwoSlashes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	front, _ := r.front(t)
	raw(t, front.URL, "GET //evil.example/x%2Fy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if got := r.legacy.take(); len(got) != 1 || got[0].URI != "//evil.example/x%2Fy" {
		t.Errorf("got %+v", got)
	}
}

func TestWhoHandles(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *middleware.Config) {
		c.Identify = func(req *http.Request) middleware.Identity {
			parts := strings.Split(req.URL.Path, "/")
			id := middleware.Identity{UserID: req.Header.Get("Key-Of"), Ours: req.URL.Path == "/livez"}
			if len(parts) == 3 && parts[1] == "workflows" {
				id.WorkflowID = parts[2]
			}
			if len(parts) == 3 && parts[1] == "campaigns" {
				id.CampaignID = parts[2]
			}
			return id
		}
	})
	front, here := r.front(t)
	large := strings.Repeat("x", 3<<20)
	r.flags.set("off", "new")
	for _, tt := range []struct {
		method, path, key, kind, body string
		want                          flags.Side
	}{
		{"POST", "/campaigns", "new", "", "{}", flags.Here},
		{"POST", "/campaigns", "old", "", "{}", flags.Legacy},
		{"POST", "/campaigns", "", "application/json", `{"name":"x","userId":"new"}`, flags.Here},
		{"POST", "/campaigns", "", "application/json; charset=utf-8", `{"userId":"old","x":{"userId":"new"}}`, flags.Legacy},
		{"POST", "/campaigns", "", "application/json", `{"userId":"old","userId":"new"}`, flags.Here},
		{"POST", "/campaigns", "", "application/json", `{"USERID":"new"}`, flags.Legacy},
		{"POST", "/campaigns", "old", "application/json", `{"userId":"new"}`, flags.Legacy}, // the key goes before the body
		{"POST", "/campaigns", "", "application/json", `{"userId":"new","big":"` + large + `"}`, flags.Here},
		{"POST", "/campaigns", "", "application/json", `{"big":"` + large + `","userId":"new"}`, flags.Legacy},
		{"POST", "/campaigns", "", "text/csv", `{"userId":"new"}`, flags.Legacy},
		{"POST", "/campaigns", "", "application/json", `{"userId":7}`, flags.Legacy},
		{"POST", "/campaigns/ours", "old", "", "", flags.Here}, // a pause must reach the side that sends
		{"POST", "/campaigns/theirs", "old", "", "", flags.Legacy},
		{"GET", "/workflows/unheard", "old", "", "", flags.Legacy},
		{"POST", "/workflows/w1", "new", "", "", flags.Here},
		{"POST", "/workflows/w2", "old", "", "", flags.Legacy},
		{"POST", "/x", "", "application/json", `{"workflowId":"w3","userId":"new"}`, flags.Here},
		{"GET", "/livez", "old", "", "", flags.Here},
	} {
		request, err := http.NewRequestWithContext(t.Context(), tt.method, front.URL+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Key-Of", tt.key)
		if tt.kind != "" {
			request.Header.Set("Content-Type", tt.kind)
		}
		request.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		answer := do(t, request)
		ours, theirs := here.take(), r.legacy.take()
		if len(ours)+len(theirs) != 1 {
			t.Fatalf("%+v: %d and %d", tt.path, len(ours), len(theirs))
		}
		got := flags.Legacy
		if len(ours) == 1 {
			got = flags.Here
			if answer != "200 here 4bf92f3577b34da6a3ce929d0e0e4736" {
				t.Errorf("%s: %s", tt.path, answer)
			}
		}
		if one := append(ours, theirs...)[0]; got != tt.want || one.Body != tt.body {
			t.Errorf("%s %s of %q with %.60s: %s, want %s; body %d of %d bytes", tt.method, tt.path, tt.key, tt.body, got, tt.want, len(one.Body), len(tt.body))
		}
	}
	if got := slices.Sorted(func(yield func(string) bool) {
		for key, side := range maps.All(r.routes.sides) {
			yield(fmt.Sprint(key, side))
		}
	}); fmt.Sprint(got) != "[[new w1]here [new w3]here [old w2]legacy]" {
		t.Errorf("decided %v: a request that only reads must not decide", got)
	}
}

func do(t *testing.T, request *http.Request) string {
	t.Helper()
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.Header.Get("Content-Type") == "application/problem+json" {
		var details struct {
			Status int
			Detail string
		}
		if err := json.Unmarshal(body, &details); err != nil || details.Status != response.StatusCode {
			t.Errorf("problem %s: %v", body, err)
		}
		return fmt.Sprint(response.StatusCode, " problem ", details.Detail)
	}
	return fmt.Sprint(response.StatusCode, " ", string(body))
}
