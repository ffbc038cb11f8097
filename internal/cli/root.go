// Package cli is the command line: one file for each command. A command reads its configuration, calls one
// thing and prints; whatever decides is below it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

// Exit codes.
const (
	exitOK       = 0
	exitFailed   = 1 // it was tried and did not work
	exitMisused  = 2 // wrong arguments or configuration: nothing was tried
	exitFindings = 3 // it worked, and found something that needs a person
)

// app is what the commands share.
type app struct {
	version string
	in      io.Reader
	out     io.Writer
	err     io.Writer
}

// Run carries out one command line and returns its exit code.
func Run(ctx context.Context, version string, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{version: version, in: in, out: out, err: errOut}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var coded codedError
	if errors.As(err, &coded) {
		if coded.error != nil {
			fmt.Fprintln(errOut, "huntaze:", coded.error)
		}
		return coded.code
	}
	fmt.Fprintln(errOut, "huntaze:", err)
	return exitFailed
}

// codedError carries an exit code; without an error there is nothing more to say.
type codedError struct {
	error
	code int
}

func (e codedError) Unwrap() error { return e.error }

func misused(err error) error { return codedError{err, exitMisused} }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "huntaze",
		Short:         "Sends the messages of campaigns: durable, strictly limited, never twice",
		Version:       a.version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misused(err) })
	root.AddCommand(a.workerCommand(), a.migrateCommand())
	return root
}

// load reads the configuration and checks that what the command needs is there.
func (a *app) load(needs ...string) (config.Config, error) {
	environ, err := config.Environ(".env")
	if err != nil {
		return config.Config{}, misused(err)
	}
	parses := func(value string) error { _, err := limit.ParseRules(value); return err }
	cfg, err := config.Load(environ, config.Check{Name: "RATE_LIMIT_ACCOUNT", Valid: parses}, config.Check{Name: "RATE_LIMIT_RECIPIENT", Valid: parses})
	if err == nil {
		err = cfg.Require(needs...)
	}
	if err != nil {
		return cfg, misused(err)
	}
	for _, warning := range config.Warnings(environ) {
		fmt.Fprintln(a.err, "warning:", warning)
	}
	return cfg, nil
}
