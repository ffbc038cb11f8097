package db

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

const (
	explainedEvents   = 100    // of one workflow, the latest
	explainedAttempts = 50     // of one workflow, the latest
	explainedAhead    = 10_000 // how far the messages ahead of one are counted
)

// Which selects workflows by their public ids. Empty ones, except the workflow's, select all.
type Which struct {
	WorkflowID  string
	UserID      string
	RecipientID string
}

// Workflow is one message's life: its row, its intake, its tries and what else happened to it. It never holds
// a text, only how long it is.
type Workflow struct {
	ID            uuid.UUID
	UserID        string
	WorkflowID    string
	RecipientID   string
	CampaignID    string
	Priority      workflow.Priority
	State         workflow.State
	Trace         workflow.TraceContext
	SQSMessageID  string
	ContentLength int // characters
	BriefLength   int // characters
	CreatedAt     time.Time
	UpdatedAt     time.Time
	Source        string // the queue that it came from
	ReceivedAt    time.Time
	Sends         []Send  // the latest ones, oldest first
	Events        []Event // the latest ones, oldest first
	Plan          *Plan   // how its text is written; nil: it came with one
	Waits         []Wait  // what it waits for now; none when it is over
}

// Send is one attempt as the send ledger has it.
type Send struct {
	Sequence         int             `json:"sequence"`
	State            string          `json:"state"`
	Limiter          string          `json:"limiter"`
	ReservedAt       time.Time       `json:"reservedAt"`
	ReservationEnds  time.Time       `json:"reservationEnds"`
	StartedAt        *time.Time      `json:"startedAt,omitempty"`
	CallDeadline     *time.Time      `json:"callDeadline,omitempty"`
	EndedAt          *time.Time      `json:"endedAt,omitempty"`
	Worker           string          `json:"worker,omitempty"`
	Status           int             `json:"status,omitempty"` // HTTP
	Reason           string          `json:"reason,omitempty"`
	Detail           string          `json:"detail,omitempty"`
	Evidence         json.RawMessage `json:"evidence"`
	GatewayMessageID string          `json:"gatewayMessageId,omitempty"`
	LookUps          int             `json:"lookUps,omitempty"`
	LookUpAt         *time.Time      `json:"lookUpAt,omitempty"`
	ResolvedBy       string          `json:"resolvedBy,omitempty"`
}

// Event is one entry of a workflow's own timeline.
type Event struct {
	At     time.Time
	Kind   workflow.EventKind
	Detail json.RawMessage // ids, reasons and times
}

// Explanation says where workflows are and why.
type Explanation struct {
	Now       time.Time // the database's
	Workflows []Workflow
	More      bool // there are more than were asked for
}

// Explain reads the lives of the workflows with a public id, at most limit of them, as they are at one moment.
func (s *Store) Explain(ctx context.Context, which Which, limit int) (Explanation, error) {
	var e Explanation
	err := s.readTx(ctx, func(tx pgx.Tx) error {
		f, err := readFleet(ctx, tx)
		if err != nil {
			return err
		}
		e = Explanation{Now: f.now}
		sql, args := which.query(limit + 1)
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return fmt.Errorf("workflows: %w", err)
		}
		if e.Workflows, err = pgx.CollectRows(rows, scanWorkflow); err != nil {
			return fmt.Errorf("workflows: %w", err)
		}
		if len(e.Workflows) > limit {
			e.Workflows, e.More = e.Workflows[:limit], true
		}
		if err := readLives(ctx, tx, e.Workflows); err != nil {
			return err
		}
		if err := readPlans(ctx, tx, e.Workflows); err != nil {
			return err
		}
		return readWaits(ctx, tx, e.Workflows, f, s.config.Timing.Settle)
	})
	return e, err
}

// query goes from the public ids to the workflows through the inbox, whose key begins with the workflow id.
func (w Which) query(limit int) (sql string, args []any) {
	where, args := "i.workflow_id = $1", []any{w.WorkflowID}
	for _, filter := range []struct{ column, value string }{{"user_id", w.UserID}, {"recipient_id", w.RecipientID}} {
		if filter.value != "" {
			args = append(args, filter.value)
			where += fmt.Sprintf(" AND i.%s = $%d", filter.column, len(args))
		}
	}
	args = append(args, limit)
	return `SELECT w.id, w.user_id, w.workflow_id, w.recipient_id, w.campaign_id, w.priority, w.stage, w.not_before, w.attempts, w.max_retries,
		w.wait_reason, w.last_error, w.current_provider, w.provider_states, w.retry_attempts, w.fallback_history, w.checkpoint_data, w.trace_context,
		w.sqs_message_id, length(w.content), length(w.brief), w.created_at, w.updated_at, i.source, i.received_at
	FROM (SELECT i.workflow, i.source, i.received_at FROM inbox i WHERE ` + where +
		fmt.Sprintf(` ORDER BY i.workflow_id, i.user_id, i.recipient_id LIMIT $%d) i`, len(args)) + `
	JOIN hybrid_workflows w ON w.id = i.workflow
	ORDER BY w.user_id, w.recipient_id`, args
}

func scanWorkflow(row pgx.CollectableRow) (w Workflow, err error) {
	var states, retries, fallbacks, checkpoint, trace []byte
	err = row.Scan(&w.ID, &w.UserID, &w.WorkflowID, &w.RecipientID, &w.CampaignID, &w.Priority, &w.State.Stage, &w.State.NotBefore,
		&w.State.Attempts, &w.State.MaxRetries, &w.State.WaitReason, &w.State.LastError, &w.State.CurrentProvider, &states, &retries, &fallbacks,
		&checkpoint, &trace, &w.SQSMessageID, &w.ContentLength, &w.BriefLength, &w.CreatedAt, &w.UpdatedAt, &w.Source, &w.ReceivedAt)
	if err != nil {
		return w, err
	}
	w.State.CheckpointData = checkpoint
	for _, part := range []struct {
		column string
		text   []byte
		value  any
	}{{"provider_states", states, &w.State.ProviderStates}, {"retry_attempts", retries, &w.State.RetryAttempts},
		{"fallback_history", fallbacks, &w.State.FallbackHistory}, {"trace_context", trace, &w.Trace}} {
		if err := json.Unmarshal(part.text, part.value); err != nil {
			return w, fmt.Errorf("workflow %s: %s: %w", w.ID, part.column, err)
		}
	}
	return w, nil
}

const sendsSQL = `
SELECT k.id, a.sequence, a.state, a.limiter, a.reserved_at, a.reservation_ends, a.started_at, a.call_deadline, a.ended_at, a.worker, a.status, a.reason,
       a.detail, a.evidence, a.gateway_message_id, a.look_ups, a.look_up_at, a.resolved_by
FROM unnest($1::uuid[]) AS k(id)
CROSS JOIN LATERAL (SELECT * FROM send_attempts a WHERE a.workflow = k.id ORDER BY a.sequence DESC LIMIT $2) a
ORDER BY k.id, a.sequence`

const eventsSQL = `
SELECT k.id, e.at, e.kind, e.detail
FROM unnest($1::uuid[]) AS k(id)
CROSS JOIN LATERAL (SELECT * FROM workflow_events e WHERE e.workflow = k.id ORDER BY e.id DESC LIMIT $2) e
ORDER BY k.id, e.id`

// readLives adds the tries and the events.
func readLives(ctx context.Context, tx pgx.Tx, workflows []Workflow) error {
	ids, index := make([]uuid.UUID, len(workflows)), map[uuid.UUID]*Workflow{}
	for i := range workflows {
		ids[i] = workflows[i].ID
		index[workflows[i].ID] = &workflows[i]
	}
	if len(ids) == 0 {
		return nil
	}
	var st statements
	st.query("attempts", func(rows pgx.Rows) error {
		for rows.Next() {
			var id uuid.UUID
			var a Send
			if err := rows.Scan(&id, &a.Sequence, &a.State, &a.Limiter, &a.ReservedAt, &a.ReservationEnds, &a.StartedAt, &a.CallDeadline, &a.EndedAt, &a.Worker,
				&a.Status, &a.Reason, &a.Detail, &a.Evidence, &a.GatewayMessageID, &a.LookUps, &a.LookUpAt, &a.ResolvedBy); err != nil {
				return err
			}
			index[id].Sends = append(index[id].Sends, a)
		}
		return nil
	}, sendsSQL, ids, explainedAttempts)
	st.query("events", func(rows pgx.Rows) error {
		for rows.Next() {
			var id uuid.UUID
			var e Event
			if err := rows.Scan(&id, &e.At, &e.Kind, &e.Detail); err != nil {
				return err
			}
			index[id].Events = append(index[id].Events, e)
		}
		return nil
	}, eventsSQL, ids, explainedEvents)
	return st.run(ctx, tx)
}

// aheadSQL counts the messages of an account that go before one of its parked messages, up to a bound: for each
// campaign that runs and each priority from the most urgent to its own, those that are due and, within its own
// priority, older.
var aheadSQL = strings.Replace(`
SELECT count(*) FROM (
    SELECT 1
    FROM ({campaigns}) q
    CROSS JOIN (SELECT p::smallint AS priority, CASE WHEN p < $2 THEN $3::timestamptz ELSE $4::timestamptz END AS before,
                       CASE WHEN p < $2 THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid ELSE $5::uuid END AS id
                FROM generate_series(1, $2::int) p) b
    CROSS JOIN LATERAL (
        SELECT 1 FROM hybrid_workflows w
        WHERE w.user_id = $1 AND w.stage = 'queued' AND w.campaign_id = q.campaign_id AND w.priority = b.priority
          AND (w.not_before, w.id) < (b.before, b.id)
        ORDER BY w.not_before, w.id LIMIT $6) w
    LIMIT $6) n`, "{campaigns}", runningCampaignsSQL, 1)

// runningCampaignsSQL lists the campaigns of account $1 that have parked messages and are not paused, stepping
// through the index from one to the next.
const runningCampaignsSQL = `
    WITH RECURSIVE queued(campaign_id) AS (
        (SELECT q.campaign_id FROM hybrid_workflows q WHERE q.user_id = $1 AND q.stage = 'queued' ORDER BY q.campaign_id LIMIT 1)
        UNION ALL
        SELECT (SELECT n.campaign_id FROM hybrid_workflows n
                WHERE n.user_id = $1 AND n.stage = 'queued' AND n.campaign_id > queued.campaign_id
                ORDER BY n.campaign_id LIMIT 1)
        FROM queued WHERE queued.campaign_id IS NOT NULL)
    SELECT queued.campaign_id FROM queued WHERE queued.campaign_id IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM campaigns c WHERE c.user_id = $1 AND c.campaign_id = queued.campaign_id AND c.state NOT IN ('running', 'completed'))`

func readAhead(ctx context.Context, tx pgx.Tx, w Workflow, now time.Time) (Count, error) {
	var n int64
	err := tx.QueryRow(ctx, aheadSQL, w.UserID, int(w.Priority), now, w.State.NotBefore, w.ID, explainedAhead+1).Scan(&n)
	if err != nil {
		return Count{}, fmt.Errorf("messages ahead: %w", err)
	}
	return bounded(n, explainedAhead), nil
}
