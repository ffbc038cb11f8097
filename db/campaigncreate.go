package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// The states of campaigns that the API made, besides those of all.
const (
	CampaignDraft     CampaignState = "draft"     // recipients are being added
	CampaignScheduled CampaignState = "scheduled" // starts by itself at its time
	CampaignCompleted CampaignState = "completed" // every message has ended
	CampaignFailed    CampaignState = "failed"    // it can't go on
)

// NewCampaign is a campaign that is to be created. Its messages come later, from its recipients.
type NewCampaign struct {
	ID           uuid.UUID
	UserID       string
	Name         string
	Content      string // or Brief
	Brief        string
	OwnTexts     bool // a text for each recipient
	Priority     workflow.Priority
	Share        int        // of the account's rate among campaigns of one priority: a weight from 1 to 100
	ScheduledFor *time.Time // nil: when it is started
	ExpiresAt    *time.Time // nil: never
	MaxCostPico  *int64     // of its texts; nil: no limit
	CreatedBy    string
}

// Recipient is one of a campaign.
type Recipient struct {
	ID     string
	Fields map[string]string
}

// AddedRecipients says what became of recipients.
type AddedRecipients struct {
	Added      int64
	Duplicates int64 // that the campaign had already, or twice in what was added
	Total      int64 // that it has now
}

// ErrNoCampaign: there is none with that id.
var ErrNoCampaign = errors.New("there is no such campaign")

// ErrCampaignState: the campaign's state does not allow it.
var ErrCampaignState = errors.New("the campaign's state does not allow it")

// CreateCampaign writes a draft.
func (s *Store) CreateCampaign(ctx context.Context, c NewCampaign) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var st statements
		st.exec("account", `INSERT INTO accounts (user_id, created_at) VALUES ($1, hybrid_clock()) ON CONFLICT DO NOTHING`, c.UserID)
		st.exec("campaign", `INSERT INTO campaigns (user_id, campaign_id, state, changed_at, created_at, id, name, source, content, brief, own_texts, priority, share,
				scheduled_for, expires_at, max_cost_pico, created_by)
			VALUES ($1, $2, 'draft', hybrid_clock(), hybrid_clock(), $3, $4, 'api', $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
			c.UserID, c.ID.String(), c.ID, c.Name, c.Content, c.Brief, c.OwnTexts, int16(c.Priority), int16(c.Share), c.ScheduledFor, c.ExpiresAt, c.MaxCostPico, c.CreatedBy)
		st.exec("expansion", `INSERT INTO campaign_expansions (campaign) VALUES ($1)`, c.ID)
		return st.run(ctx, tx)
	})
}

// AddRecipients adds recipients to a campaign that has not ended, each once. They become messages when it runs.
func (s *Store) AddRecipients(ctx context.Context, campaign uuid.UUID, recipients []Recipient) (AddedRecipients, error) {
	var added AddedRecipients
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		added = AddedRecipients{}
		state, last, err := lockExpansion(ctx, tx, campaign)
		if err != nil {
			return err
		}
		switch state {
		case CampaignDraft, CampaignScheduled, CampaignRunning, CampaignPaused:
		default:
			return fmt.Errorf("%w: it is %s, and takes no more recipients", ErrCampaignState, state)
		}
		ids, fields := make([]string, len(recipients)), make([]*string, len(recipients))
		for i, r := range recipients {
			ids[i] = r.ID
			if len(r.Fields) > 0 {
				text, _ := json.Marshal(r.Fields)
				one := string(text)
				fields[i] = &one
			}
		}
		tag, err := tx.Exec(ctx, `INSERT INTO campaign_recipients (campaign, line, recipient_id, fields)
			SELECT $1, $2 + r.n, r.id, r.fields::jsonb FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS r(id, fields, n)
			ON CONFLICT (campaign, recipient_id) DO NOTHING`, campaign, last, ids, fields)
		if err != nil {
			return fmt.Errorf("recipients: %w", err)
		}
		added.Added, added.Duplicates = tag.RowsAffected(), int64(len(recipients))-tag.RowsAffected()
		if err := tx.QueryRow(ctx, `UPDATE campaign_expansions SET last_line = last_line + $2, recipients = recipients + $3 WHERE campaign = $1 RETURNING recipients`,
			campaign, len(recipients), added.Added).Scan(&added.Total); err != nil {
			return fmt.Errorf("recipients: %w", err)
		}
		if added.Added == 0 || state == CampaignDraft || state == CampaignScheduled {
			return nil
		}
		return s.expandAt(ctx, tx, campaign, nil)
	})
	return added, err
}

// lockExpansion locks what grows, after the campaign itself: the order in which everybody does.
func lockExpansion(ctx context.Context, tx pgx.Tx, campaign uuid.UUID) (state CampaignState, last int64, err error) {
	err = tx.QueryRow(ctx, `SELECT state FROM campaigns WHERE id = $1 FOR SHARE`, campaign).Scan(&state)
	if err == nil {
		err = tx.QueryRow(ctx, `SELECT last_line FROM campaign_expansions WHERE campaign = $1 FOR UPDATE`, campaign).Scan(&last)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return "", 0, ErrNoCampaign
	}
	return state, last, err
}

// expandAt makes sure that there is a job which turns recipients into messages: at once, or at a time.
func (s *Store) expandAt(ctx context.Context, tx pgx.Tx, campaign uuid.UUID, at *time.Time) error {
	var step int
	var due time.Time
	err := tx.QueryRow(ctx, `UPDATE campaign_expansions SET step = step + 1, due_at = coalesce($2, hybrid_clock())
		WHERE campaign = $1 AND (due_at IS NULL OR due_at > coalesce($2, hybrid_clock())) RETURNING step, due_at`, campaign, at).Scan(&step, &due)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // the job that is there comes soon enough
	}
	if err != nil {
		return fmt.Errorf("expansion: %w", err)
	}
	job := Job{Kind: workflow.StepExpand, Text: campaign, Sequence: step}
	if at != nil {
		job.At = due
	}
	return s.enqueuer.EnqueueTx(ctx, tx, []Job{job})
}

// ChangeCampaign changes the state of a campaign by the given rule, whatever the number of its messages. When it
// returns, nothing more of a campaign that does not run is sent, the InFlight ones excepted.
func (s *Store) ChangeCampaign(ctx context.Context, campaign uuid.UUID, rule func(CampaignState) (CampaignState, error), reason string) (CampaignChange, error) {
	var change CampaignChange
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var userID, campaignID string
		var before CampaignState
		var scheduled *time.Time
		var now time.Time
		err := tx.QueryRow(ctx, `SELECT user_id, campaign_id, state, scheduled_for, hybrid_clock() FROM campaigns WHERE id = $1 FOR UPDATE`, campaign).
			Scan(&userID, &campaignID, &before, &scheduled, &now)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNoCampaign
		}
		if err != nil {
			return fmt.Errorf("campaign: %w", err)
		}
		after, err := rule(before)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCampaignState, err)
		}
		if after == CampaignRunning && before == CampaignDraft && scheduled != nil && scheduled.After(now) {
			after = CampaignScheduled
		}
		change.State = after
		if after == before {
			return nil
		}
		if _, err := tx.Exec(ctx, `UPDATE campaigns SET state = $2, reason = $3, changed_at = hybrid_clock(),
				started_at = CASE WHEN $2 = 'running' THEN coalesce(started_at, hybrid_clock()) ELSE started_at END,
				ended_at = CASE WHEN $2 IN ('cancelled', 'completed', 'failed') THEN hybrid_clock() END WHERE id = $1`, campaign, string(after), reason); err != nil {
			return fmt.Errorf("campaign: %w", err)
		}
		if after == CampaignScheduled {
			return s.expandAt(ctx, tx, campaign, scheduled)
		}
		if after != CampaignPaused {
			if err := s.replan(ctx, tx, userID, campaignID); err != nil {
				return err
			}
		}
		if after == CampaignRunning {
			if err := s.expandAt(ctx, tx, campaign, nil); err != nil {
				return err
			}
			return s.wake(ctx, tx, userID)
		}
		return tx.QueryRow(ctx, `SELECT count(*) FROM send_attempts a JOIN hybrid_workflows w ON w.id = a.workflow
			WHERE a.state = 'in_flight' AND w.user_id = $1 AND w.campaign_id = $2`, userID, campaignID).Scan(&change.InFlight)
	})
	return change, err
}
