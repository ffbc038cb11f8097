package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// CampaignDetail is one campaign with what has become of its messages. It never holds a text, only how long it is.
type CampaignDetail struct {
	Campaign
	ID            uuid.UUID
	Name          string
	Source        string // api, or messages: it was first heard of in a message
	ContentLength int    // characters
	BriefLength   int    // characters
	OwnTexts      bool
	Priority      workflow.Priority
	Share         *int // nil: none, the account's oldest message goes first
	ScheduledFor  *time.Time
	ExpiresAt     *time.Time
	MaxCostPico   *int64
	CreatedBy     string
	StartedAt     *time.Time
	EndedAt       *time.Time
	Recipients    int64                    // accepted so far
	Expanding     bool                     // some of them are not messages yet
	Counts        map[workflow.Stage]int64 // its messages by stage; exact
	Cost          PlanCostSum              // of its texts
}

// Messages is how many messages it has.
func (c CampaignDetail) Messages() (total int64) {
	for _, n := range c.Counts {
		total += n
	}
	return total
}

// Live is how many of them have not ended.
func (c CampaignDetail) Live() (live int64) {
	for stage, n := range c.Counts {
		if !stage.Final() {
			live += n
		}
	}
	return live
}

// campaignDetailSQL reads campaigns that are chosen by a table c. What has changed since the last sum is added.
func campaignDetailSQL(from string) string {
	return `SELECT ` + campaignColumns + `, c.id, c.name, c.source, length(c.content), length(c.brief), c.own_texts, c.priority, c.share, c.scheduled_for, c.expires_at,
		c.max_cost_pico, c.created_by, c.started_at, c.ended_at, coalesce(e.recipients, 0), coalesce(e.due_at IS NOT NULL, false),
		(SELECT jsonb_object_agg(n.stage, n.number) FROM (SELECT a.stage, sum(a.number) AS number FROM (
				SELECT k.stage, k.number FROM campaign_counts k WHERE k.user_id = c.user_id AND k.campaign_id = c.campaign_id
				UNION ALL SELECT d.stage, d.number FROM campaign_deltas d WHERE d.user_id = c.user_id AND d.campaign_id = c.campaign_id) a
			GROUP BY a.stage HAVING sum(a.number) <> 0) n),
		(SELECT jsonb_build_object('calls', count(*), 'picoUsd', coalesce(sum(p.pico_usd), 0), 'estimated', count(*) FILTER (WHERE p.kind = 'estimated'),
				'unpriced', count(*) FILTER (WHERE p.kind = 'unpriced')) FROM provider_costs p WHERE p.user_id = c.user_id AND p.campaign_id = c.campaign_id AND p.campaign_id <> '')
	FROM ` + from + ` LEFT JOIN LATERAL (SELECT * FROM campaign_expansions e WHERE e.campaign = c.id LIMIT 1) e ON true`
}

func scanCampaignDetail(row pgx.CollectableRow) (c CampaignDetail, err error) {
	var counts, cost []byte
	var content, brief *int
	if err := row.Scan(&c.UserID, &c.CampaignID, &c.State, &c.Reason, &c.ChangedAt, &c.CreatedAt, &c.ID, &c.Name, &c.Source, &content, &brief, &c.OwnTexts, &c.Priority,
		&c.Share, &c.ScheduledFor, &c.ExpiresAt, &c.MaxCostPico, &c.CreatedBy, &c.StartedAt, &c.EndedAt, &c.Recipients, &c.Expanding, &counts, &cost); err != nil {
		return c, err
	}
	c.ContentLength, c.BriefLength = *content, *brief
	c.Counts = map[workflow.Stage]int64{}
	if counts != nil {
		if err := json.Unmarshal(counts, &c.Counts); err != nil {
			return c, fmt.Errorf("counts of campaign %s: %w", c.ID, err)
		}
	}
	if err := json.Unmarshal(cost, &c.Cost); err != nil {
		return c, fmt.Errorf("cost of campaign %s: %w", c.ID, err)
	}
	return c, nil
}

// CampaignByID returns one campaign, ErrNoCampaign if there is none.
func (s *Store) CampaignByID(ctx context.Context, id uuid.UUID) (CampaignDetail, error) {
	rows, err := s.pool.Query(ctx, campaignDetailSQL("campaigns c")+` WHERE c.id = $1`, id)
	if err != nil {
		return CampaignDetail{}, fmt.Errorf("campaign: %w", err)
	}
	found, err := pgx.CollectExactlyOneRow(rows, scanCampaignDetail)
	if errors.Is(err, pgx.ErrNoRows) {
		return found, ErrNoCampaign
	}
	if err != nil {
		return found, fmt.Errorf("campaign: %w", err)
	}
	return found, nil
}

// CampaignPage asks for campaigns, the newest first.
type CampaignPage struct {
	Accounts []string      // nil: of all
	State    CampaignState // empty: any
	Before   time.Time     // created before that campaign; zero: from the newest on
	BeforeID uuid.UUID
	Limit    int
}

// CampaignPage lists campaigns.
func (s *Store) CampaignPage(ctx context.Context, p CampaignPage) ([]CampaignDetail, error) {
	before, id := p.Before, p.BeforeID
	if before.IsZero() {
		before, id = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), uuid.Max
	}
	const page = `(c.created_at, c.id) < ($1, $2) AND ($3 = '' OR c.state = $3) ORDER BY c.created_at DESC, c.id DESC LIMIT $4`
	from, args := `(SELECT * FROM campaigns c WHERE `+page+`) c`, []any{before, id, string(p.State), p.Limit}
	if p.Accounts != nil {
		from = `(SELECT c.* FROM unnest($5::text[]) AS a(user_id) CROSS JOIN LATERAL (SELECT * FROM campaigns c WHERE c.user_id || '' = a.user_id AND ` + page + `) c
			ORDER BY c.created_at DESC, c.id DESC LIMIT $4) c`
		args = append(args, p.Accounts)
	}
	rows, err := s.pool.Query(ctx, campaignDetailSQL(from)+` ORDER BY c.created_at DESC, c.id DESC`, args...)
	if err != nil {
		return nil, fmt.Errorf("campaigns: %w", err)
	}
	found, err := pgx.CollectRows(rows, scanCampaignDetail)
	if err != nil {
		return nil, fmt.Errorf("campaigns: %w", err)
	}
	return found, nil
}

// CampaignMessage is one line of a campaign's list of messages.
type CampaignMessage struct {
	ID          uuid.UUID
	UserID      string
	WorkflowID  string
	RecipientID string
	Stage       workflow.Stage
	NotBefore   time.Time
	LastError   string
	UpdatedAt   time.Time
}

// CampaignMessages lists a campaign's messages in the order in which they were made, those after the given one (zero:
// from the first), of the given stages (none: of all).
func (s *Store) CampaignMessages(ctx context.Context, userID, campaignID string, stages []workflow.Stage, after uuid.UUID, limit int) ([]CampaignMessage, error) {
	if len(stages) == 0 {
		stages = workflow.Stages
	}
	names := make([]string, len(stages))
	for i, stage := range stages {
		names[i] = string(stage)
	}
	slices.Sort(names)
	rows, err := s.pool.Query(ctx, `SELECT w.id, w.user_id, w.workflow_id, w.recipient_id, w.stage, w.not_before, w.last_error, w.updated_at
		FROM unnest($3::text[]) AS s(stage)
		CROSS JOIN LATERAL (SELECT * FROM hybrid_workflows w WHERE w.user_id || '' = $1 AND w.campaign_id = $2 AND w.campaign_id <> '' AND w.stage = s.stage AND w.id > $4 ORDER BY w.id LIMIT $5) w
		ORDER BY w.id LIMIT $5`, userID, campaignID, slices.Compact(names), after, limit)
	if err != nil {
		return nil, fmt.Errorf("messages of the campaign: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m CampaignMessage, err error) {
		return m, row.Scan(&m.ID, &m.UserID, &m.WorkflowID, &m.RecipientID, &m.Stage, &m.NotBefore, &m.LastError, &m.UpdatedAt)
	})
}
