package gateway

import (
	"context"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testToken   = "token-0123456789-secret"
	testContent = "dear_fan this is private"
)

func testMessage(ref string) Message {
	return Message{
		ClientRef: ref, UserID: "creator-7", RecipientID: "fan-42", Content: testContent, Attempt: 1,
		Trace: workflow.TraceContext{
			TraceID: "0af7651916cd43dd8448eb211c80319c", SpanID: "b7ad6b7169203331", TraceState: "vendor=1",
		},
	}
}

// newClient makes a client that is closed with the test. change may be nil.
func newClient(t testing.TB, url string, change func(*Config)) *Client {
	t.Helper()
	config := Config{URL: url, Token: testToken, Timeout: 5 * time.Second}
	if change != nil {
		change(&config)
	}
	client, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// newSim starts a simulated gateway on a real port.
func newSim(t testing.TB, faults gatewaysim.Faults) (*gatewaysim.Server, string) {
	t.Helper()
	sim, err := gatewaysim.New(gatewaysim.Options{Token: testToken, Seed: 1, Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		_ = sim.Close()
		server.Close()
	})
	return sim, server.URL
}

// rawServer answers every connection with a function of its own, for what net/http would not let a server do.
func rawServer(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	conns, release := context.WithCancel(context.Background())
	go func() {
		defer close(served)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(conns, func() { _ = conn.Close() })
			go func() {
				defer stop()
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		release()
		<-served
	})
	return "http://" + listener.Addr().String()
}
