package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
)

func (a *app) quarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "Show the messages that can't be used, and why",
		Long: `A message whose body breaks the contract is written down here with the reason, copied to the dead-letter
queue (huntaze dlq) and deleted from its queue. Its neighbours are not affected.`,
	}
	cmd.AddCommand(a.quarantineListCommand(), a.quarantineShowCommand())
	return cmd
}

func (a *app) quarantineListCommand() *cobra.Command {
	var most int
	var before int64
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List them, the latest first",
		Example: "  huntaze quarantine list --limit 20\n  huntaze quarantine list --before 4711",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				found, err := store.Quarantine(cmd.Context(), before, most)
				if err != nil {
					return err
				}
				rows := make([][]string, len(found))
				for i, q := range found {
					rows[i] = []string{strconv.FormatInt(q.ID, 10), moment(q.ReceivedAt), q.MessageID, q.Source, strconv.Itoa(q.Bytes), q.Field, q.Reason}
				}
				return a.table("The quarantine is empty.", []string{"ID", "RECEIVED", "MESSAGE", "QUEUE", "BYTES", "FIELD", "REASON"}, rows)
			})
		},
	}
	listLimit(cmd, &most, listMost)
	cmd.Flags().Int64Var(&before, "before", 0, "only those before this id: the next page")
	return cmd
}

func (a *app) quarantineShowCommand() *cobra.Command {
	body := false
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one of them, by its id here or the one that SQS gave it",
		Long: `Show the reason, the field, the remedy and the size. With --body also the body as it was received, which
may hold what a creator writes to a fan; on a terminal what can't be printed is shown as an escape.`,
		Example: "  huntaze quarantine show 12\n  huntaze quarantine show 12 --body",
		Args:    arguments("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				q, err := store.QuarantinedMessage(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				for _, line := range [][2]string{
					{"id", strconv.FormatInt(q.ID, 10)}, {"message", q.MessageID}, {"queue", q.Source}, {"received", moment(q.ReceivedAt)},
					{"field", q.Field}, {"reason", q.Reason}, {"remedy", q.Remedy}, {"size", plural(q.Bytes, "byte")},
				} {
					fmt.Fprintf(a.out, "%-10s%s\n", line[0], cell(line[1]))
				}
				if !body {
					return nil
				}
				text, err := store.QuarantinedBody(cmd.Context(), q.ID)
				if err != nil {
					return err
				}
				fmt.Fprintln(a.out)
				return a.printBody(text)
			})
		},
	}
	cmd.Flags().BoolVar(&body, "body", false, "also print the body")
	return cmd
}

// printBody writes a body as it is, or harmless on a terminal.
func (a *app) printBody(body []byte) error {
	if a.terminal(a.out) {
		body = []byte(clean(string(body)))
	}
	if _, err := a.out.Write(body); err != nil {
		return err
	}
	_, err := fmt.Fprintln(a.out)
	return err
}
