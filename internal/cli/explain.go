package cli

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/api"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func (a *app) explainCommand() *cobra.Command {
	var which db.Which
	var most int
	asJSON := false
	cmd := &cobra.Command{
		Use:   "explain WORKFLOW",
		Short: "Show the life of one message as a timeline, and what it waits for now",
		Long: `Show where the message with that workflowId is, since when, why, and when it is expected to move on.
Several recipients or accounts may have the same workflowId: all of them are listed.

The text of a message is never shown, only how long it is. Times are the database's, in UTC.`,
		Example: `  huntaze explain wf-1
  huntaze explain wf-1 --user creator-7 --json`,
		Args: arguments("WORKFLOW"),
		RunE: func(cmd *cobra.Command, args []string) error {
			which.WorkflowID = args[0]
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				return a.explain(cmd.Context(), store, which, most, asJSON)
			})
		},
	}
	cmd.Flags().StringVar(&which.UserID, "user", "", "only of this account")
	cmd.Flags().StringVar(&which.RecipientID, "recipient", "", "only to this recipient")
	listLimit(cmd, &most, 20)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) explain(ctx context.Context, store *db.Store, which db.Which, most int, asJSON bool) error {
	found, err := store.Explain(ctx, which, most)
	if err != nil {
		return err
	}
	if len(found.Workflows) == 0 {
		return fmt.Errorf("no message with workflowId %q was taken in%s; it may still be on its queue, or in quarantine (huntaze quarantine list)", which.WorkflowID, ofUser(which.UserID))
	}
	if asJSON {
		return a.printJSON(explanationAsJSON(found))
	}
	for i, w := range found.Workflows {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		if err := a.printWorkflow(w, found.Now); err != nil {
			return err
		}
	}
	if found.More {
		fmt.Fprintf(a.out, "\nThere are more than these %d; raise --limit, or choose with --user and --recipient.\n", most)
	}
	return nil
}

func ofUser(userID string) string {
	if userID == "" {
		return ""
	}
	return fmt.Sprintf(" for account %q", userID)
}

func (a *app) printWorkflow(w db.Workflow, now time.Time) error {
	title := fmt.Sprintf("%s: %s to %s, priority %d", w.WorkflowID, w.UserID, w.RecipientID, w.Priority)
	if w.CampaignID != "" {
		title += ", campaign " + w.CampaignID
	}
	text := plural(w.ContentLength, "character")
	if w.ContentLength == 0 {
		text = "to be written"
		if w.State.Stage.Final() {
			text = "none that can be sent"
		}
		text += ", from a brief of " + plural(w.BriefLength, "character")
	}
	if w.Plan != nil {
		text += wording.Written(*w.Plan)
	}
	fmt.Fprintln(a.out, cell(title))
	fmt.Fprintf(a.out, "stage %s; text %s; %d of %d tries failed; clientRef %s%s\n\n", w.State.Stage, text, w.State.Attempts, w.State.MaxRetries, w.ID, traceOf(w))
	table := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	for _, entry := range wording.Timeline(w) {
		fmt.Fprintf(table, "%s\t%s\t%s\n", entry.At.UTC().Format("2006-01-02 15:04:05.000"), entry.What, cell(entry.Text))
	}
	for i, wait := range w.Waits {
		at := ""
		if i == 0 {
			at = now.UTC().Format("2006-01-02 15:04:05.000")
		}
		fmt.Fprintf(table, "%s\twaits\t%s\n", at, cell(waitInWords(w, wait, now)))
	}
	return table.Flush()
}

// traceOf is the id under which the message is found in the traces and the logs.
func traceOf(w db.Workflow) string {
	if w.Trace.TraceID == "" {
		return ""
	}
	return "; trace " + w.Trace.TraceID
}

// The JSON of a workflow is the one of the API contract, and nothing else is in it. What explains it stands beside it.
type (
	explanationJSON struct {
		Now       time.Time       `json:"now"`
		Workflows []explainedJSON `json:"workflows"`
		More      bool            `json:"more"`
	}
	explainedJSON struct {
		Workflow api.Workflow    `json:"workflow"`
		Message  messageJSON     `json:"message"`
		Timeline []wording.Entry `json:"timeline"`
		Sends    []db.Send       `json:"sends"`
		Plan     *db.Plan        `json:"plan,omitempty"`
		Waits    []waitJSON      `json:"waits"`
	}
	messageJSON struct {
		Priority      workflow.Priority `json:"priority"`
		Attempts      int               `json:"attempts"`
		MaxRetries    int               `json:"maxRetries"`
		ContentLength int               `json:"contentLength"`
		BriefLength   int               `json:"briefLength"`
		LastError     string            `json:"lastError"`
	}
	waitJSON struct {
		db.Wait
		Text string `json:"text"`
	}
)

func explanationAsJSON(found db.Explanation) explanationJSON {
	out := explanationJSON{Now: found.Now, More: found.More}
	for _, w := range found.Workflows {
		one := explainedJSON{
			Workflow: api.WorkflowOf(w),
			Message: messageJSON{
				Priority: w.Priority, Attempts: w.State.Attempts, MaxRetries: w.State.MaxRetries,
				ContentLength: w.ContentLength, BriefLength: w.BriefLength, LastError: w.State.LastError,
			},
			Timeline: wording.Timeline(w), Sends: append([]db.Send{}, w.Sends...), Plan: w.Plan, Waits: []waitJSON{},
		}
		for _, wait := range w.Waits {
			one.Waits = append(one.Waits, waitJSON{wait, waitInWords(w, wait, found.Now)})
		}
		out.Workflows = append(out.Workflows, one)
	}
	return out
}

// waitInWords says what a message waits for, and the command that ends it.
func waitInWords(w db.Workflow, wait db.Wait, now time.Time) string {
	return wording.Wait(w, wait, now) + wording.Command(w, wait)
}
