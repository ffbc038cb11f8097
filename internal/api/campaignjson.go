package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Campaign is a campaign as the API shows it. It never holds a text, only how long it is.
type Campaign struct {
	ID            uuid.UUID       `json:"id"`
	UserID        string          `json:"userId"`
	CampaignID    string          `json:"campaignId" doc:"By which messages name it; of a campaign that the API made its id."`
	Name          string          `json:"name"`
	State         string          `json:"state" enum:"draft,scheduled,running,paused,completed,cancelled,failed"`
	Reason        string          `json:"reason,omitempty" doc:"Why it is in that state, as somebody wrote it."`
	Source        string          `json:"source" enum:"api,messages" doc:"Who made it: the API, or a message that names it."`
	Priority      int             `json:"priority"`
	Share         *int            `json:"share,omitempty"`
	TextPer       string          `json:"textPer" enum:"campaign,recipient"`
	ContentLength int             `json:"contentLength" doc:"Characters."`
	BriefLength   int             `json:"briefLength" doc:"Characters."`
	ScheduledFor  *time.Time      `json:"scheduledFor,omitempty"`
	ExpiresAt     *time.Time      `json:"expiresAt,omitempty"`
	MaxCostUSD    *float64        `json:"maxCostUsd,omitempty"`
	CostUSD       float64         `json:"costUsd" doc:"What its texts have cost so far, without calls whose price nobody knows."`
	UnpricedCalls int             `json:"unpricedCalls"`
	Recipients    int64           `json:"recipients" doc:"Accepted so far, each once."`
	Expanding     bool            `json:"expanding" doc:"Some recipients are not messages yet."`
	Counts        Counts          `json:"counts" doc:"Its messages by stage, exactly."`
	CreatedBy     string          `json:"createdBy,omitempty"`
	CreatedAt     time.Time       `json:"createdAt"`
	ChangedAt     time.Time       `json:"changedAt"`
	StartedAt     *time.Time      `json:"startedAt,omitempty"`
	EndedAt       *time.Time      `json:"endedAt,omitempty"`
	Forecast      *ForecastOfRest `json:"forecast,omitempty" doc:"When the rest goes, if nothing changes. Not in lists, and not of a campaign that is over or paused."`
}

// Counts are messages by stage.
type Counts struct {
	Planning  int64 `json:"planning"`
	Queued    int64 `json:"queued"`
	Sending   int64 `json:"sending"`
	InDoubt   int64 `json:"in_doubt"`
	Sent      int64 `json:"sent"`
	Failed    int64 `json:"failed"`
	Cancelled int64 `json:"cancelled"`
	Expired   int64 `json:"expired"`
}

// ForecastOfRest is what becomes of what waits.
type ForecastOfRest struct {
	Waiting int64      `json:"waiting" doc:"Messages that have not gone yet, and recipients that are no messages yet."`
	NextAt  *time.Time `json:"nextAt,omitempty" doc:"About when the next one goes."`
	EndsAt  *time.Time `json:"endsAt,omitempty" doc:"About when the last one has gone; none if that is not foreseen."`
	Expired int64      `json:"expired" doc:"How many will not go before expiresAt."`
}

func countsOf(counts map[workflow.Stage]int64) Counts {
	return Counts{
		Planning: counts[workflow.StagePlanning], Queued: counts[workflow.StageQueued], Sending: counts[workflow.StageSending], InDoubt: counts[workflow.StageInDoubt],
		Sent: counts[workflow.StageSent], Failed: counts[workflow.StageFailed], Cancelled: counts[workflow.StageCancelled], Expired: counts[workflow.StageExpired],
	}
}

func campaignOf(c db.CampaignDetail) Campaign {
	return Campaign{
		ID: c.ID, UserID: c.UserID, CampaignID: c.CampaignID, Name: c.Name, State: string(c.State), Reason: c.Reason, Source: c.Source, Priority: int(c.Priority), Share: c.Share,
		TextPer: textPer(c.OwnTexts), ContentLength: c.ContentLength, BriefLength: c.BriefLength, ScheduledFor: c.ScheduledFor, ExpiresAt: c.ExpiresAt,
		MaxCostUSD: usdOf(c.MaxCostPico), CostUSD: float64(c.Cost.PicoUSD) / picoPerUSD, UnpricedCalls: c.Cost.Unpriced, Recipients: c.Recipients, Expanding: c.Expanding,
		Counts: countsOf(c.Counts), CreatedBy: c.CreatedBy, CreatedAt: c.CreatedAt, ChangedAt: c.ChangedAt, StartedAt: c.StartedAt, EndedAt: c.EndedAt,
	}
}

// The values of textPer.
const (
	perCampaign  = "campaign"
	perRecipient = "recipient"
)

func textPer(own bool) string {
	if own {
		return perRecipient
	}
	return perCampaign
}
