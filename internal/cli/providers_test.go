package cli

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bothProviders is what a configuration needs for both.
var bothProviders = map[string]string{
	"AZURE_OPENAI_ENDPOINT": "https://name.openai.azure.com", "AZURE_OPENAI_API_KEY": "azure-key", "AZURE_OPENAI_DEPLOYMENT": "texts", "AZURE_OPENAI_MODEL": "gpt-5.4-mini",
	"OPENAI_API_KEY": "openai-key", "OPENAI_MODEL": "gpt-5.4-mini",
}

func TestProvidersOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		environ map[string]string
		want    string // the providers, the preferred one first
	}{
		{"none", map[string]string{"AZURE_OPENAI_ENDPOINT": "", "AZURE_OPENAI_API_KEY": "", "OPENAI_API_KEY": ""}, ""},
		{"both", nil, "azure/name.openai.azure.com/texts openai/api.openai.com/gpt-5.4-mini"},
		{"the other one first", map[string]string{"PROVIDER_PRIMARY": "openai"}, "openai/api.openai.com/gpt-5.4-mini azure/name.openai.azure.com/texts"},
		{"Azure alone, though it is not the preferred one", map[string]string{"OPENAI_API_KEY": "", "PROVIDER_PRIMARY": "openai"}, "azure/name.openai.azure.com/texts"},
		{"OpenAI alone", map[string]string{"AZURE_OPENAI_ENDPOINT": "", "AZURE_OPENAI_API_KEY": ""}, "openai/api.openai.com/gpt-5.4-mini"},
		{"an identity, which is looked for when it is needed", map[string]string{"AZURE_OPENAI_AUTH": "entra", "AZURE_OPENAI_API_KEY": "", "OPENAI_API_KEY": ""}, "azure/name.openai.azure.com/texts"},
		{"an identity, and a key that is not used", map[string]string{"AZURE_OPENAI_AUTH": "entra", "OPENAI_API_KEY": ""}, "azure/name.openai.azure.com/texts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			environ := maps.Clone(bothProviders)
			maps.Copy(environ, tt.environ)
			cfg, err := parse(environ)
			if err != nil {
				t.Fatal(err)
			}
			p, matrix, err := providersOf(cfg)
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, client := range p.Clients {
				keys = append(keys, client.Target().Key())
			}
			if got := strings.Join(keys, " "); got != tt.want {
				t.Errorf("the providers are %q, want %q", got, tt.want)
			}
			if matrix.IsZero() || p.Templates == nil || p.Template != "message" || p.Timeout != 30*time.Second || p.Budget != 0 {
				t.Errorf("%+v", p)
			}
		})
	}
}

// Each mistake says which variable it is about, and what is wrong; none shows a key.
func TestProvidersMistaken(t *testing.T) {
	t.Parallel()
	files := newTerminal(t)
	matrix := files.file("fallback.yaml", "rows:\n  - {scenario: azure_timeout, fallback: openai, maxRetries: 2, delayMs: 5000}\n  - {scenario: azure_auth, fallback: nowhere, maxRetries: 0, delayMs: 0}\n")
	prompts := t.TempDir()
	if err := os.WriteFile(filepath.Join(prompts, "message.yaml"), []byte("name: message"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		environ map[string]string
		says    []string
	}{
		{"no deployment", map[string]string{"AZURE_OPENAI_DEPLOYMENT": ""}, []string{"AZURE_OPENAI_DEPLOYMENT is not set"}},
		{"no model of the deployment", map[string]string{"AZURE_OPENAI_MODEL": ""}, []string{"AZURE_OPENAI_MODEL is not set"}},
		{"a key without an endpoint", map[string]string{"AZURE_OPENAI_ENDPOINT": ""}, []string{"AZURE_OPENAI_ENDPOINT is not set"}},
		{"an endpoint without a key", map[string]string{"AZURE_OPENAI_API_KEY": ""}, []string{"AZURE_OPENAI_API_KEY is not set"}},
		{"several at once", map[string]string{"AZURE_OPENAI_API_KEY": "", "AZURE_OPENAI_DEPLOYMENT": ""}, []string{"AZURE_OPENAI_API_KEY is not set", "AZURE_OPENAI_DEPLOYMENT is not set"}},
		{"an endpoint that names a deployment", map[string]string{"AZURE_OPENAI_ENDPOINT": "https://name.openai.azure.com/openai/deployments/texts"}, []string{"AZURE_OPENAI_*", "names a deployment"}},
		{"an open endpoint", map[string]string{"AZURE_OPENAI_ENDPOINT": "http://name.openai.azure.com"}, []string{"AZURE_OPENAI_*", "https"}},
		{"no model of OpenAI", map[string]string{"OPENAI_MODEL": ""}, []string{"OPENAI_MODEL is not set"}},
		{"an open address of OpenAI", map[string]string{"OPENAI_BASE_URL": "http://api.openai.com/v1"}, []string{"OPENAI_*", "https"}},
		{"a bad row", map[string]string{"FALLBACK_MATRIX_FILE": matrix}, []string{"FALLBACK_MATRIX_FILE: ", "fallback.yaml", "azure_auth", "nowhere"}},
		{"no matrix file", map[string]string{"FALLBACK_MATRIX_FILE": "none.yaml"}, []string{"FALLBACK_MATRIX_FILE: ", "none.yaml"}},
		{"a bad template", map[string]string{"PROMPT_DIR": prompts}, []string{"PROMPT_DIR: ", "message.yaml", "message.v2.yaml"}},
		{"no folder of templates", map[string]string{"PROMPT_DIR": "no-folder"}, []string{"PROMPT_DIR: ", "no-folder"}},
		{"no such template", map[string]string{"PROMPT_TEMPLATE": "letter"}, []string{"PROMPT_TEMPLATE: ", "letter"}},
		{"no such version", map[string]string{"PROMPT_TEMPLATE": "message@7"}, []string{"PROMPT_TEMPLATE: ", "message"}},
		{"a bad price table", map[string]string{"PRICE_FILE": files.file("prices.yaml", "entries: [{id: mini, provider: openai}]\nfactors: {}\n")}, []string{"PRICE_FILE: ", "mini"}},
		{"no price table", map[string]string{"PRICE_FILE": "none.yaml"}, []string{"PRICE_FILE: ", "none.yaml"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			environ := maps.Clone(bothProviders)
			maps.Copy(environ, tt.environ)
			cfg, err := parse(environ)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = providersOf(cfg)
			if err == nil {
				t.Fatal("no error")
			}
			for _, text := range tt.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in: %v", text, err)
				}
			}
			if strings.Contains(err.Error(), "azure-key") || strings.Contains(err.Error(), "openai-key") {
				t.Errorf("a key is shown: %v", err)
			}
		})
	}
}

// A worker, and the dev stack, end at once with a mistake; nothing was started.
func TestStartsWithMistakes(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	maps.Copy(c.environ, map[string]string{
		"DATABASE_URL": "postgres://127.0.0.1:1/none", "GATEWAY_URL": "http://127.0.0.1:1",
		"FALLBACK_MATRIX_FILE": c.file("fallback.yaml", "rows: [{scenario: azure_timeout, fallback: queue, maxRetries: -1, delayMs: 0}]"),
	})
	for _, command := range []string{"worker", "dev"} {
		c.run(command).wants(t, exitMisused, "huntaze: FALLBACK_MATRIX_FILE: fallback matrix ", "fallback.yaml", "azure_timeout", "maxRetries is -1")
	}
	delete(c.environ, "FALLBACK_MATRIX_FILE")
	c.environ["OPENAI_API_KEY"] = "openai-key"
	for _, command := range []string{"worker", "dev"} {
		if got := c.run(command).wants(t, exitMisused, "OPENAI_MODEL is not set"); strings.Contains(got.out+got.errOut, "openai-key") {
			t.Error("the key is shown")
		}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	for usd, want := range map[string]int64{"": 0, "1": 1e12, "0.5": 5e11, "25.50": 255e11, "0.01": 1e10, "9223372.03": 9_223_372_030_000_000_000, "9999999.99": 9_223_372_030_000_000_000} {
		if got := budgetOf(usd); got != want {
			t.Errorf("%s is %d, want %d", usd, got, want)
		}
	}
}
