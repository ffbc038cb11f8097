package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/text"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// addAtOnce is how many recipients are added in one transaction.
const addAtOnce = 5000

// IdempotencyHeader documents the header of every POST; a middleware acts on it.
type IdempotencyHeader struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"The same key with the same request is answered the same again, for 24 hours."`
}

// CampaignInput is a campaign as somebody describes it.
type CampaignInput struct {
	UserID       string           `json:"userId,omitempty" minLength:"1" maxLength:"256" doc:"The account that sends."`
	Name         string           `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Content      string           `json:"content,omitempty" maxLength:"20000" doc:"The text; {{name}} and {{name|default}} stand for the recipient's merge fields."`
	Brief        string           `json:"brief,omitempty" maxLength:"8000" doc:"Or what the text is to be written from."`
	TextPer      string           `json:"textPer,omitempty" enum:"campaign,recipient" default:"campaign" doc:"Whether a text from a brief is written once, or for each recipient."`
	Recipients   []RecipientInput `json:"recipients,omitempty" nullable:"false" maxItems:"10000"`
	Priority     int              `json:"priority,omitempty" minimum:"1" maximum:"4" default:"3" doc:"1 goes first, 4 last."`
	Share        int              `json:"share,omitempty" minimum:"1" maximum:"100" default:"1" doc:"Its weight among the account's campaigns of the same priority."`
	ScheduledFor *time.Time       `json:"scheduledFor,omitempty" doc:"Not before; missing: when it is started."`
	ExpiresAt    *time.Time       `json:"expiresAt,omitempty" doc:"What was not sent before is not sent."`
	MaxCostUSD   *float64         `json:"maxCostUsd,omitempty" exclusiveMinimum:"0" maximum:"1000000" doc:"What its texts may cost."`
}

// CreateInput is a campaign that is to be created.
type CreateInput struct {
	CampaignInput
	Start bool `json:"start,omitempty" doc:"Start it at once (at scheduledFor, if that is to come)."`
}

// TransformSchema adds what only a campaign must have that is created.
func (CreateInput) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Required = append(s.Required, "userId", "name")
	s.PrecomputeMessages()
	return s
}

type createInput struct {
	IdempotencyHeader
	RawBody []byte
	Body    CreateInput
}

type campaignOutput struct {
	Location string `header:"Location"`
	Body     struct {
		Campaign
		Duplicates int `json:"duplicates" doc:"Recipients of this request that stood in it twice, or were there already."`
	}
}

func (s *Server) campaignRoutes() {
	tags := []string{"Campaigns"}
	register(s, huma.Operation{OperationID: "create-campaign", Method: http.MethodPost, Path: "/v1/campaigns", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Create a campaign as a draft, or start it at once"}, s.createCampaign)
	register(s, huma.Operation{OperationID: "list-campaigns", Method: http.MethodGet, Path: "/v1/campaigns", Tags: tags, Summary: "List campaigns, the newest first"}, s.listCampaigns)
	register(s, huma.Operation{OperationID: "get-campaign", Method: http.MethodGet, Path: "/v1/campaigns/{id}", Tags: tags, Summary: "A campaign, with the counts of its messages and a forecast"}, s.getCampaign)
	register(s, huma.Operation{OperationID: "list-campaign-workflows", Method: http.MethodGet, Path: "/v1/campaigns/{id}/workflows", Tags: tags, Summary: "List a campaign's messages, in the order in which they were made"}, s.listMessages)
	register(s, huma.Operation{OperationID: "estimate-campaign", Method: http.MethodPost, Path: "/v1/campaigns:estimate", Tags: tags, Summary: "What would become of a campaign: how many, how long, what it costs. Nothing is changed"}, s.estimate)
	s.actionRoutes(tags)
	s.uploadRoute(tags)
	s.eventRoute(tags)
}

// check finds what the schema can't say.
func (c *CampaignInput) check(who caller, now time.Time) *Problem {
	if p := checkID("body", "userId", c.UserID); p != nil {
		return p
	}
	if !who.may(c.UserID) {
		return notFound("body", "userId", "account")
	}
	for _, p := range []*Problem{checkLine("name", c.Name), checkTime("scheduledFor", c.ScheduledFor, now), checkTime("expiresAt", c.ExpiresAt, now)} {
		if p != nil {
			return p
		}
	}
	switch {
	case strings.TrimSpace(c.Name) == "":
		return invalid("body", "name", "is empty", "give the campaign a name by which people know it")
	case c.Content == "" && c.Brief == "":
		return invalid("body", "content", "is missing, and so is brief", "give the text, or a brief from which it is written")
	case c.Content != "" && c.Brief != "":
		return invalid("body", "brief", "and content exclude each other", "leave one of them out")
	case c.Content != "" && (strings.TrimSpace(c.Content) == "" || strings.ContainsRune(c.Content, 0)):
		return invalid("body", "content", "is blank or contains NUL characters", "give a text that can be sent")
	case c.Content != "" && c.TextPer == perRecipient:
		return invalid("body", "textPer", "is for texts from a brief", "leave it out")
	case c.ExpiresAt != nil && !c.ExpiresAt.After(now):
		return invalid("body", "expiresAt", "is over", "choose a time to come, or leave it out")
	case c.ExpiresAt != nil && c.ScheduledFor != nil && !c.ExpiresAt.After(*c.ScheduledFor):
		return invalid("body", "expiresAt", "is not after scheduledFor", "choose a later time")
	}
	if c.Brief != "" {
		if err := text.CheckBrief(c.Brief); err != nil {
			return invalid("body", "brief", "can't be used: "+err.Error(), "")
		}
	}
	return nil
}

func (s *Server) createCampaign(ctx context.Context, who caller, in *createInput) (*campaignOutput, error) {
	b := &in.Body
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	if p := b.check(who, now); p != nil {
		return nil, p
	}
	recipients, duplicates, p := readRecipients(b.Recipients)
	if p != nil {
		return nil, p
	}
	id := s.newID(ctx, who, in.RawBody)
	err = s.store.CreateCampaign(ctx, db.NewCampaign{
		ID: id, UserID: b.UserID, Name: b.Name, Content: b.Content, Brief: b.Brief, OwnTexts: b.TextPer == perRecipient, Priority: workflow.Priority(b.Priority), Share: b.Share,
		ScheduledFor: b.ScheduledFor, ExpiresAt: b.ExpiresAt, MaxCostPico: picoOf(b.MaxCostUSD), CreatedBy: who.name(),
	})
	if err != nil {
		// It may be there already: then this is the repetition of a request that was lost with its process.
		if found, look := s.store.CampaignByID(ctx, id); look != nil || found.UserID != b.UserID {
			return nil, err
		}
	}
	for batch := range batches(recipients) {
		added, err := s.store.AddRecipients(ctx, id, batch)
		if err != nil {
			return nil, campaignProblem(err)
		}
		s.config.Metrics.handedOver(added.Added, added.Duplicates, 0)
		duplicates += int(added.Duplicates)
	}
	if b.Start {
		if _, err := s.change(ctx, id, actions["start"], "started by "+who.name()); err != nil {
			return nil, campaignProblem(err)
		}
	}
	detail, err := s.store.CampaignByID(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &campaignOutput{Location: "/v1/campaigns/" + id.String()}
	out.Body.Campaign, out.Body.Duplicates = campaignOf(detail), duplicates
	return out, nil
}

// newID is a new id; under an Idempotency-Key always the same for the same request, so that a repetition completes what
// a process left unfinished.
func (s *Server) newID(ctx context.Context, who caller, body []byte) uuid.UUID {
	i := infoOf(ctx)
	if i.key == "" {
		return uuid.Must(uuid.NewV7())
	}
	name := fmt.Appendf(nil, "%s\n%s\n%d\n%x", who.key.ID, i.key, i.since.UnixMicro(), sha256.Sum256(body))
	return uuid.NewHash(sha256.New(), uuid.NameSpaceURL, name, 8)
}

// batches divides recipients.
func batches(recipients []db.Recipient) func(func([]db.Recipient) bool) {
	return func(yield func([]db.Recipient) bool) {
		for len(recipients) > 0 {
			n := min(addAtOnce, len(recipients))
			if !yield(recipients[:n]) {
				return
			}
			recipients = recipients[n:]
		}
	}
}

// campaignProblem is the answer to what the store says about a campaign.
func campaignProblem(err error) error {
	switch {
	case errors.Is(err, db.ErrNoCampaign):
		return notFound("path", "id", "campaign")
	case errors.Is(err, db.ErrCampaignState):
		reason := strings.TrimPrefix(err.Error()[strings.Index(err.Error(), db.ErrCampaignState.Error()):], db.ErrCampaignState.Error()+": ")
		return problem(http.StatusConflict, codeState, reason, FieldError{In: "path", Field: "id", Reason: "is that of a campaign in another state"})
	}
	return err
}

// own returns a campaign of an account that the caller may use.
func (s *Server) own(ctx context.Context, who caller, id string) (db.CampaignDetail, error) {
	parsed, p := campaignID(id)
	if p != nil {
		return db.CampaignDetail{}, p
	}
	detail, err := s.store.CampaignByID(ctx, parsed)
	if err != nil {
		return detail, campaignProblem(err)
	}
	if !who.may(detail.UserID) {
		return detail, notFound("path", "id", "campaign")
	}
	return detail, nil
}

type CampaignPath struct {
	ID string `path:"id" format:"uuid"`
}

type oneCampaign struct{ Body Campaign }

func (s *Server) getCampaign(ctx context.Context, who caller, in *CampaignPath) (*oneCampaign, error) {
	detail, err := s.own(ctx, who, in.ID)
	if err != nil {
		return nil, err
	}
	out := &oneCampaign{campaignOf(detail)}
	out.Body.Forecast, err = s.rest(ctx, detail)
	return out, err
}
