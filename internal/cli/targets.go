package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
)

func (a *app) providersCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "providers",
		Short: "Show who writes texts: when each was there, its breaker, its calls and what they cost today",
		Long: `Show what the fleet knows of each place where texts are written: when a worker that may call it
was there last, its circuit breaker, a pause that it asked for, and its calls.

  closed     it is called
  open       it failed, and is not called before the time that is shown
  half open  one call finds out whether it works again

Calls and costs are those of today (UTC) that have ended.`,
		Example: "  huntaze providers\n  huntaze providers matrix --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withConfiguredStore(cmd.Context(), func(cfg config.Config, store *db.Store) error {
				return a.printTargets(cmd.Context(), cfg, store, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(a.matrixCommand())
	return cmd
}

func (a *app) printTargets(ctx context.Context, cfg config.Config, store *db.Store, asJSON bool) error {
	seen, err := store.Targets(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(targetsAsJSON(seen))
	}
	rows := make([][]string, len(seen.All))
	for i, t := range seen.All {
		rows[i] = []string{string(t.Provider), t.Key, relative(t.SeenAt, seen.Now), wording.Phase(t.Guard.Phase(seen.Now)), strconv.Itoa(t.UnderWay), strconv.Itoa(t.Today.Calls), wording.Spent(t.Today)}
	}
	none := "No worker that has a provider was ever here: set AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY, or OPENAI_API_KEY."
	if err := a.table(none, []string{"PROVIDER", "TARGET", "LAST SEEN", "BREAKER", "UNDER WAY", "CALLS TODAY", "COST TODAY"}, rows); err != nil || len(rows) == 0 {
		return err
	}
	fmt.Fprintln(a.out)
	for _, t := range seen.All {
		for _, text := range wording.Troubles(t, seen.Now) {
			fmt.Fprintf(a.out, "%s: %s\n", cell(t.Key), text)
		}
	}
	budget := ""
	if most := budgetOf(cfg.ProviderBudget); most > 0 {
		budget = fmt.Sprintf(", of %s that PROVIDER_DAILY_BUDGET_USD allows here", cost.FormatUSD(most))
	}
	_, err = fmt.Fprintf(a.out, "Spent on texts today (UTC): %s%s\n", cost.FormatUSD(seen.SpentPicoUSD), budget)
	return err
}

type (
	targetsJSON struct {
		Now          time.Time    `json:"now"`
		SpentPicoUSD int64        `json:"spentPicoUsd"`
		Targets      []targetJSON `json:"targets"`
	}
	targetJSON struct {
		Provider      provider.Name `json:"provider"`
		Target        string        `json:"target"`
		SeenAt        time.Time     `json:"seenAt"`
		Breaker       breakerJSON   `json:"breaker"`
		Rest          *pauseJSON    `json:"rest,omitempty"`
		CallsUnderWay int           `json:"callsUnderWay"`
		Today         todayJSON     `json:"today"`
	}
	breakerJSON struct {
		Phase    guard.Phase    `json:"phase"`
		Failures int            `json:"failures"` // in a row
		Opened   int            `json:"opened"`   // times in a row
		Until    time.Time      `json:"until,omitzero"`
		Reason   provider.Class `json:"reason,omitempty"`
		Probing  bool           `json:"probing"` // a call finds out whether it works again
	}
	pauseJSON struct {
		Until  time.Time      `json:"until"`
		Reason provider.Class `json:"reason"`
	}
	todayJSON struct {
		Calls     int   `json:"calls"`
		PicoUSD   int64 `json:"picoUsd"`
		Estimated int   `json:"estimated"` // calls whose part is an estimate
		Unpriced  int   `json:"unpriced"`  // calls that are not in the sum
	}
)

func targetsAsJSON(seen db.Targets) targetsJSON {
	out := targetsJSON{Now: seen.Now, SpentPicoUSD: seen.SpentPicoUSD, Targets: []targetJSON{}}
	for _, t := range seen.All {
		g := t.Guard
		one := targetJSON{Provider: t.Provider, Target: t.Key, SeenAt: t.SeenAt, CallsUnderWay: t.UnderWay, Today: todayJSON(t.Today),
			Breaker: breakerJSON{Phase: g.Phase(seen.Now), Failures: g.Failures, Opened: g.Opened}}
		if one.Breaker.Phase != guard.Closed {
			one.Breaker.Until, one.Breaker.Reason, one.Breaker.Probing = g.OpenUntil, g.OpenReason, g.ProbeUntil.After(seen.Now)
		}
		if g.RestUntil.After(seen.Now) {
			one.Rest = &pauseJSON{g.RestUntil, g.RestReason}
		}
		out.Targets = append(out.Targets, one)
	}
	return out
}
