package api

import (
	"context"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
)

// OptOut is a recipient who gets nothing from an account.
type OptOut struct {
	UserID      string    `json:"userId"`
	RecipientID string    `json:"recipientId"`
	Reason      string    `json:"reason,omitempty"`
	CreatedAt   time.Time `json:"createdAt"`
	CreatedBy   string    `json:"createdBy"`
}

type optOutsInput struct {
	AccountPath
	Page
}

type optOutsOutput struct {
	Body struct {
		OptOuts    []OptOut `json:"optOuts" nullable:"false"`
		NextCursor string   `json:"nextCursor,omitempty"`
	}
}

// OptOutPath names a recipient of an account.
type OptOutPath struct {
	AccountPath
	RecipientID string `path:"recipientId" maxLength:"256"`
}

// check checks both ids, the account first: of a foreign one nothing is said.
func (in OptOutPath) check(who caller) error {
	if err := in.account(who); err != nil {
		return err
	}
	if p := checkID("path", "recipientId", in.RecipientID); p != nil {
		return p
	}
	return nil
}

type putOptOutInput struct {
	OptOutPath
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500"`
	}
}

type optOutOutput struct{ Body OptOut }

func (s *Server) listOptOuts(ctx context.Context, who caller, in *optOutsInput) (*optOutsOutput, error) {
	if err := in.account(who); err != nil {
		return nil, err
	}
	after := ""
	if parts, p := readCursor(in.Cursor, 1); p != nil {
		return nil, p
	} else if parts != nil {
		after = parts[0]
	}
	found, err := s.store.OptOuts(ctx, in.UserID, after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &optOutsOutput{}
	out.Body.OptOuts = []OptOut{}
	for _, o := range found[:min(len(found), in.Limit)] {
		out.Body.OptOuts = append(out.Body.OptOuts, OptOut(o))
	}
	if len(found) > in.Limit {
		out.Body.NextCursor = cursorOf(found[in.Limit-1].RecipientID)
	}
	return out, nil
}

func (s *Server) getOptOut(ctx context.Context, who caller, in *OptOutPath) (*optOutOutput, error) {
	if err := in.check(who); err != nil {
		return nil, err
	}
	o, found, err := s.store.FindOptOut(ctx, in.UserID, in.RecipientID)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, notFound("path", "recipientId", "opt-out")
	}
	return &optOutOutput{OptOut(o)}, nil
}

func (s *Server) putOptOut(ctx context.Context, who caller, in *putOptOutInput) (*optOutOutput, error) {
	if err := in.check(who); err != nil {
		return nil, err
	}
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	if p := checkLine("reason", reason); p != nil {
		return nil, p
	}
	o, err := s.store.OptOut(ctx, db.OptOut{UserID: in.UserID, RecipientID: in.RecipientID, Reason: reason, CreatedBy: who.name()})
	return &optOutOutput{OptOut(o)}, err
}

func (s *Server) deleteOptOut(ctx context.Context, who caller, in *OptOutPath) (*struct{}, error) {
	if err := in.check(who); err != nil {
		return nil, err
	}
	_, err := s.store.OptIn(ctx, in.UserID, in.RecipientID)
	return nil, err
}
