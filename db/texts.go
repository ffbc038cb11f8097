package db

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// textScope says whose text a message gets: that of all messages of its campaign which have the same brief and the
// same merge fields, or one of its own.
func textScope(m workflow.Message, id uuid.UUID) (scope string, own bool) {
	if m.CampaignID == "" || m.OwnText {
		return "workflow:" + id.String(), true
	}
	sum := sha256.Sum256([]byte(m.Brief + "\x00" + strings.Join(fieldNames(m), "\x00")))
	return "campaign:" + m.CampaignID + ":" + hex.EncodeToString(sum[:16]), false
}

func fieldNames(m workflow.Message) []string {
	return append([]string{}, slices.Sorted(maps.Keys(m.MergeFields))...)
}

// textKey names a text among the live ones.
type textKey struct{ userID, scope string }

// planned says whether any of the new messages needs a text.
func (in *intake) planned(order []int) bool {
	return slices.ContainsFunc(order, func(i int) bool {
		return workflow.Begin(in.batch[i].Message, in.now).Stage == workflow.StagePlanning
	})
}

// findTexts finds or creates the texts of new messages that have only a brief. The texts are locked against a
// decision until this transaction ends: the message is there when its text's messages are looked for, or the
// text's end is seen here and a job brings it to the message.
func (in *intake) findTexts(ctx context.Context, tx pgx.Tx, order []int) error {
	keys, first := map[textKey]int{}, []int{}
	for _, i := range order {
		m := in.batch[i].Message
		if workflow.Begin(m, in.now).Stage != workflow.StagePlanning {
			continue
		}
		scope, _ := textScope(m, in.ids[i])
		key := textKey{in.users[i], scope}
		if _, known := keys[key]; !known {
			keys[key] = i
			first = append(first, i)
		}
	}
	found, err := in.insertTexts(ctx, tx, first)
	if err != nil {
		return err
	}
	in.texts = map[int]uuid.UUID{}
	for _, i := range order {
		m := in.batch[i].Message
		if workflow.Begin(m, in.now).Stage != workflow.StagePlanning {
			continue
		}
		scope, _ := textScope(m, in.ids[i])
		id, ok := found[textKey{in.users[i], scope}]
		if !ok {
			return errChanged // it failed between two statements: the next try makes room for another
		}
		in.texts[i] = id
	}
	return nil
}

// insertTexts also collects the jobs: of texts that are new, and of those that have ended, for the new messages.
func (in *intake) insertTexts(ctx context.Context, tx pgx.Tx, first []int) (map[textKey]uuid.UUID, error) {
	var ids []uuid.UUID
	var users, campaigns, scopes, briefs, fields, states, retries []string
	var workflows []*uuid.UUID
	var recipients []*string
	priorities, traces := map[textKey]workflow.Priority{}, map[textKey]workflow.TraceContext{}
	slices.SortFunc(first, func(a, b int) int {
		x, _ := textScope(in.batch[a].Message, in.ids[a])
		y, _ := textScope(in.batch[b].Message, in.ids[b])
		return strings.Compare(in.users[a]+"\x00"+x, in.users[b]+"\x00"+y)
	})
	for _, i := range first {
		m := in.batch[i].Message
		id, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		scope, own := textScope(m, in.ids[i])
		begun := workflow.Begin(m, in.now)
		names, _ := json.Marshal(fieldNames(m))
		state, _ := json.Marshal(begun.ProviderStates)
		retry, _ := json.Marshal(begun.RetryAttempts)
		var only *uuid.UUID
		var recipient *string
		if own {
			only = &in.ids[i]
		}
		if m.OwnText && len(m.MergeFields) > 0 {
			data, _ := json.Marshal(m.MergeFields)
			s := string(data)
			recipient = &s
		}
		ids, users, campaigns, scopes = append(ids, id), append(users, in.users[i]), append(campaigns, m.CampaignID), append(scopes, scope)
		briefs, fields, states, retries = append(briefs, m.Brief), append(fields, string(names)), append(states, string(state)), append(retries, string(retry))
		workflows, recipients = append(workflows, only), append(recipients, recipient)
		priorities[textKey{in.users[i], scope}], traces[textKey{in.users[i], scope}] = m.Priority, in.trace(i)
	}
	found := map[textKey]uuid.UUID{}
	var st statements
	st.exec("texts", `INSERT INTO texts (id, user_id, campaign_id, scope, workflow, brief, fields, recipient, provider_states, retry_attempts, due_at, created_at, updated_at)
		SELECT t.id, t.user_id, t.campaign_id, t.scope, t.workflow, t.brief, t.fields::jsonb, t.recipient::jsonb, t.states::jsonb, t.retries::jsonb, $11, $11, $11
		FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
			AS t(id, user_id, campaign_id, scope, workflow, brief, fields, recipient, states, retries)
		ON CONFLICT (user_id, scope) WHERE state <> 'failed' DO NOTHING`,
		ids, users, campaigns, scopes, workflows, briefs, fields, recipients, states, retries, in.now)
	st.query("live texts", func(rows pgx.Rows) error {
		var id uuid.UUID
		var key textKey
		var state string
		var step int
		_, err := pgx.ForEachRow(rows, []any{&id, &key.userID, &key.scope, &state, &step}, func() error {
			found[key] = id
			if slices.Contains(ids, id) || state != textPlanning {
				in.jobs = append(in.jobs, Job{Kind: workflow.StepPlan, Text: id, Sequence: step, Priority: priorities[key], Trace: traces[key]})
			}
			return nil
		})
		return err
	}, `SELECT t.id, t.user_id, t.scope, t.state, t.step FROM `+few("user_id, scope", "$1::text[]", "$2::text[]")+` k
		JOIN texts t ON t.user_id = k.user_id AND t.scope = k.scope AND t.state <> 'failed' ORDER BY t.id FOR SHARE OF t`, users, scopes)
	if err := st.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("texts: %w", err)
	}
	return found, nil
}

// The states of a text.
const (
	textPlanning = "planning"
	textReady    = "ready"
	textFailed   = "failed"
)
