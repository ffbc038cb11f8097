package console

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

const (
	foundMost = 50
	queryMost = 256 // bytes; no id is longer
)

type searchView struct {
	Text       string
	ByID       []db.CampaignMessage
	ByFan      []db.CampaignMessage
	More       bool
	TooLong    bool // the search by recipient was given up
	Unsearched bool // nothing was asked for
}

func (c *console) searchPage(r *request) (err error) {
	body := searchView{Text: strings.TrimSpace(r.FormValue("q"))}
	if body.Text == "" {
		body.Unsearched = true
		return r.show("search", "Messages", "messages", body)
	}
	if len(body.Text) > queryMost || strings.ContainsRune(body.Text, 0) {
		return invalid("No id is longer than %d bytes, or has zero bytes.", queryMost)
	}
	if id, err := uuid.Parse(body.Text); err == nil {
		if which, known, err := c.Store.WhichMessage(r.Context(), id); err != nil {
			return err
		} else if known && r.may(which.UserID) {
			return r.see("/messages/" + id.String())
		}
	}
	if body.ByID, err = c.Store.MessagesByWorkflowID(r.Context(), r.who.scope(), body.Text, foundMost+1); err != nil {
		return err
	}
	body.ByFan, err = c.Store.MessagesByRecipient(r.Context(), r.who.scope(), body.Text, foundMost+1)
	if body.TooLong = errors.Is(err, db.ErrSearchTooLong); err != nil && !body.TooLong {
		return err
	}
	if len(body.ByID) == 1 && len(body.ByFan) == 0 && !body.TooLong {
		return r.see("/messages/" + body.ByID[0].ID.String())
	}
	body.More = len(body.ByID) > foundMost || len(body.ByFan) > foundMost
	body.ByID, body.ByFan = body.ByID[:min(foundMost, len(body.ByID))], body.ByFan[:min(foundMost, len(body.ByFan))]
	return r.show("search", "Messages", "messages", body)
}

// see leads to another page.
func (r *request) see(target string) error {
	http.Redirect(r.w, r.Request, target, http.StatusSeeOther)
	return nil
}

// pause is what a message waits for, with what a person can do about it.
type pause struct {
	Text     string
	Until    time.Time // zero: nobody knows, or somebody must act
	Expected time.Time // zero: nobody knows
	Campaign bool      // the campaign's page ends it
	Account  bool      // the account's page ends it
	Operator bool      // a decision ends it
}

// campaignLink leads to the campaign of a message.
type campaignLink struct {
	ID    uuid.UUID
	Label string
}

type messageView struct {
	db.Workflow
	Campaign *campaignLink
	Text     string
	Entries  []wording.Entry
	Pauses   []pause
	Doubt    *doubtRow
}

func (c *console) messagePage(r *request) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return errNotFound
	}
	which, known, err := c.Store.WhichMessage(r.Context(), id)
	if err != nil {
		return err
	}
	if !known || !r.may(which.UserID) {
		return errNotFound
	}
	found, err := c.Store.Explain(r.Context(), which, 1)
	if err != nil {
		return err
	}
	if len(found.Workflows) == 0 {
		return errNotFound
	}
	w := found.Workflows[0]
	r.now = found.Now
	body := messageView{Workflow: w, Text: textInWords(w), Entries: wording.Timeline(w)}
	for _, wait := range w.Waits {
		body.Pauses = append(body.Pauses, pause{Text: wording.Wait(w, wait, found.Now), Until: wait.Until, Expected: wait.Expected,
			Campaign: wait.Kind == db.WaitsForCampaign, Account: wait.Kind == db.WaitsForRest, Operator: wait.Kind == db.WaitsForOperator})
	}
	if w.CampaignID != "" {
		named, known, err := c.Store.CampaignNamed(r.Context(), w.UserID, w.CampaignID)
		if err != nil {
			return err
		}
		if known {
			body.Campaign = &campaignLink{named.ID, cmp.Or(named.Name, w.CampaignID)}
		}
	}
	if w.State.Stage == workflow.StageInDoubt && len(w.Sends) > 0 {
		doubt, open, err := c.Store.Doubt(r.Context(), db.Attempt{Workflow: w.ID, Sequence: w.Sends[len(w.Sends)-1].Sequence})
		if err != nil {
			return err
		}
		if open {
			body.Doubt = &doubtRow{Doubt: doubt, Back: "/messages/" + w.ID.String()}
		}
	}
	return r.show("message", w.WorkflowID, "messages", body)
}

// textInWords says how long the text is and who wrote it.
func textInWords(w db.Workflow) string {
	text := wording.Plural(w.ContentLength, "character")
	if w.ContentLength == 0 {
		text = "to be written"
		if w.State.Stage.Final() {
			text = "none that can be sent"
		}
		text += ", from a brief of " + wording.Plural(w.BriefLength, "character")
	}
	if w.Plan != nil {
		text += wording.Written(*w.Plan)
	}
	return text
}
