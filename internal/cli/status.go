package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func (a *app) statusCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the fleet on one screen: messages by stage, queues, what waits, what needs a person",
		Long: `Show the fleet on one screen.

Counts are exact while there are few messages. Beyond 20,000 workflows those that are over, and beyond
100,000 the queued ones, are Postgres' estimate ("about"); other counts end at 10,000 ("over"). So it
costs the same with ten messages and with ten million.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withConfiguredStore(cmd.Context(), func(cfg config.Config, store *db.Store) error {
				sum, err := store.Summarise(cmd.Context())
				if err != nil {
					return err
				}
				queues := readDepths(cmd.Context(), cfg)
				if asJSON {
					return a.printJSON(statusAsJSON(sum, queues))
				}
				return a.printStatus(sum, queues)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) printStatus(sum db.Summary, queues []depth) error {
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	line := func(label, text string) { fmt.Fprintf(w, "%s\t%s\n", label, cell(text)) }
	fleet := "not frozen"
	if !sum.FrozenUntil.IsZero() {
		fleet = joined("frozen until "+when(sum.FrozenUntil, sum.Now), sum.FrozenReason)
	}
	line("time", moment(sum.Now))
	line("fleet", fleet)
	var live, over []string
	for _, stage := range workflow.Stages {
		text := fmt.Sprintf("%s %s", stage, number(sum.Stages[stage]))
		if stage.Final() {
			over = append(over, text)
		} else {
			live = append(live, text)
		}
	}
	line("live", strings.Join(live, " · "))
	line("over", strings.Join(over, " · "))
	line("waiting", waitingInWords(sum))
	line("resting", counted(sum.Resting, "account")+hint(sum.Resting, "huntaze limits rest"))
	line("in doubt", doubtsInWords(sum))
	line("quarantine", quarantineInWords(sum))
	line("jobs", jobsInWords(sum.Jobs))
	for _, q := range queues {
		line("queue", q.inWords())
	}
	return w.Flush()
}

func waitingInWords(sum db.Summary) string {
	text := counted(sum.WaitingAccounts, "account")
	if sum.Oldest == nil {
		return text + ", no message of them is due"
	}
	of := ""
	if sum.Oldest.Certainty == db.AtLeast {
		of = " of those that were searched"
	}
	return fmt.Sprintf("%s; the oldest message%s is due since %s: %s of %s", text, of, when(sum.Oldest.DueSince, sum.Now), sum.Oldest.WorkflowID, sum.Oldest.UserID)
}

func hint(c db.Count, command string) string {
	if c.Number == 0 {
		return ""
	}
	return " (" + command + ")"
}

func doubtsInWords(sum db.Summary) string {
	text := counted(sum.InDoubt, "message")
	if sum.NeedOperator.Number > 0 {
		text += ", " + number(sum.NeedOperator) + " of them for an operator"
	}
	if sum.OldestDoubt != nil {
		text += "; the oldest since " + when(*sum.OldestDoubt, sum.Now)
	}
	return text + hint(sum.InDoubt, "huntaze doubt list")
}

func quarantineInWords(sum db.Summary) string {
	text := counted(sum.Quarantined, "message")
	if sum.LastQuarantined != nil {
		text += "; the latest at " + when(*sum.LastQuarantined, sum.Now)
	}
	return text + hint(sum.Quarantined, "huntaze quarantine list")
}

func jobsInWords(jobs []db.JobCount) string {
	var parts []string
	queueName := ""
	for _, j := range jobs {
		text := fmt.Sprintf("%s %s", number(j.Count), j.State)
		if j.Queue != queueName {
			queueName = j.Queue
			text = queueName + ": " + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

type statusJSON struct {
	Now             time.Time                   `json:"now"`
	FrozenUntil     time.Time                   `json:"frozenUntil,omitzero"`
	FrozenReason    string                      `json:"frozenReason,omitempty"`
	Stages          map[workflow.Stage]db.Count `json:"stages"`
	WaitingAccounts db.Count                    `json:"waitingAccounts"`
	OldestDueSince  *time.Time                  `json:"oldestDueSince"`
	RestingAccounts db.Count                    `json:"restingAccounts"`
	InDoubt         db.Count                    `json:"inDoubt"`
	NeedOperator    db.Count                    `json:"needOperator"`
	OldestDoubt     *time.Time                  `json:"oldestDoubt"`
	Quarantined     db.Count                    `json:"quarantined"`
	LastQuarantined *time.Time                  `json:"lastQuarantined"`
	Jobs            []db.JobCount               `json:"jobs"`
	Queues          []depth                     `json:"queues"`
}

func statusAsJSON(sum db.Summary, queues []depth) statusJSON {
	out := statusJSON{
		Now: sum.Now, FrozenUntil: sum.FrozenUntil, FrozenReason: sum.FrozenReason, Stages: sum.Stages, WaitingAccounts: sum.WaitingAccounts,
		RestingAccounts: sum.Resting, InDoubt: sum.InDoubt, NeedOperator: sum.NeedOperator, OldestDoubt: sum.OldestDoubt,
		Quarantined: sum.Quarantined, LastQuarantined: sum.LastQuarantined, Jobs: sum.Jobs, Queues: queues,
	}
	if sum.Oldest != nil {
		out.OldestDueSince = &sum.Oldest.DueSince
	}
	return out
}

// depthTimeout bounds the questions to SQS: the database's part of the screen must not wait for it.
const depthTimeout = 5 * time.Second

// readDepths asks SQS how many messages its queues have. What can't be asked says why.
func readDepths(ctx context.Context, cfg config.Config) []depth {
	ctx, cancel := context.WithTimeout(ctx, depthTimeout)
	defer cancel()
	return depthsOf(ctx, cfg, cfg.SQSQueue, cfg.SQSRetryQueue, cfg.SQSDeadLetters)
}
