package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
)

func (a *app) campaignCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "campaign",
		Short: "List, pause, resume and cancel campaigns",
		Long: `List, pause, resume and cancel campaigns. When a pause or a cancellation returns, nothing more of the
campaign is sent, whatever its backlog; calls that were in flight are counted and may still arrive.`,
	}
	cmd.AddCommand(
		a.campaignListCommand(),
		a.campaignStateCommand(db.CampaignPaused, "pause", "Send nothing more of a campaign until it is resumed",
			`A campaign that is not known yet may be paused too: it then begins paused.`),
		a.campaignStateCommand(db.CampaignRunning, "resume", "Let a paused campaign go on", ""),
		a.campaignStateCommand(db.CampaignCancelled, "cancel", "End a campaign for good: what was not sent is never sent",
			`This can't be taken back.`),
	)
	return cmd
}

func (a *app) campaignListCommand() *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use:     "list [USER]",
		Short:   "List campaigns, of all accounts or of one",
		Example: "  huntaze campaign list\n  huntaze campaign list creator-7",
		Args:    arguments("[USER]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			userID := ""
			if len(args) > 0 {
				userID = args[0]
			}
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				campaigns, err := store.Campaigns(cmd.Context(), userID, db.Campaign{}, most+1)
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
			})
		},
	}
	listLimit(cmd, &most, listMost)
	return cmd
}

func (a *app) campaignStateCommand(state db.CampaignState, verb, short, long string) *cobra.Command {
	reason, yes := "", false
	cmd := &cobra.Command{
		Use:     verb + " USER CAMPAIGN",
		Short:   short,
		Long:    joinedLines(short+".", long),
		Example: "  huntaze campaign " + verb + " creator-7 spring",
		Args:    arguments("USER", "CAMPAIGN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				return a.setCampaignState(cmd.Context(), store, args[0], args[1], state, reason, yes)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is shown to everybody who asks why a message waits")
	if state == db.CampaignCancelled {
		cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	}
	return cmd
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
