package gatewaysim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server on a real port with a client of its own.
type running struct {
	*Server
	url    string
	client *http.Client
}

func start(t testing.TB, options Options) *running {
	t.Helper()
	sim, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(func() {
		_ = sim.Close()
		transport.CloseIdleConnections()
		server.Close()
	})
	return &running{sim, server.URL, &http.Client{Transport: transport}}
}

// send posts one message. status is 0 when no answer came.
func (r *running) send(account, ref string) (status int, body string, header http.Header) {
	text, _ := json.Marshal(map[string]string{"clientRef": ref, "userId": account, "recipientId": "fan-42", "content": "Hello"})
	request, _ := http.NewRequest(http.MethodPost, r.url+"/v1/messages", bytes.NewReader(text))
	request.Header.Set("X-Attempt", "2")
	request.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	return r.do(request)
}

func (r *running) get(path string) (status int, body string) {
	request, _ := http.NewRequest(http.MethodGet, r.url+path, nil)
	status, body, _ = r.do(request)
	return status, body
}

func (r *running) do(request *http.Request) (int, string, http.Header) {
	response, err := r.client.Do(request)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, "cut: " + string(body), response.Header
	}
	return response.StatusCode, string(body), response.Header
}

// clock is a wall clock that only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (r *running) mustFaults(t testing.TB, faults Faults) {
	t.Helper()
	if err := r.SetFaults(faults); err != nil {
		t.Fatal(err)
	}
}

func outcomes(arrivals []Arrival) string {
	text := ""
	for _, a := range arrivals {
		text += fmt.Sprintf("%s:%s:%d ", a.ClientRef, a.Outcome, a.Status)
	}
	return text
}
