// Command bench measures the fleet's speed as ratios within one run: machines differ and are shared, so that
// only what was measured side by side can be compared. Nothing here is a test; nothing fails for being slow.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/huntaze/hybrid-orchestrator/worker"
)

// rounds is how often each throughput is measured, the kinds taking turns. The best of each is compared: what
// else runs on the machine can only take away.
const rounds = 3

// throughput measures what is compared with empty River jobs.
func (b *bench) throughput(ctx context.Context, wanted func(string) bool) ([]figure, error) {
	kinds := []struct {
		name    string
		measure func(context.Context) (float64, error)
	}{
		{"river", b.emptyJobs}, {"each", b.transactionEach}, {"engine", b.engineSteps},
		{"path", func(ctx context.Context) (float64, error) { return b.pathRate(ctx, "1/60s,10/24h") }},
		{"path-account", func(ctx context.Context) (float64, error) { return b.pathRate(ctx, "off") }},
	}
	best := map[string]float64{}
	for round := range rounds {
		for _, kind := range kinds {
			if !wanted(kind.name) && kind.name != "river" {
				continue
			}
			announce(fmt.Sprintf("%s, round %d of %d", kind.name, round+1, rounds))
			rate, err := kind.measure(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", kind.name, err)
			}
			best[kind.name] = max(best[kind.name], rate)
		}
	}
	empty := best["river"]
	all := []figure{
		{"empty River jobs (baseline)", fmt.Sprintf("%.0f jobs/s", empty), "", stepSettings},
		{"one transaction per job / empty River jobs", fmt.Sprintf("%.3f (%.0f steps/s)", best["each"]/empty, best["each"]), "", "JobCompleteTx, 20 connections"},
		{"step transitions through the engine / empty River jobs", fmt.Sprintf("%.2f (%.0f steps/s)", best["engine"]/empty, best["engine"]), "≥ 0.6", "a workflow row, a timeline row and a job for each step"},
		{"step transitions through the engine / one transaction per job", fmt.Sprintf("%.1f", best["engine"]/best["each"]), "≥ 8", "the same writes"},
		{"whole path SQS → sent / empty River jobs", fmt.Sprintf("%.3f (%.0f messages/s)", best["path"]/empty, best["path"]), "≥ 0.12", "10,000 accounts at 10/60s, recipients 1/60s,10/24h, 500 calls at once"},
		{"the same without recipients' limits", fmt.Sprintf("%.3f (%.0f messages/s)", best["path-account"]/empty, best["path-account"]), "", "10,000 accounts at 10/60s, 500 calls at once"},
	}
	needs := [][]string{nil, {"each"}, {"engine"}, {"each", "engine"}, {"path"}, {"path-account"}}
	var figures []figure
	for i, f := range all {
		if !slices.ContainsFunc(needs[i], func(name string) bool { return best[name] == 0 }) {
			figures = append(figures, f)
		}
	}
	return figures, nil
}

func announce(what string) {
	fmt.Fprintf(os.Stderr, "%s: measuring %s …\n", time.Now().Format(time.TimeOnly), what)
}

// figure is one line of the table.
type figure struct {
	name     string
	measured string
	target   string
	settings string
}

func main() {
	only := flag.String("only", "", "run only these figures, by name, separated by commas: each, engine, path, path-account, latency, million, saturated")
	scale := flag.Float64("scale", 1, "multiply the numbers of messages and the lengths of time")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *only, *scale, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, scale float64, profile string) error {
	worker.CollectRarely() // as `huntaze worker` does
	b, err := newBench(ctx, scale)
	if err != nil {
		return err
	}
	defer b.close()
	stopProfile, err := startProfile(profile)
	if err != nil {
		return err
	}
	defer stopProfile()
	wanted := func(name string) bool { return only == "" || slices.Contains(strings.Split(only, ","), name) }
	figures, err := b.throughput(ctx, wanted)
	if err != nil {
		return err
	}
	for _, one := range []struct {
		name    string
		measure func(context.Context) ([]figure, error)
	}{{"latency", b.latency}, {"million", b.million}, {"saturated", b.saturated}} {
		if !wanted(one.name) {
			continue
		}
		announce(one.name)
		more, err := one.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		figures = append(figures, more...)
	}
	fmt.Printf("\n%d CPUs, %s, %s, fsync on, everything (Postgres, SQS, gateway, worker) on this machine\n\n", runtime.NumCPU(), runtime.Version(), b.version)
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "FIGURE\tMEASURED\tTARGET\tSETTINGS")
	for _, f := range figures {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.name, f.measured, f.target, f.settings)
	}
	return table.Flush()
}
