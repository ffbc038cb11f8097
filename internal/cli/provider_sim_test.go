package cli

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestProviderSim(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	url, stop := c.simulate(`simulated Azure OpenAI at (http://\S+);`, "provider-sim", "--addr", "127.0.0.1:0", "--azure-key", "ak", "--openai-key", "ok",
		"--deployment", "writer", "--fault", "azure=azure_429_quota", "--fault", "openai=hang", "--latency", "1ms", "--jitter", "1ms")
	if status := get(t, url+"/livez", ""); status != http.StatusOK {
		t.Errorf("/livez answers %d", status)
	}
	if status := get(t, url+"/v1/models", "ok"); status != http.StatusOK {
		t.Errorf("the models are answered with %d", status)
	}
	if status := get(t, url+"/v1/models", "another"); status != http.StatusUnauthorized {
		t.Errorf("another key gets %d", status)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(method, path, text string) (int, string) {
		request, err := http.NewRequest(method, url+path, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Api-Key", "ak")
		request.Header.Set("Authorization", "Bearer ok")
		response, err := client.Do(request)
		if err != nil {
			return 0, ""
		}
		defer func() { _ = response.Body.Close() }()
		answer, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(answer)
	}
	text := func(model string) string {
		return `{"model":"` + model + `","messages":[{"role":"user","content":"{\"brief\":\"say hello\",\"fields\":[\"name\"]}"}]}`
	}
	if status, _ := ask("POST", "/openai/v1/chat/completions", text("writer")); status != http.StatusTooManyRequests {
		t.Errorf("Azure answers %d, want what --fault says", status)
	}
	if status, _ := ask("POST", "/openai/v1/chat/completions", text("other")); status != http.StatusNotFound {
		t.Errorf("another deployment gets %d", status)
	}
	if status, answer := ask("DELETE", "/sim/faults?provider=azure", ""); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
	status, answer := ask("POST", "/openai/v1/chat/completions", text("writer"))
	if status != http.StatusOK || !json.Valid([]byte(answer)) || !strings.Contains(answer, "Hey {{name}},") {
		t.Errorf("%d %s", status, answer)
	}
	if _, answer = ask("GET", "/sim/requests", ""); !strings.Contains(answer, `"azure_429_quota"`) || strings.Contains(answer, "say hello") {
		t.Error(answer)
	}
	// A request that hangs does not keep it from stopping.
	hangs := make(chan struct{})
	go func() {
		defer close(hangs)
		ask("POST", "/v1/chat/completions", text("m"))
	}()
	begun := time.Now()
	for deadline := begun.Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, answer := ask("GET", "/sim/state", ""); strings.Contains(answer, `"hang":1`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the call that hangs did not arrive")
		}
	}
	begun = time.Now()
	if got := stop(); got.code != exitOK || !strings.Contains(got.out, "simulated OpenAI at "+url+"/v1") {
		t.Errorf("it ended with %d: %s%s", got.code, got.out, got.errOut)
	}
	<-hangs
	if took := time.Since(begun); took > simGrace {
		t.Errorf("stopping took %s", took)
	}

	c.run("provider-sim", "--fault", "azure").wants(t, exitMisused, "--fault azure: ", "openai=FAULT")
	c.run("provider-sim", "--fault", "aws=hang").wants(t, exitMisused, "it must be one of azure, openai")
	c.run("provider-sim", "--fault", "azure=no_such").wants(t, exitMisused, "is neither a fixture nor one of hang, ")
	c.run("provider-sim", "--fault", "azure=openai_429_slow_down").wants(t, exitMisused, "is not of azure")
	c.run("provider-sim", "--latency", "-1s").wants(t, exitMisused, "must not be negative")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	c.run("provider-sim", "--addr", taken.Addr().String()).wants(t, exitMisused, "--addr "+taken.Addr().String(), "port 0 takes any")
}
