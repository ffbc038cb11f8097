package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Scope says whose rows a person may see: nil means everybody's, an empty one nobody's.
type Scope []string

// Includes says whether the rows of an account may be seen.
func (s Scope) Includes(userID string) bool { return s == nil || slices.Contains(s, userID) }

// WhichMessage returns the public ids of a message; known is false when there is none with that id.
func (s *Store) WhichMessage(ctx context.Context, id uuid.UUID) (which Which, known bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT workflow_id, user_id, recipient_id FROM hybrid_workflows WHERE id = $1`, id).Scan(&which.WorkflowID, &which.UserID, &which.RecipientID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Which{}, false, nil
	}
	if err != nil {
		return Which{}, false, fmt.Errorf("message: %w", err)
	}
	return which, true, nil
}

// CampaignName is what people and pages call a campaign.
type CampaignName struct {
	ID   uuid.UUID // with which CampaignByID finds it
	Name string    // empty: it is known from messages only
}

// CampaignNamed returns the name of a campaign that messages name.
func (s *Store) CampaignNamed(ctx context.Context, userID, campaignID string) (name CampaignName, known bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT id, name FROM campaigns WHERE user_id = $1 AND campaign_id = $2`, userID, campaignID).Scan(&name.ID, &name.Name)
	if errors.Is(err, pgx.ErrNoRows) {
		return name, false, nil
	}
	if err != nil {
		return name, false, fmt.Errorf("campaign: %w", err)
	}
	return name, true, nil
}

// searchMost is how long a search may take. There is no index by recipient: intake would pay for it with each message,
// and people search seldom.
const searchMost = 3 * time.Second

// queryCanceled is what a statement ends with that took too long.
const queryCanceled = "57014"

// ErrSearchTooLong says that a search was given up, because there are too many messages to look through.
var ErrSearchTooLong = errors.New("the search took too long")

const searchSQL = `
SELECT w.id, w.user_id, w.workflow_id, w.recipient_id, w.stage, w.not_before, w.last_error, w.updated_at
FROM (SELECT i.workflow FROM inbox i WHERE {which} = $1 AND ($2::text[] IS NULL OR i.user_id = ANY($2)) ORDER BY i.received_at DESC, i.workflow DESC LIMIT $3) i
JOIN hybrid_workflows w ON w.id = i.workflow ORDER BY w.created_at DESC, w.id DESC`

// MessagesByWorkflowID finds the messages with that workflowId, the latest first.
func (s *Store) MessagesByWorkflowID(ctx context.Context, scope Scope, workflowID string, limit int) ([]CampaignMessage, error) {
	return s.searchMessages(ctx, `i.workflow_id`, scope, workflowID, limit)
}

// MessagesByRecipient finds the messages to that recipient, the latest first. Among very many messages it gives up with
// ErrSearchTooLong.
func (s *Store) MessagesByRecipient(ctx context.Context, scope Scope, recipientID string, limit int) ([]CampaignMessage, error) {
	return s.searchMessages(ctx, `i.recipient_id`, scope, recipientID, limit)
}

func (s *Store) searchMessages(ctx context.Context, column string, scope Scope, text string, limit int) (found []CampaignMessage, err error) {
	err = s.readTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', $1, true)`, fmt.Sprint(searchMost.Milliseconds())); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, strings.Replace(searchSQL, "{which}", column, 1), text, []string(scope), limit)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m CampaignMessage, err error) {
			return m, row.Scan(&m.ID, &m.UserID, &m.WorkflowID, &m.RecipientID, &m.Stage, &m.NotBefore, &m.LastError, &m.UpdatedAt)
		})
		return err
	})
	if hasCode(err, queryCanceled) {
		return nil, ErrSearchTooLong
	}
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	return found, nil
}

// DoubtsIn lists what is in doubt of the accounts of a scope, the oldest first, at most limit.
func (s *Store) DoubtsIn(ctx context.Context, scope Scope, limit int) ([]Doubt, error) {
	rows, err := s.pool.Query(ctx, doubtsSQL+" AND ($2::text[] IS NULL OR a.user_id = ANY($2)) ORDER BY a.reserved_at LIMIT $3", s.config.Timing.Settle, []string(scope), limit)
	if err != nil {
		return nil, fmt.Errorf("doubts: %w", err)
	}
	return pgx.CollectRows(rows, scanDoubt)
}

// AccountLine is one account of a list.
type AccountLine struct {
	AccountState
	Queued Count
}

// accountQueuedMost is how far the parked messages of each account of a list are counted.
const accountQueuedMost = 1000

// AccountPage lists accounts by their ids, those after the given one, and says what time it is.
func (s *Store) AccountPage(ctx context.Context, scope Scope, after string, limit int) (lines []AccountLine, now time.Time, err error) {
	err = s.readTx(ctx, func(tx pgx.Tx) error {
		f, err := readFleet(ctx, tx)
		if err != nil {
			return err
		}
		now = f.now
		rows, err := tx.Query(ctx, `SELECT a.user_id, (SELECT count(*) FROM (SELECT 1 FROM hybrid_workflows w WHERE w.user_id = a.user_id AND w.stage = 'queued' LIMIT $4) w)
			FROM (SELECT user_id FROM accounts WHERE user_id > $1 AND ($2::text[] IS NULL OR user_id = ANY($2)) ORDER BY user_id LIMIT $3) a ORDER BY a.user_id`,
			after, []string(scope), limit, accountQueuedMost+1)
		if err != nil {
			return err
		}
		var users []string
		lines, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l AccountLine, err error) {
			var queued int64
			err = row.Scan(&l.UserID, &queued)
			l.Queued = bounded(queued, accountQueuedMost)
			users = append(users, l.UserID)
			return l, err
		})
		if err != nil || len(users) == 0 {
			return err
		}
		states, err := readAccountStates(ctx, tx, users, f.now)
		if err != nil {
			return err
		}
		for i := range lines {
			lines[i].AccountState = *states[lines[i].UserID]
		}
		return nil
	})
	if err != nil {
		return nil, now, fmt.Errorf("accounts: %w", err)
	}
	return lines, now, nil
}

// Returns lists when the tokens that are taken come back, the earliest first.
func (t RuleTokens) Returns() []time.Time { return slices.Clone(t.returns) }
