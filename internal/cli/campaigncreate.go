package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/api"
)

// campaignFlags describe a campaign on the command line. What they say goes before the file.
type campaignFlags struct {
	userID, name, content, brief, textPer, scheduledFor, expiresAt, recipients string
	priority, share                                                            int
	maxCost                                                                    float64
}

func (f *campaignFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.userID, "user", "", "the account that sends")
	flags.StringVar(&f.name, "name", "", "the campaign's name")
	flags.StringVar(&f.content, "content", "", "the text; {{name}} and {{name|default}} stand for the recipient's own words")
	flags.StringVar(&f.brief, "brief", "", "or what the text is to be written from")
	flags.StringVar(&f.textPer, "text-per", "", "campaign or recipient: whether a text from a brief is written once, or for each")
	flags.IntVar(&f.priority, "priority", 0, "from 1, the most urgent, to 4 (default 3)")
	flags.IntVar(&f.share, "share", 0, "weight among the account's campaigns of that priority, 1 to 100 (default 1)")
	flags.StringVar(&f.scheduledFor, "scheduled-for", "", "not before, such as 2026-11-23T10:00:00Z, or in a time such as 2h")
	flags.StringVar(&f.expiresAt, "expires-at", "", "what was not sent before is not sent; in the same forms")
	flags.Float64Var(&f.maxCost, "max-cost", 0, "US dollars that its texts may cost")
}

// describe returns the campaign of a file (empty: none) and the flags, with the members of the API.
func (f *campaignFlags) describe(a *app, file string, now time.Time) (map[string]any, error) {
	campaign := map[string]any{}
	if file != "" {
		text, err := readFile(a.in, file)
		if err != nil {
			return nil, err
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&campaign); err != nil {
			return nil, misused(fmt.Errorf("%s is not a JSON object with the members of POST /v1/campaigns", file))
		}
	}
	for name, value := range map[string]string{"userId": f.userID, "name": f.name, "content": f.content, "brief": f.brief, "textPer": f.textPer} {
		if value != "" {
			campaign[name] = value
		}
	}
	for name, value := range map[string]int{"priority": f.priority, "share": f.share} {
		if value != 0 {
			campaign[name] = value
		}
	}
	for name, text := range map[string]string{"scheduledFor": f.scheduledFor, "expiresAt": f.expiresAt} {
		if text == "" {
			continue
		}
		at, err := parseMoment(text, now)
		if err != nil {
			return nil, misused(fmt.Errorf("%s: %w", name, err))
		}
		campaign[name] = at
	}
	if f.maxCost != 0 {
		campaign["maxCostUsd"] = f.maxCost
	}
	if len(campaign) == 0 {
		return nil, misused(errors.New("what campaign? Give a file, or --user, --name and --content or --brief"))
	}
	return campaign, nil
}

// parseMoment reads a time, or how long it is from now.
func parseMoment(text string, now time.Time) (string, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.Format(time.RFC3339Nano), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return "", fmt.Errorf("%q: give a time such as 2026-11-23T10:00:00Z, or 2h for in two hours", text)
	}
	return now.Add(d).UTC().Format(time.RFC3339), nil
}

func readFile(in io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(file)
}

func (a *app) campaignCreateCommand() *cobra.Command {
	var flags campaignFlags
	start, asJSON := false, false
	cmd := &cobra.Command{
		Use:   "create [FILE]",
		Short: "Create a campaign, from a file or from flags, and start it if wanted",
		Long: `Create a campaign over the API, as a draft or, with --start, running. FILE is a JSON object with the members
of POST /v1/campaigns (docs/api.md); flags go before what it says. --recipients adds a list of up to 1,000,000, line by
line; lines that can't be used are listed, and the others are added.`,
		Example: `  huntaze campaign create spring.json --start
  huntaze campaign create --user creator-7 --name Spring --content 'Hi {{name|you}}' --recipients fans.csv --start`,
		Args: arguments("[FILE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			campaign, err := flags.describe(a, strings.Join(args, ""), time.Now())
			if err != nil {
				return err
			}
			return a.withAPI(func(c *apiClient) error {
				return a.createCampaign(cmd.Context(), c, campaign, flags.recipients, start, asJSON)
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&flags.recipients, "recipients", "", "file with the recipients: NDJSON, or CSV if it ends in .csv or .tsv; - is the standard input")
	cmd.Flags().BoolVar(&start, "start", false, "start it when it has its recipients")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) createCampaign(ctx context.Context, c *apiClient, campaign map[string]any, recipients string, start, asJSON bool) error {
	if recipients == "" && start {
		campaign["start"] = true
	}
	var made api.Campaign
	if err := c.call(ctx, http.MethodPost, route("campaigns"), campaign, &made); err != nil {
		return err
	}
	refused := int64(0)
	if recipients != "" {
		list, err := a.addRecipients(ctx, c, made.ID.String(), recipients)
		if err != nil {
			return fmt.Errorf("campaign %s is a draft; its recipients could not be added: %w", made.ID, err)
		}
		refused = list.RefusedTotal
		if start {
			if err := c.call(ctx, http.MethodPost, route("campaigns", made.ID.String(), "start"), nil, nil); err != nil {
				return fmt.Errorf("campaign %s is a draft; it could not be started: %w", made.ID, err)
			}
		}
		if err := c.call(ctx, http.MethodGet, route("campaigns", made.ID.String()), nil, &made); err != nil {
			return err
		}
	}
	if asJSON {
		return a.printJSON(made)
	}
	fmt.Fprintf(a.out, "campaign %s of account %s is %s, with %s\n", made.ID, clean(made.UserID), made.State, plural(int(made.Recipients), "recipient"))
	if made.State == "draft" {
		fmt.Fprintf(a.err, "to start it: huntaze campaign start %s\n", made.ID)
	} else {
		fmt.Fprintf(a.err, "to follow it: huntaze campaign watch %s\n", made.ID)
	}
	if refused > 0 {
		return codedError{code: exitFindings}
	}
	return nil
}

// uploaded is the answer to a list of recipients.
type uploaded struct {
	Lines, Added, Duplicates, RefusedTotal, Recipients int64
	Refused                                            []api.Refused
}

// refusedPrinted is how many of the lines that can't be used are shown.
const refusedPrinted = 20

func (a *app) addRecipients(ctx context.Context, c *apiClient, id, file string) (list uploaded, err error) {
	in := a.in
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return list, err
		}
		defer opened.Close()
		in = opened
	}
	contentType := "application/x-ndjson"
	if ext := strings.ToLower(filepath.Ext(file)); ext == ".csv" || ext == ".tsv" {
		contentType = "text/csv"
	}
	if err := c.send(ctx, http.MethodPost, route("campaigns", id, "recipients"), contentType, bufio.NewReaderSize(in, 64<<10), &list); err != nil {
		return list, err
	}
	fmt.Fprintf(a.err, "%s: %s added, %s, %s refused\n", plural(int(list.Lines), "line"), grouped(list.Added), plural(int(list.Duplicates), "duplicate"), grouped(list.RefusedTotal))
	for _, r := range list.Refused[:min(refusedPrinted, len(list.Refused))] {
		fmt.Fprintf(a.err, "  line %s: %s %s; %s\n", strconv.Itoa(r.Line), clean(r.Field), clean(r.Reason), clean(r.Remedy))
	}
	if more := list.RefusedTotal - refusedPrinted; more > 0 {
		fmt.Fprintf(a.err, "  and %s more\n", grouped(more))
	}
	return list, nil
}
