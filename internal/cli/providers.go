package cli

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/text"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

// providersOf turns the environment into what writes texts; without a provider it has no clients. The files that it
// names are checked in any case.
func providersOf(cfg config.Config) (worker.Providers, fallback.Matrix, error) {
	p := worker.Providers{Workers: cfg.PlanWorkers, Timeout: cfg.ProviderTimeout, Template: cfg.PromptTemplate, Budget: budgetOf(cfg.ProviderBudget)}
	matrix, err := matrixOf(cfg)
	if err != nil {
		return p, matrix, err
	}
	if p.Templates, err = text.Load(cfg.PromptDir); err != nil {
		return p, matrix, fmt.Errorf("PROMPT_DIR: %w", err)
	}
	if _, err := p.Templates.Get(p.Template); err != nil {
		return p, matrix, fmt.Errorf("PROMPT_TEMPLATE: %w", err)
	}
	p.Prices = cost.Default()
	if cfg.PriceFile != "" {
		if p.Prices, err = cost.Load(cfg.PriceFile); err != nil {
			return p, matrix, fmt.Errorf("PRICE_FILE: %w", err)
		}
	}
	chats, err := chatsOf(cfg)
	if err != nil {
		return p, matrix, err
	}
	for _, chat := range chats {
		p.Clients = append(p.Clients, chat)
	}
	return p, matrix, nil
}

// matrixOf is the fallback matrix in force.
func matrixOf(cfg config.Config) (fallback.Matrix, error) {
	matrix, err := fallback.Load(cfg.FallbackMatrixFile)
	if err != nil {
		return matrix, fmt.Errorf("FALLBACK_MATRIX_FILE: %w", err)
	}
	return matrix, nil
}

// picoPerCent: budgets are in cents, costs in pico-USD.
const picoPerCent = 10_000_000_000

// budgetOf reads an amount such as 25.50, whose form the configuration has checked.
func budgetOf(usd string) int64 {
	whole, cents, _ := strings.Cut(usd, ".")
	number, err := strconv.ParseInt(whole+(cents + "00")[:2], 10, 64)
	if err != nil {
		return 0
	}
	return min(number, math.MaxInt64/picoPerCent) * picoPerCent // nobody spends nine million dollars on a day
}

// chatsOf returns the providers that are configured, the preferred one first.
func chatsOf(cfg config.Config) ([]*provider.Chat, error) {
	var chats []*provider.Chat
	for _, one := range []struct {
		configured bool
		open       func(config.Config) (*provider.Chat, error)
	}{
		{cfg.AzureEndpoint != "" || cfg.AzureAPIKey != "", azure},
		{cfg.OpenAIAPIKey != "", openAI},
	} {
		if !one.configured {
			continue
		}
		chat, err := one.open(cfg)
		if err != nil {
			return nil, err
		}
		chats = append(chats, chat)
	}
	slices.SortStableFunc(chats, func(a, b *provider.Chat) int {
		return rank(a, cfg.ProviderPrimary) - rank(b, cfg.ProviderPrimary)
	})
	return chats, nil
}

func rank(c *provider.Chat, primary string) int {
	if string(c.Target().Provider) == primary {
		return 0
	}
	return 1
}

func azure(cfg config.Config) (*provider.Chat, error) {
	needs := []string{"AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_DEPLOYMENT", "AZURE_OPENAI_MODEL"}
	if cfg.AzureAuth == "key" {
		needs = append(needs, "AZURE_OPENAI_API_KEY")
	}
	if err := cfg.Require(needs...); err != nil {
		return nil, err
	}
	c := provider.AzureConfig{
		Endpoint: cfg.AzureEndpoint, APIVersion: cfg.AzureAPIVersion, Scope: cfg.AzureScope, Deployment: cfg.AzureDeployment,
		PricedModel: cfg.AzureModel, Zone: cfg.AzureZone,
		Common: provider.Common{Tier: cfg.AzureServiceTier, ReasoningEffort: cfg.AzureReasoningEffort, NoStore: true},
	}
	if cfg.AzureAuth == "entra" {
		credential, err := azidentity.NewDefaultAzureCredential(nil)
		if err != nil {
			return nil, errors.New("AZURE_OPENAI_AUTH=entra: no identity is configured; set AZURE_CLIENT_ID and the like, or run where there is a managed identity") //nolint:errorlint // its text may hold more than a log should
		}
		c.Credential = credential
	} else {
		c.Key = provider.Secret(cfg.AzureAPIKey.Reveal())
	}
	chat, err := provider.NewAzure(c)
	if err != nil {
		return nil, fmt.Errorf("AZURE_OPENAI_*: %w", err)
	}
	return chat, nil
}

func openAI(cfg config.Config) (*provider.Chat, error) {
	if err := cfg.Require("OPENAI_MODEL"); err != nil {
		return nil, err
	}
	chat, err := provider.NewOpenAI(provider.OpenAIConfig{
		BaseURL: cfg.OpenAIBaseURL, Key: provider.Secret(cfg.OpenAIAPIKey.Reveal()), Organization: cfg.OpenAIOrganization, Project: cfg.OpenAIProject,
		Model:  cfg.OpenAIModel,
		Common: provider.Common{Tier: cfg.OpenAIServiceTier, ReasoningEffort: cfg.OpenAIEffort, NoStore: true},
	})
	if err != nil {
		return nil, fmt.Errorf("OPENAI_*: %w", err)
	}
	return chat, nil
}
