package api_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/api"
)

// event is one event of a stream; comments have no kind.
type event struct{ kind, data string }

// follow opens an event stream, whose channel is closed at its end.
func (r *rig) follow(key, id string) (*http.Response, <-chan event) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), "GET", r.url+"/v1/campaigns/"+id+"/events", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	events := make(chan event, 1000)
	go func() {
		defer close(events)
		defer response.Body.Close()
		var one event
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			switch line := lines.Text(); {
			case line == "" && one != event{}:
				events <- one
				one = event{}
			case strings.HasPrefix(line, "event: "):
				one.kind = line[len("event: "):]
			case strings.HasPrefix(line, "data: "):
				one.data = line[len("data: "):]
			case strings.HasPrefix(line, ": "):
				one.data = line[2:]
			}
		}
	}()
	return response, events
}

// await returns the next event of a kind.
func await(t *testing.T, events <-chan event, kind string) (string, bool) {
	t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		select {
		case e, open := <-events:
			if !open {
				return "", false
			}
			if e.kind == kind {
				return e.data, true
			}
		case <-deadline:
			t.Fatalf("no event %q came", kind)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.newCampaign(r.a, "a", 12)
	response, events := r.follow(r.a, id)
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" || response.Header.Get("X-Request-Id") == "" {
		t.Fatalf("%d %v", response.StatusCode, response.Header)
	}
	progress := func(kind string) (p api.Progress) {
		t.Helper()
		text, _ := await(t, events, kind)
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		return p
	}
	r.do(r.a, "HEAD", "/v1/campaigns/"+id+"/events", "") // ends, though the campaign does not
	if p := progress("progress"); p.State != "draft" || p.Recipients != 12 {
		t.Errorf("%+v", p)
	}
	if text, _ := await(t, events, ""); text != "still here" {
		t.Errorf("%q", text)
	}
	r.do(r.a, "POST", "/v1/campaigns/"+id+"/start", "").wants(http.StatusOK)
	r.expand(id)
	for {
		if p := progress("progress"); p.Counts.Sending == 10 {
			if p.Forecast == nil || p.Forecast.Waiting != 2 || p.Forecast.EndsAt == nil {
				t.Errorf("%+v", p)
			}
			break
		}
	}
	r.sendAll()
	for progress("progress").Counts.Sent != 10 {
	}
	r.do(r.a, "POST", "/v1/campaigns/"+id+"/cancel", "").wants(http.StatusOK)
	if p := progress("end"); p.State != "cancelled" {
		t.Errorf("%+v", p)
	}
	if _, open := <-events; open {
		t.Error("the stream goes on")
	}
	if head := r.do(r.a, "HEAD", "/v1/campaigns/"+id+"/events", ""); head.status != http.StatusOK {
		t.Errorf("%d", head.status)
	}
	_, again := r.follow(r.a, id) // of a campaign that is over
	if _, open := await(t, again, "end"); !open {
		t.Error("no end")
	}
}

// TestShutdown: streams end with a word, what was begun is finished, and nothing is left.
func TestShutdown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.newCampaign(r.a, "a", 1)
	_, events := r.follow(r.a, id)
	await(t, events, "progress")
	done := make(chan answer)
	go func() {
		done <- r.send(r.a, "POST", "/v1/campaigns/"+id+"/recipients", list(20_000), "Content-Type", "application/x-ndjson")
	}()
	time.Sleep(100 * time.Millisecond) // the list is on its way
	began := time.Now()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if a := <-done; a.wants(http.StatusOK)["recipients"] != 20_000.0 {
		t.Errorf("%s", a.body)
	}
	last := ""
	for e := range events {
		last = e.data
	}
	if !strings.Contains(last, "shutting down") || time.Since(began) > 9*time.Second {
		t.Errorf("%q after %s", last, time.Since(began))
	}
}

func TestProbes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if a := r.do("", "GET", "/livez", ""); a.status != http.StatusOK {
		t.Errorf("%d", a.status)
	}
	if report := r.do("", "GET", "/readyz", "").wants(http.StatusOK); report["ready"] != true {
		t.Errorf("%v", report)
	}
}

// TestHundredThousand: a long list comes in within seconds, and memory does not grow with it.
func TestHundredThousand(t *testing.T) {
	r := newRig(t)
	id := r.newCampaign(r.a, "a", 0)
	send := func(n int) (took time.Duration, most uint64) {
		stop, peak := make(chan struct{}), make(chan uint64)
		go func() {
			var high uint64
			for {
				select {
				case <-stop:
					peak <- high
					return
				case <-time.After(20 * time.Millisecond):
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					high = max(high, m.HeapInuse)
				}
			}
		}()
		began := time.Now()
		got := r.send(r.a, "POST", "/v1/campaigns/"+id+"/recipients", list(n), "Content-Type", "application/x-ndjson", "Idempotency-Key", time.Now().String()[:10]).wants(http.StatusOK)
		took = time.Since(began)
		close(stop)
		if got["lines"] != float64(n) {
			t.Errorf("%v", got)
		}
		return took, <-peak
	}
	runtime.GC()
	took, most := send(100_000)
	t.Logf("100,000 recipients in %s (%.0f a second), heap at most %d MB", took.Round(time.Millisecond), 100_000/took.Seconds(), most>>20)
	if took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	if most > 100<<20 {
		t.Errorf("the heap had %d MB", most>>20)
	}
}
