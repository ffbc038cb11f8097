package devstack

import (
	"context"
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

// startProviders starts simulated providers unless there are real ones. Azure fails the first call, so that the
// sample shows a fallback.
func (s *Stack) startProviders(context.Context) error {
	if !s.options.SimulateProviders {
		s.started("Providers", "those of AZURE_OPENAI_* and OPENAI_*", "")
		return nil
	}
	sim := providersim.New(providersim.Options{Latency: shortestText, Jitter: textJitter, Seed: uint64(time.Now().UnixNano()), KeepCalls: keepCalls})
	if err := sim.Start(); err != nil {
		return err
	}
	s.onStop("providers", func(context.Context) error { return sim.Close() })
	if err := sim.Enqueue(providersim.Azure, providersim.Fault{Fixture: firstFault}); err != nil {
		return err
	}
	s.providers, s.at.ProviderURL = sim, sim.URL()
	s.started("Providers", "simulated: Azure OpenAI and OpenAI", sim.URL())
	return nil
}

// firstFault is how the simulated Azure answers first.
const firstFault = "503_html"
