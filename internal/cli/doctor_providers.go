package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
)

// checkProviders asks each provider for what costs nothing.
func (d *doctor) checkProviders(ctx context.Context, cfg config.Config) {
	const part = "provider"
	p, _, err := providersOf(cfg)
	if err != nil {
		d.fail(part, "correct it", "%s", oneLine(err))
		return
	}
	if len(p.Clients) == 0 {
		d.warn(part, "set AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY, or OPENAI_API_KEY: until then a message with a brief waits", "no provider is configured; messages that have a text are sent")
		return
	}
	if len(p.Clients) == 1 {
		d.warn(part, "configure the other one as well: then each stands in for the other", "only %s is configured", p.Clients[0].Target().Provider)
	}
	for _, client := range p.Clients {
		d.checkProvider(ctx, client, p.Prices)
	}
	if stale := p.Prices.Stale(time.Now()); len(stale) > 0 {
		d.warn(part, "compare them with the provider's price list, and note the day in the price table (PRICE_FILE)", "%s not compared with the provider's own for more than 30 days: %s", plural(len(stale), "price"), someOf(stale))
	}
}

func (d *doctor) checkProvider(ctx context.Context, client provider.Client, prices cost.Table) {
	const part = "provider"
	target := client.Target()
	name := map[provider.Name]string{provider.Azure: "AZURE_OPENAI", provider.OpenAI: "OPENAI"}[target.Provider]
	where := map[provider.Name]string{provider.Azure: "AZURE_OPENAI_ENDPOINT", provider.OpenAI: "OPENAI_BASE_URL"}[target.Provider]
	model := map[provider.Name]string{provider.Azure: "AZURE_OPENAI_DEPLOYMENT", provider.OpenAI: "OPENAI_MODEL"}[target.Provider]
	noun := map[provider.Name]string{provider.Azure: "deployment", provider.OpenAI: "model"}[target.Provider]
	found := client.(provider.Checker).Check(ctx)
	switch found.State {
	case provider.CheckPassed:
		d.ok(part, "%s answers, takes the credential and has the %s %s", target.Provider, noun, target.Deployment)
	case provider.CheckUnreachable:
		d.fail(part, "correct "+where+", or the way there", "%s at %s does not answer (%s)", target.Provider, target.Host, found.Class)
	case provider.CheckRefused:
		d.fail(part, "correct "+name+"_API_KEY, or what the identity may do", "%s refuses the credential (%d)", target.Provider, found.Status)
	case provider.CheckMissingModel:
		d.fail(part, "correct "+model+"; a new "+noun+" takes some minutes", "%s has no %s %s", target.Provider, noun, target.Deployment)
	case provider.CheckWrongAddress:
		d.fail(part, "correct "+where, "%s does not answer as %s does (%d)", target.Host, target.Provider, found.Status)
	default:
		d.warn(part, "look at the provider's status page, and ask again", "%s answers, and it is not clear whether it works (%s, %d)", target.Provider, found.Class, found.Status)
	}
	call := cost.Call{Provider: string(target.Provider), Model: target.Model, Zone: target.Zone, Tier: target.Tier, At: time.Now()}
	if prices.Price(call, cost.Usage{Input: 1, Output: 1}, false).Kind == cost.Unpriced {
		d.warn(part, "add it to the price table (PRICE_FILE); until then its calls are recorded as unpriced", "the price of %s in zone %s is not known", target.Model, target.Zone)
	}
}

// someOf is the beginning of a list.
func someOf(names []string) string {
	const most = 3
	if len(names) <= most+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
