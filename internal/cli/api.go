package cli

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/api"
	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
)

func (a *app) apiCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "api",
		Short: "Serve the campaign API and the console; any number may run",
		Long: `Serve on HTTP_ADDR, which is on this machine only unless it is set: the campaign API (/v1), its description
/openapi.json, the console for people (/), River UI (/river, admins, read only), and the probes /livez and /readyz. It
sends nothing itself: workers do. With ADMIN_ADDR set it serves the probes there, too, and its metrics there only.

Any number of them may run beside each other. SIGTERM ends the event streams, finishes the other requests and
ends the process within SHUTDOWN_TIMEOUT. Callers need a key: huntaze apikey create.`,
		Example: "  DATABASE_URL=postgres://… huntaze api\n  HTTP_ADDR=:8080 huntaze api",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, environ, err := a.environment("DATABASE_URL")
			if err != nil {
				return err
			}
			logger := newLogger(cfg, a.err)
			spans, flush, err := a.telemetry(environ, apiName(), a.out, logger)
			if err != nil {
				return err
			}
			defer flush()
			s, err := newService(cmd.Context(), cfg, environ, a.version, spans, logger)
			if err != nil {
				return err
			}
			defer s.close()
			if address := environ["ADMIN_ADDR"]; address != "" && !samePort(address, cfg.HTTPAddr) {
				defer s.serveAdmin(cmd.Context(), address, logger)()
			}
			return s.run(cmd.Context(), s.server.Run)
		},
	}
}

// samePort is true for two addresses that only one can listen at. The port of the API itself has the probes already.
func samePort(a, b string) bool {
	_, one, _ := net.SplitHostPort(a)
	_, other, _ := net.SplitHostPort(b)
	return one == other && one != "0"
}

func apiName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "api"
	}
	return fmt.Sprintf("%s-%d", host, os.Getpid())
}

// apiConfig turns the environment into the settings of the API.
func apiConfig(cfg config.Config, version string) (api.Config, error) {
	price, err := textPrice(cfg)
	return api.Config{
		Version: version, Addr: cfg.HTTPAddr, ShutdownTimeout: cfg.ShutdownTimeout, RequestTimeout: cfg.APIRequestTimeout,
		MaxBodyBytes: int64(cfg.APIMaxBody), MaxUploadBytes: int64(cfg.APIMaxUpload), RatePerSecond: float64(cfg.APIRateLimit), TextCost: price,
	}, err
}

// textPrice says what a text is likely to cost by the provider that is asked first: the prompt's tokens, and half of
// those that the answer may have.
func textPrice(cfg config.Config) (func(string) (int64, bool), error) {
	providers, _, err := providersOf(cfg)
	if err != nil || len(providers.Clients) == 0 {
		return nil, err
	}
	template, err := providers.Templates.Get(providers.Template)
	if err != nil {
		return nil, err
	}
	target := providers.Clients[0].Target()
	return func(brief string) (int64, bool) {
		usage := cost.Usage{Input: cost.EstimateTokens(template.System, brief), Output: int64(template.MaxOutputTokens+1) / 2}
		found := providers.Prices.Price(callOf(target), usage, true)
		if found.PicoUSD == nil {
			return 0, false
		}
		return *found.PicoUSD, true
	}, nil
}

func callOf(target provider.Target) cost.Call {
	return cost.Call{Provider: string(target.Provider), Model: target.Model, Zone: target.Zone, Tier: target.Tier, At: time.Now()}
}
