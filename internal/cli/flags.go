package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
)

// allOthers is whose a value is that no account has for itself.
const allOthers = "all others"

func (a *app) flagsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "flags",
		Short: "Show and change what is switched on, for whom; the kill switch",
		Long: `Show and change what is switched on. A change holds in every process within 5 seconds; it is written down
with who made it, when and why.

  sends_enabled         off: no further message is sent (kill switch; at once, read in the database)
  planning_enabled      off: no further call to a provider begins
  orchestrator_enabled  on, off or a percentage: which accounts' new workflows are handled here, and not
                        by the orchestrator at LEGACY_ORCHESTRATOR_URL. A workflow stays where it is.

An account's own value goes before the one for all others. FLAG_SENDS_ENABLED=off and the like in the
environment of a process go before both, for that process.`,
	}
	cmd.AddCommand(a.flagsListCommand(), a.flagsSetCommand(), a.flagsClearCommand(), a.flagsHistoryCommand())
	return cmd
}

// flagEnvironment is what a command's environment says about flags.
type flagEnvironment struct {
	overrides flags.Overrides
	legacy    bool
}

// withFlags is withStore with what the environment says about flags.
func (a *app) withFlags(ctx context.Context, do func(flagEnvironment, *db.Store) error) error {
	cfg, environ, err := a.environment("DATABASE_URL")
	if err != nil {
		return err
	}
	overrides, err := flags.ReadOverrides(environ)
	if err != nil {
		return misused(err)
	}
	store, closeStore, err := openStore(ctx, cfg, a.command)
	if err != nil {
		return err
	}
	defer closeStore()
	return do(flagEnvironment{overrides, environ["LEGACY_ORCHESTRATOR_URL"] != ""}, store)
}

func (a *app) flagsListCommand() *cobra.Command {
	userID, asJSON := "", false
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "Show the flags; with --user what they are for that account, and why",
		Example: "  huntaze flags list\n  huntaze flags list --user creator-7",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withFlags(cmd.Context(), func(env flagEnvironment, store *db.Store) error {
				table, err := store.Flags(cmd.Context())
				if err != nil {
					return err
				}
				if userID != "" {
					return a.printFlagsOf(env, table, userID, asJSON)
				}
				return a.printFlags(env, table, asJSON)
			})
		},
	}
	cmd.Flags().StringVar(&userID, "user", "", "the account")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) flagsSetCommand() *cobra.Command {
	var change db.FlagChange
	cmd := &cobra.Command{
		Use:   "set NAME VALUE",
		Short: "Switch something on or off, for all accounts or for one",
		Long: `Give a flag a value: on or off, and for orchestrator_enabled also a percentage of the accounts. With --user it
holds for that account, else for all that have no value of their own. An account that is within a
percentage stays within every higher one.

When sends_enabled is set to off, nothing starts any more once the command returns; it says how many
messages were in flight.`,
		Example: `  huntaze flags set sends_enabled off --reason "the platform reports double messages"
  huntaze flags set orchestrator_enabled 10% --reason "first tenth"
  huntaze flags set planning_enabled off --user creator-7 --reason "asked for it"`,
		Args: arguments("NAME", "VALUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if change.Name, err = flags.Parse(args[0]); err != nil {
				return misused(err)
			}
			if change.Value, err = flags.ParseValue(change.Name, change.UserID, args[1]); err != nil {
				return misused(err)
			}
			return a.changeFlag(cmd.Context(), change, func(store *db.Store) error {
				changed, err := store.SetFlag(cmd.Context(), byPerson(change))
				if err != nil {
					return err
				}
				if change.Name == flags.SendsEnabled && change.Value == flags.Off {
					fmt.Fprintf(a.out, "Nothing more is sent. %s in flight may still arrive.\n\n", plural(changed.InFlight, "message"))
				}
				return nil
			})
		},
	}
	flagChangeFlags(cmd, &change)
	return cmd
}

func (a *app) flagsClearCommand() *cobra.Command {
	var change db.FlagChange
	cmd := &cobra.Command{
		Use:     "clear NAME",
		Short:   "Remove an account's own value, or the one for all others, so that the next weaker one holds again",
		Example: `  huntaze flags clear sends_enabled --user creator-7 --reason "checked"`,
		Args:    arguments("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if change.Name, err = flags.Parse(args[0]); err != nil {
				return misused(err)
			}
			return a.changeFlag(cmd.Context(), change, func(store *db.Store) error {
				cleared, err := store.ClearFlag(cmd.Context(), byPerson(change))
				if err == nil && !cleared {
					fmt.Fprintf(a.out, "%s had no value%s.\n\n", change.Name, ofUser(change.UserID))
				}
				return err
			})
		},
	}
	flagChangeFlags(cmd, &change)
	return cmd
}

func flagChangeFlags(cmd *cobra.Command, change *db.FlagChange) {
	cmd.Flags().StringVar(&change.UserID, "user", "", "only for this account")
	cmd.Flags().StringVar(&change.Reason, "reason", "", "why; it is written down")
	cmd.Flags().StringVar(&change.By, operatorFlag, operator(), "who changes it")
}

func byPerson(change db.FlagChange) db.FlagChange {
	change.By = byOperator(change.By)
	return change
}

// changeFlag makes a change and what it makes necessary, and shows the flag.
func (a *app) changeFlag(ctx context.Context, change db.FlagChange, do func(*db.Store) error) error {
	if strings.TrimSpace(change.Reason) == "" {
		return misused(errors.New("--reason is missing: say why, for those who find the change"))
	}
	if strings.TrimSpace(change.By) == "" {
		return misused(errors.New("--by is empty: say who changes it"))
	}
	return a.withFlags(ctx, func(env flagEnvironment, store *db.Store) error {
		if err := do(store); err != nil {
			return err
		}
		table, err := store.Flags(ctx)
		if err != nil {
			return err
		}
		if err := a.printFlags(env, onlyFlag(table, change.Name), false, change.Name); err != nil {
			return err
		}
		if change.Name != flags.SendsEnabled {
			return nil
		}
		a.warnOfExceptions(table, change.UserID)
		if _, err := store.WakeWaiting(ctx, change.UserID); err != nil {
			return fmt.Errorf("the flag is changed, but the accounts that wait could not be woken and look at the time they had planned: %w", err)
		}
		return nil
	})
}

// warnOfExceptions names the accounts that send on although the kill switch is off for all others.
func (a *app) warnOfExceptions(table flags.Table, userID string) {
	snapshot := flags.New(table, nil, false)
	if userID != "" || snapshot.SendsEnabled("") {
		return
	}
	for _, row := range table.Rows {
		if row.Name == flags.SendsEnabled && row.UserID != "" && snapshot.SendsEnabled(row.UserID) {
			fmt.Fprintf(a.err, "warning: account %s has a value of its own and sends on; to stop it too: huntaze flags set sends_enabled off --user %s\n", row.UserID, row.UserID)
		}
	}
}

func onlyFlag(table flags.Table, name flags.Name) flags.Table {
	only := flags.Table{Version: table.Version}
	for _, row := range table.Rows {
		if row.Name == name {
			only.Rows = append(only.Rows, row)
		}
	}
	return only
}
