package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
)

func (a *app) limitsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "Show and change the limits, and the accounts that rest",
		Long: `Show and change how many messages may be sent.

The rules in the database hold for the whole fleet, from the moment that a change is committed: nothing
is forgotten and nothing overshoots. RATE_LIMIT_ACCOUNT, RATE_LIMIT_RECIPIENT and RATE_LIMIT_GUARD only
seed them on the first start. An account may have rules of its own.

Rules are a list of number/time, such as "10/60s" or "1/60s,10/24h", or "off". In any window of that
length there are at most that many messages.`,
	}
	cmd.AddCommand(a.limitsShowCommand(), a.limitsSetCommand(), a.limitsClearCommand(), a.limitsRestCommand(), a.limitsWakeCommand())
	return cmd
}

func (a *app) limitsShowCommand() *cobra.Command {
	userID := ""
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show the rules; with --user also the account's tokens",
		Example: "  huntaze limits show\n  huntaze limits show --user creator-7",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				shown, err := a.printLimits(cmd.Context(), store, userID)
				if err != nil || userID == "" || shown == 0 {
					return err
				}
				return a.printTokens(cmd.Context(), store, userID)
			})
		},
	}
	cmd.Flags().StringVar(&userID, "user", "", "the account whose rules and tokens to show")
	return cmd
}

// printLimits lists the rules that hold for one account or for all, and returns how many.
func (a *app) printLimits(ctx context.Context, store *db.Store, userID string) (int, error) {
	policies, err := store.Limits(ctx)
	if err != nil {
		return 0, err
	}
	var rows [][]string
	for _, p := range policies {
		whose := p.UserID
		if whose == "" {
			whose = "all others"
		} else if userID != "" && whose != userID {
			continue
		}
		rows = append(rows, []string{string(p.Scope), whose, p.Rules.String(), p.Guard.String(), moment(p.ChangedAt), p.ChangedBy})
	}
	return len(rows), a.table("There are no rules yet: the first worker seeds them from the environment, or run huntaze limits set.",
		[]string{"LIMIT OF", "ACCOUNT", "RULES", "GUARD", "CHANGED", "BY"}, rows)
}

func (a *app) printTokens(ctx context.Context, store *db.Store, userID string) error {
	account, now, err := store.AccountState(ctx, userID)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	if !account.Known {
		fmt.Fprintf(a.out, "No message of account %s was ever taken in.\n", clean(userID))
	}
	var rows [][]string
	for _, tokens := range account.Tokens {
		next := "now"
		if tokens.NextFree.After(now) {
			next = when(tokens.NextFree, now)
		}
		rows = append(rows, []string{tokens.Rule.String(), strconv.Itoa(tokens.Free()), strconv.Itoa(tokens.Taken), next})
	}
	if err := a.table("No limit: the account's rules are off.", []string{"RULE", "FREE", "TAKEN", "NEXT FREE"}, rows); err != nil {
		return err
	}
	if account.RestUntil.After(now) {
		fmt.Fprintf(a.out, "The account rests until %s: %s\n", when(account.RestUntil, now), wording.Reason(account.RestReason))
	} else if account.Rests > 0 {
		fmt.Fprintf(a.out, "After %s one message at a time is sent, until one gets through: %s\n", plural(account.Rests, "rest"), wording.Reason(account.RestReason))
	}
	return nil
}

func (a *app) limitsSetCommand() *cobra.Command {
	var userID, account, recipient, by string
	guard := time.Duration(0)
	cmd := &cobra.Command{
		Use:   "set",
		Short: "Change the rules, for all accounts or for one",
		Long: `Change the rules of accounts (how many messages one sends), of recipients (how many one gets), or both.
With --user they hold for that account only, else for all that have none of their own.
The guard is added to each window; without --guard it stays as it is.`,
		Example: `  huntaze limits set --account 10/60s
  huntaze limits set --account "5/60s,100/24h" --recipient 1/24h --user creator-7 --guard 1s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			changes, err := limitChanges(account, recipient)
			if err != nil {
				return misused(err)
			}
			if !cmd.Flags().Changed("guard") {
				guard = -time.Second // as it is
			} else if guard < 0 || guard > time.Minute {
				return misused(fmt.Errorf("--guard %s: give a time from 0s to 1m, such as 500ms", guard))
			}
			return a.withConfiguredStore(cmd.Context(), func(cfg config.Config, store *db.Store) error {
				// As the first worker would do: without it the rules that are not named here, and the guard, would be missing.
				if err := seedLimits(cmd.Context(), cfg, store); err != nil {
					return err
				}
				for _, change := range changes {
					if err := store.SetLimit(cmd.Context(), change.scope, userID, change.rules, guard, byOperator(by)); err != nil {
						return err
					}
				}
				if err := a.lookAgain(cmd.Context(), store, userID); err != nil {
					return err
				}
				_, err := a.printLimits(cmd.Context(), store, userID)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "rules of accounts, such as 10/60s, or off")
	cmd.Flags().StringVar(&recipient, "recipient", "", "rules of recipients, such as 1/60s,10/24h, or off")
	cmd.Flags().StringVar(&userID, "user", "", "only for this account")
	cmd.Flags().DurationVar(&guard, "guard", 0, "added to each window (default: as it is)")
	cmd.Flags().StringVar(&by, operatorFlag, operator(), "who changes it")
	return cmd
}

func seedLimits(ctx context.Context, cfg config.Config, store *db.Store) error {
	account, errAccount := limit.ParseRules(cfg.RateLimitAccount)
	recipient, errRecipient := limit.ParseRules(cfg.RateLimitRecipient)
	if err := errors.Join(errAccount, errRecipient); err != nil {
		return misused(err)
	}
	_, err := store.SeedLimits(ctx, account, recipient, cfg.RateLimitGuard)
	return err
}

type limitChange struct {
	scope limit.Scope
	rules limit.Rules
}

func limitChanges(account, recipient string) (changes []limitChange, err error) {
	for _, one := range []struct {
		flag  string
		scope limit.Scope
		text  string
	}{{"--account", limit.ScopeAccount, account}, {"--recipient", limit.ScopeRecipient, recipient}} {
		if one.text == "" {
			continue
		}
		rules, err := limit.ParseRules(one.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.flag, err)
		}
		changes = append(changes, limitChange{one.scope, rules})
	}
	if len(changes) == 0 {
		return nil, errors.New(`--account or --recipient is missing: give the rules, such as --account "10/60s"`)
	}
	return changes, nil
}

// lookAgain has the accounts looked at that planned their next look by the old rules.
func (a *app) lookAgain(ctx context.Context, store *db.Store, userID string) error {
	_, err := store.WakeWaiting(ctx, userID)
	if err != nil {
		return fmt.Errorf("the rules are changed, but the accounts that wait could not be woken and look at the time they had planned: %w", err)
	}
	return nil
}

func (a *app) limitsClearCommand() *cobra.Command {
	var userID string
	var account, recipient bool
	cmd := &cobra.Command{
		Use:     "clear",
		Short:   "Remove an account's own rules, so that those of all others hold for it again",
		Example: "  huntaze limits clear --user creator-7\n  huntaze limits clear --user creator-7 --recipient",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if userID == "" {
				return misused(errors.New("--user is missing: name the account; the rules of all others can only be set (huntaze limits set)"))
			}
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				for scope, chosen := range map[limit.Scope]bool{limit.ScopeAccount: account, limit.ScopeRecipient: recipient} {
					if !chosen && (account || recipient) {
						continue
					}
					if err := store.ClearLimit(cmd.Context(), scope, userID); err != nil {
						return err
					}
				}
				if err := a.lookAgain(cmd.Context(), store, userID); err != nil {
					return err
				}
				_, err := a.printLimits(cmd.Context(), store, userID)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&userID, "user", "", "the account")
	cmd.Flags().BoolVar(&account, "account", false, "only the rules of the account itself")
	cmd.Flags().BoolVar(&recipient, "recipient", false, "only the rules of its recipients")
	return cmd
}

func (a *app) limitsRestCommand() *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use:   "rest",
		Short: "List the accounts that rest: after a 429, or because the gateway could not be reached",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				rests, now, err := store.Resting(cmd.Context(), most)
				if err != nil {
					return err
				}
				rows := make([][]string, len(rests))
				for i, r := range rests {
					rows[i] = []string{r.UserID, when(r.Until, now), strconv.Itoa(r.Count), wording.Reason(r.Reason)}
				}
				return a.table("No account rests.", []string{"ACCOUNT", "UNTIL", "RESTS IN A ROW", "REASON"}, rows)
			})
		},
	}
	listLimit(cmd, &most, listMost)
	return cmd
}

func (a *app) limitsWakeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "wake USER",
		Short: "End the rest of an account now",
		Long: `End the rest of an account now. One message goes first; the others follow when the gateway takes it,
so that an account which was woken too early costs one more 429 and not ten.`,
		Example: "  huntaze limits wake creator-7",
		Args:    arguments("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				rested, err := store.EndRest(cmd.Context(), args[0])
				switch {
				case err != nil:
					return err
				case !rested:
					fmt.Fprintf(a.out, "Account %s does not rest.\n", clean(args[0]))
				default:
					fmt.Fprintf(a.out, "Account %s sends again: one message first.\n", clean(args[0]))
				}
				return nil
			})
		},
	}
}
