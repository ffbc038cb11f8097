package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/api"
)

func (a *app) optOutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "optout",
		Short: "List, add and remove recipients who get nothing from an account",
		Long: `List, add and remove recipients who get nothing from an account, over the API. When an opt-out is answered, no call
to that recipient begins any more, whatever is queued; what waits is cancelled in its turn.`,
	}
	cmd.AddCommand(a.optOutListCommand(), a.optOutAddCommand(), a.optOutRemoveCommand())
	return cmd
}

func (a *app) optOutAddCommand() *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use:     "add USER RECIPIENT",
		Short:   "Send a recipient nothing more from an account",
		Example: "  huntaze optout add creator-7 fan-42 --reason 'asked for it'",
		Args:    arguments("USER", "RECIPIENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAPI(func(c *apiClient) error {
				var o api.OptOut
				if err := c.call(cmd.Context(), http.MethodPut, route("accounts", args[0], "opt-outs", args[1]), map[string]string{"reason": reason}, &o); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.out, "recipient %s gets nothing from account %s since %s\n", clean(o.RecipientID), clean(o.UserID), moment(o.CreatedAt))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	return cmd
}

func (a *app) optOutRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove USER RECIPIENT",
		Short: "Let a recipient get messages again; what was cancelled stays so",
		Args:  arguments("USER", "RECIPIENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAPI(func(c *apiClient) error {
				if err := c.call(cmd.Context(), http.MethodDelete, route("accounts", args[0], "opt-outs", args[1]), nil, nil); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.out, "recipient %s gets messages of account %s\n", clean(args[1]), clean(args[0]))
				return err
			})
		},
	}
}

func (a *app) optOutListCommand() *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use:   "list USER",
		Short: "List who gets nothing from an account",
		Args:  arguments("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAPI(func(c *apiClient) error {
				var rows [][]string
				cursor, more := "", true
				for more && len(rows) < most {
					var page struct {
						OptOuts    []api.OptOut `json:"optOuts"`
						NextCursor string       `json:"nextCursor"`
					}
					query := url.Values{"limit": {strconv.Itoa(min(500, most-len(rows)))}}
					if cursor != "" {
						query.Set("cursor", cursor)
					}
					if err := c.call(cmd.Context(), http.MethodGet, route("accounts", args[0], "opt-outs")+"?"+query.Encode(), nil, &page); err != nil {
						return err
					}
					for _, o := range page.OptOuts {
						rows = append(rows, []string{o.RecipientID, moment(o.CreatedAt), o.CreatedBy, o.Reason})
					}
					cursor, more = page.NextCursor, page.NextCursor != ""
				}
				if err := a.table("Nobody opted out.", []string{"RECIPIENT", "SINCE", "BY", "REASON"}, rows); err != nil {
					return err
				}
				if more {
					fmt.Fprintln(a.out, "There are more; raise --limit.")
				}
				return nil
			})
		},
	}
	listLimit(cmd, &most, listMost)
	return cmd
}
