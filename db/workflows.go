package db

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// record is a workflow's row as transitions need it.
type record struct {
	id          uuid.UUID
	version     int64
	userID      string
	workflowID  string
	recipientID string
	campaignID  string
	priority    workflow.Priority
	sequence    int // of the latest attempt
	state       workflow.State
	updatedAt   time.Time  // of the latest transition
	resumed     *time.Time // of a candidate: when its campaign last began to run; nil: it is in none
	trace       []byte     // as it is stored: few of the records that are read need it
}

const recordColumns = `w.id, w.version, w.user_id, w.workflow_id, w.recipient_id, w.campaign_id, w.priority, w.send_sequence,
	w.stage, w.not_before, w.attempts, w.max_retries, w.wait_reason, w.last_error, w.current_provider, w.provider_states, w.retry_attempts,
	w.updated_at, w.trace_context`

func scanRecord(row pgx.CollectableRow) (r record, err error) {
	var states, retries []byte
	err = row.Scan(&r.id, &r.version, &r.userID, &r.workflowID, &r.recipientID, &r.campaignID, &r.priority, &r.sequence,
		&r.state.Stage, &r.state.NotBefore, &r.state.Attempts, &r.state.MaxRetries, &r.state.WaitReason, &r.state.LastError,
		&r.state.CurrentProvider, &states, &retries, &r.updatedAt, &r.trace)
	if err != nil {
		return r, err
	}
	if err = json.Unmarshal(states, &r.state.ProviderStates); err != nil {
		return r, fmt.Errorf("workflow %s: provider_states: %w", r.id, err)
	}
	if err = json.Unmarshal(retries, &r.state.RetryAttempts); err != nil {
		return r, fmt.Errorf("workflow %s: retry_attempts: %w", r.id, err)
	}
	return r, nil
}

// readRecordsSQL takes no locks: whoever writes what it read compares versions.
const readRecordsSQL = `SELECT ` + recordColumns + ` FROM hybrid_workflows w WHERE w.id = ANY($1)`

const lockRecordsSQL = `SELECT ` + recordColumns + ` FROM hybrid_workflows w WHERE w.id = ANY($1) ORDER BY w.id FOR UPDATE`

// updates collects transitions for one set-based UPDATE with a compare-and-set on each row's version.
type updates struct {
	ids       []uuid.UUID
	versions  []int64
	sequences []int32
	stages    []string
	notBefore []time.Time
	attempts  []int32
	waits     []string
	errors    []string
	states    []string
	retries   []string
	fallbacks []string // new entries of the history; empty: none
}

// add notes a transition. A record is read without its history, so that what a state has of it is new.
func (u *updates) add(r record, s workflow.State, sequence int) {
	states, _ := json.Marshal(s.ProviderStates)
	retries, _ := json.Marshal(s.RetryAttempts)
	u.ids = append(u.ids, r.id)
	u.versions = append(u.versions, r.version)
	u.sequences = append(u.sequences, int32(sequence))
	u.stages = append(u.stages, string(s.Stage))
	u.notBefore = append(u.notBefore, s.NotBefore)
	u.attempts = append(u.attempts, int32(s.Attempts))
	u.waits = append(u.waits, string(s.WaitReason))
	u.errors = append(u.errors, s.LastError)
	u.states = append(u.states, string(states))
	u.retries = append(u.retries, string(retries))
	fallbacks := ""
	if len(s.FallbackHistory) > 0 {
		entries, _ := json.Marshal(s.FallbackHistory)
		fallbacks = string(entries)
	}
	u.fallbacks = append(u.fallbacks, fallbacks)
}

// fallbacksKept bounds a message's history: from then on each entry takes the place of the oldest.
const fallbacksKept = "100"

var updateRecordsSQL = `
UPDATE hybrid_workflows w
SET version = w.version + 1, send_sequence = u.sequence, stage = u.stage, not_before = u.not_before, attempts = u.attempts,
    wait_reason = u.wait_reason, last_error = u.last_error, provider_states = u.provider_states::jsonb,
    retry_attempts = u.retry_attempts::jsonb, updated_at = $12,
    fallback_history = CASE
        WHEN u.fallbacks = '' THEN w.fallback_history
        WHEN jsonb_array_length(w.fallback_history) < ` + fallbacksKept + ` THEN w.fallback_history || u.fallbacks::jsonb
        ELSE w.fallback_history - 0 || u.fallbacks::jsonb END
FROM ` + few("id, version, sequence, stage, not_before, attempts, wait_reason, last_error, provider_states, retry_attempts, fallbacks",
	"$1::uuid[]", "$2::bigint[]", "$3::int[]", "$4::text[]", "$5::timestamptz[]", "$6::int[]", "$7::text[]", "$8::text[]", "$9::text[]", "$10::text[]", "$11::text[]") + ` u
WHERE w.id = u.id AND w.version = u.version
RETURNING w.id`

func (u *updates) args(at time.Time) []any {
	return []any{u.ids, u.versions, u.sequences, u.stages, u.notBefore, u.attempts, u.waits, u.errors, u.states, u.retries, u.fallbacks, at}
}

// timeline collects events for one insert.
type timeline struct {
	ids     []uuid.UUID
	kinds   []string
	details []string
}

func (t *timeline) add(id uuid.UUID, kind workflow.EventKind, detail map[string]any) {
	text := "{}"
	if len(detail) > 0 {
		if b, err := json.Marshal(detail); err == nil {
			text = string(b)
		}
	}
	t.ids = append(t.ids, id)
	t.kinds = append(t.kinds, string(kind))
	t.details = append(t.details, text)
}

func (t *timeline) queue(st *statements, at time.Time) {
	if len(t.ids) == 0 {
		return
	}
	st.exec("timeline", `INSERT INTO workflow_events (workflow, at, kind, detail)
		SELECT e.workflow, $4, e.kind, e.detail::jsonb FROM unnest($1::uuid[], $2::text[], $3::text[]) AS e(workflow, kind, detail)`,
		t.ids, t.kinds, t.details, at)
}
