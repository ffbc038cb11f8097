package middleware_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/middleware"
)

// canary is what must not be seen anywhere but in the request itself.
const canary = "C4N4RY"

func post(t *testing.T, url string, header ...string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/x?q="+canary, strings.NewReader(`{"workflowId":"wf-1","userId":"old","content":"`+canary+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+canary)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return request
}

// raw legacy orchestrators, which do to a connection what a server does not.
func brokenLegacy(t *testing.T, handle func(net.Conn)) (url string, connections *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = &atomic.Int32{}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			all.Go(func() { handle(conn); _ = conn.Close() })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); all.Wait() })
	return "http://" + listener.Addr().String(), connections
}

// readRequest reads one request whole.
func readRequest(conn net.Conn) {
	if request, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
		_, _ = io.Copy(io.Discard, request.Body)
	}
}

// TestLegacyFails: whatever happens to the connection, the client gets a problem that says what is known, the request
// is written once, and never handled here.
func TestLegacyFails(t *testing.T) {
	t.Parallel()
	resetting, resets := brokenLegacy(t, readRequest)
	hanging, hangs := brokenLegacy(t, func(conn net.Conn) { readRequest(conn); time.Sleep(500 * time.Millisecond) })
	babbling, babbles := brokenLegacy(t, func(conn net.Conn) { readRequest(conn); _, _ = io.WriteString(conn, "not HTTP "+canary+"\r\n\r\n") })
	for _, tt := range []struct {
		name, url string
		count     *atomic.Int32
		want      string
	}{
		{"gone", "http://127.0.0.1:1", nil, "502 problem the legacy orchestrator could not be reached; the request was not handed over"},
		{"reset", resetting, resets, "502 problem the legacy orchestrator did not answer; it may have taken the request"},
		{"hang", hanging, hangs, "504 problem the legacy orchestrator did not answer; it may have taken the request"},
		{"babble", babbling, babbles, "502 problem the legacy orchestrator did not answer; it may have taken the request"},
	} {
		r := newRig(t, func(c *middleware.Config) { c.LegacyURL, c.ResponseTimeout = tt.url, 200*time.Millisecond })
		front, here := r.front(t)
		// net/http would repeat such a request by itself.
		got := do(t, post(t, front.URL, "Idempotency-Key", "k-1"))
		if got != tt.want {
			t.Errorf("%s: %s", tt.name, got)
		}
		if tt.count != nil && tt.count.Load() != 1 {
			t.Errorf("%s: written %d times", tt.name, tt.count.Load())
		}
		if len(here.take()) > 0 {
			t.Errorf("%s: handled here, too", tt.name)
		}
		if log := r.log.String(); strings.Contains(log+got, canary) || !strings.Contains(log, "trace_id") {
			t.Errorf("%s: log:\n%s", tt.name, log)
		}
		if side := r.routes.sides[[2]string{"old", "wf-1"}]; side != flags.Legacy {
			t.Errorf("%s: the workflow is %q after the failure", tt.name, side)
		}
	}
}

// A request with a key on a connection that was used before is what net/http repeats most eagerly.
func TestNothingIsRepeated(t *testing.T) {
	t.Parallel()
	var written atomic.Int32
	url, _ := brokenLegacy(t, func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		for n := 0; ; n++ {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, request.Body)
			written.Add(1)
			if n > 0 {
				return // the second request of a connection is read and not answered
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		r := newRig(t, func(c *middleware.Config) { c.LegacyURL = url })
		front, _ := r.front(t)
		for _, want := range []string{"200", "502"} {
			written.Store(0)
			request := post(t, front.URL, name, "k-1")
			request.Body, request.ContentLength = http.NoBody, 0 // the easiest to repeat
			if got := do(t, request); !strings.HasPrefix(got, want) || written.Load() != 1 {
				t.Errorf("%s: %s, written %d times; want %s once", name, got, written.Load(), want)
			}
		}
	}
}

// While nobody can say who is to handle it, neither does.
func TestUndecided(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	front, here := r.front(t)
	const want = "503 problem it can't be decided now which orchestrator is to handle the request; nothing was done"
	r.routes.fails = errAway
	if got := do(t, post(t, front.URL)); got != want {
		t.Errorf("without the database: %s", got)
	}
	r.routes.fails = nil
	r.flags.snapshot = flags.NewClient(flags.Config{Legacy: true}).Snapshot()
	if got := do(t, post(t, front.URL)); got != want {
		t.Errorf("before the flags were read: %s", got)
	}
	if n := len(here.take()) + len(r.legacy.take()); n > 0 {
		t.Errorf("%d requests were handled", n)
	}
	if strings.Contains(r.log.String(), canary) {
		t.Errorf("log:\n%s", r.log)
	}
	r.flags.snapshot = flags.NewClient(flags.Config{Legacy: true, Overrides: flags.Overrides{flags.OrchestratorEnabled: flags.On}}).Snapshot()
	if got := do(t, post(t, front.URL)); !strings.HasPrefix(got, "200 here") {
		t.Errorf("with the environment's word: %s", got)
	}
}

// Events are passed on as they come, and an answer that breaks off breaks off for the client.
func TestAnswerStreams(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	front, _ := r.front(t)
	goOn := make(chan bool)
	r.legacy.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		if <-goOn {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, "data: 2\n\n")
	})
	for _, breaks := range []bool{false, true} {
		response, err := http.DefaultClient.Do(post(t, front.URL))
		if err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(response.Body)
		if line, err := reader.ReadString('\n'); err != nil || line != "data: 1\n" {
			t.Errorf("%q (%v) before the answer's end", line, err)
		}
		goOn <- breaks
		rest, err := io.ReadAll(reader)
		if (err != nil) != breaks || !breaks && string(rest) != "\ndata: 2\n\n" {
			t.Errorf("breaks %v: %q (%v)", breaks, rest, err)
		}
		_ = response.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

// A body that breaks off before anything could be decided goes to nobody.
func TestBodyBreaksOff(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	front, here := r.front(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(front.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"userId\":\"old\"")
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	_ = conn.Close()
	if !strings.Contains(string(answer), "400 Bad Request") || len(here.take())+len(r.legacy.take()) > 0 {
		t.Errorf("answer %q", answer)
	}
}

// Without a legacy orchestrator nothing is looked up, and everything is handled here.
func TestAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *middleware.Config) { c.LegacyURL, c.Flags, c.Routes = "", nil, nil })
	front, here := r.front(t)
	if got := do(t, post(t, front.URL)); !strings.HasPrefix(got, "200 here") || len(here.take()) != 1 {
		t.Error(got)
	}
	for _, wrong := range []string{"legacy", "ftp://x", "http://", "http://u:" + canary + "@x", "http://x?y=1", "http://x#y", "http://%zz"} {
		if _, err := middleware.New(middleware.Config{LegacyURL: wrong}); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	if _, err := middleware.New(middleware.Config{LegacyURL: "http://x", MessagesPath: "messages"}); err == nil {
		t.Error("a path without a slash is taken")
	}
}
