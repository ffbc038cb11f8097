package console

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Store is what the console reads and changes. *db.Store is one.
type Store interface {
	Now(ctx context.Context) (time.Time, error)
	Summarise(ctx context.Context) (db.Summary, error)
	CampaignStore
	MessageStore
	AccountStore
	DoubtStore
	AdminStore
}

// CampaignStore are campaigns.
type CampaignStore interface {
	CampaignPage(ctx context.Context, p db.CampaignPage) ([]db.CampaignDetail, error)
	CampaignByID(ctx context.Context, id uuid.UUID) (db.CampaignDetail, error)
	CampaignNamed(ctx context.Context, userID, campaignID string) (db.CampaignName, bool, error)
	CampaignMessages(ctx context.Context, userID, campaignID string, stages []workflow.Stage, after uuid.UUID, limit int) ([]db.CampaignMessage, error)
	ChangeCampaign(ctx context.Context, campaign uuid.UUID, rule func(db.CampaignState) (db.CampaignState, error), reason string) (db.CampaignChange, error)
}

// MessageStore are messages.
type MessageStore interface {
	WhichMessage(ctx context.Context, id uuid.UUID) (db.Which, bool, error)
	Explain(ctx context.Context, which db.Which, limit int) (db.Explanation, error)
	MessagesByWorkflowID(ctx context.Context, scope db.Scope, workflowID string, limit int) ([]db.CampaignMessage, error)
	MessagesByRecipient(ctx context.Context, scope db.Scope, recipientID string, limit int) ([]db.CampaignMessage, error)
}

// AccountStore are accounts.
type AccountStore interface {
	AccountPage(ctx context.Context, scope db.Scope, after string, limit int) ([]db.AccountLine, time.Time, error)
	AccountState(ctx context.Context, userID string) (db.AccountState, time.Time, error)
	AccountLoad(ctx context.Context, userID string) (db.AccountLoad, error)
	EndRest(ctx context.Context, userID string) (bool, error)
	WakeWaiting(ctx context.Context, userID string) (int, error)
}

// DoubtStore are the messages in doubt.
type DoubtStore interface {
	DoubtsIn(ctx context.Context, scope db.Scope, limit int) ([]db.Doubt, error)
	Doubt(ctx context.Context, a db.Attempt) (db.Doubt, bool, error)
	Finish(ctx context.Context, reports []db.Finish, tokens bool) ([]db.Finished, error)
}

// AdminStore is what only admins see.
type AdminStore interface {
	Quarantine(ctx context.Context, before int64, limit int) ([]db.QuarantineEntry, error)
	Targets(ctx context.Context) (db.Targets, error)
	Flags(ctx context.Context) (flags.Table, error)
	FlagHistory(ctx context.Context, name flags.Name, userID string, before int64, most int) ([]db.FlagEntry, error)
	SetFlag(ctx context.Context, change db.FlagChange) (db.FlagChanged, error)
	ClearFlag(ctx context.Context, change db.FlagChange) (bool, error)
}
