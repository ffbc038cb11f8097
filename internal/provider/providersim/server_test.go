package providersim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCallIsRecorded(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for _, keep := range []bool{false, true} {
		sim := start(t, Options{KeepPrompts: keep, Clock: func() time.Time { return at }})
		for _, path := range []string{openAIPath, azurePath, classicPath} {
			if status, answer := sim.do("POST", path, body("a secret brief", 400)); status != 200 {
				t.Fatalf("%d %s", status, answer)
			}
		}
		calls := sim.Calls(0)
		for i, want := range []Call{
			{Seq: 1, Provider: OpenAI, Surface: SurfaceOpenAI}, {Seq: 2, Provider: Azure, Surface: SurfaceAzureV1}, {Seq: 3, Provider: Azure, Surface: SurfaceClassic},
		} {
			want.At, want.Deployment, want.AttemptID, want.Answer, want.Status = at, "writer", "attempt-1", Completed, 200
			want.Input, want.Output = calls[i].Input, calls[i].Output
			if keep {
				want.System, want.User = "Write.", "a secret brief"
			}
			if diff := cmp.Diff(want, calls[i]); diff != "" || want.Input == 0 || want.Output == 0 {
				t.Error(diff)
			}
		}
		if got := sim.Calls(2); len(got) != 1 || got[0].Seq != 3 {
			t.Errorf("%+v", got)
		}
		_, listed := sim.do("GET", "/sim/requests?after=1&limit=1", "")
		if strings.Contains(listed, "secret brief") != keep || !strings.Contains(listed, `"seq":2`) || strings.Contains(listed, `"seq":3`) {
			t.Errorf("keep %v: %s", keep, listed)
		}
	}
}

// TestAnswers: the same request gets the same answer, and it keeps to what was asked.
func TestAnswers(t *testing.T) {
	t.Parallel()
	first, second := start(t, Options{Seed: 1}), start(t, Options{Seed: 2})
	texts := map[string]bool{}
	for i := range 40 {
		order := fmt.Sprintf(`{"brief":"brief %d","fields":["name"],"language":"en","maxLength":500}`, i)
		_, one := first.do("POST", openAIPath, body(order, 400))
		_, two := second.do("POST", azurePath, body(order, 400))
		text, why, finish, usage := written(t, one)
		other, _, _, otherUsage := written(t, two)
		if text != other || !cmp.Equal(usage, otherUsage) {
			t.Errorf("%q and %q", text, other)
		}
		if !strings.HasPrefix(text, "Hey {{name}}, ") || why == "" || finish != "stop" || strings.Contains(text+why, "brief ") {
			t.Errorf("%q %q %s", text, why, finish)
		}
		texts[text] = true
	}
	if len(texts) < 10 {
		t.Errorf("40 briefs made %d texts", len(texts))
	}
	for _, c := range []struct {
		user string
		want func(string) bool
	}{
		{`{"brief":"x","fields":[]}`, func(s string) bool { return !strings.Contains(s, "{{") }},
		{`{"brief":"x","fields":["city"]}`, func(s string) bool { return !strings.Contains(s, "{{") }},
		{`{"brief":"x","fields":["name"],"language":"de-CH"}`, func(s string) bool { return strings.HasPrefix(s, "Hallo {{name}},") }},
		{`{"brief":"x","fields":["name"],"maxLength":20}`, func(s string) bool { return s == "Hey {{name}}," }},
		{`{"brief":"x","fields":["name"],"maxLength":2}`, func(s string) bool { return s == "Hi" }},
		{"<data>\n{\"brief\":\"x\",\"fields\":[\"name\"]}\n</data>", func(s string) bool { return strings.HasPrefix(s, "Hey {{name}},") }},
		{"just a text", func(s string) bool { return s != "" }}, {"", func(s string) bool { return s != "" }}, {"}{", func(s string) bool { return s != "" }},
	} {
		_, answer := first.do("POST", openAIPath, body(c.user, 400))
		if text, _, _, _ := written(t, answer); !c.want(text) {
			t.Errorf("%s: %q", c.user, text)
		}
	}
	_, before := first.do("POST", openAIPath, body(`{"brief":"x"}`, 400))
	_, repaired := first.do("POST", openAIPath, body(`{"brief":"x","repair":["link_host"]}`, 400))
	if one, _, _, _ := written(t, before); one == "" {
		t.Error(before)
	} else if two, _, _, _ := written(t, repaired); one == two {
		t.Errorf("the repair says the same: %q", two)
	}
	_, short := first.do("POST", openAIPath, body("x", 3))
	if _, _, finish, usage := written(t, short); finish != "length" || usage["completion_tokens"] != 3.0 {
		t.Errorf("%s", short)
	}
	schema := strings.Replace(body("x", 400), testSchema, `{"type":"object","properties":{"text":{"type":"string"},"score":{"type":"integer"},"mood":{"enum":["calm"]},"ok":{"type":"boolean"}}}`, 1)
	if _, answer := first.do("POST", openAIPath, schema); !strings.Contains(answer, `\"mood\":\"calm\",\"ok\":false,\"score\":0,\"text\":\"Hey`) {
		t.Error(answer)
	}
}

func TestKeysAndNames(t *testing.T) {
	t.Parallel()
	sim := start(t, Options{AzureKey: "ak", AzureToken: "at", OpenAIKey: "ok", Deployments: []string{"writer"}, Models: []string{"writer"}})
	for _, c := range []struct {
		method, path, header, value, text string
		want                              int
	}{
		{"POST", openAIPath, "Authorization", "Bearer ok", body("x", 9), 200},
		{"POST", openAIPath, "Authorization", "Bearer ak", body("x", 9), 401},
		{"POST", openAIPath, "Api-Key", "ok", body("x", 9), 401},
		{"POST", azurePath, "Api-Key", "ak", body("x", 9), 200},
		{"POST", classicPath, "Authorization", "Bearer at", body("x", 9), 200},
		{"POST", azurePath, "Authorization", "Bearer ok", body("x", 9), 401},
		{"POST", azurePath, "Authorization", "Bearer ", body("x", 9), 401},
		{"POST", azurePath, "X", "y", body("x", 9), 401},
		{"POST", strings.Replace(classicPath, "writer", "other", 1), "Api-Key", "ak", body("x", 9), 404},
		{"POST", strings.Split(classicPath, "?")[0], "Api-Key", "ak", body("x", 9), 404},
		{"POST", openAIPath, "Authorization", "Bearer ok", strings.Replace(body("x", 9), "writer", "other", 1), 404},
		{"POST", openAIPath, "Authorization", "Bearer ok", `{"model":"writer"}`, 400},
		{"POST", azurePath, "Api-Key", "ak", `{"model":"writer","messages":[]}`, 400},
		{"GET", "/v1/models", "Authorization", "Bearer ok", "", 200}, {"GET", "/v1/models", "Authorization", "Bearer no", "", 401},
		{"GET", "/v1/models/writer", "Authorization", "Bearer ok", "", 200}, {"GET", "/v1/models/other", "Authorization", "Bearer ok", "", 404},
		{"GET", "/openai/v1/models", "Api-Key", "ak", "", 200}, {"GET", "/openai/models?api-version=1", "Api-Key", "no", "", 401},
		{"POST", "/v1/responses", "Authorization", "Bearer ok", "{}", 404}, {"GET", "/openai/v2/models", "Api-Key", "ak", "", 404}, {"GET", "/", "X", "y", "", 404},
	} {
		sim.header = map[string]string{c.header: c.value}
		if status, answer := sim.do(c.method, c.path, c.text); status != c.want {
			t.Errorf("%s %s %s: %d, want %d: %s", c.path, c.header, c.value, status, c.want, answer)
		}
	}
	if got := sim.Counts(Azure).Answers; got[Unauthorised] != 3 || got[Missing] != 2 || got[Invalid] != 1 || got[Truncated] != 2 {
		t.Errorf("%v", got)
	}
}

// TestFaultsInOrder: the queue first, each once; then chance; then the default until it is cleared.
func TestFaultsInOrder(t *testing.T) {
	t.Parallel()
	sim := start(t, Options{})
	ask := func(path string) string {
		sim.do("POST", path, body("x", 400))
		calls := sim.Calls(0)
		return calls[len(calls)-1].Answer
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(sim.SetDefault(Azure, &Fault{Fixture: "azure_404_deployment"}))
	check(sim.Enqueue(Azure, Fault{Fixture: "azure_429_quota"}, Fault{Kind: Reset}))
	check(sim.Enqueue(Azure, Fault{Text: "Buy now: https://evil.example"}))
	for _, want := range []string{"azure_429_quota", "reset", CustomText, "azure_404_deployment", "azure_404_deployment"} {
		if got := ask(azurePath); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := ask(openAIPath); got != Completed {
			t.Errorf("the other provider: %s", got)
		}
	}
	check(sim.SetChances(Azure, Chance{1, Fault{Kind: Close}}))
	if got := ask(azurePath); got != "close" {
		t.Errorf("got %s", got)
	}
	sim.Clear(OpenAI)
	if got := ask(azurePath); got != "close" {
		t.Errorf("got %s", got)
	}
	sim.Clear()
	if got := ask(classicPath); got != Completed {
		t.Errorf("got %s", got)
	}
	check(sim.Enqueue(OpenAI, Fault{Text: `He said "no" {{name}}`}))
	_, answer := sim.do("POST", openAIPath, body("x", 400))
	if text, _, _, _ := written(t, answer); text != `He said "no" {{name}}` {
		t.Errorf("got %q", text)
	}
}

// TestChanceIsSeeded: the same seed strikes the same calls.
func TestChanceIsSeeded(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (answers []string) {
		sim := start(t, Options{Seed: seed})
		if err := sim.SetChances(OpenAI, Chance{0.3, Fault{Fixture: "500_html"}}); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			sim.do("POST", openAIPath, body("x", 400))
		}
		for _, c := range sim.Calls(0) {
			answers = append(answers, c.Answer)
		}
		return answers
	}
	one := run(7)
	if !slices.Equal(one, run(7)) || slices.Equal(one, run(8)) {
		t.Error("the seed does not decide")
	}
	if n := len(slices.DeleteFunc(one, func(a string) bool { return a == Completed })); n < 6 || n > 36 {
		t.Errorf("30 in 100 struck %d of 60", n)
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	waits := make(chan time.Duration, 10)
	sim := start(t, Options{Latency: time.Hour, Jitter: time.Minute, Sleep: func(_ context.Context, wait time.Duration) bool { waits <- wait; return true }})
	if err := sim.Enqueue(Azure, Fault{Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if status, _ := sim.do("POST", azurePath, body("x", 400)); status != 200 {
		t.Errorf("got %d", status)
	}
	if wait := <-waits; wait < 2*time.Hour || wait > 2*time.Hour+time.Minute {
		t.Errorf("waited %s", wait)
	}
	real := start(t, Options{Latency: time.Hour})
	done := make(chan int, 1)
	go func() { status, _ := real.do("POST", azurePath, body("x", 400)); done <- status }()
	if err := real.Wait(t.Context(), func(s State) bool { return s.Counts[Azure].Calls == 1 }); err != nil {
		t.Fatal(err)
	}
	_ = real.Close()
	if status := <-done; status != 0 {
		t.Errorf("got %d", status)
	}
}

func TestControlOverHTTP(t *testing.T) {
	t.Parallel()
	sim := start(t, Options{})
	script := `{"queue":[{"fixture":"azure_429_quota"},{"kind":"cut"}],"chances":[{"probability":0.5,"kind":"hang"}],"default":{"delay":"250ms"}}`
	if status, answer := sim.do("PUT", "/sim/faults", `{"azure":`+script+`}`); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	_, text := sim.do("GET", "/sim/state", "")
	var state struct{ Faults map[Provider]json.RawMessage }
	if err := json.Unmarshal([]byte(text), &state); err != nil || string(state.Faults[Azure]) != script || string(state.Faults[OpenAI]) != "{}" {
		t.Errorf("%v %s", err, text)
	}
	for _, bad := range []string{
		``, `[]`, `{"aws":{}}`, `{"azure":{"fault":1}}`, `{"azure":{"queue":[{}]}}`, `{"azure":{"queue":[{"fixture":"no_such"}]}}`,
		`{"azure":{"queue":[{"fixture":"openai_429_slow_down"}]}}`, `{"azure":{"queue":[{"kind":"no_such"}]}}`, `{"azure":{"default":{"delay":"5"}}}`,
		`{"azure":{"default":{"kind":"hang","text":"x"}}}`, `{"azure":{"default":{"delay":"-1s","text":"x"}}}`, `{"azure":{"chances":[{"kind":"hang"}]}}`,
		`{"azure":{"chances":[{"probability":1.5,"kind":"hang"}]}}`, `{"openai":{},"azure":{"queue":[{}]}}`,
	} {
		if status, answer := sim.do("PUT", "/sim/faults", bad); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, status, answer)
		}
	}
	if _, after := sim.do("GET", "/sim/state", ""); after != text {
		t.Errorf("a refused script changed something: %s", after)
	}
	if status, _ := sim.do("DELETE", "/sim/faults?provider=aws", ""); status != http.StatusBadRequest {
		t.Errorf("got %d", status)
	}
	if status, answer := sim.do("DELETE", "/sim/faults?provider=azure", ""); status != 200 || strings.Contains(answer, "cut") {
		t.Errorf("%d %s", status, answer)
	}
	if status, _ := sim.do("DELETE", "/sim/faults", ""); status != 200 {
		t.Errorf("got %d", status)
	}
	for _, bad := range []string{"after=x", "after=-1", "limit=0"} {
		if status, _ := sim.do("GET", "/sim/requests?"+bad, ""); status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, status)
		}
	}
	if _, names := sim.do("GET", "/sim/fixtures", ""); !strings.Contains(names, "azure_429_quota") || !strings.Contains(names, "openai_429_slow_down") {
		t.Error(names)
	}
}

func TestParseFault(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]Fault{
		"hang": {Kind: Hang}, "slow:2s": {Delay: 2 * time.Second}, "text:Hey: you": {Text: "Hey: you"}, "500_html": {Fixture: "500_html"},
	} {
		if got, err := ParseFault(typed); err != nil || got != want {
			t.Errorf("%s: %+v, %v", typed, got, err)
		}
	}
	for _, typed := range []string{"", "slow", "slow:", "slow:-1s", "no_such"} {
		if got, err := ParseFault(typed); err == nil {
			t.Errorf("%s: %+v", typed, got)
		}
	}
}

func TestWaitAndClose(t *testing.T) {
	t.Parallel()
	sim := start(t, Options{KeepCalls: 2})
	done := make(chan error, 2)
	go func() { done <- sim.Wait(t.Context(), func(s State) bool { return s.Counts[OpenAI].Texts >= 5 }) }()
	for range 5 {
		sim.do("POST", openAIPath, body("x", 400))
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if calls := sim.Calls(0); len(calls) < 2 || len(calls) > 3 || calls[len(calls)-1].Seq != 5 {
		t.Errorf("%+v", calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sim.Wait(ctx, func(State) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	go func() { done <- sim.Wait(t.Context(), func(State) bool { return false }) }()
	if err := sim.SetDefault(OpenAI, &Fault{Kind: Hang}); err != nil {
		t.Fatal(err)
	}
	hung := make(chan int, 1)
	go func() { status, _ := sim.do("POST", openAIPath, body("x", 400)); hung <- status }()
	if err := sim.Wait(t.Context(), func(s State) bool { return s.Counts[OpenAI].Answers["hang"] == 1 }); err != nil {
		t.Error(err)
	}
	if err := errors.Join(sim.Close(), sim.Close()); err != nil {
		t.Error(err)
	}
	if err := <-done; err == nil {
		t.Error("Wait went on after Close")
	}
	if status := <-hung; status != 0 {
		t.Errorf("a call that hung got %d", status)
	}
	if err := sim.Start(); err == nil {
		t.Error("it starts again")
	}
}
