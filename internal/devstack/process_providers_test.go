//go:build unix

package devstack

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

// realProviders: providers of the configuration are used and named, and what belongs to them is kept to itself.
func realProviders(t *testing.T, n newcomer) {
	const key = "key-of-the-test"
	sim := providersim.New(providersim.Options{AzureKey: key, OpenAIKey: key})
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	if err := sim.Enqueue(providersim.OpenAI, providersim.Fault{Fixture: "503_html"}, providersim.Fault{Fixture: "503_html"}); err != nil {
		t.Fatal(err)
	}
	n.environ = append(n.environ, "AZURE_OPENAI_ENDPOINT="+sim.URL(), "AZURE_OPENAI_API_KEY="+key, "AZURE_OPENAI_DEPLOYMENT=writer", "AZURE_OPENAI_MODEL=gpt-5.4-mini",
		"OPENAI_BASE_URL="+sim.OpenAIBaseURL(), "OPENAI_API_KEY="+key, "OPENAI_MODEL=gpt-5.4-mini", "PROVIDER_PRIMARY=openai")
	p := n.start(t, "dev", "--plain", "--limit", "10/2s", "--workers", "1")
	p.says(t, start, "How to go on")
	host := strings.TrimPrefix(sim.URL(), "http://")
	contains(t, p.out.String(), "openai and azure, as configured", host+", "+host, "from a brief, by openai and azure, as configured, which may cost money.", "text by azure, after openai: overloaded")
	if strings.Contains(p.out.String(), "simulated: Azure") {
		t.Error("providers are simulated, though there are real ones")
	}
	if texts := sim.Counts(providersim.Azure).Texts; texts == 0 {
		t.Error("the configured provider wrote nothing")
	}
	for _, file := range []string{"stack.env", "huntaze.log"} {
		text, err := os.ReadFile(n.data(file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text)+p.out.String(), key) {
			t.Errorf("the key is in %s or on the screen", file)
		}
	}
	out, _ := n.run(t, start, "doctor")
	contains(t, out, "ok    provider  azure answers", "ok    provider  openai answers")
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.ends(t, 30*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}

	n.environ = append(n.environ, "OPENAI_MODEL=")
	out, code := n.run(t, start, "dev", "--plain")
	if code != 2 || strings.Contains(out, "Postgres") {
		t.Errorf("exit code %d; something was started:\n%s", code, out)
	}
	contains(t, out, "OPENAI_MODEL")
}

// otherProviderFirst: it is the provider that is asked first which fails, whichever that is.
func otherProviderFirst(t *testing.T, n newcomer) {
	n.environ = append(n.environ, "PROVIDER_PRIMARY=openai", "AZURE_OPENAI_AUTH=entra") // of which the simulated Azure knows nothing
	out, code := n.run(t, 2*time.Minute, "dev", "--plain", "--limit", "10/2s", "--for", "90s", "--workers", "1")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	contains(t, out, "text by azure, after openai: overloaded", "text by openai")
	if arrivals := n.arrivals(t); len(arrivals) != 48 || len(gatewaysim.Duplicates(arrivals)) > 0 {
		t.Errorf("%d arrivals, twice: %v", len(arrivals), gatewaysim.Duplicates(arrivals))
	}
}
