package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
)

func (a *app) campaignCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "campaign",
		Short: "Create, list, follow, start, pause, resume and cancel campaigns",
		Long: `Create, list, follow, start, pause, resume and cancel campaigns. When a pause or a cancellation returns, nothing
more of the campaign is sent, whatever its backlog; calls that were in flight are counted and may still arrive.

There are two ways, and the arguments say which is meant:
  ID             over the API at HUNTAZE_API_URL, with the key HUNTAZE_API_KEY, which may use its accounts only
  USER CAMPAIGN  directly on the database (DATABASE_URL), for operators: by the account and the campaignId of the
                 messages, also for campaigns that no API made, and when no API runs
list asks the API if there is a key, else the database; --direct asks the database in any case.`,
	}
	cmd.AddCommand(
		a.campaignCreateCommand(), a.campaignListCommand(), a.campaignShowCommand(), a.campaignWatchCommand(), a.campaignEstimateCommand(), a.campaignStartCommand(),
		a.campaignStateCommand(db.CampaignPaused, "pause", "Send nothing more of a campaign until it is resumed",
			`On the database a campaign that is not known yet may be paused too: it then begins paused.`),
		a.campaignStateCommand(db.CampaignRunning, "resume", "Let a paused campaign go on", ""),
		a.campaignStateCommand(db.CampaignCancelled, "cancel", "End a campaign for good: what was not sent is never sent",
			`This can't be taken back.`),
	)
	return cmd
}

func (a *app) campaignListCommand() *cobra.Command {
	var most int
	var state string
	direct, asJSON := false, false
	cmd := &cobra.Command{
		Use:   "list [USER]",
		Short: "List campaigns, of all accounts or of one",
		Long: `List campaigns, of all accounts or of one: over the API, the newest first, if HUNTAZE_API_KEY is set; else, or with
--direct, from the database, with how many messages wait.`,
		Example: "  huntaze campaign list\n  huntaze campaign list creator-7 --state running",
		Args:    arguments("[USER]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			userID := strings.Join(args, "")
			cfg, err := a.load()
			if err != nil {
				return err
			}
			if cfg.APIKey != "" && !direct {
				return withAPIOf(cfg, func(c *apiClient) error { return a.listOverAPI(cmd.Context(), c, userID, state, most, asJSON) })
			}
			if asJSON || state != "" {
				return misused(errors.New("--json and --state need the API: set HUNTAZE_API_KEY"))
			}
			return a.withStore(cmd.Context(), func(store *db.Store) error { return a.listDirectly(cmd.Context(), store, userID, most) })
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only in this state (over the API)")
	cmd.Flags().BoolVar(&direct, "direct", false, "ask the database, not the API")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON (over the API)")
	listLimit(cmd, &most, listMost)
	return cmd
}

func (a *app) listDirectly(ctx context.Context, store *db.Store, userID string, most int) error {
	campaigns, err := store.Campaigns(ctx, userID, db.Campaign{}, most+1)
	if err != nil {
		return err
	}
	more := len(campaigns) > most
	var rows [][]string
	for _, c := range campaigns[:min(most, len(campaigns))] {
		rows = append(rows, []string{c.UserID, c.CampaignID, string(c.State), number(c.Queued), moment(c.ChangedAt), c.Reason})
	}
	if err := a.table("There are no campaigns.", []string{"ACCOUNT", "CAMPAIGN", "STATE", "QUEUED", "SINCE", "REASON"}, rows); err != nil {
		return err
	}
	if more {
		fmt.Fprintln(a.out, "There are more; raise --limit, or name an account.")
	}
	return nil
}

func (a *app) campaignStateCommand(state db.CampaignState, verb, short, long string) *cobra.Command {
	reason, yes := "", false
	cmd := &cobra.Command{
		Use:   verb + " ID | USER CAMPAIGN",
		Short: short,
		Long:  joinedLines(short+", over the API by its id, or directly on the database by account and campaignId.", long),
		Example: "  huntaze campaign " + verb + " 01a21f84-7c82-76f9-85f4-59319c04f444\n" +
			"  huntaze campaign " + verb + " creator-7 spring",
		Args: oneOrTwo,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return a.withStore(cmd.Context(), func(store *db.Store) error {
					return a.setCampaignState(cmd.Context(), store, args[0], args[1], state, reason, yes)
				})
			}
			return a.withAPI(func(c *apiClient) error {
				if state == db.CampaignCancelled {
					if err := a.confirm(yes, fmt.Sprintf("Cancel campaign %s for good?", clean(args[0]))); err != nil {
						return err
					}
				}
				return a.actOverAPI(cmd.Context(), c, args[0], verb, reason)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is shown to everybody who asks why a message waits")
	if state == db.CampaignCancelled {
		cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	}
	return cmd
}

// oneOrTwo wants an id, or an account and a campaign. One word that is no id is an account whose campaign was forgotten.
func oneOrTwo(cmd *cobra.Command, args []string) error {
	if len(args) == 1 && uuid.Validate(args[0]) == nil {
		return nil
	}
	return arguments("USER", "CAMPAIGN")(cmd, args)
}

func (a *app) setCampaignState(ctx context.Context, store *db.Store, userID, campaignID string, state db.CampaignState, reason string, yes bool) error {
	_, known, err := store.Campaign(ctx, userID, campaignID)
	if err != nil {
		return err
	}
	if !known {
		fmt.Fprintf(a.err, "note: no message of campaign %s of account %s was taken in yet\n", clean(campaignID), clean(userID))
	}
	if state == db.CampaignCancelled {
		if err := a.confirm(yes, fmt.Sprintf("Cancel campaign %s of account %s for good?", clean(campaignID), clean(userID))); err != nil {
			return err
		}
	}
	change, err := store.SetCampaignState(ctx, userID, campaignID, state, reason)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "campaign %s of account %s is %s", clean(campaignID), clean(userID), change.State)
	switch {
	case state == db.CampaignRunning:
	case change.InFlight == 0:
		fmt.Fprint(a.out, "; no call was in flight")
	default:
		fmt.Fprintf(a.out, "; %s in flight and may still arrive", plural(change.InFlight, "call"))
	}
	fmt.Fprintln(a.out)
	return nil
}

// joinedLines puts a line under another if there is one.
func joinedLines(first, second string) string {
	if second == "" {
		return first
	}
	return first + "\n" + second
}
