package provider

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

// TestRedirectIsNotFollowed: it would carry key and prompt to another place.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(other.URL, status))
		for _, surface := range surfaces {
			chat := newChatAt(t, surface, server.URL, nil)
			if got := chat.Complete(within(t, 30*time.Second), testRequest()); got.Class != ServerError || got.Status != status || !got.Unclassified {
				t.Errorf("%d, %s: %+v", status, surface, got)
			}
			if got := chat.Check(within(t, 30*time.Second)); got.State != CheckWrongAddress {
				t.Errorf("%d, %s: %+v", status, surface, got)
			}
		}
		server.Close()
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// TestAnswerIsLimited: by what it is after decompression, so that a small answer can't fill the memory.
func TestAnswerIsLimited(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write(bytes.Repeat([]byte(" "), 64<<20))
	_ = writer.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}))
	defer server.Close()
	got := newChatAt(t, providersim.SurfaceOpenAI, server.URL, nil).Complete(within(t, 30*time.Second), testRequest())
	if got.Class != ServerError || !got.Unclassified || got.Billed != BilledMaybe {
		t.Errorf("%+v", got)
	}
	read, err := readBody(io.NopCloser(bytes.NewReader(make([]byte, maxBody+1))))
	if len(read) != maxBody || err != errTooLong {
		t.Errorf("%d bytes, %v", len(read), err)
	}
	if read, err = readBody(io.NopCloser(bytes.NewReader(make([]byte, maxBody)))); len(read) != maxBody || err != nil {
		t.Errorf("%d bytes, %v", len(read), err)
	}
}

// TestDeadline: a call returns by the context's deadline, and what stood between is not waited for.
func TestDeadline(t *testing.T) {
	t.Parallel()
	sim := newSim(t, providersim.Options{})
	for _, surface := range surfaces {
		provider := providersim.Provider(providerOf(surface))
		if err := sim.SetDefault(provider, &providersim.Fault{Kind: providersim.Hang}); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		got := newChatAt(t, surface, sim.URL(), nil).Complete(within(t, 100*time.Millisecond), testRequest())
		if took := time.Since(begun); got.Class != Timeout || took > 5*time.Second {
			t.Errorf("%s: %+v after %s", surface, got, took)
		}
	}
}

// TestConnectionsAreBounded and used again: a call over the bound waits.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	chat, err := NewOpenAI(OpenAIConfig{BaseURL: server.URL, Key: testKey, Model: "m", Common: Common{MaxConnections: 2}})
	if err != nil {
		t.Fatal(err)
	}
	defer chat.Close()
	done := make(chan Result)
	for range 20 {
		go func() { done <- chat.Complete(within(t, 30*time.Second), testRequest()) }()
	}
	for range 20 {
		if got := <-done; got.Class != NotFound {
			t.Errorf("%+v", got)
		}
	}
	if n := opened.Load(); n > 2 {
		t.Errorf("%d connections", n)
	}
}

// TestTLS: an answer comes over TLS of a private authority, as HTTP/1.1.
func TestTLS(t *testing.T) {
	t.Parallel()
	sim := providersim.New(providersim.Options{AzureKey: testKey})
	defer func() { _ = sim.Close() }()
	proto := ""
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto = r.Proto
		sim.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	trusted := server.Client().Transport.(*http.Transport).TLSClientConfig
	chat := newChatAt(t, providersim.SurfaceAzureV1, server.URL, func(c *AzureConfig) { c.TLS = trusted })
	if got := chat.Complete(within(t, 30*time.Second), testRequest()); got.Class != Completed || proto != "HTTP/1.1" {
		t.Errorf("%s: %+v", proto, got)
	}
}

// past is a context with a deadline that nothing enforces, as in a process that was stopped and goes on.
type past struct{ context.Context }

func (past) Deadline() (time.Time, bool) { return time.Now().Add(-time.Second), true }

func TestPassedDeadlineIsNotSent(t *testing.T) {
	t.Parallel()
	sim := newSim(t, providersim.Options{})
	got := newChatAt(t, providersim.SurfaceOpenAI, sim.URL(), nil).Complete(past{context.Background()}, testRequest())
	if got.Class != Timeout || got.Billed != BilledNot || sim.Counts(providersim.OpenAI).Calls != 0 {
		t.Errorf("%+v", got)
	}
}

func BenchmarkComplete(b *testing.B) {
	sim := newSim(b, providersim.Options{})
	chat := newChatAt(b, providersim.SurfaceAzureV1, sim.URL(), nil)
	ctx := within(b, time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		if got := chat.Complete(ctx, testRequest()); got.Class != Completed {
			b.Fatalf("%+v", got)
		}
	}
}
