package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

func TestLookUpOfTheContract(t *testing.T) {
	t.Parallel()
	sim, url := newSim(t, gatewaysim.Faults{})
	client := newClient(t, url+"/", nil)
	ctx := context.Background()
	ref := "wf 1&clientRef=other?#%/é"[:23] // everything that a query must not misread
	sent := client.Send(ctx, testMessage(ref))
	if sent.Class != Accepted {
		t.Fatal(sent)
	}
	found, err := client.LookUp(ctx, ref)
	if err != nil || found.Answer != Found || found.MessageID != sent.MessageID || time.Since(found.AcceptedAt) > time.Minute {
		t.Errorf("got %+v, %v", found, err)
	}
	if got, err := client.LookUp(ctx, "never"); err != nil || got != (LookUp{Answer: NeverAccepted}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for mode, want := range map[gatewaysim.LookUpMode]LookUpAnswer{
		gatewaysim.LookUpAbsent: Unsupported, gatewaysim.LookUpFailing: "", gatewaysim.LookUpLate: NeverAccepted,
	} {
		if err := sim.SetFaults(gatewaysim.Faults{LookUp: mode, LookUpAfter: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if got, err := client.LookUp(ctx, ref); got.Answer != want || (err == nil) == (want == "") {
			t.Errorf("%s: got %+v, %v", mode, got, err)
		}
	}
	if _, err := client.LookUp(ctx, ""); err == nil {
		t.Error("an empty reference was looked up")
	}
}

// TestLookUpNeverGuesses: over every status and every bad body only the three answers of the contract are answers.
func TestLookUpNeverGuesses(t *testing.T) {
	t.Parallel()
	var status int
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/v1/messages?clientRef=other")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	client := newClient(t, server.URL, nil)
	body = `{"messageId":"m-1","acceptedAt":"nonsense"}`
	for status = 200; status <= 599; status++ {
		got, err := client.LookUp(context.Background(), "ref")
		want := map[int]LookUp{
			200: {Answer: Found, MessageID: "m-1"}, 404: {Answer: NeverAccepted}, 501: {Answer: Unsupported},
		}[status]
		if got != want || (err == nil) != (want != LookUp{}) {
			t.Errorf("status %d: got %+v, %v", status, got, err)
		}
	}
	status = 200
	for _, body = range []string{"", "{}", "null", "[]", `{"messageId":""}`, "<html>", "{\"messageId\":\"\x00\"}", strings.Repeat(" ", 1<<17) + `{"messageId":"m"}`} {
		if got, err := client.LookUp(context.Background(), "ref"); err == nil {
			t.Errorf("body %.20q: got %+v", body, got)
		}
	}
}

func TestLookUpErrorsAreSafe(t *testing.T) {
	t.Parallel()
	url := rawServer(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = fmt.Fprintf(conn, "HTTP/9.9 %s\r\n\r\n", testContent)
	})
	_, err := newClient(t, url, nil).LookUp(context.Background(), "ref")
	if err == nil || strings.Contains(err.Error(), testContent) {
		t.Errorf("got %v", err)
	}
	_, hanging := newSim(t, gatewaysim.Faults{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := newClient(t, hanging, nil).LookUp(ctx, "ref"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	silent := rawServer(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	short := newClient(t, silent, func(c *Config) { c.LookupTimeout = 30 * time.Millisecond })
	if _, err := short.LookUp(context.Background(), "ref"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
