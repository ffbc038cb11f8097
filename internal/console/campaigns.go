package console

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

const (
	campaignsPerPage = 25
	messagesPerPage  = 50
)

// link is an entry of a row of choices.
type link struct {
	Label  string
	URL    string
	Active bool
	Count  *int64
}

type campaignsView struct {
	Campaigns []campaignRow
	States    []link
	State     string
	Next      string // URL of what follows; empty: nothing does
	First     bool   // these are the newest
}

func (c *console) campaignsPage(r *request) error {
	state := r.FormValue("state")
	if state != "" && !slices.Contains(campaign.States, campaign.State(state)) {
		return errNotFound
	}
	page := db.CampaignPage{Accounts: r.who.scope(), State: db.CampaignState(state), Limit: campaignsPerPage + 1}
	body := campaignsView{State: state, First: true}
	if cursor := r.FormValue("before"); cursor != "" {
		at, id, divided := strings.Cut(cursor, "_")
		var errs [2]error
		page.Before, errs[0] = time.Parse(time.RFC3339Nano, at)
		page.BeforeID, errs[1] = uuid.Parse(id)
		if !divided || errors.Join(errs[:]...) != nil {
			return errNotFound
		}
		body.First = false
	}
	found, err := c.Store.CampaignPage(r.Context(), page)
	if err != nil {
		return err
	}
	if len(found) > campaignsPerPage {
		found = found[:campaignsPerPage]
		last := found[len(found)-1]
		body.Next = "/campaigns?" + url.Values{"state": {state}, "before": {last.CreatedAt.UTC().Format(time.RFC3339Nano) + "_" + last.ID.String()}}.Encode()
	}
	body.Campaigns = rowsOf(found)
	body.States = []link{{Label: "all", URL: "/campaigns", Active: state == ""}}
	for _, one := range campaign.States {
		body.States = append(body.States, link{Label: string(one), URL: "/campaigns?state=" + string(one), Active: state == string(one)})
	}
	return r.show("campaigns", "Campaigns", "campaigns", body)
}

type campaignView struct {
	campaignRow
	Actions  []action
	Filters  []link
	Messages []db.CampaignMessage
	Stage    workflow.Stage
	Next     string
	First    bool
	Ends     time.Time // about; zero: not known
	Beyond   bool      // not within the years that a forecast looks ahead
	Expired  int       // that would be given up before their turn
	Text     string    // what its text is
}

func (c *console) campaignPage(r *request) error {
	found, err := r.campaign()
	if err != nil {
		return err
	}
	body := campaignView{campaignRow: rowOf(found), Actions: actionsOf(found.State), Stage: workflow.Stage(r.FormValue("stage")), First: true}
	var stages []workflow.Stage
	if body.Stage != "" {
		if !slices.Contains(workflow.Stages, body.Stage) {
			return errNotFound
		}
		stages = []workflow.Stage{body.Stage}
	}
	after := uuid.Nil
	if cursor := r.FormValue("after"); cursor != "" {
		if after, err = uuid.Parse(cursor); err != nil {
			return errNotFound
		}
		body.First = false
	}
	if body.Messages, err = c.Store.CampaignMessages(r.Context(), found.UserID, found.CampaignID, stages, after, messagesPerPage+1); err != nil {
		return err
	}
	self := "/campaigns/" + found.ID.String()
	if len(body.Messages) > messagesPerPage {
		body.Messages = body.Messages[:messagesPerPage]
		body.Next = self + "?" + url.Values{"stage": {string(body.Stage)}, "after": {body.Messages[messagesPerPage-1].ID.String()}}.Encode() + "#messages"
	}
	total := found.Messages()
	body.Filters = []link{{Label: "all", URL: self + "#messages", Active: body.Stage == "", Count: &total}}
	for _, stage := range workflow.Stages {
		if n := found.Counts[stage]; n > 0 || stage == body.Stage {
			body.Filters = append(body.Filters, link{Label: words(string(stage)), URL: self + "?stage=" + string(stage) + "#messages", Active: stage == body.Stage, Count: &n})
		}
	}
	if err := c.forecast(r.Context(), &body); err != nil {
		return err
	}
	body.Text = textOf(found)
	return r.show("campaign", body.Label(), "campaigns", body)
}

// textOf says what is sent, and never shows it.
func textOf(c db.CampaignDetail) string {
	switch {
	case c.BriefLength > 0 && c.OwnTexts:
		return "one of its own for each recipient, from a brief of " + wording.Plural(c.BriefLength, "character")
	case c.BriefLength > 0:
		return "one for all, from a brief of " + wording.Plural(c.BriefLength, "character")
	case c.ContentLength > 0:
		return wording.Plural(c.ContentLength, "character")
	}
	return "each message brings its own"
}

// forecast says when a campaign that runs, or will, has sent what waits, if nothing changes.
func (c *console) forecast(ctx context.Context, body *campaignView) error {
	if body.State != db.CampaignRunning && body.State != db.CampaignScheduled {
		return nil
	}
	load, err := c.Store.AccountLoad(ctx, body.UserID)
	if err != nil {
		return err
	}
	queues := make([]campaign.Queue, len(load.Queues))
	own := -1
	for i, q := range load.Queues {
		queues[i] = campaign.Queue{Campaign: q.CampaignID, Priority: int(q.Priority), Weight: q.Share, Messages: int(q.Messages), NotBefore: q.NotBefore, ExpiresAt: q.ExpiresAt}
		if q.CampaignID == body.CampaignID {
			own = i
		}
	}
	if own < 0 {
		return nil
	}
	course := campaign.ETA(load.Now, load.Account(), queues).Of(own)
	body.Ends, body.Beyond, body.Expired = course.Ends, course.Beyond > 0, course.Expired
	return nil
}

// campaign is the one that the path names, if the request may see it.
func (r *request) campaign() (db.CampaignDetail, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return db.CampaignDetail{}, errNotFound
	}
	found, err := r.c.Store.CampaignByID(r.Context(), id)
	if err == nil && !r.may(found.UserID) {
		err = errNotFound
	}
	return found, err
}

func (c *console) changeCampaign(r *request) error {
	found, err := r.campaign()
	if err != nil {
		return err
	}
	name := campaign.Action(r.PathValue("action"))
	switch name {
	case campaign.ActionStart, campaign.ActionPause, campaign.ActionResume, campaign.ActionCancel:
	default:
		return errNotFound
	}
	reason, err := r.reason(false)
	if err != nil {
		return err
	}
	chosen := name
	if name == campaign.ActionResume && found.ScheduledFor != nil && found.ScheduledFor.After(r.now) {
		chosen = campaign.ActionSchedule // it was paused before its time, which is still to come
	}
	change, err := c.Store.ChangeCampaign(r.Context(), found.ID, func(state db.CampaignState) (db.CampaignState, error) {
		next, err := campaign.Next(campaign.State(state), chosen)
		return db.CampaignState(next), err
	}, reason)
	var wrong *campaign.TransitionError
	if errors.As(err, &wrong) {
		return conflict("The campaign is %s now: %s.", wrong.State, wrong.Error())
	}
	if err != nil {
		return err
	}
	r.said("campaign changed", "campaign", found.ID, "action", string(name), "state", string(change.State), "inFlight", change.InFlight)
	text := "The campaign is " + string(change.State) + "."
	if change.InFlight > 0 {
		text += " " + wording.Plural(change.InFlight, "call") + " in flight may still arrive."
	}
	return r.done("/campaigns/"+found.ID.String(), "%s", text)
}
