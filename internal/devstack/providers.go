package devstack

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

// The simulated providers take this long to answer, by chance: about as long as real ones do for a short text.
const (
	shortestText = 300 * time.Millisecond
	textJitter   = 900 * time.Millisecond
)

// keepCalls is how many calls the simulated providers remember.
const keepCalls = 1000

// SimulatedProvider is what stands for a provider's key, deployment and model when there is none.
const (
	SimulatedKey        = "simulated"
	SimulatedDeployment = "texts"
	SimulatedModel      = "gpt-5.4-mini"
)

// firstFault is how the simulated provider that is asked first answers first, so that the sample shows a fallback.
const firstFault = "503_html"

// providerServer is both simulated providers.
type providerServer struct {
	url    string
	sim    *providersim.Server
	http   *http.Server
	served chan struct{}
}

// OpenAIBaseURL is where OpenAI is, given where both are.
func OpenAIBaseURL(providers string) string { return providers + "/v1" }

// startProviders starts simulated providers unless there are real ones.
func (s *Stack) startProviders(context.Context) error {
	if len(s.options.Targets) > 0 {
		var hosts []string
		for _, t := range s.options.Targets {
			hosts = append(hosts, t.Host)
		}
		s.started("Providers", s.writers()+", as configured", strings.Join(hosts, ", "))
		return nil
	}
	p, err := startProviders(s.options.FirstProvider)
	if err != nil {
		return err
	}
	s.onStop("providers", p.stop)
	s.providers, s.at.ProviderURL = p, p.url
	s.started("Providers", "simulated: Azure OpenAI and OpenAI", p.url)
	return nil
}

func startProviders(first string) (*providerServer, error) {
	sim := providersim.New(providersim.Options{Latency: shortestText, Jitter: textJitter, Seed: uint64(time.Now().UnixNano()), KeepCalls: keepCalls})
	if err := sim.Enqueue(providersim.Provider(first), providersim.Fault{Fixture: firstFault}); err != nil {
		return nil, errors.Join(err, sim.Close())
	}
	listener, err := listen(providerPort)
	if err != nil {
		return nil, errors.Join(err, sim.Close())
	}
	p := &providerServer{url: "http://" + listener.Addr().String(), sim: sim, served: make(chan struct{})}
	p.http = &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(p.served)
		_ = p.http.Serve(listener) // always ErrServerClosed, or the listener is broken
	}()
	return p, nil
}

func (p *providerServer) stop(ctx context.Context) error {
	err := errors.Join(p.sim.Close(), p.http.Shutdown(ctx))
	<-p.served
	return err
}

// writers names the providers of the configuration: "azure and openai".
func (s *Stack) writers() string {
	var names []string
	for _, t := range s.options.Targets {
		names = append(names, string(t.Provider))
	}
	return strings.Join(names, " and ")
}
