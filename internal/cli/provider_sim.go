package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
)

const providerSimAddr = "127.0.0.1:8091"

func (a *app) providerSimCommand() *cobra.Command {
	var addr string
	var faults []string
	var options providersim.Options
	cmd := &cobra.Command{
		Use:   "provider-sim",
		Short: "Run the simulated Azure OpenAI and OpenAI: no model is asked, texts cost nothing, and it can fail in every way",
		Long: `Run Azure OpenAI (both of its surfaces) and OpenAI without a model. A text is made from a hash of the brief, so
the same brief gets the same text, and nobody is paid. It fails as --fault says, until that is changed while it runs
(PUT and DELETE /sim/faults). GET /sim/requests and /sim/state tell what was asked, without prompts; GET /sim/fixtures
lists the recorded answers that a fault can name; GET /livez tells whether it lives.`,
		Example: `  huntaze provider-sim --addr :8091 --latency 400ms
  huntaze provider-sim --fault azure=azure_429_quota --fault openai=slow:2s
  curl -X PUT http://127.0.0.1:8091/sim/faults -d '{"azure":{"queue":[{"kind":"hang"},{"fixture":"500_html"}]}}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if options.Latency < 0 || options.Jitter < 0 {
				return misused(errors.New("--latency and --jitter must not be negative"))
			}
			sim := providersim.New(options)
			for _, fault := range faults {
				if err := setFault(sim, fault); err != nil {
					return misused(fmt.Errorf("--fault %s: %w", fault, err))
				}
			}
			return a.simulateProviders(cmd.Context(), addr, sim)
		},
	}
	cmd.Flags().StringVar(&addr, "addr", providerSimAddr, "where it listens; port 0 takes any that is free")
	cmd.Flags().StringVar(&options.AzureKey, "azure-key", "", "key that Azure wants (none: any)")
	cmd.Flags().StringVar(&options.OpenAIKey, "openai-key", "", "key that OpenAI wants (none: any)")
	cmd.Flags().StringSliceVar(&options.Deployments, "deployment", nil, "deployments that Azure has (none: any)")
	cmd.Flags().StringSliceVar(&options.Models, "model", nil, "models that OpenAI has (none: any)")
	cmd.Flags().DurationVar(&options.Latency, "latency", 0, "of every answer")
	cmd.Flags().DurationVar(&options.Jitter, "jitter", 0, "more latency, by chance, up to this")
	cmd.Flags().StringArrayVar(&faults, "fault", nil, "how a provider fails: azure=FAULT or openai=FAULT; a recorded answer, a broken connection, slow:DURATION or text:TEXT")
	cmd.Flags().Uint64Var(&options.Seed, "seed", uint64(time.Now().UnixNano()), "of what is left to chance")
	cmd.Flag("seed").DefValue = "the time"
	return cmd
}

func setFault(sim *providersim.Server, typed string) error {
	provider, named, is := strings.Cut(typed, "=")
	if !is {
		return errors.New("write azure=FAULT or openai=FAULT")
	}
	fault, err := providersim.ParseFault(named)
	if err != nil {
		return err
	}
	return sim.SetDefault(providersim.Provider(provider), &fault)
}

func (a *app) simulateProviders(ctx context.Context, addr string, sim *providersim.Server) (err error) {
	served := serveSimulator(ctx, addr, &http.Server{Handler: withLiveness(sim)}, func(at net.Addr) {
		fmt.Fprintf(a.out, "simulated Azure OpenAI at http://%s; no model is asked\n", at)
		fmt.Fprintf(a.out, "simulated OpenAI at http://%s/v1\n", at)
	}, func() { err = sim.Close() })
	return errors.Join(served, err)
}
