package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func (a *app) doubtCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doubt",
		Short: "Show and settle the messages of which nobody knows whether they were sent",
		Long: `A message is in doubt when its request left and no clear answer came: the worker crashed, or the reply
was lost. It is not sent again by itself. The gateway is asked what became of it; where it can't say,
an operator decides, with what the platform shows.`,
	}
	cmd.AddCommand(a.doubtListCommand(), a.doubtShowCommand(), a.doubtResolveCommand())
	return cmd
}

func (a *app) doubtListCommand() *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what is in doubt, the oldest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				doubts, err := store.Doubts(cmd.Context(), most)
				if err != nil {
					return err
				}
				return a.printDoubts(cmd.Context(), store, doubts)
			})
		},
	}
	listLimit(cmd, &most, listMost)
	return cmd
}

func (a *app) printDoubts(ctx context.Context, store *db.Store, doubts []db.Doubt) error {
	now, err := store.Now(ctx)
	if err != nil {
		return err
	}
	rows := make([][]string, len(doubts))
	for i, d := range doubts {
		next := "an operator decides"
		if d.LookUpAt != nil {
			next = "look-up " + relative(*d.LookUpAt, now)
		}
		rows[i] = []string{d.WorkflowID, d.UserID, d.RecipientID, strconv.Itoa(d.Sequence), when(d.Since, now), wording.Reason(d.Reason), strconv.Itoa(d.LookUps), next}
	}
	return a.table("Nothing is in doubt.", []string{"WORKFLOW", "ACCOUNT", "RECIPIENT", "ATTEMPT", "SINCE", "REASON", "LOOK-UPS", "NEXT"}, rows)
}

func (a *app) doubtShowCommand() *cobra.Command {
	which := db.Which{}
	cmd := &cobra.Command{
		Use:     "show WORKFLOW",
		Short:   "Show everything that is known of a message in doubt",
		Example: "  huntaze doubt show wf-1 --user creator-7",
		Args:    arguments("WORKFLOW"),
		RunE: func(cmd *cobra.Command, args []string) error {
			which.WorkflowID = args[0]
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				found, err := store.Explain(cmd.Context(), which, listMost)
				if err != nil {
					return err
				}
				shown := 0
				for _, w := range found.Workflows {
					if w.State.Stage == workflow.StageInDoubt {
						shown++
						if err := a.printDoubt(w, found); err != nil {
							return err
						}
					}
				}
				if shown == 0 {
					return notInDoubt(which.WorkflowID, which.UserID)
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&which.UserID, "user", "", "only of this account")
	cmd.Flags().StringVar(&which.RecipientID, "recipient", "", "only to this recipient")
	return cmd
}

func (a *app) printDoubt(w db.Workflow, found db.Explanation) error {
	if err := a.printWorkflow(w, found.Now); err != nil {
		return err
	}
	last := w.Sends[len(w.Sends)-1]
	fmt.Fprintf(a.out, "\nevidence   %s\ndetail     %s\n\n", cell(string(last.Evidence)), cell(joined(word("status", last.Status), last.Detail)))
	return nil
}

func notInDoubt(workflowID, userID string) error {
	return fmt.Errorf("nothing of workflow %q is in doubt%s; huntaze explain shows where it is", workflowID, ofUser(userID))
}

// decision is what an operator says about a message in doubt.
type decision struct {
	which     db.Which
	attempt   int
	sent      bool
	notSent   bool
	messageID string
	by        string
	early     bool
	yes       bool
}

func (a *app) doubtResolveCommand() *cobra.Command {
	var d decision
	cmd := &cobra.Command{
		Use:   "resolve WORKFLOW",
		Short: "Settle a message in doubt: it was sent, or it was not",
		Long: `Settle a message in doubt, with what the platform shows.

--sent ends it as sent. --not-sent counts a try and sends it again, or gives it up after the last one:
if it did arrive after all, the recipient gets it twice. That is why --not-sent is refused while the
request may still be on its way (GATEWAY_SETTLE after the call), unless --early is given.`,
		Example: `  huntaze doubt resolve wf-1 --sent --message-id 123456 --by alex
  huntaze doubt resolve wf-1 --user creator-7 --not-sent --by alex`,
		Args: arguments("WORKFLOW"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d.which.WorkflowID = args[0]
			if err := d.check(); err != nil {
				return err
			}
			return a.withStore(cmd.Context(), func(store *db.Store) error { return a.resolve(cmd.Context(), store, d) })
		},
	}
	f := cmd.Flags()
	f.BoolVar(&d.sent, "sent", false, "it was sent")
	f.BoolVar(&d.notSent, "not-sent", false, "it was not sent")
	f.StringVar(&d.messageID, "message-id", "", "with --sent: the platform's id of the message")
	f.StringVar(&d.which.UserID, "user", "", "the account, where several have that workflowId")
	f.StringVar(&d.which.RecipientID, "recipient", "", "the recipient, where several have that workflowId")
	f.IntVar(&d.attempt, "attempt", 0, "the attempt that was looked at; refused if another one is in doubt by now")
	f.StringVar(&d.by, operatorFlag, "", "who decides; it is kept with the attempt")
	f.BoolVar(&d.early, "early", false, "with --not-sent: also while the request may still be on its way")
	f.BoolVarP(&d.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (d decision) check() error {
	if err := exactlyOne("sent", d.sent, "not-sent", d.notSent); err != nil {
		return err
	}
	switch {
	case strings.TrimSpace(d.by) == "":
		return misused(errors.New("--by is missing: say who decides, for example --by alex"))
	case d.notSent && d.messageID != "":
		return misused(errors.New("--message-id goes with --sent only: what was not sent has none"))
	case d.sent && d.early:
		return misused(errors.New("--early goes with --not-sent only: leave it out"))
	case d.attempt < 0:
		return misused(fmt.Errorf("--attempt %d: give a number from 1", d.attempt))
	}
	return nil
}

func (a *app) resolve(ctx context.Context, store *db.Store, d decision) error {
	doubt, err := a.oneDoubt(ctx, store, d)
	if err != nil {
		return err
	}
	report := db.Finish{Attempt: doubt.Attempt, Fence: doubt.Fence, Outcome: workflow.EventAccepted, Reason: wording.SentByOperator, GatewayMessageID: d.messageID, ResolvedBy: byOperator(d.by)}
	question := "It ends as sent."
	if d.notSent {
		report.Outcome, report.Reason = workflow.EventNotSent, wording.NotSentByOperator
		question = "It may be sent again: if it did arrive, the recipient gets it twice."
		if doubt.Settled < 0 {
			if !d.early {
				return misused(fmt.Errorf("the request may still be on its way for %s: wait until then, or add --early if you know better", length(-doubt.Settled)))
			}
			question += fmt.Sprintf(" The request may still be on its way for %s.", length(-doubt.Settled))
		}
	}
	question = fmt.Sprintf("Attempt %d of %s, account %s to %s. %s Go on?", doubt.Sequence, clean(doubt.WorkflowID), clean(doubt.UserID), clean(doubt.RecipientID), question)
	if err := a.confirm(d.yes, question); err != nil {
		return err
	}
	finished, err := store.Finish(ctx, []db.Finish{report}, true)
	if err != nil {
		return err
	}
	if !finished[0].Applied {
		return fmt.Errorf("it was settled by somebody else meanwhile; see huntaze explain %s", clean(doubt.WorkflowID))
	}
	fmt.Fprintf(a.out, "%s to %s is settled: stage %s\n", clean(doubt.WorkflowID), clean(doubt.RecipientID), finished[0].Stage)
	if finished[0].Stage == workflow.StageQueued {
		// Its durable wake-up is there; this saves the time until then.
		if _, err := store.WakeWaiting(ctx, doubt.UserID); err != nil {
			fmt.Fprintln(a.err, "warning: the account could not be woken; it looks at the time it had planned:", clean(err.Error()))
		}
	}
	return nil
}

// oneDoubt finds the attempt that the operator means.
func (a *app) oneDoubt(ctx context.Context, store *db.Store, d decision) (db.Doubt, error) {
	all, err := store.DoubtsOf(ctx, d.which.UserID, d.which.WorkflowID)
	if err != nil {
		return db.Doubt{}, err
	}
	var doubts []db.Doubt
	for _, doubt := range all {
		if d.which.RecipientID == "" || doubt.RecipientID == d.which.RecipientID {
			doubts = append(doubts, doubt)
		}
	}
	switch {
	case len(doubts) == 0:
		return db.Doubt{}, notInDoubt(d.which.WorkflowID, d.which.UserID)
	case len(doubts) > 1:
		if err := a.printDoubts(ctx, store, doubts); err != nil {
			return db.Doubt{}, err
		}
		return db.Doubt{}, misused(fmt.Errorf("%s of workflow %q are in doubt: choose one with --user and --recipient", plural(len(doubts), "message"), d.which.WorkflowID))
	case d.attempt != 0 && doubts[0].Sequence != d.attempt:
		return db.Doubt{}, fmt.Errorf("attempt %d is not in doubt, attempt %d is", d.attempt, doubts[0].Sequence)
	}
	return doubts[0], nil
}
