package provider

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey    = "sk-canary-key-4711"
	testSystem = "canary-system-4711"
	testUser   = "canary-user-4711" // a bare word, so that it could pass for a code, a model or an id
)

func testRequest() Request {
	return Request{ID: "attempt-1", System: testSystem, User: testUser, SchemaName: SchemaName, Schema: Schema(), MaxOutputTokens: 400}
}

// newSim starts both providers on a port.
func newSim(t testing.TB, options providersim.Options) *providersim.Server {
	t.Helper()
	sim := providersim.New(options)
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	return sim
}

// surfaces are the three ways to ask, by the simulator's names.
var surfaces = []string{providersim.SurfaceOpenAI, providersim.SurfaceAzureV1, providersim.SurfaceClassic}

func providerOf(surface string) Name {
	if surface == providersim.SurfaceOpenAI {
		return OpenAI
	}
	return Azure
}

// newChatAt makes a client of one surface at an address. change may be nil.
func newChatAt(t testing.TB, surface, url string, change func(*AzureConfig)) *Chat {
	t.Helper()
	var chat *Chat
	var err error
	if surface == providersim.SurfaceOpenAI {
		chat, err = NewOpenAI(OpenAIConfig{BaseURL: url + "/v1", Key: testKey, Model: "gpt-5.6-luna"})
	} else {
		config := AzureConfig{Endpoint: url, Key: testKey, Deployment: "writer", PricedModel: "gpt-5.6-luna", Zone: "global"}
		if surface == providersim.SurfaceClassic {
			config.APIVersion = "2024-10-21"
		}
		if change != nil {
			change(&config)
		}
		chat, err = NewAzure(config)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(chat.Close)
	return chat
}

func within(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}
