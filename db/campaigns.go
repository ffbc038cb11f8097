package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// CampaignState says whether a campaign's messages may be sent.
type CampaignState string

// The states of a campaign. A cancelled one stays cancelled.
const (
	CampaignRunning   CampaignState = "running"
	CampaignPaused    CampaignState = "paused"
	CampaignCancelled CampaignState = "cancelled"
)

// CampaignChange is the answer to a change of state.
type CampaignChange struct {
	State    CampaignState
	InFlight int // messages whose call had begun before the change: they may still arrive
}

// SetCampaignState pauses, resumes or cancels a campaign, whatever the number of its messages. When it
// returns, nothing more of a paused or cancelled campaign is sent, the InFlight ones excepted. A campaign
// that is not known yet is created, so that it can be paused before its first message.
func (s *Store) SetCampaignState(ctx context.Context, userID, campaignID string, state CampaignState, reason string) (CampaignChange, error) {
	change := CampaignChange{State: state}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO campaigns AS c (user_id, campaign_id, state, reason, changed_at, created_at) VALUES ($1, $2, $3, $4, hybrid_clock(), hybrid_clock())
			ON CONFLICT (user_id, campaign_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, changed_at = excluded.changed_at
			WHERE c.state <> 'cancelled'`, userID, campaignID, state, reason)
		if err != nil {
			return fmt.Errorf("campaign: %w", err)
		}
		if tag.RowsAffected() == 0 && state != CampaignCancelled {
			return fmt.Errorf("campaign %q of account %q is cancelled; that is final", campaignID, userID)
		}
		if state != CampaignPaused {
			if err := s.replan(ctx, tx, userID, campaignID); err != nil {
				return err
			}
		}
		if state == CampaignRunning {
			return s.wake(ctx, tx, userID)
		}
		return tx.QueryRow(ctx, `SELECT count(*) FROM send_attempts a JOIN hybrid_workflows w ON w.id = a.workflow
			WHERE a.state = 'in_flight' AND w.user_id = $1 AND w.campaign_id = $2`, userID, campaignID).Scan(&change.InFlight)
	})
	return change, err
}

// replan writes jobs for the texts of a campaign that goes on, or ends. A text that was not waiting for it loses
// nothing: its old job finds that it is not the live one.
func (s *Store) replan(ctx context.Context, tx pgx.Tx, userID, campaignID string) error {
	rows, err := tx.Query(ctx, `UPDATE texts t SET step = t.step + 1, due_at = hybrid_clock(), waits_for = '', updated_at = hybrid_clock()
		FROM (SELECT id, waits_for, updated_at FROM texts WHERE user_id = $1 AND campaign_id = $2 AND state = 'planning' ORDER BY id FOR UPDATE) o
		WHERE t.id = o.id
		RETURNING t.id, t.step, o.waits_for, o.updated_at, `+traceOfText("t.id"), userID, campaignID)
	if err != nil {
		return fmt.Errorf("texts of the campaign: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, scanReplanned)
	if err != nil {
		return fmt.Errorf("texts of the campaign: %w", err)
	}
	if len(jobs) == 0 {
		return nil
	}
	return s.enqueuer.EnqueueTx(ctx, tx, jobs)
}

// wake enqueues a look at an account now.
func (s *Store) wake(ctx context.Context, tx pgx.Tx, userID string) error {
	var at time.Time
	err := tx.QueryRow(ctx, `UPDATE accounts SET wake_at = hybrid_clock() WHERE user_id = $1 RETURNING wake_at`, userID).Scan(&at)
	if err == pgx.ErrNoRows {
		return nil // nothing of it was ever received
	}
	if err != nil {
		return fmt.Errorf("wake account: %w", err)
	}
	return s.enqueuer.EnqueueTx(ctx, tx, []Job{{Kind: workflow.StepRelease, UserID: userID, At: at, Due: true}})
}
