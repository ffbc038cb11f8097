// Package cli is the command line: one file for each command. A command reads its configuration, calls one
// thing and prints; whatever decides is below it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
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

	command  string         // the name of the one that runs
	stack    string         // the file of a running `huntaze dev` whose settings are used; "" if none is
	terminal func(any) bool // whether a reader or writer is a person's terminal
	environ  func(files ...string) (map[string]string, error)
}

// Run carries out one command line and returns its exit code.
func Run(ctx context.Context, version string, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{version: version, in: in, out: out, err: errOut, terminal: isTerminal, environ: config.Environ}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := checkCommand(root, args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if err == nil {
		return exitOK
	}
	var coded codedError
	if errors.As(err, &coded) {
		if coded.error != nil {
			fmt.Fprintln(a.err, "huntaze:", clean(coded.Error()))
		}
		return coded.code
	}
	fmt.Fprintln(a.err, "huntaze:", clean(err.Error()))
	if unreachable := new(net.OpError); a.stack != "" && errors.As(err, &unreachable) {
		fmt.Fprintf(a.err, "The settings came from %s. If `huntaze dev` does not run any more, remove that file.\n", a.stack)
	}
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
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misused(withUsage(cmd, err)) })
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) { a.command = cmd.Name() }
	root.AddCommand(
		a.devCommand(), a.workerCommand(), a.apiCommand(), a.migrateCommand(),
		a.sendCommand(), a.statusCommand(), a.explainCommand(), a.campaignCommand(), a.optOutCommand(),
		a.limitsCommand(), a.flagsCommand(), a.providersCommand(), a.doubtCommand(), a.deadLettersCommand(), a.quarantineCommand(),
		a.auditCommand(),
		a.apikeyCommand(), a.configCommand(), a.doctorCommand(), a.healthcheckCommand(),
		a.gatewaySimCommand(), a.providerSimCommand(), a.sqsSimCommand(),
	)
	misuseArguments(root)
	return root
}
