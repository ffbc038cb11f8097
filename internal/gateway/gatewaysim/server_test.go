package gatewaysim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestArrivalIsRecorded(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, Options{Clock: clock.Now})
	clock.add(1500 * time.Millisecond)
	status, body, _ := sim.send("creator-7", "wf-1")
	if status != 200 || strings.TrimSpace(body) != `{"messageId":"sim-1"}` {
		t.Fatalf("got %d %s", status, body)
	}
	hash := sha256.Sum256([]byte("Hello"))
	want := []Arrival{{
		Seq: 1, Since: 1500 * time.Millisecond, At: clock.Now(), ClientRef: "wf-1", UserID: "creator-7", RecipientID: "fan-42",
		Attempt: 2, ContentHash: hex.EncodeToString(hash[:]), Outcome: Accepted, Status: 200, MessageID: "sim-1",
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}}
	if diff := cmp.Diff(want, sim.Arrivals(0)); diff != "" {
		t.Error(diff)
	}
	status, body = sim.get("/v1/messages?clientRef=wf-1")
	if status != 200 || strings.TrimSpace(body) != `{"messageId":"sim-1","acceptedAt":"2026-11-23T10:00:01.5Z"}` {
		t.Errorf("look-up: %d %s", status, body)
	}
	if status, _ := sim.get("/v1/messages?clientRef=wf-2"); status != 404 {
		t.Errorf("look-up of an unknown one: %d", status)
	}
	if status, _ := sim.get("/v1/messages"); status != 400 {
		t.Errorf("look-up of nothing: %d", status)
	}
}

func TestDoubleSendIsSeenUnlessDeduplicated(t *testing.T) {
	t.Parallel()
	for _, deduplicate := range []bool{false, true} {
		sim := start(t, Options{Deduplicate: deduplicate})
		_, first, _ := sim.send("a", "wf-1")
		_, second, _ := sim.send("a", "wf-1")
		stats := sim.Stats()
		if (first == second) != deduplicate || (stats.Repeated == 0) != deduplicate ||
			(len(Duplicates(sim.Arrivals(0))) == 0) != deduplicate || stats.Arrivals != 2 {
			t.Errorf("deduplicate %v: %s %s %+v", deduplicate, first, second, stats)
		}
	}
}

func TestBadRequestsAreRefusedAndRecorded(t *testing.T) {
	t.Parallel()
	sim := start(t, Options{Token: "secret"})
	good := `{"clientRef":"r","userId":"a","recipientId":"f","content":"c"}`
	for _, c := range []struct {
		token, ref, body string
		want             int
	}{
		{"secret", "r", good, 200}, {"secret", "", good, 200}, {"wrong", "r", good, 401}, {"", "r", good, 401},
		{"secret", "other", good, 400}, {"secret", "", "not json", 400}, {"secret", "", "{}", 422},
	} {
		request, _ := http.NewRequest(http.MethodPost, sim.url+"/v1/messages", strings.NewReader(c.body))
		request.Header.Set("Authorization", "Bearer "+c.token)
		if c.ref != "" {
			request.Header.Set("X-Client-Ref", c.ref)
		}
		before := sim.Stats()
		if status, body, _ := sim.do(request); status != c.want {
			t.Errorf("%+v: got %d %s", c, status, body)
		}
		after := sim.Stats()
		if after.Arrivals != before.Arrivals+1 || (after.Accepted > before.Accepted) != (c.want == 200) {
			t.Errorf("%+v: %+v", c, after)
		}
	}
	if status, _ := sim.get("/v1/messages?clientRef=r"); status != 401 {
		t.Errorf("look-up without the token: %d", status)
	}
	request, _ := http.NewRequest(http.MethodPost, sim.url+"/v1/messages", strings.NewReader(strings.Repeat("x", maxBody+1)))
	if status, _, _ := sim.do(request); status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d", status)
	}
}

// TestHalfARequestIsNoArrival: the caller dies while it writes.
func TestHalfARequestIsNoArrival(t *testing.T) {
	t.Parallel()
	sim := start(t, Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(sim.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"clientRef\":\"r\"")
	_ = conn.Close()
	deadline := time.Now().Add(10 * time.Second)
	for sim.Stats().Incomplete == 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if stats := sim.Stats(); stats.Incomplete != 1 || stats.Arrivals != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestContentIsKeptOnlyInMemoryAndOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "log")
		sim := start(t, Options{KeepContent: keep, LogPath: path})
		sim.send("a", "wf-1")
		if got := sim.Arrivals(0)[0].Content; (got == "Hello") != keep {
			t.Errorf("keep %v: in memory %q", keep, got)
		}
		text, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(text), "Hello") {
			t.Errorf("in the log: %s, %v", text, err)
		}
	}
}

func TestRestartContinuesTheLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "arrivals.jsonl")
	clock := newClock()
	limit := Faults{Limit: &Limit{Count: 2, Window: time.Minute}}
	first := start(t, Options{LogPath: path, Clock: clock.Now, Faults: limit})
	clock.add(time.Second)
	first.send("a", "wf-1")
	clock.add(time.Second)
	first.send("a", "wf-2")
	// Not closed: a kill -9 would not close it either. What a crash cuts off is no arrival.
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"seq":3,"clientRef":"` + strings.Repeat("x", 4000)); err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	clock.add(10 * time.Second)

	second := start(t, Options{LogPath: path, Clock: clock.Now, Faults: limit})
	if status, body := second.get("/v1/messages?clientRef=wf-1"); status != 200 || !strings.Contains(body, `"sim-1"`) {
		t.Errorf("look-up after the restart: %d %s", status, body)
	}
	clock.add(time.Second)
	if status, _, header := second.send("a", "wf-3"); status != 429 || header.Get("Retry-After") != "48" {
		t.Errorf("the limit forgot what was sent before: %d %v", status, header)
	}
	second.send("b", "wf-1")
	if text, err := os.ReadFile(path); err != nil || !strings.HasSuffix(string(text), "}\n") {
		t.Errorf("the cut line is still there: %v", err)
	}
	arrivals, err := ReadLog(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(arrivals, second.Arrivals(0)); diff != "" {
		t.Error(diff)
	}
	var since []time.Duration
	for _, a := range arrivals {
		since = append(since, a.Since)
	}
	if diff := cmp.Diff([]time.Duration{1e9, 2e9, 13e9, 13e9}, since); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"wf-1"}, Duplicates(arrivals)); diff != "" {
		t.Error(diff)
	}
	want := Stats{Arrivals: 4, Accepted: 3, Repeated: 1, Accounts: 2, LookUps: 1,
		Outcomes: map[Outcome]int64{Accepted: 3, RateLimited: 1}, Faults: map[Kind]int64{}}
	if diff := cmp.Diff(want, second.Stats()); diff != "" {
		t.Error(diff)
	}
}

func TestBrokenLogIsAnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("{\"seq\":1}\nnonsense\n{\"seq\":2}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{LogPath: path}); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %v", err)
	}
	if _, err := ReadLog(path); err == nil {
		t.Error("read a broken log")
	}
	if _, err := New(Options{LogPath: filepath.Join(path, "below")}); err == nil {
		t.Error("opened a log below a file")
	}
	if _, err := ReadLog(path + "-missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestNothingIsTakenWithoutItsLine: a log that can't be written must not lead to a message that only memory knows.
func TestNothingIsTakenWithoutItsLine(t *testing.T) {
	t.Parallel()
	sim := start(t, Options{LogPath: filepath.Join(t.TempDir(), "log")})
	sim.send("a", "wf-1")
	_ = sim.log.file.Close()
	for _, ref := range []string{"wf-2", "wf-3"} {
		if status, body, _ := sim.send("a", ref); status != 503 {
			t.Errorf("%s: %d %s", ref, status, body)
		}
		if status, _ := sim.get("/v1/messages?clientRef=" + ref); status == 200 {
			t.Errorf("%s is found", ref)
		}
	}
}

func TestKeepArrivalsBoundsTheMemory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	sim := start(t, Options{KeepArrivals: 3, LogPath: path})
	for _, ref := range strings.Fields("a b c d e f g h") {
		sim.send("x", ref)
	}
	kept := sim.Arrivals(0)
	if len(kept) < 3 || len(kept) >= 6 || kept[len(kept)-1].Seq != 8 {
		t.Errorf("kept %s", outcomes(kept))
	}
	if got := sim.Arrivals(7); len(got) != 1 || got[0].Seq != 8 {
		t.Errorf("after 7: %s", outcomes(got))
	}
	if got := sim.Arrivals(99); len(got) != 0 {
		t.Errorf("after 99: %s", outcomes(got))
	}
	if status, _ := sim.get("/v1/messages?clientRef=a"); status != 200 {
		t.Errorf("the first one is forgotten: %d", status)
	}
	if all, err := ReadLog(path); err != nil || len(all) != 8 {
		t.Errorf("log: %d, %v", len(all), err)
	}
}

func TestControlOverHTTP(t *testing.T) {
	t.Parallel()
	sim := start(t, Options{})
	put := func(text string) (int, string) {
		request, _ := http.NewRequest(http.MethodPut, sim.url+"/_sim/faults", strings.NewReader(text))
		status, body, _ := sim.do(request)
		return status, body
	}
	if status, body := put(`{"rules":[{"kind":"refuse","status":403,"account":"b","count":2}]}`); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	sim.send("a", "wf-1")
	sim.send("b", "wf-2")
	if _, body := sim.get("/_sim/faults"); !strings.Contains(body, `"count":1`) {
		t.Errorf("faults: %s", body)
	}
	sim.send("b", "wf-3")
	if _, body := sim.get("/_sim/faults"); strings.TrimSpace(body) != `{"rules":[]}` {
		t.Errorf("a rule that is used up: %s", body)
	}
	sim.send("b", "wf-4")
	if got, want := outcomes(sim.Arrivals(0)), "wf-1:accepted:200 wf-2:refused:403 wf-3:refused:403 wf-4:accepted:200 "; got != want {
		t.Errorf("got %s", got)
	}
	var page struct{ Arrivals []Arrival }
	_, body := sim.get("/_sim/arrivals?after=1&limit=2")
	if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Arrivals) != 2 || page.Arrivals[0].Seq != 2 {
		t.Errorf("page %s, %v", body, err)
	}
	var stats Stats
	_, body = sim.get("/_sim/stats")
	if err := json.Unmarshal([]byte(body), &stats); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sim.Stats(), stats, cmpopts.EquateEmpty()); diff != "" || stats.Faults[Refuse] != 2 {
		t.Errorf("%+v %s", stats, diff)
	}
	for _, bad := range []string{
		"", "[]", `{"rules":[{"kind":"nonsense"}]}`, `{"rule":[]}`, `{"rules":[{"kind":"lost_reply","probability":0}]}`,
		`{"rules":[{"kind":"lost_reply","probability":1.1}]}`, `{"rules":[{"kind":"delay"}]}`, `{"rules":[{"kind":"delay","min":5}]}`,
		`{"rules":[{"kind":"delay","min":"5"}]}`, `{"rules":[{"kind":"redirect"}]}`, `{"rules":[{"kind":"refuse","status":200}]}`,
		`{"rules":[{"kind":"lost_reply","status":500}]}`, `{"rules":[{"kind":"lost_reply","count":-1}]}`, `{"lookUp":"late"}`,
		`{"lookUp":"sometimes"}`, `{"limit":{"count":1,"window":"0s"}}`,
	} {
		if status, body := put(bad); status != 400 {
			t.Errorf("%s: %d %s", bad, status, body)
		}
	}
	for _, bad := range []string{"after=x", "after=-1", "limit=0"} {
		if status, _ := sim.get("/_sim/arrivals?" + bad); status != 400 {
			t.Errorf("%s: %d", bad, status)
		}
	}
}

func TestWaitAndClose(t *testing.T) {
	t.Parallel()
	sim := start(t, Options{})
	done := make(chan error, 2)
	go func() { done <- sim.Wait(t.Context(), func(s Stats) bool { return s.Accepted >= 2 }) }()
	sim.send("a", "wf-1")
	sim.send("a", "wf-2")
	if err := <-done; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sim.Wait(ctx, func(Stats) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	go func() { done <- sim.Wait(t.Context(), func(Stats) bool { return false }) }()
	if err := errors.Join(sim.Close(), sim.Close()); err != nil {
		t.Error(err)
	}
	if err := <-done; err == nil {
		t.Error("Wait went on after Close")
	}
	if status, _, _ := sim.send("a", "wf-3"); status != 503 {
		t.Errorf("a send after Close: %d", status)
	}
}
