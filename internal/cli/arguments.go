package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// checkCommand finds words that are no command. Cobra would show the help of a group for one that it does
// not know, and call that a success.
func checkCommand(root *cobra.Command, args []string) error {
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		return nil
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	found, rest, err := root.Find(args)
	if err != nil {
		return misused(err)
	}
	if !found.HasSubCommands() || found.Runnable() || len(rest) == 0 || strings.HasPrefix(rest[0], "-") || rest[0] == "help" {
		return nil
	}
	var names []string
	for _, child := range found.Commands() {
		names = append(names, child.Name())
	}
	return misused(fmt.Errorf("unknown command %q for %q: use one of %s", rest[0], found.CommandPath(), strings.Join(names, ", ")))
}

// misuseArguments makes wrong arguments of every command exit as misuse, with the usage.
func misuseArguments(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return misused(withUsage(cmd, err))
			}
			return nil
		}
	}
	for _, child := range cmd.Commands() {
		misuseArguments(child)
	}
}

// withUsage says how the command is used right.
func withUsage(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w; usage: %s (see %s --help)", err, cmd.UseLine(), cmd.CommandPath())
}

// arguments wants the named arguments, none of them empty; those in [brackets] may be missing.
func arguments(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		for i, name := range names {
			bare := strings.Trim(name, "[]")
			switch {
			case i >= len(args) && bare == name:
				return fmt.Errorf("argument %s is missing", name)
			case i < len(args) && strings.TrimSpace(args[i]) == "":
				return fmt.Errorf("argument %s is empty", bare)
			}
		}
		if len(args) > len(names) {
			return fmt.Errorf("argument %q is one too many", args[len(names)])
		}
		return nil
	}
}

// exactlyOne wants one of two switches.
func exactlyOne(a string, hasA bool, b string, hasB bool) error {
	switch {
	case hasA && hasB:
		return misused(fmt.Errorf("--%s and --%s exclude each other: give one of them", a, b))
	case !hasA && !hasB:
		return misused(errors.New("--" + a + " or --" + b + " is missing: give one of them"))
	}
	return nil
}

const (
	listMost    = 100    // how many lines a list has where no flag says otherwise
	listLongest = 10_000 // what a list may have at most: it is read into memory
)

// listLimit adds the flag --limit to a command that lists, and its check.
func listLimit(cmd *cobra.Command, most *int, standard int) {
	cmd.Flags().IntVar(most, "limit", standard, "how many to list at most")
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *most < 1 || *most > listLongest {
			return misused(fmt.Errorf("--limit %d: give a number from 1 to %d", *most, listLongest))
		}
		return run(cmd, args)
	}
}
