package gatewaysim

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestEveryKindDoesWhatItSays(t *testing.T) {
	t.Parallel()
	location := "http://127.0.0.1:1/elsewhere"
	for _, c := range []struct {
		rule    Rule
		status  int // 0: no answer
		body    string
		outcome Outcome
	}{
		{Rule{Kind: RateLimit}, 429, `{"code":"simulated_fault"}`, RateLimited},
		{Rule{Kind: RateLimit, RetryAfter: 1500 * time.Millisecond}, 429, `{"code":"simulated_fault"}`, RateLimited},
		{Rule{Kind: Refuse}, 422, `{"code":"simulated_fault"}`, Refused},
		{Rule{Kind: Refuse, Status: 451}, 451, `{"code":"simulated_fault"}`, Refused},
		{Rule{Kind: Refuse, Status: 429}, 429, `{"code":"simulated_fault"}`, RateLimited},
		{Rule{Kind: ErrorBefore}, 503, `{"code":"simulated_fault"}`, Refused},
		{Rule{Kind: ErrorBefore, Status: 500}, 500, `{"code":"simulated_fault"}`, Refused},
		{Rule{Kind: ErrorAfter}, 502, `{"code":"simulated_fault"}`, Accepted},
		{Rule{Kind: CloseBefore}, 0, "EOF", Refused},
		{Rule{Kind: LostReply}, 0, "EOF", Accepted},
		{Rule{Kind: ResetBefore}, 0, "connection reset", Refused},
		{Rule{Kind: ResetAfter}, 0, "connection reset", Accepted},
		{Rule{Kind: Garbage}, 200, "<html>", Accepted},
		{Rule{Kind: Empty}, 200, "", Accepted},
		{Rule{Kind: Truncated}, 200, `cut: {"messageId":"si`, Accepted},
		{Rule{Kind: RedirectTo, Location: location}, 307, `{"code":"simulated_fault"}`, Refused},
		{Rule{Kind: RedirectTo, Location: location, Status: 308}, 308, `{"code":"simulated_fault"}`, Refused},
		{Rule{Kind: NotHTTP}, 0, "malformed HTTP", Accepted},
		{Rule{Kind: Delay, Min: time.Millisecond, Max: 2 * time.Millisecond}, 200, `{"messageId":"sim-1"}`, Accepted},
		{Rule{Kind: Hold, Min: time.Millisecond}, 200, `{"messageId":"sim-1"}`, Accepted},
	} {
		t.Run(string(c.rule.Kind), func(t *testing.T) {
			t.Parallel()
			sim := start(t, Options{Faults: Faults{Rules: []Rule{c.rule}}})
			sim.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			status, body, header := sim.send("a", "wf-1")
			if status != c.status || !strings.Contains(body, c.body) {
				t.Errorf("got %d %s", status, body)
			}
			if c.rule.RetryAfter > 0 != (header.Get("Retry-After") == "2") || header.Get("Location") != c.rule.Location {
				t.Errorf("headers %v", header)
			}
			a := sim.Arrivals(0)
			if len(a) != 1 || a[0].Outcome != c.outcome || a[0].Status != c.status || (a[0].MessageID != "") != (c.outcome == Accepted) {
				t.Errorf("arrivals %+v", a)
			}
			if sim.Stats().Faults[c.rule.Kind] != 1 {
				t.Errorf("stats %+v", sim.Stats())
			}
			if status, _ := sim.get("/v1/messages?clientRef=wf-1"); (status == 200) != (c.outcome == Accepted) {
				t.Errorf("look-up %d", status)
			}
		})
	}
}

func TestResetIsAReset(t *testing.T) {
	t.Parallel()
	sim := start(t, Options{Faults: Faults{Rules: []Rule{{Kind: ResetAfter}}}})
	_, err := sim.client.Post(sim.url+"/v1/messages", "application/json",
		strings.NewReader(`{"clientRef":"r","userId":"a","recipientId":"f","content":"c"}`))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

// TestHangAndHoldOutliveTheCaller: a hang has (or has not) taken the message at once; a held request arrives after
// its caller has gone, as in a slow proxy.
func TestHangAndHoldOutliveTheCaller(t *testing.T) {
	t.Parallel()
	const held = time.Second
	for kind, taken := range map[Kind]bool{HangBefore: false, HangAfter: true, Hold: true} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			rule := Rule{Kind: kind}
			if kind == Hold {
				rule.Min = held
			}
			sim := start(t, Options{Faults: Faults{Rules: []Rule{rule}}})
			ctx, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			gone := make(chan error, 1)
			go func() {
				request, _ := http.NewRequestWithContext(ctx, http.MethodPost, sim.url+"/v1/messages",
					strings.NewReader(`{"clientRef":"r","userId":"a","recipientId":"f","content":"c"}`))
				response, err := sim.client.Do(request)
				if err == nil {
					_ = response.Body.Close()
				}
				gone <- err
			}()
			sim.waitStruck(t, kind)
			giveUp()
			if err := <-gone; err == nil {
				t.Error("it was answered")
			}
			if err := sim.Wait(t.Context(), func(s Stats) bool { return s.Arrivals == 1 }); err != nil {
				t.Fatal(err)
			}
			if got := sim.Stats(); (got.Accepted == 1) != taken {
				t.Errorf("%+v", got)
			}
			if kind == Hold && sim.Arrivals(0)[0].Since < held {
				t.Error("a held request arrived at once")
			}
		})
	}
}

// waitStruck returns when a fault has struck, whether that made an arrival or not.
func (r *running) waitStruck(t *testing.T, kind Kind) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for r.Stats().Faults[kind] == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not strike", kind)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestCloseEndsHangs(t *testing.T) {
	t.Parallel()
	for _, rule := range []Rule{{Kind: HangAfter}, {Kind: Hold, Min: time.Hour}, {Kind: Delay, Min: time.Hour}} {
		sim := start(t, Options{Faults: Faults{Rules: []Rule{rule}}})
		done := make(chan int)
		go func() { status, _, _ := sim.send("a", "wf-1"); done <- status }()
		sim.waitStruck(t, rule.Kind)
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		if status := <-done; status != 0 {
			t.Errorf("%s: answered %d", rule.Kind, status)
		}
	}
}

func TestAccountLimit(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, Options{Clock: clock.Now})
	sim.send("a", "before") // counts, though the limit comes later
	sim.mustFaults(t, Faults{Limit: &Limit{Count: 2, Window: time.Minute, Overrides: map[string]int{"free": 0, "tight": 1}}})
	clock.add(time.Second)
	for _, c := range []struct {
		account string
		after   time.Duration
		status  int
		hint    string
	}{
		{"a", 0, 200, ""}, {"a", 0, 429, "59"}, {"b", 0, 200, ""}, {"free", 0, 200, ""}, {"free", 0, 200, ""}, {"free", 0, 200, ""},
		{"tight", 0, 200, ""}, {"tight", 0, 429, "60"},
		{"a", 58*time.Second + 500*time.Millisecond, 429, "1"},
		{"a", 500 * time.Millisecond, 200, ""}, // exactly one window after the first: half-open
		{"a", 0, 429, "1"},
	} {
		clock.add(c.after)
		if status, _, header := sim.send(c.account, "r"); status != c.status || header.Get("Retry-After") != c.hint {
			t.Errorf("%+v: got %d %q", c, status, header.Get("Retry-After"))
		}
	}
	if most, who := MaxInWindow(OnlyAccepted(keep(sim.Arrivals(0), func(a Arrival) bool { return a.UserID != "free" })), time.Minute, ByAccount); most != 2 || who != "a" {
		t.Errorf("%d of %s", most, who)
	}
	sim.mustFaults(t, Faults{Limit: &Limit{Count: 0, Window: time.Minute, NoHint: true}})
	if status, _, header := sim.send("b", "r"); status != 429 || header.Get("Retry-After") != "" {
		t.Errorf("closed account: %d %v", status, header)
	}
}

func TestLookUpModes(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, Options{Clock: clock.Now})
	sim.send("a", "wf-1")
	for _, c := range []struct {
		faults Faults
		after  time.Duration
		want   int
	}{
		{Faults{}, 0, 200}, {Faults{LookUp: LookUpPresent}, 0, 200}, {Faults{LookUp: LookUpAbsent}, 0, 501}, {Faults{LookUp: LookUpFailing}, 0, 500},
		{Faults{LookUp: LookUpLate, LookUpAfter: time.Minute}, 59 * time.Second, 404},
		{Faults{LookUp: LookUpLate, LookUpAfter: time.Minute}, time.Second, 200},
	} {
		sim.mustFaults(t, c.faults)
		clock.add(c.after)
		if status, body := sim.get("/v1/messages?clientRef=wf-1"); status != c.want {
			t.Errorf("%+v: %d %s", c.faults, status, body)
		}
	}
}

// TestRulesCombine: a delay goes on to the next rule; the first that decides ends it; counts count only strikes.
func TestRulesCombine(t *testing.T) {
	t.Parallel()
	sim := start(t, Options{Faults: Faults{Rules: []Rule{
		{Kind: Delay, Min: time.Millisecond},
		{Kind: Refuse, Status: 403, Account: "b", Count: 1},
		{Kind: ErrorBefore, Count: 2},
	}}})
	for i, account := range []string{"a", "b", "b", "b", "a"} {
		sim.send(account, strconv.Itoa(i))
	}
	if got, want := outcomes(sim.Arrivals(0)), "0:refused:503 1:refused:403 2:refused:503 3:accepted:200 4:accepted:200 "; got != want {
		t.Errorf("got %s", got)
	}
	if diff := cmp.Diff(map[Kind]int64{Delay: 5, Refuse: 1, ErrorBefore: 2}, sim.Stats().Faults); diff != "" {
		t.Error(diff)
	}
}

// TestSeedRepeatsTheRun: the same seed and the same arrivals give the same faults, about as often as asked.
func TestSeedRepeatsTheRun(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) string {
		sim := start(t, Options{Seed: seed, Faults: Faults{Rules: []Rule{{Kind: Refuse, Probability: 0.3}, {Kind: ErrorAfter, Probability: 0.5}}}})
		for i := range 200 {
			sim.send("a", strconv.Itoa(i))
		}
		if n := sim.Stats().Faults[Refuse]; n < 30 || n > 90 {
			t.Errorf("seed %d: 0.3 of 200 struck %d times", seed, n)
		}
		return outcomes(sim.Arrivals(0))
	}
	if first := run(7); first != run(7) || first == run(8) {
		t.Error("the seed does not decide")
	}
}

func TestFaultsJSONRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		span := rapid.Map(rapid.Int64Range(0, int64(time.Hour)), func(n int64) time.Duration { return time.Duration(n) })
		rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Rule {
			return Rule{
				Kind: rapid.SampledFrom([]Kind{Delay, Hold, RateLimit, LostReply, RedirectTo}).Draw(t, "kind"), Min: 1,
				Probability: rapid.Float64Range(0, 1).Draw(t, "probability"), Account: rapid.String().Draw(t, "account"),
				Count: rapid.IntRange(0, 9).Draw(t, "count"), RetryAfter: span.Draw(t, "retryAfter"), Max: span.Draw(t, "max"),
				Location: "http://x" + rapid.StringMatching("[a-z]*").Draw(t, "location"),
			}
		}), 1, 4).Draw(t, "rules")
		faults := Faults{Rules: rules, LookUp: LookUpLate, LookUpAfter: span.Draw(t, "after") + 1,
			Limit: &Limit{Count: rapid.IntRange(0, 9).Draw(t, "limit"), Window: span.Draw(t, "window") + 1, Overrides: map[string]int{"a": 1}}}
		for i, r := range faults.Rules {
			faults.Rules[i].Account = strings.ToValidUTF8(r.Account, "")
		}
		text, err := json.Marshal(faults)
		if err != nil {
			t.Fatal(err)
		}
		var back Faults
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(faults, back); diff != "" {
			t.Fatalf("%s: %s", text, diff)
		}
	})
}

func FuzzFaultsJSON(f *testing.F) {
	f.Add([]byte(`{"rules":[{"kind":"delay","min":"50ms","max":"2s"}],"limit":{"count":10,"window":"60s"},"lookUp":"late","lookUpAfter":"1s"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var faults Faults
		if json.Unmarshal(text, &faults) == nil && faults.check() != nil {
			t.Fatalf("%s: read, but %v", text, faults.check())
		}
	})
}
