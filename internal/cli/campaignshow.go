package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/api"
)

func (a *app) campaignShowCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a campaign: its state, its messages by stage, and when the rest goes",
		Example: "  huntaze campaign show 01a21f84-7c82-76f9-85f4-59319c04f444",
		Args:    arguments("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAPI(func(c *apiClient) error {
				var campaign api.Campaign
				if err := c.call(cmd.Context(), http.MethodGet, route("campaigns", args[0]), nil, &campaign); err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(campaign)
				}
				return a.printCampaign(campaign)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) printCampaign(c api.Campaign) error {
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", label, cell(fmt.Sprintf(format, args...)))
	}
	at := func(label string, t *time.Time) {
		if t != nil {
			line(label, "%s", moment(*t))
		}
	}
	line("campaign", "%s", c.ID)
	line("name", "%s", c.Name)
	line("account", "%s", c.UserID)
	line("state", "%s", joinedWords(c.State, c.Reason))
	line("priority", "%d", c.Priority)
	if c.BriefLength > 0 {
		line("text", "from a brief of %s, one for each %s", plural(c.BriefLength, "character"), c.TextPer)
	} else {
		line("text", "%s", plural(c.ContentLength, "character"))
	}
	at("created", &c.CreatedAt)
	at("scheduled for", c.ScheduledFor)
	at("expires", c.ExpiresAt)
	at("started", c.StartedAt)
	at("ended", c.EndedAt)
	line("recipients", "%s", grouped(c.Recipients))
	for _, s := range stagesOf(c.Counts) {
		if s.number > 0 {
			line(s.name, "%s", grouped(s.number))
		}
	}
	if c.CostUSD > 0 || c.MaxCostUSD != nil {
		line("cost of texts", "$%.4f", c.CostUSD)
	}
	if f := c.Forecast; f != nil && f.Waiting > 0 {
		line("waiting", "%s", grouped(f.Waiting))
		at("next one", f.NextAt)
		at("finished about", f.EndsAt)
	}
	return w.Flush()
}

func joinedWords(words ...string) string {
	return strings.Join(strings.FieldsFunc(strings.Join(words, "\x00"), func(r rune) bool { return r == 0 }), ", ")
}

type stageCount struct {
	name   string
	number int64
}

func stagesOf(c api.Counts) []stageCount {
	return []stageCount{{"planning", c.Planning}, {"queued", c.Queued}, {"sending", c.Sending}, {"in doubt", c.InDoubt}, {"sent", c.Sent}, {"failed", c.Failed}, {"cancelled", c.Cancelled}, {"expired", c.Expired}}
}

// listOverAPI lists campaigns, the newest first, page by page.
func (a *app) listOverAPI(ctx context.Context, c *apiClient, userID, state string, most int, asJSON bool) error {
	all := []api.Campaign{}
	more, cursor := true, ""
	for more && len(all) < most {
		query := url.Values{"limit": {strconv.Itoa(min(500, most-len(all)))}}
		for name, value := range map[string]string{"userId": userID, "state": state, "cursor": cursor} {
			if value != "" {
				query.Set(name, value)
			}
		}
		var page struct {
			Campaigns  []api.Campaign `json:"campaigns"`
			NextCursor string         `json:"nextCursor"`
		}
		if err := c.call(ctx, http.MethodGet, route("campaigns")+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		all = append(all, page.Campaigns...)
		cursor, more = page.NextCursor, page.NextCursor != ""
	}
	if asJSON {
		return a.printJSON(all)
	}
	rows := make([][]string, len(all))
	for i, c := range all {
		sent, live := c.Counts.Sent, c.Counts.Planning+c.Counts.Queued+c.Counts.Sending+c.Counts.InDoubt
		rows[i] = []string{c.ID.String(), c.UserID, joinedWords(c.Name, ifOther(c.CampaignID, c.ID)), c.State, grouped(sent), grouped(live), moment(c.CreatedAt), c.Reason}
	}
	if err := a.table("There are no campaigns.", []string{"ID", "ACCOUNT", "NAME", "STATE", "SENT", "WAITING", "CREATED", "REASON"}, rows); err != nil {
		return err
	}
	if more {
		fmt.Fprintln(a.out, "There are more; raise --limit, or name an account.")
	}
	return nil
}

// ifOther is the name by which messages know a campaign that the API did not make.
func ifOther(campaignID string, id uuid.UUID) string {
	if campaignID == id.String() {
		return ""
	}
	return campaignID
}

// actOverAPI starts, pauses, resumes or cancels a campaign by its id.
func (a *app) actOverAPI(ctx context.Context, c *apiClient, id, action, reason string) error {
	var body any
	if reason != "" {
		body = map[string]string{"reason": reason}
	}
	var after struct {
		api.Campaign
		InFlight int `json:"inFlight"`
	}
	if err := c.call(ctx, http.MethodPost, route("campaigns", id, action), body, &after); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "campaign %s of account %s is %s", after.ID, clean(after.UserID), after.State)
	if after.InFlight > 0 {
		fmt.Fprintf(a.out, "; %s in flight and may still arrive", plural(after.InFlight, "call"))
	}
	_, err := fmt.Fprintln(a.out)
	return err
}

func (a *app) campaignStartCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "start ID",
		Short: "Start a draft; one that is scheduled starts by itself at its time",
		Args:  arguments("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAPI(func(c *apiClient) error { return a.actOverAPI(cmd.Context(), c, args[0], "start", "") })
		},
	}
}

func (a *app) campaignEstimateCommand() *cobra.Command {
	var flags campaignFlags
	count, asJSON := 0, false
	cmd := &cobra.Command{
		Use:   "estimate [FILE|ID]",
		Short: "Say what would become of a campaign: how many, how long, what it costs; nothing is changed",
		Example: `  huntaze campaign estimate spring.json
  huntaze campaign estimate --user creator-7 --content Hello --count 5000
  huntaze campaign estimate 01a21f84-7c82-76f9-85f4-59319c04f444`,
		Args: arguments("[FILE|ID]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var campaign map[string]any
			if id, err := uuid.Parse(strings.Join(args, "")); err == nil {
				campaign = map[string]any{"campaignId": id}
			} else if campaign, err = flags.describe(a, strings.Join(args, ""), time.Now()); err != nil {
				return err
			}
			if count > 0 {
				campaign["recipientCount"] = count
			}
			return a.withAPI(func(c *apiClient) error {
				var e api.Estimate
				if err := c.call(cmd.Context(), http.MethodPost, route("campaigns")+":estimate", campaign, &e); err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(e)
				}
				return a.printEstimate(e)
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().IntVar(&count, "count", 0, "how many recipients it would have, instead of their list")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) printEstimate(e api.Estimate) error {
	fmt.Fprintf(a.out, "%s, of whom %s get a message", plural(e.Recipients, "recipient"), grouped(int64(e.Sent)))
	if s := e.Suppressed; s.Total > 0 {
		fmt.Fprintf(a.out, "; %s do not: %d opted out, %d twice in the list, %d expired", grouped(int64(s.Total)), s.OptedOut, s.Duplicate, s.Expired)
	}
	fmt.Fprintln(a.out)
	if e.BeginsAt != nil {
		fmt.Fprintf(a.out, "first about %s", moment(*e.BeginsAt))
		if e.EndsAt != nil {
			fmt.Fprintf(a.out, ", last about %s (%s)", moment(*e.EndsAt), length(e.EndsAt.Sub(*e.BeginsAt)))
		}
		fmt.Fprintln(a.out)
	}
	if e.QueuedBefore > 0 {
		fmt.Fprintf(a.out, "%s of the account wait already\n", plural(int(e.QueuedBefore), "message"))
	}
	if e.Texts > 0 && e.CostUSD != nil {
		fmt.Fprintf(a.out, "%s for about $%.4f\n", plural(e.Texts, "text"), *e.CostUSD)
	}
	for _, w := range e.Warnings {
		fmt.Fprintf(a.out, "note: %s\n", clean(w.Text))
	}
	return nil
}
