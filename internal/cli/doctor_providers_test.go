package cli

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

// withSimulatedProviders gives the command line both providers.
func (c *terminal) withSimulatedProviders(options providersim.Options) *providersim.Server {
	c.t.Helper()
	sim := providersim.New(options)
	if err := sim.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = sim.Close() })
	maps.Copy(c.environ, map[string]string{
		"AZURE_OPENAI_ENDPOINT": sim.URL(), "AZURE_OPENAI_API_KEY": "azure-key", "AZURE_OPENAI_DEPLOYMENT": "writer", "AZURE_OPENAI_MODEL": "gpt-5.4-mini",
		"OPENAI_BASE_URL": sim.OpenAIBaseURL(), "OPENAI_API_KEY": "openai-key", "OPENAI_MODEL": "gpt-5.4-mini",
	})
	return sim
}

// providerFindings are what the doctor says of the providers.
func (c *terminal) providerFindings() []finding {
	c.t.Helper()
	cfg, err := parse(c.environ)
	if err != nil {
		c.t.Fatal(err)
	}
	var d doctor
	d.checkProviders(c.t.Context(), cfg)
	return d.findings
}

const freshPrices = `entries:
  - {id: azure-mini, provider: azure, model: gpt-5.4-mini, effectiveFrom: 2026-01-01, components: {input: "1", output: "2"}, source: test, checkedAt: DAY}
  - {id: openai-mini, provider: openai, model: gpt-5.4-mini, effectiveFrom: 2026-01-01, components: {input: "1", output: "2"}, source: test, checkedAt: DAY}
factors: {longContext: [], tiers: [], zones: []}
`

// prices is a price table that was compared some days ago.
func (c *terminal) prices(daysAgo int) string {
	return c.file("prices.yaml", strings.ReplaceAll(freshPrices, "DAY", time.Now().AddDate(0, 0, -daysAgo).UTC().Format(time.DateOnly)))
}

func TestDoctorOfProviders(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>welcome</html>")) }))
	t.Cleanup(page.Close)
	strict := providersim.Options{AzureKey: "azure-key", OpenAIKey: "openai-key", Deployments: []string{"writer"}, Models: []string{"gpt-5.4-mini"}}
	for _, tt := range []struct {
		name    string
		environ map[string]string
		want    []finding // of the remedy a part is enough
	}{
		{"all is well", nil, []finding{
			{levelOK, "provider", "azure answers, takes the credential and has the deployment writer", ""},
			{levelOK, "provider", "openai answers, takes the credential and has the model gpt-5.4-mini", ""}}},
		{"none", map[string]string{"AZURE_OPENAI_ENDPOINT": "", "AZURE_OPENAI_API_KEY": "", "OPENAI_API_KEY": ""}, []finding{
			{levelWarn, "provider", "no provider is configured; messages that have a text are sent", "until then a message with a brief waits"}}},
		{"one only", map[string]string{"OPENAI_API_KEY": ""}, []finding{
			{levelWarn, "provider", "only azure is configured", "configure the other one as well"},
			{levelOK, "provider", "azure answers, takes the credential and has the deployment writer", ""}}},
		{"unreachable", map[string]string{"AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:1"}, []finding{
			{levelFail, "provider", "azure at 127.0.0.1:1 does not answer (connection)", "correct AZURE_OPENAI_ENDPOINT, or the way there"},
			{levelOK, "provider", "openai answers, takes the credential and has the model gpt-5.4-mini", ""}}},
		{"wrong keys", map[string]string{"AZURE_OPENAI_API_KEY": "not-it", "OPENAI_API_KEY": "not-it"}, []finding{
			{levelFail, "provider", "azure refuses the credential (401)", "correct AZURE_OPENAI_API_KEY"},
			{levelFail, "provider", "openai refuses the credential (401)", "correct OPENAI_API_KEY"}}},
		{"missing deployment and model", map[string]string{"AZURE_OPENAI_DEPLOYMENT": "other", "OPENAI_MODEL": "gpt-5.4-nano"}, []finding{
			{levelFail, "provider", "azure has no deployment other", "correct AZURE_OPENAI_DEPLOYMENT; a new deployment takes some minutes"},
			{levelFail, "provider", "openai has no model gpt-5.4-nano", "correct OPENAI_MODEL"},
			{levelWarn, "provider", "the price of gpt-5.4-nano in zone global is not known", "add it to the price table"}}},
		{"another server", map[string]string{"OPENAI_BASE_URL": page.URL + "/v1"}, []finding{
			{levelOK, "provider", "azure answers, takes the credential and has the deployment writer", ""},
			{levelFail, "provider", strings.TrimPrefix(page.URL, "http://") + " does not answer as openai does (200)", "correct OPENAI_BASE_URL"}}},
		{"unknown price", map[string]string{"AZURE_OPENAI_ZONE": "regional"}, []finding{
			{levelOK, "provider", "azure answers, takes the credential and has the deployment writer", ""},
			{levelWarn, "provider", "the price of gpt-5.4-mini in zone regional is not known", "until then its calls are recorded as unpriced"},
			{levelOK, "provider", "openai answers, takes the credential and has the model gpt-5.4-mini", ""}}},
		{"a mistake", map[string]string{"AZURE_OPENAI_MODEL": ""}, []finding{
			{levelFail, "provider", "environment: AZURE_OPENAI_MODEL is not set", "correct it"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newTerminal(t)
			c.withSimulatedProviders(strict)
			c.environ["PRICE_FILE"] = c.prices(3)
			maps.Copy(c.environ, tt.environ)
			found := c.providerFindings()
			if len(found) != len(tt.want) {
				t.Fatalf("found %+v", found)
			}
			for i, want := range tt.want {
				got := found[i]
				if got.Level != want.Level || got.Part != want.Part || !strings.HasPrefix(got.What, want.What) || !strings.Contains(got.Remedy, want.Remedy) || (want.Remedy == "") != (got.Remedy == "") {
					t.Errorf("found %+v\nwant  %+v", got, want)
				}
			}
			if text := strings.ToLower(joinFindings(found)); strings.Contains(text, "azure-key") || strings.Contains(text, "openai-key") || strings.Contains(text, "not-it") {
				t.Errorf("a key is shown: %s", text)
			}
		})
	}
}

func joinFindings(all []finding) (text string) {
	for _, f := range all {
		text += f.What + f.Remedy
	}
	return text
}

// A provider that answers, and not as expected, is worth a look but keeps nobody from starting.
func TestDoctorOfProviderInTrouble(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	c.environ["PRICE_FILE"] = c.prices(40)
	sim := c.withSimulatedProviders(providersim.Options{})
	if err := sim.SetDefault(providersim.Azure, &providersim.Fault{Fixture: "500_html"}); err != nil {
		t.Fatal(err)
	}
	found := c.providerFindings()
	if got := level(found, "provider", "azure answers"); got != levelOK && got != levelWarn { // the check asks for no text
		t.Errorf("it is %s: %+v", got, found)
	}
	if got := level(found, "provider", "2 prices not compared with the provider's own for more than 30 days: azure-mini, openai-mini"); got != levelWarn {
		t.Errorf("old prices are %s: %+v", got, found)
	}
	if got := someOf([]string{"a", "b", "c", "d", "e"}); got != "a, b, c and 2 more" {
		t.Error(got)
	}
	if got := someOf([]string{"a", "b", "c", "d"}); got != "a, b, c, d" {
		t.Error(got)
	}
}
