package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
)

// The levels of a finding.
const (
	levelOK   = "ok"
	levelWarn = "warn" // it works, with a weaker promise
	levelFail = "fail" // it does not work
)

// finding is one line of the doctor's table.
type finding struct {
	Level  string `json:"level"`
	Part   string `json:"part"`
	What   string `json:"what"`
	Remedy string `json:"remedy,omitempty"`
}

// doctorTimeout bounds each of the checks.
const doctorTimeout = 15 * time.Second

func (a *app) doctorCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check database, queues, gateway, providers and limits, with what to do about each finding",
		Long: `Check everything that a worker needs:

  database  reachable, schema, River's schema, durability (fsync and others), clock, connections
  queues    visibility timeout, redrive policy, retention (the SQS contract)
  gateway   reachable, token, look-up
  provider  each one's address, credential, deployment or model, price
  limits    the environment against the rules in the database
  fleet     workers, freeze after a failover, doubts that wait for an operator

Exit code 3 when something fails.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			return a.examine(cmd.Context(), cfg, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) examine(ctx context.Context, cfg config.Config, asJSON bool) error {
	var d doctor
	for _, check := range []func(context.Context, config.Config){d.checkDatabase, d.checkQueues, d.checkGateway, d.checkProviders} {
		limited, cancel := context.WithTimeout(ctx, doctorTimeout)
		check(limited, cfg)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if asJSON {
		if err := a.printJSON(d.findings); err != nil {
			return err
		}
	} else if err := a.printFindings(d.findings); err != nil {
		return err
	}
	failed := 0
	for _, f := range d.findings {
		if f.Level == levelFail {
			failed++
		}
	}
	if failed > 0 {
		return codedError{errors.New(plural(failed, "failed check")), exitFindings}
	}
	return nil
}

// printFindings writes a table, with the remedy under each finding that has one.
func (a *app) printFindings(findings []finding) error {
	for _, f := range findings {
		fmt.Fprintf(a.out, "%-4s  %-8s  %s\n", f.Level, f.Part, cell(f.What))
		if f.Remedy != "" {
			if _, err := fmt.Fprintf(a.out, "%16s→ %s\n", "", cell(f.Remedy)); err != nil {
				return err
			}
		}
	}
	return nil
}

// doctor collects findings.
type doctor struct{ findings []finding }

func (d *doctor) ok(part, what string, args ...any) {
	d.findings = append(d.findings, finding{levelOK, part, fmt.Sprintf(what, args...), ""})
}

func (d *doctor) warn(part, remedy, what string, args ...any) {
	d.findings = append(d.findings, finding{levelWarn, part, fmt.Sprintf(what, args...), remedy})
}

func (d *doctor) fail(part, remedy, what string, args ...any) {
	d.findings = append(d.findings, finding{levelFail, part, fmt.Sprintf(what, args...), remedy})
}

// oneLine is the text of an error in one line.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
