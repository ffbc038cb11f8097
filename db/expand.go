package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/text"
	"github.com/huntaze/hybrid-orchestrator/internal/trace"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// expandMost is how many recipients become messages in one transaction.
const expandMost = 1000

// Expanded says what an Expand did.
type Expanded struct {
	Made     int
	More     bool                    // there are more recipients: ask again
	Early    time.Duration           // by the database's clock the campaign begins only after that; 0: it may
	Released []Released              // accounts whose messages were looked at in the same transaction
	Traces   []workflow.TraceContext // of the messages that it made
}

// Expand turns the next recipients of a campaign into messages, in one transaction with the note how far it got:
// whatever happens in between, each becomes one message and none is left out. A job that is not the live one does
// nothing. A scheduled campaign whose time has come begins.
func (s *Store) Expand(ctx context.Context, campaign uuid.UUID, step int) (Expanded, error) {
	var done Expanded
	err := s.releasing(ctx, func(tx pgx.Tx, careful bool) error {
		done = Expanded{}
		e := expansion{store: s, id: campaign}
		ok, err := e.lock(ctx, tx, step)
		if err != nil || !ok {
			done.Early = e.early
			return err
		}
		batch, last, err := e.next(ctx, tx)
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			in := intake{store: s, batch: batch, answers: make([]workflow.Intake, len(batch)), careful: careful}
			var result IntakeResult
			if err := in.run(ctx, tx, true, &result); err != nil {
				return err
			}
			done.Made, done.Released = len(batch), result.Released
			for i, answer := range result.Answers {
				if answer.Outcome == workflow.IntakeAccepted {
					done.Traces = append(done.Traces, in.trace(i))
				}
			}
		}
		done.More = len(batch) == expandMost
		_, err = tx.Exec(ctx, `UPDATE campaign_expansions SET done = greatest(done, $2), due_at = CASE WHEN $3 THEN hybrid_clock() END WHERE campaign = $1`, campaign, last, done.More)
		return err
	})
	return done, err
}

// expansion is a campaign whose recipients become messages.
type expansion struct {
	store      *Store
	id         uuid.UUID
	userID     string
	campaignID string
	state      CampaignState
	content    string
	brief      string
	ownTexts   bool
	priority   workflow.Priority
	scheduled  *time.Time
	expires    *time.Time
	done       int64
	early      time.Duration
	now        time.Time
}

// lock reads the campaign and says whether there is anything to do.
func (e *expansion) lock(ctx context.Context, tx pgx.Tx, step int) (bool, error) {
	err := tx.QueryRow(ctx, `SELECT user_id, campaign_id, state, content, brief, own_texts, priority, scheduled_for, expires_at, hybrid_clock() FROM campaigns WHERE id = $1 FOR SHARE`, e.id).
		Scan(&e.userID, &e.campaignID, &e.state, &e.content, &e.brief, &e.ownTexts, &e.priority, &e.scheduled, &e.expires, &e.now)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("campaign: %w", err)
	}
	var live int
	if err := tx.QueryRow(ctx, `SELECT step, done FROM campaign_expansions WHERE campaign = $1 FOR UPDATE`, e.id).Scan(&live, &e.done); err != nil {
		return false, fmt.Errorf("expansion: %w", err)
	}
	if live != step {
		return false, nil
	}
	switch e.state {
	case CampaignScheduled:
		if e.scheduled != nil && e.scheduled.After(e.now) {
			e.early = e.scheduled.Sub(e.now)
			return false, nil
		}
		_, err := tx.Exec(ctx, `UPDATE campaigns SET state = 'running', changed_at = hybrid_clock(), started_at = hybrid_clock() WHERE id = $1`, e.id)
		return err == nil, err
	case CampaignRunning, CampaignPaused:
		return true, nil
	}
	_, err = tx.Exec(ctx, `UPDATE campaign_expansions SET due_at = NULL WHERE campaign = $1`, e.id)
	return false, err
}

// next reads the next recipients and makes deliveries of them.
func (e *expansion) next(ctx context.Context, tx pgx.Tx) (batch []workflow.Delivery, last int64, err error) {
	rows, err := tx.Query(ctx, `SELECT line, recipient_id, fields FROM campaign_recipients WHERE campaign = $1 AND line > $2 ORDER BY line LIMIT $3`, e.id, e.done, expandMost)
	if err != nil {
		return nil, 0, fmt.Errorf("recipients: %w", err)
	}
	defer rows.Close()
	last = e.done
	for rows.Next() {
		var r Recipient
		if err := rows.Scan(&last, &r.ID, &r.Fields); err != nil {
			return nil, 0, fmt.Errorf("recipients: %w", err)
		}
		batch = append(batch, e.delivery(last, r))
	}
	return batch, last, rows.Err()
}

// sourceAPI is where messages of campaigns come from.
const sourceAPI = "campaign API"

func (e *expansion) delivery(line int64, r Recipient) workflow.Delivery {
	m := workflow.Message{
		WorkflowID: fmt.Sprintf("%s-%d", e.id, line), UserID: e.userID, RecipientID: r.ID, CampaignID: e.campaignID, Content: e.content, Brief: e.brief,
		Priority: e.priority, MaxRetries: workflow.DefaultMaxRetries, MergeFields: r.Fields, OwnText: e.ownTexts, Trace: trace.New(e.now),
	}
	if e.scheduled != nil {
		m.NotBefore = *e.scheduled
	}
	if e.expires != nil {
		m.ExpiresAt = *e.expires
	}
	if e.content != "" {
		merged, err := text.Merge(e.content, r.Fields)
		var field *text.FieldError
		switch {
		case errors.As(err, &field):
			m.Unusable = "merge_field_unusable: " + field.Name
		case err != nil:
			m.Unusable = "merge_failed"
		default:
			m.Content = merged
		}
	}
	return workflow.Delivery{Source: sourceAPI, Message: m}
}
