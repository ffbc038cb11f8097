package console

import (
	"errors"
	"strconv"
	"strings"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
)

const changesPerPage = 25

// flagRow is one flag: what holds for all, and the accounts' own values.
type flagRow struct {
	Name    flags.Name
	Meaning string
	flags.Answer
	Version int64       // of the value for all; 0: there is none
	All     *flags.Row  // the value for all that somebody set
	Own     []flags.Row // of accounts
}

type flagsView struct {
	Flags   []flagRow
	History []db.FlagEntry
	Next    string
	First   bool
}

func (c *console) flagsPage(r *request) error {
	before, err := numberOf(r.FormValue("before"))
	if err != nil {
		return errNotFound
	}
	table, err := c.Store.Flags(r.Context())
	if err != nil {
		return err
	}
	history, err := c.Store.FlagHistory(r.Context(), "", "", before, changesPerPage+1)
	if err != nil {
		return err
	}
	body := flagsView{First: before == 0, History: history[:min(changesPerPage, len(history))]}
	if len(history) > changesPerPage {
		body.Next = flagsURL(history[changesPerPage-1].Version)
	}
	snapshot := flags.New(table, c.Overrides, c.Legacy)
	for _, name := range flags.Names() {
		row := flagRow{Name: name, Meaning: name.Meaning(), Answer: snapshot.Ask(name, "")}
		for _, set := range table.Rows {
			switch {
			case set.Name != name:
			case set.UserID == "":
				row.All, row.Version = &set, set.Version
			default:
				row.Own = append(row.Own, set)
			}
		}
		body.Flags = append(body.Flags, row)
	}
	return r.show("flags", "Flags", "flags", body)
}

// changeFlag sets a flag, or removes its value.
func (c *console) changeFlag(r *request) error {
	name, err := flags.Parse(r.PostFormValue("name"))
	if err != nil {
		return invalid("There is no such flag.")
	}
	change := db.FlagChange{Name: name, UserID: strings.TrimSpace(r.PostFormValue("user")), By: r.by()}
	if len(change.UserID) > queryMost || strings.ContainsFunc(change.UserID, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' }) {
		return invalid("No account has such a name.")
	}
	if change.Reason, err = r.reason(true); err != nil {
		return err
	}
	if text := r.PostFormValue("version"); text != "" {
		version, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return invalid("The form is not complete. Load the page anew.")
		}
		change.Expect = &version
	}
	value := strings.TrimSpace(r.PostFormValue("value"))
	if value == "" {
		return c.clearFlag(r, change)
	}
	if change.Value, err = flags.ParseValue(name, change.UserID, value); err != nil {
		return invalid("%s.", err)
	}
	changed, err := c.Store.SetFlag(r.Context(), change)
	if errors.Is(err, db.ErrFlagChanged) {
		return conflict("Somebody else has changed the flag since you saw it. Look at it again.")
	}
	if err != nil {
		return err
	}
	r.said("flag set", "flag", string(name), "account", change.UserID, "value", change.Value.String(), "version", changed.Version)
	text := string(name) + " is " + change.Value.String() + ofAccount(change.UserID) + "."
	if changed.InFlight > 0 {
		text += " " + wording.Plural(changed.InFlight, "call") + " in flight may still arrive."
	}
	return r.done("/flags", "%s", text)
}

func (c *console) clearFlag(r *request, change db.FlagChange) error {
	cleared, err := c.Store.ClearFlag(r.Context(), change)
	if errors.Is(err, db.ErrFlagChanged) {
		return conflict("Somebody else has changed the flag since you saw it. Look at it again.")
	}
	if err != nil {
		return err
	}
	if !cleared {
		return r.done("/flags", "%s had no value%s.", change.Name, ofAccount(change.UserID))
	}
	r.said("flag cleared", "flag", string(change.Name), "account", change.UserID)
	return r.done("/flags", "The value of %s%s is removed.", change.Name, ofAccount(change.UserID))
}

func ofAccount(userID string) string {
	if userID == "" {
		return " for all"
	}
	return " for account " + userID
}
