package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/apikey"
)

func (a *app) apikeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apikey",
		Short: "Create, list, rotate and revoke the keys of the API",
		Long: `Create, list, rotate and revoke the keys of the API. A key is shown once, when it is made: of its secret
only a hash is stored. It may use the accounts that it names, or, as an admin's, all of them.`,
	}
	cmd.AddCommand(a.apikeyCreateCommand(), a.apikeyListCommand(), a.apikeyRotateCommand(), a.apikeyRevokeCommand())
	return cmd
}

// longestName is that of a key's name.
const longestName = 100

func (a *app) apikeyCreateCommand() *cobra.Command {
	var key db.NewAPIKey
	var expires, by string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a key, for some accounts or for all",
		Example: `  huntaze apikey create --name shop --account creator-7 --account creator-8 --expires 90d
  huntaze apikey create --name operations --admin`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if key.Name = strings.TrimSpace(key.Name); key.Name == "" || len(key.Name) > longestName {
				return misused(fmt.Errorf("--name: give the key a name of 1 to %d characters, by which it is recognised later", longestName))
			}
			if err := exactlyOne("account", len(key.Accounts) > 0, "admin", key.Admin); err != nil {
				return err
			}
			for _, account := range key.Accounts {
				if account == "" || strings.TrimSpace(account) != account {
					return misused(fmt.Errorf("--account %q is no account's id", account))
				}
			}
			if key.ValidFor, err = parseAge("expires", expires); err != nil {
				return err
			}
			made := apikey.New()
			hash := made.Hash()
			key.ID, key.SecretHash, key.CreatedBy = made.ID, hash[:], byOperator(by)
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				stored, err := store.CreateAPIKey(cmd.Context(), key)
				if err != nil {
					return err
				}
				return a.tellKey(stored, made, asJSON)
			})
		},
	}
	cmd.Flags().StringVar(&key.Name, "name", "", "what or whom it is for")
	cmd.Flags().StringSliceVar(&key.Accounts, "account", nil, "an account that it may use; may be given several times")
	cmd.Flags().BoolVar(&key.Admin, "admin", false, "it may use all accounts")
	cmd.Flags().StringVar(&expires, "expires", "", "how long it is valid, such as 90d or 12h (default: until it is revoked)")
	cmd.Flags().StringVar(&by, operatorFlag, operator(), "who creates it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// tellKey shows a new key. The key itself is all that goes to the standard output, so that it can be piped.
func (a *app) tellKey(stored db.APIKey, key apikey.Key, asJSON bool) error {
	if asJSON {
		return a.printJSON(map[string]any{"key": key.Reveal(), "id": stored.ID, "name": stored.Name, "admin": stored.Admin, "accounts": stored.Accounts, "expiresAt": stored.ExpiresAt, "previousUntil": stored.PreviousUntil})
	}
	fmt.Fprintf(a.err, "Key %s (%s), for %s%s. Keep it: it is not shown again.\n", stored.ID, clean(stored.Name), clean(keyScope(stored)), keyEnd(stored))
	_, err := fmt.Fprintln(a.out, key.Reveal())
	return err
}

func keyScope(k db.APIKey) string {
	if k.Admin {
		return "all accounts"
	}
	return strings.Join(k.Accounts, ", ")
}

func keyEnd(k db.APIKey) string {
	if k.ExpiresAt == nil {
		return ""
	}
	return ", until " + moment(*k.ExpiresAt)
}

func (a *app) apikeyListCommand() *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys; their secrets are not known",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				keys, err := store.APIKeys(cmd.Context(), most)
				if err != nil {
					return err
				}
				now, err := store.Now(cmd.Context())
				if err != nil {
					return err
				}
				rows := make([][]string, len(keys))
				for i, k := range keys {
					used := "never"
					if k.UsedAt != nil {
						used = relative(*k.UsedAt, now)
					}
					rows[i] = []string{k.ID, k.Name, keyScope(k), keyState(k, now), moment(k.CreatedAt), used, k.CreatedBy}
				}
				return a.table("There are no keys: huntaze apikey create makes one.", []string{"ID", "NAME", "ACCOUNTS", "STATE", "CREATED", "USED", "BY"}, rows)
			})
		},
	}
	listLimit(cmd, &most, listMost)
	return cmd
}

func keyState(k db.APIKey, now time.Time) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked " + relative(*k.RevokedAt, now)
	case k.ExpiresAt != nil && !k.ExpiresAt.After(now):
		return "expired " + relative(*k.ExpiresAt, now)
	case k.PreviousUntil != nil && k.PreviousUntil.After(now):
		return "valid, the previous secret too, for " + length(k.PreviousUntil.Sub(now))
	case k.ExpiresAt != nil:
		return "valid for " + length(k.ExpiresAt.Sub(now))
	}
	return "valid"
}

func (a *app) apikeyRotateCommand() *cobra.Command {
	keep, asJSON := "24h", false
	cmd := &cobra.Command{
		Use:   "rotate ID",
		Short: "Give a key another secret; the previous one is taken for some time longer",
		Example: `  huntaze apikey rotate abcdefgh2345
  huntaze apikey rotate abcdefgh2345 --keep 0s    # the previous secret has leaked`,
		Args: arguments("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkKeyID(args[0]); err != nil {
				return err
			}
			grace, err := parseAge("keep", keep)
			if err != nil {
				return err
			}
			made := apikey.Renew(args[0])
			hash := made.Hash()
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				stored, err := store.RotateAPIKey(cmd.Context(), args[0], hash[:], grace)
				if err != nil {
					return err
				}
				return a.tellKey(stored, made, asJSON)
			})
		},
	}
	cmd.Flags().StringVar(&keep, "keep", keep, "how long the previous secret is still taken")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) apikeyRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "End a key for good, from the next request on",
		Args:  arguments("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkKeyID(args[0]); err != nil {
				return err
			}
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				key, err := store.RevokeAPIKey(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.out, "key %s (%s) is revoked\n", key.ID, clean(key.Name))
				return err
			})
		},
	}
}

// checkKeyID refuses what is no id without repeating it: it may be a whole key.
func checkKeyID(id string) error {
	if !apikey.ValidID(id) {
		return misused(errors.New("argument ID is no id of a key: give the 12 characters that huntaze apikey list shows, not the key itself"))
	}
	return nil
}

var days = regexp.MustCompile(`^(\d{1,4})d$`)

// parseAge reads a time that may be in days; empty is 0.
func parseAge(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if found := days.FindStringSubmatch(text); found != nil {
		n, _ := strconv.Atoi(found[1]) // four digits
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, misused(fmt.Errorf("--%s %q: give a time such as 90d, 12h or 30m", flag, text))
	}
	return d, nil
}
