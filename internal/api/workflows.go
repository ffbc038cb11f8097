package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Workflow is the state of one message: exactly the members of the contract.
type Workflow struct {
	ID              uuid.UUID               `json:"id"`
	WorkflowID      string                  `json:"workflowId"`
	UserID          string                  `json:"userId"`
	RecipientID     string                  `json:"recipientId"`
	CampaignID      string                  `json:"campaignId"`
	Stage           workflow.Stage          `json:"stage"`
	CreatedAt       time.Time               `json:"createdAt"`
	UpdatedAt       time.Time               `json:"updatedAt"`
	NotBefore       time.Time               `json:"notBefore"`
	ProviderStates  workflow.ProviderStates `json:"providerStates"`
	FallbackHistory []workflow.Fallback     `json:"fallbackHistory" nullable:"false"`
	RetryAttempts   workflow.RetryAttempts  `json:"retryAttempts"`
	CurrentProvider workflow.Provider       `json:"currentProvider"`
	SQSMessageID    string                  `json:"sqsMessageId"`
	CheckpointData  json.RawMessage         `json:"checkpointData"`
	TraceContext    workflow.TraceContext   `json:"traceContext"`
}

// WorkflowOf is the form of a workflow for programs.
func WorkflowOf(w db.Workflow) Workflow {
	return Workflow{
		ID: w.ID, WorkflowID: w.WorkflowID, UserID: w.UserID, RecipientID: w.RecipientID, CampaignID: w.CampaignID,
		Stage: w.State.Stage, CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt, NotBefore: w.State.NotBefore,
		ProviderStates: w.State.ProviderStates, FallbackHistory: append([]workflow.Fallback{}, w.State.FallbackHistory...),
		RetryAttempts: w.State.RetryAttempts, CurrentProvider: w.State.CurrentProvider, SQSMessageID: w.SQSMessageID,
		CheckpointData: w.State.CheckpointData, TraceContext: w.Trace,
	}
}

type workflowInput struct {
	WorkflowID  string `path:"workflowId" maxLength:"256"`
	UserID      string `query:"userId" maxLength:"256" doc:"Which account, if several have a workflow with that id."`
	RecipientID string `query:"recipientId" maxLength:"256" doc:"Which recipient, if several have one with that id."`
}

type workflowOutput struct {
	Body struct {
		Workflow
		Timeline []wording.Entry `json:"timeline" nullable:"false" doc:"What happened to it, oldest first; what it waits for now stands at the end."`
	}
}

func (s *Server) getWorkflow(ctx context.Context, who caller, in *workflowInput) (*workflowOutput, error) {
	if p := checkID("path", "workflowId", in.WorkflowID); p != nil {
		return nil, p
	}
	for name, value := range map[string]string{"userId": in.UserID, "recipientId": in.RecipientID} {
		if value == "" {
			continue
		}
		if p := checkID("query", name, value); p != nil {
			return nil, p
		}
	}
	which := db.Which{WorkflowID: in.WorkflowID, UserID: in.UserID, RecipientID: in.RecipientID}
	if which.UserID == "" && !who.key.Admin {
		accounts, err := s.store.WorkflowAccounts(ctx, which, who.accounts())
		switch {
		case err != nil:
			return nil, err
		case len(accounts) == 0:
			return nil, notFound("path", "workflowId", "workflow")
		case len(accounts) > 1:
			return nil, several()
		}
		which.UserID = accounts[0]
	}
	if which.UserID != "" && !who.may(which.UserID) {
		return nil, notFound("path", "workflowId", "workflow")
	}
	found, err := s.store.Explain(ctx, which, 1)
	switch {
	case err != nil:
		return nil, err
	case len(found.Workflows) == 0:
		return nil, notFound("path", "workflowId", "workflow")
	case found.More:
		return nil, several()
	}
	w := found.Workflows[0]
	out := &workflowOutput{}
	out.Body.Workflow, out.Body.Timeline = WorkflowOf(w), wording.Timeline(w)
	for _, wait := range w.Waits {
		out.Body.Timeline = append(out.Body.Timeline, wording.Entry{At: found.Now, What: "waits", Text: wording.Wait(w, wait, found.Now)})
	}
	return out, nil
}

func several() *Problem {
	return problem(http.StatusConflict, codeSeveral, "several messages have that workflowId",
		FieldError{"query", "recipientId", "is needed to choose one", "add ?recipientId=…, and userId=… if several accounts have it"})
}
