package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Page is how every list is asked for.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Cursor string `query:"cursor" maxLength:"1000" doc:"nextCursor of the page before."`
}

type campaignsInput struct {
	Page
	UserID string `query:"userId" maxLength:"256"`
	State  string `query:"state" enum:"draft,scheduled,running,paused,completed,cancelled,failed"`
}

type campaignsOutput struct {
	Body struct {
		Campaigns  []Campaign `json:"campaigns" nullable:"false"`
		NextCursor string     `json:"nextCursor,omitempty" doc:"There are more: ask again with cursor."`
	}
}

func (s *Server) listCampaigns(ctx context.Context, who caller, in *campaignsInput) (*campaignsOutput, error) {
	ask := db.CampaignPage{Accounts: who.accounts(), State: db.CampaignState(in.State), Limit: in.Limit + 1}
	if in.UserID != "" {
		if p := checkID("query", "userId", in.UserID); p != nil {
			return nil, p
		}
		if !who.may(in.UserID) {
			return nil, notFound("query", "userId", "account")
		}
		ask.Accounts = []string{in.UserID}
	}
	parts, p := readCursor(in.Cursor, 2)
	if p != nil {
		return nil, p
	}
	if parts != nil {
		var errTime, errID error
		ask.Before, errTime = time.Parse(time.RFC3339Nano, parts[0])
		ask.BeforeID, errID = uuid.Parse(parts[1])
		if errTime != nil || errID != nil {
			return nil, badCursor()
		}
	}
	found, err := s.store.CampaignPage(ctx, ask)
	if err != nil {
		return nil, err
	}
	out := &campaignsOutput{}
	out.Body.Campaigns = []Campaign{}
	for _, c := range found[:min(len(found), in.Limit)] {
		out.Body.Campaigns = append(out.Body.Campaigns, campaignOf(c))
	}
	if len(found) > in.Limit {
		last := found[in.Limit-1]
		out.Body.NextCursor = cursorOf(last.CreatedAt.UTC().Format(time.RFC3339Nano), last.ID.String())
	}
	return out, nil
}

type messagesInput struct {
	CampaignPath
	Page
	Stage []string `query:"stage" enum:"planning,queued,sending,in_doubt,sent,failed,cancelled,expired" doc:"Only of these stages, divided by commas."`
}

// Message is one line of a campaign's list.
type Message struct {
	ID          uuid.UUID `json:"id"`
	WorkflowID  string    `json:"workflowId"`
	UserID      string    `json:"userId"`
	RecipientID string    `json:"recipientId"`
	Stage       string    `json:"stage"`
	NotBefore   time.Time `json:"notBefore"`
	LastError   string    `json:"lastError,omitempty"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

type messagesOutput struct {
	Body struct {
		Workflows  []Message `json:"workflows" nullable:"false"`
		NextCursor string    `json:"nextCursor,omitempty"`
	}
}

func (s *Server) listMessages(ctx context.Context, who caller, in *messagesInput) (*messagesOutput, error) {
	detail, err := s.own(ctx, who, in.ID)
	if err != nil {
		return nil, err
	}
	parts, p := readCursor(in.Cursor, 1)
	if p != nil {
		return nil, p
	}
	var after uuid.UUID
	if parts != nil {
		if after, err = uuid.Parse(parts[0]); err != nil {
			return nil, badCursor()
		}
	}
	var stages []workflow.Stage
	for _, name := range in.Stage {
		if !slices.Contains(workflow.Stages, workflow.Stage(name)) {
			return nil, invalid("query", "stage", "is not a stage", "use "+stageNames())
		}
		stages = append(stages, workflow.Stage(name))
	}
	found, err := s.store.CampaignMessages(ctx, detail.UserID, detail.CampaignID, stages, after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &messagesOutput{}
	out.Body.Workflows = []Message{}
	for _, m := range found[:min(len(found), in.Limit)] {
		out.Body.Workflows = append(out.Body.Workflows, Message{m.ID, m.WorkflowID, m.UserID, m.RecipientID, string(m.Stage), m.NotBefore, m.LastError, m.UpdatedAt})
	}
	if len(found) > in.Limit {
		out.Body.NextCursor = cursorOf(found[in.Limit-1].ID.String())
	}
	return out, nil
}

func stageNames() string {
	names := make([]string, len(workflow.Stages))
	for i, stage := range workflow.Stages {
		names[i] = string(stage)
	}
	return strings.Join(names, ", ")
}
