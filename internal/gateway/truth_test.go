package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

// TestOutcomeIsTrue compares what Send says with what the gateway saw, under random faults, delays around the
// deadline and cancellations: unknown may be anything, every other class must be the truth, and one send is at
// most one arrival.
func TestOutcomeIsTrue(t *testing.T) {
	t.Parallel()
	sim, url := newSim(t, gatewaysim.Faults{})
	clients := map[time.Duration]*Client{}
	for _, timeout := range []time.Duration{300 * time.Microsecond, time.Millisecond, 3 * time.Millisecond, 2 * time.Second} {
		clients[timeout] = newClient(t, url, func(c *Config) { c.Timeout = timeout })
	}
	kinds := []gatewaysim.Kind{
		"", gatewaysim.Delay, gatewaysim.RateLimit, gatewaysim.Refuse, gatewaysim.ErrorBefore, gatewaysim.ErrorAfter,
		gatewaysim.CloseBefore, gatewaysim.LostReply, gatewaysim.ResetBefore, gatewaysim.ResetAfter, gatewaysim.Garbage,
		gatewaysim.Empty, gatewaysim.Truncated, gatewaysim.RedirectTo, gatewaysim.NotHTTP,
	}
	var number atomic.Int64
	classes := map[string]Class{}
	rapid.Check(t, func(t *rapid.T) {
		faults := gatewaysim.Faults{}
		if kind := rapid.SampledFrom(kinds).Draw(t, "kind"); kind != "" {
			rule := gatewaysim.Rule{Kind: kind}
			switch kind {
			case gatewaysim.Delay:
				rule.Min, rule.Max = 0, 3*time.Millisecond
			case gatewaysim.RedirectTo:
				rule.Location = url + "/v1/messages"
			}
			faults.Rules = append(faults.Rules, rule)
		}
		if err := sim.SetFaults(faults); err != nil {
			t.Fatal(err)
		}
		timeout := rapid.SampledFrom([]time.Duration{300 * time.Microsecond, time.Millisecond, 3 * time.Millisecond,
			2 * time.Second, 2 * time.Second}).Draw(t, "timeout")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if wait := rapid.SampledFrom([]time.Duration{0, 200 * time.Microsecond, time.Millisecond}).Draw(t, "cancel"); wait > 0 {
			defer time.AfterFunc(wait, cancel).Stop()
		}
		ref := "ref-" + strconv.FormatInt(number.Add(1), 10)
		got := clients[timeout].Send(ctx, testMessage(ref))
		classes[ref] = got.Class
		if got.Class == NotSent && (got.Evidence.BytesWritten != 0 || got.Status != 0) ||
			got.Class == Unknown && got.Evidence.BytesWritten == 0 {
			t.Fatalf("%+v", got)
		}
	})
	// Requests that were given up may still be arriving: everything written before a Close is read by then.
	for _, client := range clients {
		client.Close()
	}
	waitQuiet(t, sim)
	counts, taken := map[string]int{}, map[string]bool{}
	for _, a := range sim.Arrivals(0) {
		counts[a.ClientRef]++
		taken[a.ClientRef] = a.Outcome == gatewaysim.Accepted
	}
	seen := map[Class]int{}
	for ref, class := range classes {
		seen[class]++
		n, ok := counts[ref], taken[ref]
		wrong := n > 1
		switch class {
		case Accepted:
			wrong = wrong || n != 1 || !ok
		case Rejected, RateLimited:
			wrong = wrong || n != 1 || ok
		case NotSent:
			wrong = wrong || n != 0
		}
		if wrong {
			t.Errorf("%s is %s; %d arrivals, taken %v", ref, class, n, ok)
		}
	}
	t.Logf("%d sends: %v", len(classes), seen)
}

// waitQuiet returns when no arrival has come for a while.
func waitQuiet(t testing.TB, sim *gatewaysim.Server) {
	t.Helper()
	for before := int64(-1); ; {
		now := sim.Stats().Arrivals
		if now == before {
			return
		}
		before = now
		quiet, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_ = sim.Wait(quiet, func(s gatewaysim.Stats) bool { return s.Arrivals > now })
		cancel()
	}
}

// TestNothingSecretGetsOut lets the gateway say back everything that it was told, in every place it has.
func TestNothingSecretGetsOut(t *testing.T) {
	t.Parallel()
	var status int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		echo := testContent + " " + testToken + string(body)
		w.Header().Set("Location", "http://127.0.0.1:1/"+testToken)
		w.Header().Set("Retry-After", testToken)
		w.Header().Set("X-Echo", testToken)
		w.WriteHeader(status)
		reply, _ := json.Marshal(map[string]string{"messageId": echo + "\n", "error": "dear_fan", "code": testContent, "message": echo})
		_, _ = w.Write(reply)
	}))
	defer server.Close()
	client := newClient(t, server.URL, nil)
	for status = 200; status <= 599; status++ {
		for _, m := range []Message{testMessage("ref"), {}} {
			got := client.Send(context.Background(), m)
			text := fmt.Sprintf("%+v", got)
			for _, secret := range []string{"dear_fan", "private", testToken, "fan-42"} {
				if strings.Contains(text, secret) {
					t.Fatalf("status %d: %s", status, text)
				}
			}
			if strings.ContainsAny(got.Detail, "\n\r\x1b") || len(got.Detail) > 200 {
				t.Errorf("status %d: detail %q", status, got.Detail)
			}
		}
	}
}

func TestRefusalWordIsShown(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte(`{"code":"recipient_blocked"}`))
	}))
	defer server.Close()
	got := newClient(t, server.URL, nil).Send(context.Background(), testMessage("ref"))
	if want := "status 422: the gateway refused the message (gateway says recipient_blocked)"; got.Detail != want {
		t.Errorf("got %q, want %q", got.Detail, want)
	}
}

// BenchmarkSend measures the client together with the simulated gateway in one process: requests per second over
// kept connections on loopback.
func BenchmarkSend(b *testing.B) {
	for _, logged := range []bool{false, true} {
		b.Run("log="+strconv.FormatBool(logged), func(b *testing.B) {
			options := gatewaysim.Options{Token: testToken, KeepArrivals: 1000}
			if logged {
				options.LogPath = b.TempDir() + "/arrivals.jsonl"
			}
			sim, err := gatewaysim.New(options)
			if err != nil {
				b.Fatal(err)
			}
			server := httptest.NewServer(sim)
			defer server.Close()
			defer func() { _ = sim.Close() }()
			client := newClient(b, server.URL, nil)
			var number atomic.Int64
			b.SetParallelism(32)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					m := testMessage("ref-" + strconv.FormatInt(number.Add(1), 10))
					if got := client.Send(context.Background(), m); got.Class != Accepted {
						b.Errorf("%+v", got)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sends/s")
		})
	}
}
