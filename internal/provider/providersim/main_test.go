package providersim

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server on a port with a client of its own.
type running struct {
	*Server
	client *http.Client
	header map[string]string
}

func start(t testing.TB, options Options) *running {
	t.Helper()
	sim := New(options)
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(func() {
		_ = sim.Close()
		transport.CloseIdleConnections()
	})
	return &running{Server: sim, client: &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

const (
	openAIPath  = "/v1/chat/completions"
	azurePath   = "/openai/v1/chat/completions"
	classicPath = "/openai/deployments/writer/chat/completions?api-version=2024-10-21"
)

const testSchema = `{"type":"object","properties":{"text":{"type":"string"},"why":{"type":"string"}},"required":["text","why"],"additionalProperties":false}`

// body is a request for a text.
func body(user string, maxTokens int) string {
	return `{"model":"writer","max_completion_tokens":` + string(must(json.Marshal(maxTokens))) + `,"messages":[{"role":"system","content":"Write."},{"role":"user","content":` +
		quote(user) + `}],"response_format":{"type":"json_schema","json_schema":{"name":"message","strict":true,"schema":` + testSchema + `}}}`
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// do makes a request. status is 0 when no answer came whole.
func (r *running) do(method, path, text string) (status int, answer string) {
	request, err := http.NewRequest(method, r.URL()+path, bytes.NewReader([]byte(text)))
	if err != nil {
		return 0, err.Error()
	}
	request.Header.Set("X-Client-Request-Id", "attempt-1")
	for name, value := range r.header {
		request.Header.Set(name, value)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(io.LimitReader(response.Body, 4<<20))
	if err != nil {
		return 0, "cut: " + string(read)
	}
	return response.StatusCode, string(read)
}

// written is the message of a good answer.
func written(t testing.TB, answer string) (text, why, finish string, usage map[string]any) {
	t.Helper()
	var a struct {
		Choices []struct {
			Finish  string `json:"finish_reason"`
			Message struct{ Content string }
		}
		Usage map[string]any
	}
	if err := json.Unmarshal([]byte(answer), &a); err != nil || len(a.Choices) != 1 {
		t.Fatalf("%v: %s", err, answer)
	}
	var content struct{ Text, Why string }
	_ = json.Unmarshal([]byte(a.Choices[0].Message.Content), &content)
	return content.Text, content.Why, a.Choices[0].Finish, a.Usage
}
