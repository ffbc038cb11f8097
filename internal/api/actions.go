package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

// actions are what a person may do to a campaign, by the end of the route.
var actions = map[string]campaign.Action{"start": campaign.ActionStart, "pause": campaign.ActionPause, "resume": campaign.ActionResume, "cancel": campaign.ActionCancel}

type actionInput struct {
	IdempotencyHeader
	CampaignPath
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"Why; it is shown to everybody who asks why a message waits."`
	}
}

type actionOutput struct {
	Body struct {
		Campaign
		InFlight int `json:"inFlight" doc:"Messages whose call had begun before: they may still arrive."`
	}
}

func (s *Server) actionRoutes(tags []string) {
	for _, route := range []struct{ name, summary string }{
		{"start", "Start a campaign, or let it start by itself at scheduledFor"}, {"pause", "Send nothing more until it is resumed, from the answer on"},
		{"resume", "Let a paused campaign go on"}, {"cancel", "End a campaign for good: what was not sent is never sent"},
	} {
		register(s, huma.Operation{OperationID: route.name + "-campaign", Method: http.MethodPost, Path: "/v1/campaigns/{id}/" + route.name, Tags: tags, Summary: route.summary},
			func(ctx context.Context, who caller, in *actionInput) (*actionOutput, error) {
				return s.act(ctx, who, in, actions[route.name])
			})
	}
}

func (s *Server) act(ctx context.Context, who caller, in *actionInput, action campaign.Action) (*actionOutput, error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	if p := checkLine("reason", reason); p != nil {
		return nil, p
	}
	detail, err := s.own(ctx, who, in.ID)
	if err != nil {
		return nil, err
	}
	change, err := s.change(ctx, detail.ID, action, reason)
	if err != nil {
		return nil, campaignProblem(err)
	}
	if detail, err = s.store.CampaignByID(ctx, detail.ID); err != nil {
		return nil, campaignProblem(err)
	}
	out := &actionOutput{}
	out.Body.Campaign, out.Body.InFlight = campaignOf(detail), change.InFlight
	return out, nil
}

func (s *Server) change(ctx context.Context, id uuid.UUID, action campaign.Action, reason string) (db.CampaignChange, error) {
	return s.store.ChangeCampaign(ctx, id, func(state db.CampaignState) (db.CampaignState, error) {
		next, err := campaign.Next(campaign.State(state), action)
		return db.CampaignState(next), err
	}, reason)
}
