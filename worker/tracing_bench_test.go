package worker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

// BenchmarkTelemetry compares the whole path, from a full queue to the last arrival, with telemetry off and on: one run
// has both, in turns. It reports messages a second; the ratio of the two is what counts.
func BenchmarkTelemetry(b *testing.B) {
	worker.CollectRarely() // as `huntaze worker` does
	const count = 4000
	rates := map[bool]float64{}
	rounds := 0
	for b.Loop() {
		rounds++
		for _, on := range []bool{rounds%2 == 0, rounds%2 != 0} {
			rates[on] += pathRate(b, count, on)
		}
	}
	b.ReportMetric(rates[false]/float64(rounds), "off-msg/s")
	b.ReportMetric(rates[true]/float64(rounds), "on-msg/s")
	b.ReportMetric(rates[true]/rates[false], "on/off")
}

func pathRate(b *testing.B, count int, on bool) float64 {
	r := newRig(b)
	config := r.config(b, fmt.Sprintf("on-%v", on))
	config.SendWorkers, config.AdminAddr, config.Recipient = 200, "", nil
	if on {
		var flush func()
		config.Telemetry, flush = setup(b, discard(b).URL, "OTEL_BSP_SCHEDULE_DELAY=1000")
		defer flush()
	}
	var lines jsonLines
	for n := range count {
		lines.add(message(fmt.Sprintf("creator-%d", n%1000), n))
	}
	sender := queue.Sender{API: r.sqs.Client(), Queue: queueName}
	if _, err := sender.Send(b.Context(), &lines.Buffer); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	stop := r.start(b, config)
	for r.gateway.Stats().Accepted < int64(count) {
		if time.Since(began) > 2*time.Minute {
			b.Fatalf("gateway: %+v", r.gateway.Stats())
		}
		time.Sleep(5 * time.Millisecond)
	}
	rate := float64(count) / time.Since(began).Seconds()
	stop()
	return rate
}

type jsonLines struct{ bytes.Buffer }

func (l *jsonLines) add(message map[string]any) { _ = json.NewEncoder(&l.Buffer).Encode(message) }

// discard is a collector that costs next to nothing: what is measured is the worker.
func discard(b *testing.B) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	b.Cleanup(server.Close)
	return server
}
