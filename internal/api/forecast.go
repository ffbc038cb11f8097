package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// queuesOf turns an account's load into what a forecast reads.
func queuesOf(load db.AccountLoad) []campaign.Queue {
	queues := make([]campaign.Queue, len(load.Queues))
	for i, q := range load.Queues {
		queues[i] = campaign.Queue{Campaign: q.CampaignID, Priority: int(q.Priority), Weight: q.Share, Messages: int(q.Messages), NotBefore: q.NotBefore, ExpiresAt: q.ExpiresAt}
	}
	return queues
}

// without leaves out a campaign's own messages.
func without(load db.AccountLoad, id uuid.UUID) db.AccountLoad {
	load.Queues = slices.DeleteFunc(slices.Clone(load.Queues), func(q db.LoadQueue) bool { return q.Campaign == id })
	return load
}

// rest says what becomes of what waits of a campaign that runs or will; nil of any other.
func (s *Server) rest(ctx context.Context, c db.CampaignDetail) (*ForecastOfRest, error) {
	if c.State != db.CampaignRunning && c.State != db.CampaignScheduled {
		return nil, nil
	}
	load, err := s.store.AccountLoad(ctx, c.UserID)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(load.Queues, func(q db.LoadQueue) bool { return q.CampaignID == c.CampaignID })
	if i < 0 {
		return &ForecastOfRest{}, nil
	}
	course := campaign.ETA(load.Now, load.Account(), queuesOf(load)).Of(i)
	return &ForecastOfRest{Waiting: load.Queues[i].Messages, NextAt: timeOf(course.Begins), EndsAt: endOf(course), Expired: int64(course.Expired)}, nil
}

func timeOf(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}

func endOf(c campaign.Course) *time.Time {
	if c.Beyond > 0 {
		return nil
	}
	return timeOf(c.Ends)
}

// EstimateInput is a campaign as it would be created, or the id of one that exists.
type EstimateInput struct {
	CampaignInput
	Start          bool   `json:"start,omitempty" doc:"As in the request that creates it; it changes nothing here."`
	CampaignID     string `json:"campaignId,omitempty" format:"uuid" doc:"A campaign that exists, instead of a description."`
	RecipientCount int    `json:"recipientCount,omitempty" minimum:"0" maximum:"1000000" doc:"How many recipients the described campaign would have, instead of their list."`
}

type estimateInput struct {
	IdempotencyHeader
	Body EstimateInput
}

// Estimate is what would become of a campaign. recipients = sent + expired + beyondHorizon + suppressed.total.
type Estimate struct {
	Recipients int `json:"recipients"`
	Suppressed struct {
		Total     int `json:"total"`
		OptedOut  int `json:"optedOut"`
		Duplicate int `json:"duplicate"`
		Expired   int `json:"expired"`
	} `json:"suppressed"`
	Sent          int        `json:"sent"`
	Expired       int        `json:"expired"`
	BeyondHorizon int        `json:"beyondHorizon"`
	BeginsAt      *time.Time `json:"beginsAt,omitempty"`
	EndsAt        *time.Time `json:"endsAt,omitempty"`
	QueuedBefore  int64      `json:"queuedBefore" doc:"Other messages of the account that wait."`
	Texts         int        `json:"texts" doc:"That are written from the brief."`
	CostUSD       *float64   `json:"costUsd,omitempty" doc:"About what the texts cost; missing: nobody knows."`
	Warnings      []Warning  `json:"warnings" nullable:"false"`
}

// Warning is something that whoever plans a campaign should know.
type Warning struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

type estimateOutput struct{ Body Estimate }

func (s *Server) estimate(ctx context.Context, who caller, in *estimateInput) (*estimateOutput, error) {
	var plan campaign.Load
	var userID string
	var id uuid.UUID
	var err error
	switch b := &in.Body; {
	case b.CampaignID != "" && b.UserID != "":
		return nil, invalid("body", "campaignId", "and a description exclude each other", "give one of them")
	case b.CampaignID != "":
		var detail db.CampaignDetail
		if detail, err = s.own(ctx, who, b.CampaignID); err != nil {
			return nil, inBody(err, "campaignId")
		}
		id, userID = detail.ID, detail.UserID
		plan, err = s.planOf(ctx, detail)
	default:
		userID = b.UserID
		plan, err = s.planFor(ctx, who, &b.CampaignInput, b.RecipientCount)
	}
	if err != nil {
		return nil, err
	}
	load, err := s.store.AccountLoad(ctx, userID)
	if err != nil {
		return nil, err
	}
	load = without(load, id)
	plan.Now, plan.Account, plan.Others = load.Now, load.Account(), queuesOf(load)
	return &estimateOutput{estimateOf(campaign.Forecast(plan), load.Waiting())}, nil
}

// inBody puts a problem about a path's field where the field is.
func inBody(err error, field string) error {
	var p *Problem
	if errors.As(err, &p) {
		for i := range p.Errors {
			p.Errors[i].In, p.Errors[i].Field = "body", field
		}
	}
	return err
}

// planFor is a described campaign.
func (s *Server) planFor(ctx context.Context, who caller, c *CampaignInput, count int) (campaign.Load, error) {
	now, err := s.store.Now(ctx)
	if err != nil {
		return campaign.Load{}, err
	}
	if c.Name == "" {
		c.Name = "estimate" // only what is created needs one
	}
	if p := c.check(who, now); p != nil {
		return campaign.Load{}, p
	}
	recipients, duplicates, p := readRecipients(c.Recipients)
	switch {
	case p != nil:
		return campaign.Load{}, p
	case count > 0 && len(c.Recipients) > 0:
		return campaign.Load{}, invalid("body", "recipientCount", "and recipients exclude each other", "give one of them")
	}
	ids := make([]string, len(recipients))
	for i, r := range recipients {
		ids[i] = r.ID
	}
	out, err := s.store.OptedOut(ctx, c.UserID, ids)
	plan := campaign.Load{
		Recipients: max(count, len(c.Recipients)), Suppressed: campaign.Suppressed{OptedOut: out, Duplicate: duplicates},
		Priority: c.Priority, Weight: c.Share, Brief: c.Brief != "", OwnTexts: c.TextPer == perRecipient,
	}
	s.complete(&plan, c.ScheduledFor, c.ExpiresAt, picoOf(c.MaxCostUSD), c.Brief)
	return plan, err
}

// planOf is what is left of a campaign that exists. Whoever opted out of a message that has ended is not counted again,
// so the number of them is an upper bound there.
func (s *Server) planOf(ctx context.Context, c db.CampaignDetail) (campaign.Load, error) {
	if campaign.State(c.State).Final() {
		return campaign.Load{}, problem(http.StatusConflict, codeState, "the campaign is "+string(c.State)+": nothing more becomes of it", FieldError{In: "body", Field: "campaignId", Reason: "is that of a campaign that is over"})
	}
	out, err := s.store.CampaignOptedOut(ctx, c.ID, c.UserID)
	if err != nil {
		return campaign.Load{}, err
	}
	left := c.Counts[workflow.StagePlanning] + c.Counts[workflow.StageQueued] + max(0, c.Recipients-c.Messages())
	share := 1
	if c.Share != nil {
		share = *c.Share
	}
	plan := campaign.Load{
		Recipients: int(left), Suppressed: campaign.Suppressed{OptedOut: min(out, int(left))}, Priority: int(c.Priority), Weight: share,
		Brief: c.BriefLength > 0, OwnTexts: c.OwnTexts,
	}
	// What a text costs depends on the length of its brief alone, and the brief itself is not read.
	s.complete(&plan, c.ScheduledFor, c.ExpiresAt, c.MaxCostPico, strings.Repeat("x", c.BriefLength))
	return plan, nil
}

// complete adds what both kinds of campaigns have.
func (s *Server) complete(plan *campaign.Load, scheduled, expires *time.Time, most *int64, brief string) {
	if scheduled != nil {
		plan.Scheduled = *scheduled
	}
	if expires != nil {
		plan.ExpiresAt = *expires
	}
	if most != nil {
		plan.MaxPicoUSD = *most
	}
	if plan.Brief {
		pico, known := s.config.TextCost(brief)
		plan.PicoUSD, plan.Unpriced = pico, !known
	}
}

func estimateOf(o campaign.Outlook, queued int64) Estimate {
	e := Estimate{Recipients: o.Recipients, Sent: o.Sent, Expired: o.Expired, BeyondHorizon: o.Beyond, BeginsAt: timeOf(o.Begins), EndsAt: endOf(o.Course),
		QueuedBefore: queued, Texts: o.Texts, Warnings: []Warning{}}
	e.Suppressed.Total, e.Suppressed.OptedOut, e.Suppressed.Duplicate, e.Suppressed.Expired = o.Suppressed.Total(), o.Suppressed.OptedOut, o.Suppressed.Duplicate, o.Suppressed.Expired
	if !o.Unpriced {
		e.CostUSD = usdOf(&o.PicoUSD)
	}
	for _, w := range o.Warnings {
		e.Warnings = append(e.Warnings, Warning(w))
	}
	return e
}
