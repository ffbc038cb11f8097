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
	"strings"
	"text/tabwriter"
	"time"
)

// figure is one line of the table.
type figure struct {
	name     string
	measured string
	target   string
	settings string
}

func main() {
	only := flag.String("only", "", "run only the figures whose name contains this")
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
	var figures []figure
	for _, one := range []struct {
		name    string
		measure func(context.Context) ([]figure, error)
	}{
		{"river", b.emptyJobs}, {"each", b.transactionEach}, {"engine", b.engineSteps}, {"path", b.wholePath},
		{"saturated", b.saturated}, {"million", b.million}, {"latency", b.latency},
	} {
		if !strings.Contains(one.name, only) && one.name != "river" {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: measuring %s …\n", time.Now().Format(time.TimeOnly), one.name)
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
