package provider

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// sent is what arrived at the provider.
type sent struct {
	path   string
	header http.Header
	body   map[string]any
}

// recorder is a provider that notes the last request.
func recorder(t *testing.T) (string, *sent) {
	t.Helper()
	var last sent
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last = sent{path: r.URL.RequestURI(), header: r.Header}
		_ = json.NewDecoder(r.Body).Decode(&last.body)
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	return server.URL, &last
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	url, last := recorder(t)
	body := func(model string) map[string]any {
		var schema any
		_ = json.Unmarshal(Schema(), &schema)
		return map[string]any{
			"model": model, "max_completion_tokens": 400.0,
			"messages":        []any{map[string]any{"role": "system", "content": testSystem}, map[string]any{"role": "user", "content": testUser}},
			"response_format": map[string]any{"type": "json_schema", "json_schema": map[string]any{"name": "message", "strict": true, "schema": schema}},
		}
	}
	for _, c := range []struct {
		surface, path, header, value, model string
	}{
		{providersim.SurfaceOpenAI, "/v1/chat/completions", "Authorization", "Bearer " + testKey, "gpt-5.6-luna"},
		{providersim.SurfaceAzureV1, "/openai/v1/chat/completions", "Api-Key", testKey, "writer"},
		{providersim.SurfaceClassic, "/openai/deployments/writer/chat/completions?api-version=2024-10-21", "Api-Key", testKey, "writer"},
	} {
		newChatAt(t, c.surface, url, nil).Complete(within(t, 30*time.Second), testRequest())
		if last.path != c.path || last.header.Get(c.header) != c.value || last.header.Get("X-Client-Request-Id") != "attempt-1" {
			t.Errorf("%s: %s %v", c.surface, last.path, last.header)
		}
		if (last.header.Get("Authorization") != "") == (last.header.Get("Api-Key") != "") {
			t.Errorf("%s: want one credential: %v", c.surface, last.header)
		}
		if diff := cmp.Diff(body(c.model), last.body); diff != "" {
			t.Errorf("%s: %s", c.surface, diff)
		}
	}

	chat, err := NewOpenAI(OpenAIConfig{BaseURL: url + "/v1", Key: testKey, Model: "m", Organization: "org-1", Project: "proj-1",
		Common: Common{Tier: "flex", ReasoningEffort: "low", NoStore: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer chat.Close()
	chat.Complete(within(t, 30*time.Second), Request{ID: "a", User: "u", MaxOutputTokens: 1})
	want := body("m")
	want["messages"] = []any{map[string]any{"role": "user", "content": "u"}}
	want["max_completion_tokens"], want["service_tier"], want["reasoning_effort"], want["store"] = 1.0, "flex", "low", false
	if diff := cmp.Diff(want, last.body); diff != "" {
		t.Error(diff)
	}
	if last.header.Get("OpenAI-Organization") != "org-1" || last.header.Get("OpenAI-Project") != "proj-1" {
		t.Errorf("%v", last.header)
	}
}

// TestEnvironmentHasNoSay: what the SDK's own client would take from the environment changes nothing.
func TestEnvironmentHasNoSay(t *testing.T) {
	for name, value := range map[string]string{
		"OPENAI_API_KEY": "from-the-environment", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_ORG_ID": "from-the-environment",
		"OPENAI_PROJECT_ID": "from-the-environment", "OPENAI_ADMIN_KEY": "from-the-environment", "OPENAI_CUSTOM_HEADERS": "X-Custom: from-the-environment",
		"AZURE_OPENAI_API_KEY": "from-the-environment", "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	url, last := recorder(t)
	for _, surface := range surfaces {
		got := newChatAt(t, surface, url, nil).Complete(within(t, 30*time.Second), testRequest())
		if shown := fmt.Sprintf("%v", last.header); got.Status != http.StatusTeapot || strings.Contains(shown, "from-the-environment") {
			t.Errorf("%s: %+v %s", surface, got, shown)
		}
	}
	if _, err := NewOpenAI(OpenAIConfig{Model: "m"}); err == nil || !strings.Contains(err.Error(), "OpenAIConfig.Key") {
		t.Errorf("without a key: %v", err)
	}
}

// TestNothingSecretIsShown: clients, configurations and results can be printed.
func TestNothingSecretIsShown(t *testing.T) {
	t.Parallel()
	sim := newSim(t, providersim.Options{AzureKey: testKey, OpenAIKey: testKey})
	for _, surface := range surfaces {
		chat := newChatAt(t, surface, sim.URL(), nil)
		got := chat.Complete(within(t, 30*time.Second), testRequest())
		if got.Class != Completed {
			t.Errorf("%s: %+v", surface, got)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			holdsNothingSecret(t, fmt.Sprintf(verb, chat))
			holdsNothingSecret(t, fmt.Sprintf(verb, *chat))
			holdsNothingSecret(t, fmt.Sprintf(verb, got))
		}
	}
	for _, config := range []any{OpenAIConfig{Key: testKey}, AzureConfig{Key: testKey}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			holdsNothingSecret(t, fmt.Sprintf(verb, config))
		}
		var out strings.Builder
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "config", config, "key", Secret(testKey))
		holdsNothingSecret(t, out.String())
	}
}

func TestConfigurationErrorsNameTheField(t *testing.T) {
	t.Parallel()
	azure := func(change func(*AzureConfig)) error {
		config := AzureConfig{Endpoint: "https://x.openai.azure.com", Key: testKey, Deployment: "d", PricedModel: "m", Zone: "global"}
		change(&config)
		_, err := NewAzure(config)
		return err
	}
	openAI := func(change func(*OpenAIConfig)) error {
		config := OpenAIConfig{Key: testKey, Model: "m"}
		change(&config)
		_, err := NewOpenAI(config)
		return err
	}
	for want, err := range map[string]error{
		"AzureConfig.Endpoint is not set":         azure(func(c *AzureConfig) { c.Endpoint = "" }),
		"AzureConfig.Endpoint is http://":         azure(func(c *AzureConfig) { c.Endpoint = "http://x.openai.azure.com" }),
		"AzureConfig.Endpoint is neither":         azure(func(c *AzureConfig) { c.Endpoint = testKey }),
		"AzureConfig.Endpoint names no host":      azure(func(c *AzureConfig) { c.Endpoint = "https:///openai" }),
		"AzureConfig.Endpoint holds a user":       azure(func(c *AzureConfig) { c.Endpoint = "https://" + testKey + "@x" }),
		"AzureConfig.Endpoint holds a query":      azure(func(c *AzureConfig) { c.Endpoint = "https://x?key=" + testKey }),
		"AzureConfig.Endpoint names a deployment": azure(func(c *AzureConfig) { c.Endpoint = "https://x/openai/deployments/y" }),
		"AzureConfig.Key is not set":              azure(func(c *AzureConfig) { c.Key = "" }),
		"AzureConfig.Key and Credential":          azure(func(c *AzureConfig) { c.Credential = &credential{} }),
		"AzureConfig.Key holds a space":           azure(func(c *AzureConfig) { c.Key = testKey + "\n" }),
		"AzureConfig.Deployment is not set":       azure(func(c *AzureConfig) { c.Deployment = "" }),
		"AzureConfig.Deployment is no name":       azure(func(c *AzureConfig) { c.Deployment = "a b" }),
		"AzureConfig.PricedModel is not set":      azure(func(c *AzureConfig) { c.PricedModel = "" }),
		"AzureConfig.Zone is":                     azure(func(c *AzureConfig) { c.Zone = "" }),
		"AzureConfig.APIVersion holds":            azure(func(c *AzureConfig) { c.APIVersion = " 2024-10-21" }),
		"AzureConfig.Tier is":                     azure(func(c *AzureConfig) { c.Tier = "cheap" }),
		"AzureConfig.ReasoningEffort is":          azure(func(c *AzureConfig) { c.ReasoningEffort = "very low" }),
		"AzureConfig.ConnectTimeout is":           azure(func(c *AzureConfig) { c.ConnectTimeout = -1 }),
		"AzureConfig.MaxConnections is":           azure(func(c *AzureConfig) { c.MaxConnections = -1 }),
		"OpenAIConfig.BaseURL is http://":         openAI(func(c *OpenAIConfig) { c.BaseURL = "http://10.0.0.1/v1" }),
		"OpenAIConfig.BaseURL is not a URL":       openAI(func(c *OpenAIConfig) { c.BaseURL = "https://[" }),
		"OpenAIConfig.Key is not set":             openAI(func(c *OpenAIConfig) { c.Key = "" }),
		"OpenAIConfig.Model is not set":           openAI(func(c *OpenAIConfig) { c.Model = "" }),
		"OpenAIConfig.Zone is":                    openAI(func(c *OpenAIConfig) { c.Zone = "regional" }),
		"OpenAIConfig.Organization holds a space": openAI(func(c *OpenAIConfig) { c.Organization = "a\nb" }),
		"OpenAIConfig.ReasoningEffort is":         openAI(func(c *OpenAIConfig) { c.ReasoningEffort = "LOW" }),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
			continue
		}
		holdsNothingSecret(t, err.Error())
	}
	if err := openAI(func(c *OpenAIConfig) { c.BaseURL = "http://[::1]:8080/v1/" }); err != nil {
		t.Error(err)
	}
	for _, endpoint := range []string{"https://x.openai.azure.com/", "https://x.openai.azure.com/openai", "https://x.openai.azure.com/openai/v1/"} {
		if err := azure(func(c *AzureConfig) { c.Endpoint = endpoint }); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	chat, err := NewOpenAI(OpenAIConfig{Key: testKey, Model: "gpt-5.6-luna", Common: Common{Tier: "flex"}})
	if err != nil {
		t.Fatal(err)
	}
	var client Client = chat
	want := Target{Provider: OpenAI, Host: "api.openai.com", Deployment: "gpt-5.6-luna", Model: "gpt-5.6-luna", Zone: "global", Tier: "flex"}
	if client.Target() != want {
		t.Errorf("%+v", client.Target())
	}
	azure := newChatAt(t, providersim.SurfaceAzureV1, "https://x.openai.azure.com/openai/v1", func(c *AzureConfig) { c.Deployment, c.Zone = "a/b", "datazone" })
	want = Target{Provider: Azure, Host: "x.openai.azure.com", Deployment: "a/b", Model: "gpt-5.6-luna", Zone: "datazone"}
	if azure.Target() != want {
		t.Errorf("%+v", azure.Target())
	}
	url, last := recorder(t)
	classic := newChatAt(t, providersim.SurfaceClassic, url+"/prefix", func(c *AzureConfig) { c.Deployment = "a/b" })
	classic.Complete(within(t, 30*time.Second), testRequest())
	if last.path != "/prefix/openai/deployments/a%2Fb/chat/completions?api-version=2024-10-21" {
		t.Errorf("got %s", last.path)
	}
}
