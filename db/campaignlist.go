package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Campaign is one campaign's row, and how many of its messages wait.
type Campaign struct {
	UserID     string
	CampaignID string
	State      CampaignState
	Reason     string
	ChangedAt  time.Time
	CreatedAt  time.Time
	Queued     Count // of a list only
}

const campaignColumns = `c.user_id, c.campaign_id, c.state, c.reason, c.changed_at, c.created_at`

func scanCampaign(row pgx.CollectableRow) (c Campaign, err error) {
	return c, row.Scan(&c.UserID, &c.CampaignID, &c.State, &c.Reason, &c.ChangedAt, &c.CreatedAt)
}

// campaignQueuedMost is how far the parked messages of each campaign of a list are counted.
const campaignQueuedMost = 1000

// Campaigns lists campaigns by account and id, of one account if userID is not empty, at most limit of those
// that come after the given one (none: from the start).
func (s *Store) Campaigns(ctx context.Context, userID string, after Campaign, limit int) ([]Campaign, error) {
	where, args := "true", []any{campaignQueuedMost + 1, limit, after.UserID, after.CampaignID}
	if userID != "" {
		where, args = "c.user_id = $5", append(args, userID)
	}
	rows, err := s.pool.Query(ctx, `
		SELECT `+campaignColumns+`, (SELECT count(*) FROM (SELECT 1 FROM hybrid_workflows w
			WHERE w.user_id = c.user_id AND w.stage = 'queued' AND w.campaign_id = c.campaign_id LIMIT $1) w)
		FROM (SELECT * FROM campaigns c WHERE `+where+` AND (c.user_id, c.campaign_id) > ($3, $4)
			ORDER BY c.user_id, c.campaign_id LIMIT $2) c
		ORDER BY c.user_id, c.campaign_id`, args...)
	if err != nil {
		return nil, fmt.Errorf("campaigns: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Campaign, err error) {
		var queued int64
		err = row.Scan(&c.UserID, &c.CampaignID, &c.State, &c.Reason, &c.ChangedAt, &c.CreatedAt, &queued)
		c.Queued = bounded(queued, campaignQueuedMost)
		return c, err
	})
}

// Campaign returns one campaign; known is false before its first message, and it was never paused either.
func (s *Store) Campaign(ctx context.Context, userID, campaignID string) (c Campaign, known bool, err error) {
	rows, err := s.pool.Query(ctx, `SELECT `+campaignColumns+` FROM campaigns c WHERE c.user_id = $1 AND c.campaign_id = $2`, userID, campaignID)
	if err != nil {
		return c, false, fmt.Errorf("campaign: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanCampaign)
	if err != nil || len(all) == 0 {
		return c, false, err
	}
	return all[0], true, nil
}
