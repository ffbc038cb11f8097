package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

func TestSendFollowsTheContract(t *testing.T) {
	t.Parallel()
	var header http.Header
	var body map[string]string
	var path string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header, path = r.Header, r.Method+" "+r.RequestURI
		_ = json.NewDecoder(r.Body).Decode(&body)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"messageId":"m-77"}`))
	}))
	defer server.Close()
	client := newClient(t, server.URL+"/base/", nil)
	m := testMessage("wf-1")
	m.Attempt = 3
	m.Content = "<b>&\u2028 \"quoted\" é"
	got := client.Send(context.Background(), m)
	if got.Class != Accepted || got.MessageID != "m-77" || got.Status != 201 || got.Reason != None || got.Detail != "" {
		t.Fatalf("got %+v", got)
	}
	if path != "POST /base/v1/messages" {
		t.Errorf("called %s", path)
	}
	want := map[string]string{"clientRef": "wf-1", "userId": "creator-7", "recipientId": "fan-42", "content": m.Content}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Error(diff)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer " + testToken, "Content-Type": "application/json", "X-Client-Ref": "wf-1", "X-Attempt": "3",
		"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate": "vendor=1",
		"Accept-Encoding": "", "Idempotency-Key": "", "X-Idempotency-Key": "", "Expect": "",
	} {
		if header.Get(name) != value {
			t.Errorf("header %s: got %q, want %q", name, header.Get(name), value)
		}
	}
	e := got.Evidence
	if !e.Connected || e.ConnectionReused || !e.HeadersWritten || !e.RequestWritten || !e.FirstByte || e.Duration <= 0 ||
		e.BytesWritten < int64(len(m.Content)) || e.Status != 201 {
		t.Errorf("evidence %+v", e)
	}
	if again := client.Send(context.Background(), m); !again.Evidence.ConnectionReused {
		t.Errorf("the connection was not kept: %+v", again.Evidence)
	}
}

func TestBrokenTraceIsLeftOut(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*Message){
		func(m *Message) { m.Trace.TraceID = "" },
		func(m *Message) { m.Trace.TraceID = strings.Repeat("0", 32) },
		func(m *Message) { m.Trace.TraceID = strings.ToUpper(m.Trace.TraceID) },
		func(m *Message) { m.Trace.SpanID = "b7ad6b716920333\n" },
	} {
		m := testMessage("ref")
		change(&m)
		request, err := newClient(t, "http://127.0.0.1:1", nil).newRequest(context.Background(), m)
		if err != nil {
			t.Fatal(err)
		}
		if got := request.Header.Get("Traceparent") + request.Header.Get("Tracestate"); got != "" {
			t.Errorf("sent %q", got)
		}
	}
	whose := testMessage("ref")
	whose.Trace.NotSampled, whose.Trace.UserID, whose.Trace.WorkflowID = true, "a,b;c=d\r\n", "wf 1"
	request, err := newClient(t, "http://127.0.0.1:1", nil).newRequest(context.Background(), whose)
	if err != nil {
		t.Fatal(err)
	}
	if got := request.Header.Get("Baggage"); got != "huntaze.user_id=a%2Cb%3Bc%3Dd%0D%0A,huntaze.workflow_id=wf%201" {
		t.Errorf("baggage is %q", got)
	}
	if got := request.Header.Get("Traceparent"); !strings.HasSuffix(got, "-00") {
		t.Errorf("a trace that is not sampled is sent as %q", got)
	}
	m := testMessage("ref")
	m.Trace.TraceState = "a=1\r\nX-Evil: 1"
	if got := newClient(t, "http://127.0.0.1:1", nil).Send(context.Background(), m); got.Reason != ConnectFailed {
		t.Errorf("a bad tracestate stops the send: %+v", got)
	}
}

func TestInvalidMessageIsNotTried(t *testing.T) {
	t.Parallel()
	sim, url := newSim(t, gatewaysim.Faults{})
	client := newClient(t, url, nil)
	for name, change := range map[string]func(*Message){
		"no ref":       func(m *Message) { m.ClientRef = "" },
		"line break":   func(m *Message) { m.ClientRef = "a\r\nX-Evil: 1" },
		"long ref":     func(m *Message) { m.ClientRef = strings.Repeat("x", 257) },
		"no account":   func(m *Message) { m.UserID = "" },
		"no recipient": func(m *Message) { m.RecipientID = "" },
		"no content":   func(m *Message) { m.Content = "" },
		"not UTF-8":    func(m *Message) { m.Content = "\xff" },
	} {
		m := testMessage("ref")
		change(&m)
		if got := client.Send(context.Background(), m); got.Class != NotSent || got.Reason != InvalidRequest {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if n := sim.Stats().Arrivals; n != 0 {
		t.Errorf("%d arrivals", n)
	}
}

// TestFaultsOfTheGateway goes over every way of the simulated gateway to fail.
func TestFaultsOfTheGateway(t *testing.T) {
	t.Parallel()
	cases := []struct {
		rule   gatewaysim.Rule
		class  Class
		reason Reason
		taken  bool
	}{
		{gatewaysim.Rule{Kind: gatewaysim.RateLimit, RetryAfter: 90 * time.Second}, RateLimited, TooManyRequests, false},
		{gatewaysim.Rule{Kind: gatewaysim.RateLimit}, RateLimited, TooManyRequests, false},
		{gatewaysim.Rule{Kind: gatewaysim.Refuse, Status: 401}, Rejected, RefusedCredentials, false},
		{gatewaysim.Rule{Kind: gatewaysim.Refuse, Status: 403}, Rejected, Forbidden, false},
		{gatewaysim.Rule{Kind: gatewaysim.Refuse}, Rejected, Refused, false},
		{gatewaysim.Rule{Kind: gatewaysim.Refuse, Status: 408}, Unknown, AmbiguousStatus, false},
		{gatewaysim.Rule{Kind: gatewaysim.ErrorBefore}, Unknown, ServerError, false},
		{gatewaysim.Rule{Kind: gatewaysim.ErrorAfter}, Unknown, ServerError, true},
		{gatewaysim.Rule{Kind: gatewaysim.CloseBefore}, Unknown, UnexpectedEOF, false},
		{gatewaysim.Rule{Kind: gatewaysim.LostReply}, Unknown, UnexpectedEOF, true},
		{gatewaysim.Rule{Kind: gatewaysim.ResetBefore}, Unknown, ConnectionReset, false},
		{gatewaysim.Rule{Kind: gatewaysim.ResetAfter}, Unknown, ConnectionReset, true},
		{gatewaysim.Rule{Kind: gatewaysim.HangBefore}, Unknown, Timeout, false},
		{gatewaysim.Rule{Kind: gatewaysim.HangAfter}, Unknown, Timeout, true},
		{gatewaysim.Rule{Kind: gatewaysim.NotHTTP}, Unknown, MalformedReply, true},
		{gatewaysim.Rule{Kind: gatewaysim.RedirectTo, Location: "/elsewhere"}, Unknown, Redirect, false},
		{gatewaysim.Rule{Kind: gatewaysim.Garbage}, Accepted, BadReply, true},
		{gatewaysim.Rule{Kind: gatewaysim.Empty}, Accepted, BadReply, true},
		{gatewaysim.Rule{Kind: gatewaysim.Truncated}, Accepted, BadReply, true},
		{gatewaysim.Rule{Kind: gatewaysim.Delay, Min: time.Millisecond}, Accepted, None, true},
	}
	for _, c := range cases {
		t.Run(string(c.rule.Kind), func(t *testing.T) {
			t.Parallel()
			sim, url := newSim(t, gatewaysim.Faults{Rules: []gatewaysim.Rule{c.rule}})
			client := newClient(t, url, func(config *Config) {
				if c.reason == Timeout {
					config.Timeout = time.Second
				}
			})
			got := client.Send(context.Background(), testMessage("ref"))
			if got.Class != c.class || got.Reason != c.reason {
				t.Errorf("got %+v, want %s %q", got, c.class, c.reason)
			}
			if got.RetryAfter != c.rule.RetryAfter {
				t.Errorf("retry after %v", got.RetryAfter)
			}
			if stats := sim.Stats(); stats.Arrivals != 1 || (stats.Accepted == 1) != c.taken {
				t.Errorf("stats %+v", stats)
			}
		})
	}
}

func TestNoConnection(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	silent := rawServer(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	closed := rawServer(t, func(net.Conn) {})
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	for name, c := range map[string]struct {
		url     string
		reasons []Reason
	}{
		"refused":             {"http://" + gone.Addr().String(), []Reason{ConnectFailed}},
		"unknown authority":   {secure.URL, []Reason{TLSFailed}},
		"TLS to a plain port": {strings.Replace(plain.URL, "http:", "https:", 1), []Reason{TLSFailed}},
		"closed in handshake": {strings.Replace(closed, "http:", "https:", 1), []Reason{TLSFailed, ConnectFailed}},
		"silent in handshake": {strings.Replace(silent, "http:", "https:", 1), []Reason{ConnectTimeout}},
		"no such name":        {"http://gateway.invalid", []Reason{DNSFailed, ConnectTimeout}},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, c.url, func(config *Config) {
				if slices.Contains(c.reasons, ConnectTimeout) {
					config.ConnectTimeout = 300 * time.Millisecond
				}
			})
			got := client.Send(context.Background(), testMessage("ref"))
			if got.Class != NotSent || got.Evidence.Connected || got.Evidence.BytesWritten != 0 {
				t.Errorf("got %+v", got)
			}
			if !slices.Contains(c.reasons, got.Reason) {
				t.Errorf("reason %q, want one of %q", got.Reason, c.reasons)
			}
		})
	}
}

func TestNoFreeConnectionIsNotSent(t *testing.T) {
	t.Parallel()
	sim, url := newSim(t, gatewaysim.Faults{Rules: []gatewaysim.Rule{{Kind: gatewaysim.HangAfter, Count: 1}}})
	client := newClient(t, url, func(config *Config) { config.MaxConnections = 1 })
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan Outcome, 1)
	go func() { first <- client.Send(ctx, testMessage("first")) }()
	if err := sim.Wait(t.Context(), func(s gatewaysim.Stats) bool { return s.Accepted == 1 }); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer stop()
	if got := client.Send(short, testMessage("second")); got.Class != NotSent || got.Reason != ConnectTimeout {
		t.Errorf("got %+v", got)
	}
	cancel()
	if got := <-first; got.Class != Unknown || got.Reason != Cancelled {
		t.Errorf("cancelled in flight: got %+v", got)
	}
	if got := client.Send(ctx, testMessage("third")); got.Class != NotSent || got.Reason != Cancelled {
		t.Errorf("cancelled before: got %+v", got)
	}
	if n := sim.Stats().Arrivals; n != 1 {
		t.Errorf("%d arrivals", n)
	}
}

func TestClosedClientSendsNothing(t *testing.T) {
	t.Parallel()
	sim, url := newSim(t, gatewaysim.Faults{})
	client := newClient(t, url, nil)
	client.Close()
	client.Close()
	if got := client.Send(context.Background(), testMessage("ref")); got.Class != NotSent {
		t.Errorf("got %+v", got)
	}
	if n := sim.Stats().Arrivals; n != 0 {
		t.Errorf("%d arrivals", n)
	}
}

// stingyConn takes a number of bytes and fails.
type stingyConn struct {
	net.Conn
	takes int
}

func (c *stingyConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p[:min(c.takes, len(p))])
	c.takes -= n
	return n, errors.Join(err, net.ErrClosed)
}

// TestBytesWrittenDecide breaks the connection after a number of bytes: none is proof, one is doubt.
func TestBytesWrittenDecide(t *testing.T) {
	t.Parallel()
	for _, takes := range []int{0, 1, 100} {
		for _, wrapped := range []bool{true, false} {
			sim, url := newSim(t, gatewaysim.Faults{})
			client := newClient(t, url, nil)
			client.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
				if err != nil || !wrapped {
					return &stingyConn{conn, takes}, err
				}
				return &countedConn{Conn: &stingyConn{conn, takes}}, nil
			}
			got := client.Send(context.Background(), testMessage("ref"))
			want := Unknown // also when nobody counted
			if wrapped && takes == 0 {
				want = NotSent
			}
			if got.Class != want || (wrapped && got.Evidence.BytesWritten != int64(takes)) {
				t.Errorf("%d bytes, counted %v: got %+v, want %s", takes, wrapped, got, want)
			}
			if n := sim.Stats().Arrivals; n != 0 {
				t.Errorf("%d arrivals", n)
			}
		}
	}
}
