package cli

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
)

// flagLine is a value of a flag as a program reads it.
type flagLine struct {
	Name      flags.Name   `json:"name"`
	UserID    string       `json:"userId,omitempty"` // missing: of all that have none of their own
	Value     string       `json:"value"`
	From      flags.Origin `json:"from"`
	Version   int64        `json:"version,omitempty"`
	ChangedAt *time.Time   `json:"changedAt,omitempty"`
	ChangedBy string       `json:"changedBy,omitempty"`
	Reason    string       `json:"reason,omitempty"`
}

// flagLines are the values of the named flags, the strongest of each first; then rows of flags that this binary
// does not know.
func flagLines(env flagEnvironment, table flags.Table, names []flags.Name) (lines []flagLine) {
	for _, name := range names {
		if value, ok := env.overrides[name]; ok {
			lines = append(lines, flagLine{Name: name, Value: value.String(), From: flags.FromEnvironment})
		}
		rest := len(lines)
		for _, row := range table.Rows {
			if row.Name == name {
				lines = append(lines, lineOf(row))
			}
		}
		if rest == len(lines) || lines[rest].UserID != "" { // the rows are in the order of their accounts
			lines = slices.Insert(lines, rest, flagLine{Name: name, Value: name.Default(env.legacy).String(), From: flags.FromDefault})
		}
	}
	for _, row := range table.Rows {
		if _, err := flags.Parse(string(row.Name)); err != nil {
			lines = append(lines, lineOf(row))
		}
	}
	return lines
}

func lineOf(row flags.Row) flagLine {
	at := row.ChangedAt.UTC()
	from := flags.FromAll
	if row.UserID != "" {
		from = flags.FromAccount
	}
	return flagLine{row.Name, row.UserID, row.Value, from, row.Version, &at, row.ChangedBy, row.Reason}
}

func (a *app) printFlags(env flagEnvironment, table flags.Table, asJSON bool, names ...flags.Name) error {
	if len(names) == 0 {
		names = flags.Names()
	}
	lines := flagLines(env, table, names)
	if asJSON {
		return a.printJSON(lines)
	}
	rows := make([][]string, len(lines))
	for i, line := range lines {
		whose, changed, by, reason := cmp.Or(line.UserID, allOthers), "", line.ChangedBy, line.Reason
		switch line.From {
		case flags.FromEnvironment:
			whose, by, reason = "all", line.Name.Variable(), "in this environment: goes before the others"
		case flags.FromDefault:
			by = "default"
		}
		if line.ChangedAt != nil {
			changed = moment(*line.ChangedAt)
		}
		rows[i] = []string{string(line.Name), whose, line.Value, changed, by, reason}
	}
	return a.table("", []string{"FLAG", "ACCOUNT", "VALUE", "CHANGED", "BY", "REASON"}, rows)
}

// printFlagsOf says what the flags are for one account.
func (a *app) printFlagsOf(env flagEnvironment, table flags.Table, userID string, asJSON bool) error {
	snapshot := flags.New(table, env.overrides, env.legacy)
	if asJSON {
		answers := map[flags.Name]flags.Answer{}
		for _, name := range flags.Names() {
			answers[name] = snapshot.Ask(name, userID)
		}
		return a.printJSON(answers)
	}
	var rows [][]string
	for _, name := range flags.Names() {
		answer := snapshot.Ask(name, userID)
		is := map[bool]string{true: "on", false: "off"}[answer.On]
		why := map[flags.Origin]string{
			flags.FromEnvironment: name.Variable() + " in this environment", flags.FromAccount: "its own value",
			flags.FromAll: "the value for " + allOthers, flags.FromDefault: "default",
		}[answer.Origin]
		rows = append(rows, []string{string(name), is, answer.Value.String(), why, name.Meaning()})
	}
	return a.table("", []string{"FLAG", "IS", "VALUE", "BECAUSE OF", "DECIDES"}, rows)
}

func (a *app) flagsHistoryCommand() *cobra.Command {
	var userID string
	var before int64
	most, asJSON := 0, false
	cmd := &cobra.Command{
		Use:     "history [NAME]",
		Short:   "List who changed what, when and why, the latest first",
		Example: "  huntaze flags history\n  huntaze flags history sends_enabled --user creator-7",
		Args:    arguments("[NAME]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var name flags.Name
			if len(args) > 0 {
				var err error
				if name, err = flags.Parse(args[0]); err != nil {
					return misused(err)
				}
			}
			return a.withStore(cmd.Context(), func(store *db.Store) error {
				entries, err := store.FlagHistory(cmd.Context(), name, userID, before, most)
				if err != nil {
					return err
				}
				return a.printFlagHistory(entries, asJSON)
			})
		},
	}
	listLimit(cmd, &most, listMost)
	cmd.Flags().StringVar(&userID, "user", "", "only changes for this account")
	cmd.Flags().Int64Var(&before, "before", 0, "only those before this version: the next page")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) printFlagHistory(entries []db.FlagEntry, asJSON bool) error {
	if asJSON {
		type change struct {
			Version   int64      `json:"version"`
			Name      flags.Name `json:"name"`
			UserID    string     `json:"userId,omitempty"`
			Previous  string     `json:"previous,omitempty"` // missing: there was none
			Value     string     `json:"value,omitempty"`    // missing: it was removed
			ChangedAt time.Time  `json:"changedAt"`
			ChangedBy string     `json:"changedBy"`
			Reason    string     `json:"reason"`
		}
		changes := make([]change, len(entries))
		for i, e := range entries {
			e.ChangedAt = e.ChangedAt.UTC()
			changes[i] = change(e)
		}
		return a.printJSON(changes)
	}
	rows := make([][]string, len(entries))
	for i, e := range entries {
		rows[i] = []string{strconv.FormatInt(e.Version, 10), moment(e.ChangedAt), string(e.Name), cmp.Or(e.UserID, allOthers), e.Previous, cmp.Or(e.Value, "cleared"), e.ChangedBy, e.Reason}
	}
	return a.table("No flag was ever changed.", []string{"VERSION", "CHANGED", "FLAG", "ACCOUNT", "WAS", "IS", "BY", "REASON"}, rows)
}
