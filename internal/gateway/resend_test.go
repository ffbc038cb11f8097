package gateway

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

// TestResetOnReusedConnectionIsOneArrival is the case in which net/http may repeat a POST: a kept connection that
// dies after the gateway has read the body. The request is the one that Send makes; the second variant adds the
// header that gives net/http leave to repeat it, so that only the missing GetBody stands against it.
func TestResetOnReusedConnectionIsOneArrival(t *testing.T) {
	t.Parallel()
	for _, kind := range []gatewaysim.Kind{gatewaysim.ResetAfter, gatewaysim.LostReply, gatewaysim.ResetBefore, gatewaysim.CloseBefore} {
		for _, header := range []string{"", "Idempotency-Key", "X-Idempotency-Key"} {
			t.Run(string(kind)+header, func(t *testing.T) {
				t.Parallel()
				sim, url := newSim(t, gatewaysim.Faults{})
				client := newClient(t, url, nil)
				if header != "" {
					client.http.Transport = addHeader{client.transport, header}
				}
				if got := client.Send(context.Background(), testMessage("first")); got.Class != Accepted {
					t.Fatalf("first: %+v", got)
				}
				if err := sim.SetFaults(gatewaysim.Faults{Rules: []gatewaysim.Rule{{Kind: kind}}}); err != nil {
					t.Fatal(err)
				}
				got := client.Send(context.Background(), testMessage("second"))
				if got.Class != Unknown || !got.Evidence.ConnectionReused || !got.Evidence.RequestWritten {
					t.Errorf("got %+v, want unknown on a reused connection", got)
				}
				if n := len(sim.Arrivals(1)); n != 1 {
					t.Errorf("%d arrivals of one send", n)
				}
			})
		}
	}
}

// addHeader puts the header on after Send has made its request.
type addHeader struct {
	next http.RoundTripper
	name string
}

func (a addHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set(a.name, "1")
	return a.next.RoundTrip(r)
}

// TestStaleConnectionIsNeverSentTwice lets the server close kept connections at the moment of the next request,
// many times: whatever side of the race a request lands on, it arrives at most once, and a send that is said not
// to have been sent did not arrive.
func TestStaleConnectionIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	arrived := make(chan string, 1000)
	url := rawServer(t, func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		for range 2 {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, request.Body); err != nil {
				return
			}
			arrived <- request.Header.Get("X-Client-Ref")
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"messageId\":\"m-1\"}")
		}
		// Closed without "Connection: close", while the client may be using it again.
	})
	client := newClient(t, url, nil)
	classes := map[string]Class{}
	for i := range 300 {
		ref := "ref-" + strconv.Itoa(i)
		classes[ref] = client.Send(context.Background(), testMessage(ref)).Class
	}
	counts := map[string]int{}
	for len(arrived) > 0 {
		counts[<-arrived]++
	}
	for ref, class := range classes {
		switch n := counts[ref]; {
		case n > 1:
			t.Errorf("%s arrived %d times", ref, n)
		case class == Accepted && n != 1, class == NotSent && n != 0:
			t.Errorf("%s is %s with %d arrivals", ref, class, n)
		case class == Rejected, class == RateLimited:
			t.Errorf("%s is %s", ref, class)
		}
	}
}

// TestRedirectIsNotFollowed: neither the body nor the token may go where a redirect points.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{300, 301, 302, 303, 304, 305, 307, 308} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			var elsewhere atomic.Int32
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { elsewhere.Add(1) }))
			defer other.Close()
			for _, location := range []string{other.URL + "/v1/messages", "/v1/messages"} {
				sim, url := newSim(t, gatewaysim.Faults{Rules: []gatewaysim.Rule{
					{Kind: gatewaysim.RedirectTo, Status: status, Location: location},
				}})
				client := newClient(t, url, nil)
				got := client.Send(context.Background(), testMessage("ref"))
				if got.Class != Unknown || got.Reason != Redirect || got.Status != status {
					t.Errorf("got %+v", got)
				}
				if stats := sim.Stats(); stats.Arrivals != 1 || stats.LookUps != 0 || elsewhere.Load() != 0 {
					t.Errorf("%+v, %d calls elsewhere", stats, elsewhere.Load())
				}
			}
		})
	}
}

func TestRequestCanNotBeRewound(t *testing.T) {
	t.Parallel()
	client := newClient(t, "http://127.0.0.1:1", nil)
	request, err := client.newRequest(context.Background(), testMessage("ref"))
	if err != nil {
		t.Fatal(err)
	}
	if request.GetBody != nil || request.Body == nil || request.ContentLength <= 0 {
		t.Errorf("GetBody %v, ContentLength %d", request.GetBody != nil, request.ContentLength)
	}
	if client.transport.Proxy != nil {
		t.Error("a proxy of the environment would be used")
	}
}

func TestOnlyHTTP1(t *testing.T) {
	t.Parallel()
	protocol := make(chan string, 2)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		protocol <- r.Proto
		_, _ = w.Write([]byte(`{"messageId":"m-1"}`))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client := newClient(t, server.URL, func(c *Config) {
		c.TLS = server.Client().Transport.(*http.Transport).TLSClientConfig
	})
	for _, reused := range []bool{false, true} {
		got := client.Send(context.Background(), testMessage("ref"))
		if got.Class != Accepted || got.Evidence.ConnectionReused != reused || got.Evidence.BytesWritten == 0 {
			t.Fatalf("got %+v", got)
		}
		if proto := <-protocol; proto != "HTTP/1.1" {
			t.Errorf("spoke %s", proto)
		}
	}
}
