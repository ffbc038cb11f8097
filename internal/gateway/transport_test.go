package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

// TestEndlessAnswerIsCut: an answer without end must not hold a send until its deadline, nor fill the memory.
func TestEndlessAnswerIsCut(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 4096)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	client := newClient(t, server.URL, func(c *Config) { c.Timeout = time.Minute })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if got := client.Send(ctx, testMessage("ref")); got.Class != Accepted || got.Reason != BadReply {
		t.Errorf("got %+v", got)
	}
	if _, err := client.LookUp(ctx, "ref"); err == nil {
		t.Error("an endless answer was believed")
	}
	if ctx.Err() != nil {
		t.Error("the answer was read until the deadline")
	}
}

// TestCloseNotifyIsNoByteOfARequest: what TLS itself writes below a request is not counted as the request's, and a
// record that was torn is.
func TestCloseNotifyIsNoByteOfARequest(t *testing.T) {
	t.Parallel()
	below := &countedConn{}
	conn := &countedConn{Conn: &tornConn{below: below}, below: below}
	below.written.Add(31) // the alert of a Close
	if _, err := conn.Write([]byte("hello")); err == nil || conn.written.Load() != 0 {
		t.Errorf("counted %d bytes, %v", conn.written.Load(), err)
	}
	conn.Conn.(*tornConn).tears = 3
	if _, err := conn.Write([]byte("hello")); err == nil || conn.written.Load() != 3 {
		t.Errorf("counted %d bytes, %v", conn.written.Load(), err)
	}
}

type tornConn struct {
	net.Conn
	below *countedConn
	tears int64
}

func (c *tornConn) Write([]byte) (int, error) {
	c.below.written.Add(c.tears)
	return 0, errors.New("broken")
}

// TestCloseEndsADial: a dial that hangs does not outlive the client.
func TestCloseEndsADial(t *testing.T) {
	t.Parallel()
	handshaking := make(chan struct{}, 1)
	url := rawServer(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1))
		handshaking <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	})
	client := newClient(t, "https"+url[len("http"):], func(c *Config) { c.Timeout, c.ConnectTimeout = time.Minute, time.Minute })
	done := make(chan Outcome, 1)
	go func() { done <- client.Send(context.Background(), testMessage("ref")) }()
	<-handshaking
	client.Close()
	select {
	case got := <-done:
		if got.Class != NotSent || got.Reason != Cancelled {
			t.Errorf("got %+v", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("the dial went on")
	}
}

// TestNothingIsWrittenAfterTheDeadline: a process that was stopped between the decision to send and the write does
// not send when it goes on, even if the timer that ends its call has not run yet. Here it never runs.
func TestNothingIsWrittenAfterTheDeadline(t *testing.T) {
	t.Parallel()
	sim, url := newSim(t, gatewaysim.Faults{})
	client := newClient(t, url, nil)
	if got := client.Send(context.Background(), testMessage("first")); got.Class != Accepted {
		t.Fatal(got)
	}
	late := withWriteDeadline(timerless{context.Background(), time.Now().Add(-time.Millisecond)})
	got := client.send(late, testMessage("late"))
	if got.Class != NotSent || got.Evidence.BytesWritten != 0 || !got.Evidence.Connected {
		t.Errorf("got %+v", got)
	}
	if n := sim.Stats().Arrivals; n != 1 {
		t.Errorf("%d messages arrived, want the first alone", n)
	}
	message := testMessage("spent")
	message.Since = time.Now().Add(-5 * time.Second) // the whole timeout
	if got := client.Send(context.Background(), message); got.Class != NotSent {
		t.Errorf("a call whose time was spent before it began: %+v", got)
	}
	// A connection's deadline is that of the request that has it.
	if got := client.Send(context.Background(), testMessage("second")); got.Class != Accepted {
		t.Errorf("got %+v", got)
	}
	if got, err := client.LookUp(context.Background(), "second"); err != nil || got.Answer != Found {
		t.Errorf("got %+v, %v", got, err)
	}
}

// timerless is a context with a deadline that nothing enforces.
type timerless struct {
	context.Context
	deadline time.Time
}

func (c timerless) Deadline() (time.Time, bool) { return c.deadline, true }

// TestLookUpAfterASend: a look-up on a connection whose last send's time has passed is no late send; the connection
// takes it. (net/http would hide a refusal: it repeats a GET of which nothing was written on another connection.)
func TestLookUpAfterASend(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"messageId":"m-1"}`)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client := newClient(t, server.URL, nil)
	short, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	if got := client.Send(short, testMessage("ref")); got.Class != Accepted {
		t.Fatal(got)
	}
	<-short.Done()
	if _, err := client.LookUp(context.Background(), "ref"); err != nil {
		t.Fatal(err)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections were made, want one", n)
	}
}
