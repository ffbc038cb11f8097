package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/api"
)

const (
	watchRetry   = time.Second
	watchSilence = time.Minute // without even a heartbeat the connection is dead
)

func (a *app) campaignWatchCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "watch ID",
		Short: "Follow a campaign until it is over, with a progress bar and when it will be done",
		Long: `Follow a campaign until it is over. It goes on by itself when the API is restarted. The exit code is 0 when the
campaign is completed with nothing failed, and 3 when something failed, or it was cancelled.`,
		Args: arguments("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAPI(func(c *apiClient) error { return a.watchCampaign(cmd.Context(), c, args[0], asJSON) })
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print each change as a line of JSON")
	return cmd
}

func (a *app) watchCampaign(ctx context.Context, c *apiClient, id string, asJSON bool) error {
	bar := newProgress(a.err, a.terminal(a.err), time.Now)
	defer bar.end()
	var last api.Progress
	for {
		over, err := a.readEvents(ctx, c, id, func(p api.Progress) error {
			last = p
			if asJSON {
				return json.NewEncoder(a.out).Encode(p)
			}
			bar.show(partOf(p), progressInWords(p, time.Now()))
			return nil
		})
		var refused *refusal
		switch {
		case over:
			bar.end()
			return a.watched(last, asJSON)
		case errors.As(err, &refused) && refused.Status < 500, ctx.Err() != nil:
			return err
		}
		select { // the API is being restarted, or something on the way ended the connection
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(watchRetry):
		}
	}
}

func (a *app) watched(p api.Progress, asJSON bool) error {
	if !asJSON {
		fmt.Fprintf(a.out, "%s: %s\n", p.State, countsInWords(p.Counts))
	}
	if p.State != "completed" || p.Counts.Failed+p.Counts.Expired > 0 {
		return codedError{code: exitFindings}
	}
	return nil
}

// readEvents reads one stream of events. It returns true when the campaign is over.
func (a *app) readEvents(ctx context.Context, c *apiClient, id string, tell func(api.Progress) error) (over bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	response, err := c.open(ctx, http.MethodGet, route("campaigns", id, "events"), "", nil)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	silence := time.AfterFunc(watchSilence, cancel)
	defer silence.Stop()
	kind := ""
	lines := bufio.NewReader(response.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return false, err
		}
		silence.Reset(watchSilence)
		line = strings.TrimSuffix(line, "\n")
		if name, is := strings.CutPrefix(line, "event: "); is {
			kind = name
		}
		data, is := strings.CutPrefix(line, "data: ")
		if !is {
			continue
		}
		var p api.Progress
		if err := json.Unmarshal([]byte(data), &p); err != nil {
			return false, fmt.Errorf("the API's event can't be read: %w", err)
		}
		if err := tell(p); err != nil || kind == "end" {
			return kind == "end", err
		}
	}
}

// partOf is how much of a campaign is over.
func partOf(p api.Progress) float64 {
	ended := p.Counts.Sent + p.Counts.Failed + p.Counts.Cancelled + p.Counts.Expired
	total := max(p.Recipients, ended+p.Counts.Planning+p.Counts.Queued+p.Counts.Sending+p.Counts.InDoubt)
	if total == 0 {
		return -1
	}
	return float64(ended) / float64(total)
}

func progressInWords(p api.Progress, now time.Time) string {
	text := p.State + ": " + countsInWords(p.Counts)
	if p.Forecast != nil && p.Forecast.EndsAt != nil {
		text += ", done about " + moment(*p.Forecast.EndsAt) + " (in " + length(p.Forecast.EndsAt.Sub(now)) + ")"
	}
	return text
}

func countsInWords(c api.Counts) string {
	var parts []string
	for _, s := range stagesOf(c) {
		if s.number > 0 {
			parts = append(parts, grouped(s.number)+" "+s.name)
		}
	}
	if len(parts) == 0 {
		return "no messages yet"
	}
	return strings.Join(parts, ", ")
}
