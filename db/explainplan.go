package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Plan is how the text of a message is, or was, written.
type Plan struct {
	Text     uuid.UUID     `json:"text"`
	State    string        `json:"state"`
	Shared   bool          `json:"shared"` // with other messages of the campaign
	Template string        `json:"template,omitempty"`
	Source   string        `json:"source,omitempty"` // of a text that is ready
	Reason   string        `json:"reason,omitempty"` // of one that could not be had
	WaitsFor string        `json:"waitsFor,omitempty"`
	DueAt    time.Time     `json:"dueAt"`
	Calls    []PlanAttempt `json:"calls"` // the latest ones, oldest first
	Cost     PlanCostSum   `json:"cost"`
}

// PlanAttempt is one call to a provider.
type PlanAttempt struct {
	Sequence   int        `json:"sequence"`
	Provider   string     `json:"provider"`
	Target     string     `json:"target"`
	State      string     `json:"state"`
	Class      string     `json:"class,omitempty"`
	Code       string     `json:"code,omitempty"`
	Status     int        `json:"status,omitempty"` // HTTP
	RequestID  string     `json:"requestId,omitempty"`
	Violations []string   `json:"violations,omitempty"`
	Probe      bool       `json:"probe,omitempty"`
	Repair     bool       `json:"repair,omitempty"`
	Worker     string     `json:"worker"`
	StartedAt  time.Time  `json:"startedAt"`
	Deadline   time.Time  `json:"deadline"`
	EndedAt    *time.Time `json:"endedAt,omitempty"`
	CostKind   string     `json:"costKind,omitempty"` // empty: not known yet
	PicoUSD    *int64     `json:"picoUsd,omitempty"`
	PriceID    string     `json:"priceId,omitempty"`
	Input      int64      `json:"inputTokens,omitempty"`
	Output     int64      `json:"outputTokens,omitempty"`
}

// PlanCostSum is what the calls of a text cost together.
type PlanCostSum struct {
	Calls     int   `json:"calls"`
	PicoUSD   int64 `json:"picoUsd"`
	Estimated int   `json:"estimated"` // calls whose part is an estimate
	Unpriced  int   `json:"unpriced"`  // calls that are not in the sum, because nobody knows their price
}

const plansSQL = `
SELECT w.id, t.id, t.state, t.workflow IS NULL, t.template, t.source, t.reason, t.waits_for, t.due_at,
       t.current_provider, t.provider_states, t.fallback_history, t.retry_attempts, t.checkpoint_data,
       (SELECT jsonb_build_object('calls', count(*), 'picoUsd', coalesce(sum(c.pico_usd), 0), 'estimated', count(*) FILTER (WHERE c.kind = 'estimated'),
            'unpriced', count(*) FILTER (WHERE c.kind = 'unpriced')) FROM provider_costs c WHERE c.text = t.id)
FROM unnest($1::uuid[]) AS k(id) JOIN hybrid_workflows w ON w.id = k.id JOIN texts t ON t.id = w.text`

const planAttemptsSQL = `
SELECT k.id, a.sequence, a.provider, a.target, a.state, a.class, a.code, a.status, a.request_id, a.violations, a.probe, a.repair, a.worker,
       a.started_at, a.deadline, a.ended_at, coalesce(c.kind, ''), c.pico_usd, coalesce(c.price_id, ''), coalesce(c.input, 0), coalesce(c.output, 0)
FROM unnest($1::uuid[]) AS k(id)
CROSS JOIN LATERAL (SELECT * FROM plan_attempts a WHERE a.text = k.id ORDER BY a.sequence DESC LIMIT $2) a
LEFT JOIN provider_costs c ON c.attempt = a.id
ORDER BY k.id, a.sequence`

// readPlans adds how the texts are written. While a text is being written its state is the message's.
func readPlans(ctx context.Context, tx pgx.Tx, workflows []Workflow) error {
	ids, index := make([]uuid.UUID, len(workflows)), map[uuid.UUID]*Workflow{}
	for i := range workflows {
		ids[i], index[workflows[i].ID] = workflows[i].ID, &workflows[i]
	}
	rows, err := tx.Query(ctx, plansSQL, ids)
	if err != nil {
		return fmt.Errorf("texts: %w", err)
	}
	var texts []uuid.UUID
	calls := map[uuid.UUID][]PlanAttempt{}
	for rows.Next() {
		var id uuid.UUID
		var p Plan
		var current workflow.Provider
		var states, history, retries, checkpoint, sum []byte
		if err := rows.Scan(&id, &p.Text, &p.State, &p.Shared, &p.Template, &p.Source, &p.Reason, &p.WaitsFor, &p.DueAt, &current, &states, &history, &retries, &checkpoint, &sum); err != nil {
			return fmt.Errorf("texts: %w", err)
		}
		if err := json.Unmarshal(sum, &p.Cost); err != nil {
			return fmt.Errorf("text %s: cost: %w", p.Text, err)
		}
		w := index[id]
		w.Plan = &p
		if _, known := calls[p.Text]; !known {
			calls[p.Text] = nil
			texts = append(texts, p.Text)
		}
		if w.State.Stage != workflow.StagePlanning {
			continue
		}
		w.State.CurrentProvider, w.State.CheckpointData = current, checkpoint
		for _, part := range []struct {
			column string
			text   []byte
			value  any
		}{{"provider_states", states, &w.State.ProviderStates}, {"fallback_history", history, &w.State.FallbackHistory}, {"retry_attempts", retries, &w.State.RetryAttempts}} {
			if err := json.Unmarshal(part.text, part.value); err != nil {
				return fmt.Errorf("text %s: %s: %w", p.Text, part.column, err)
			}
		}
	}
	if err := rows.Err(); err != nil || len(texts) == 0 {
		return err
	}
	if rows, err = tx.Query(ctx, planAttemptsSQL, texts, explainedAttempts); err != nil {
		return fmt.Errorf("calls to providers: %w", err)
	}
	for rows.Next() {
		var id uuid.UUID
		var a PlanAttempt
		if err := rows.Scan(&id, &a.Sequence, &a.Provider, &a.Target, &a.State, &a.Class, &a.Code, &a.Status, &a.RequestID, &a.Violations, &a.Probe, &a.Repair, &a.Worker,
			&a.StartedAt, &a.Deadline, &a.EndedAt, &a.CostKind, &a.PicoUSD, &a.PriceID, &a.Input, &a.Output); err != nil {
			return fmt.Errorf("calls to providers: %w", err)
		}
		calls[id] = append(calls[id], a)
	}
	for i := range workflows {
		if p := workflows[i].Plan; p != nil {
			p.Calls = append([]PlanAttempt{}, calls[p.Text]...)
		}
	}
	return rows.Err()
}

// seenWithin is how long ago a worker that has a provider may have been there to count as running.
const seenWithin = time.Minute

// readProvided says whether a worker that has a provider runs.
func readProvided(ctx context.Context, tx pgx.Tx) (provided bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM provider_targets WHERE seen_at > hybrid_clock() - $1::interval)`, seenWithin).Scan(&provided)
	if err != nil {
		return false, fmt.Errorf("provider targets: %w", err)
	}
	return provided, nil
}

// planWait says what a message waits for whose text is not there.
func (w Workflow) planWait(s situation) Wait {
	one := Wait{Kind: WaitsForProvider, Since: w.UpdatedAt}
	p := w.Plan
	switch {
	case p == nil:
		one.Kind = WaitsForRepair
		return one
	case p.State != textPlanning:
		one.Kind, one.Reason = WaitsForText, p.State
		return one
	}
	one.Until, one.Reason = p.DueAt, p.WaitsFor
	if n := len(p.Calls); n > 0 && p.Calls[n-1].State == "executing" {
		call := p.Calls[n-1]
		return Wait{Kind: WaitsForAnswer, Since: call.StartedAt, Until: call.Deadline, Reason: call.Provider, Worker: call.Worker, Attempt: call.Sequence}
	}
	if !s.provided {
		one.Reason, one.Until = noProvider, time.Time{}
	}
	return one
}

// noProvider is the reason of a wait that no running worker can end.
const noProvider = "no_provider"
