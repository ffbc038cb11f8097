package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

func (a *app) deadLettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Look into the dead-letter queue and move its messages back",
		Long: `The dead-letter queue has what can't be used (see huntaze quarantine) and what was received three times
without being stored. A look receives the messages and gives them back at once; what somebody else
holds at the moment is not seen.`,
	}
	cmd.AddCommand(a.deadLettersListCommand(), a.deadLettersShowCommand(), a.deadLettersRedriveCommand())
	return cmd
}

// withDeadLetters opens the dead-letter queue.
func (a *app) withDeadLetters(ctx context.Context, do func(config.Config, *queue.DeadLetters) error) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	client, err := queue.NewClient(ctx, cfg.AWSRegion, cfg.SQSEndpoint)
	if err != nil {
		return err
	}
	letters, err := queue.OpenDeadLetters(ctx, client, cfg.SQSDeadLetters)
	if err != nil {
		return err
	}
	return do(cfg, letters)
}

func (a *app) deadLettersListCommand() *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the dead letters",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withDeadLetters(cmd.Context(), func(_ config.Config, letters *queue.DeadLetters) error {
				found, err := letters.List(cmd.Context(), most)
				if err != nil {
					return err
				}
				rows := make([][]string, len(found))
				for i, l := range found {
					rows[i] = []string{l.MessageID, moment(l.SentAt), l.SourceQueue, l.UserID, l.WorkflowID, strconv.Itoa(l.Bytes), whyDead(l)}
				}
				return a.table("The dead-letter queue is empty.", []string{"MESSAGE", "SENT", "FROM", "ACCOUNT", "WORKFLOW", "BYTES", "REASON"}, rows)
			})
		},
	}
	listLimit(cmd, &most, listMost)
	return cmd
}

func whyDead(l queue.DeadLetter) string {
	if l.Error != "" {
		return l.Error
	}
	return "received too often without being stored"
}

func (a *app) deadLettersShowCommand() *cobra.Command {
	body := false
	cmd := &cobra.Command{
		Use:     "show MESSAGE",
		Short:   "Show one dead letter, by its own id or the one it had in its queue",
		Example: "  huntaze dlq show 5fea7756-0ea4-451a-a703-a558b933e274 --body",
		Args:    arguments("MESSAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withDeadLetters(cmd.Context(), func(_ config.Config, letters *queue.DeadLetters) error {
				l, err := letters.Show(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				for _, line := range [][2]string{
					{"message", l.MessageID}, {"was", l.SourceMessageID}, {"from", l.SourceQueue}, {"sent", moment(l.SentAt)}, {"account", l.UserID},
					{"workflow", l.WorkflowID}, {"receives", strconv.Itoa(l.ReceiveCount)}, {"size", plural(l.Bytes, "byte")}, {"reason", whyDead(l)},
				} {
					if line[1] != "" {
						fmt.Fprintf(a.out, "%-10s%s\n", line[0], cell(line[1]))
					}
				}
				switch {
				case l.Reference:
					fmt.Fprintf(a.out, "The body is in the database only: huntaze quarantine show %s --body\n", clean(l.SourceMessageID))
				case body:
					fmt.Fprintln(a.out)
					return a.printBody([]byte(l.Body))
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&body, "body", false, "also print the body, which may hold what a creator writes to a fan")
	return cmd
}

func (a *app) deadLettersRedriveCommand() *cobra.Command {
	var options queue.RedriveOptions
	yes := false
	cmd := &cobra.Command{
		Use:   "redrive",
		Short: "Move the dead letters back to a queue",
		Long: `Move all dead letters to a queue, after what was wrong was put right. They are new messages to SQS; what
the fleet has taken in before is known by its ids and not sent twice. What still can't be used comes back.`,
		Example: "  huntaze dlq redrive\n  huntaze dlq redrive --to huntaze-alerts-production --rate 10",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if options.PerSecond < 1 || options.PerSecond > 500 {
				return misused(fmt.Errorf("--rate %d: give a number from 1 to 500, which is what SQS allows", options.PerSecond))
			}
			return a.withDeadLetters(cmd.Context(), func(cfg config.Config, letters *queue.DeadLetters) error {
				if options.To == "" {
					options.To = cfg.SQSQueue
				}
				return a.redrive(cmd.Context(), letters, options, yes)
			})
		},
	}
	cmd.Flags().StringVar(&options.To, "to", "", "name or URL of the queue (default: SQS_QUEUE)")
	cmd.Flags().IntVar(&options.PerSecond, "rate", 50, "messages per second")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) redrive(ctx context.Context, letters *queue.DeadLetters, options queue.RedriveOptions, yes bool) error {
	if err := a.confirm(yes, fmt.Sprintf("Move all dead letters to %s?", clean(options.To))); err != nil {
		return err
	}
	bar := newProgress(a.err, a.terminal(a.err), time.Now)
	options.Progress = func(r queue.RedriveResult) {
		part := -1.0
		if r.ToMove > 0 {
			part = min(1, float64(r.Moved)/float64(r.ToMove))
		}
		bar.show(part, grouped(int64(r.Moved))+" moved")
	}
	result, err := letters.Redrive(ctx, options)
	bar.end()
	if err != nil {
		return fmt.Errorf("after %s: %w", plural(result.Moved, "message"), err)
	}
	fmt.Fprintf(a.out, "%s moved to %s\n", plural(result.Moved, "message"), clean(options.To))
	if result.Skipped > 0 {
		fmt.Fprintf(a.out, "%s stay: their bodies are in the database only (huntaze quarantine list)\n", plural(result.Skipped, "message"))
		return codedError{code: exitFindings}
	}
	return nil
}
