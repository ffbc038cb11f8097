package db

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// spreadMost bounds how many messages get their text in one transaction.
const spreadMost = 500

// waitingMessage is a message whose text has ended.
type waitingMessage struct {
	record
	text   uuid.UUID
	fields map[string]string
}

// spread hands texts that have ended to the messages that wait for them: each gets the text with its own words in
// it, or the failure, and what the state says of the writing.
func (p *planning) spread(ctx context.Context, tx pgx.Tx) error {
	if len(p.toSpread) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, 0, len(p.toSpread))
	for id := range p.toSpread {
		ids = append(ids, id)
	}
	waiting, err := p.waitingMessages(ctx, tx, ids)
	if err != nil {
		return err
	}
	var moves updates
	var w written
	var history timeline
	wakes, moved := map[string]time.Time{}, map[uuid.UUID]int{}
	for _, m := range waiting {
		t := p.texts[m.text]
		event, content := p.eventFor(t, m)
		next, steps, err := workflow.Transition(m.state, event)
		if err != nil {
			return err // it is locked, and in planning
		}
		moves.add(m.record, next, m.sequence)
		w.add(next, content)
		detail := map[string]any{"text": t.id}
		if t.source != "" {
			detail["source"] = t.source
		}
		if event.Reason != "" {
			detail["reason"] = event.Reason
		}
		history.add(m.id, event.Kind, detail)
		moved[t.id]++
		for _, step := range steps {
			if at, ok := wakes[m.userID]; !ok || step.At.Before(at) {
				wakes[m.userID] = step.At
			}
		}
	}
	for id, steps := range p.toSpread {
		for _, i := range steps {
			p.next[i].Moved = moved[id]
			if moved[id] == spreadMost {
				p.next[i].Do = PlanGoOn
			}
			p.next[i].Wakes = map[string]time.Duration{}
			if at, ok := wakes[p.texts[id].userID]; ok {
				p.next[i].Wakes[p.texts[id].userID] = max(0, at.Sub(p.now))
			}
		}
	}
	if len(moves.ids) == 0 {
		return nil
	}
	var st statements
	st.count("move", func(n int64) error {
		if n != int64(len(moves.ids)) {
			return errChanged
		}
		return nil
	}, updateRecordsSQL, moves.args(p.now)...)
	st.exec("texts of messages", writtenSQL, moves.ids, w.contents, w.currents, w.checkpoints)
	history.queue(&st, p.now)
	queueWakeUps(&st, wakes, p.now, &p.jobs)
	return st.run(ctx, tx)
}

// eventFor says what its text means for one message.
func (p *planning) eventFor(t *plannedText, m waitingMessage) (event workflow.Event, content string) {
	g := t.progress
	checkpoint, _ := json.Marshal(g.Checkpoint)
	event = workflow.Event{Kind: workflow.EventTextReady, At: p.now, Writing: &workflow.Writing{
		CurrentProvider: g.Current, Azure: g.States.Azure, OpenAI: g.States.OpenAI, Retries: g.Retries, History: g.History, Checkpoint: checkpoint,
	}}
	if t.state == textFailed {
		event.Kind, event.Reason = workflow.EventTextFailed, t.reason
		if t.reason == campaignCancelled {
			event.Kind, event.Writing = workflow.EventCancelled, nil
		}
		return event, ""
	}
	content, reason := p.config.Texts.Fill(t.template, t.body, m.fields)
	if reason != "" {
		event.Kind, event.Reason = workflow.EventTextFailed, reason
		return event, ""
	}
	return event, content
}

func (p *planning) waitingMessages(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) ([]waitingMessage, error) {
	rows, err := tx.Query(ctx, `SELECT `+recordColumns+`, w.text, w.merge_fields FROM unnest($1::uuid[]) AS k(id)
		CROSS JOIN LATERAL (SELECT * FROM hybrid_workflows m WHERE m.text = k.id AND m.stage = 'planning' ORDER BY m.id LIMIT $2 FOR UPDATE SKIP LOCKED) w`, ids, spreadMost)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m waitingMessage, err error) {
		m.record, err = scanRecord(extraColumns{row, []any{&m.text, &m.fields}})
		return m, err
	})
}

// extraColumns lets a scanner read a row that has more columns than it knows.
type extraColumns struct {
	pgx.CollectableRow
	more []any
}

func (e extraColumns) Scan(dest ...any) error {
	return e.CollectableRow.Scan(append(dest, e.more...)...)
}

// written is what messages get besides their transition.
type written struct{ contents, currents, checkpoints []string }

func (w *written) add(next workflow.State, content string) {
	checkpoint := "{}"
	if len(next.CheckpointData) > 0 {
		checkpoint = string(next.CheckpointData)
	}
	w.contents, w.currents, w.checkpoints = append(w.contents, content), append(w.currents, string(next.CurrentProvider)), append(w.checkpoints, checkpoint)
}

var writtenSQL = `UPDATE hybrid_workflows w SET content = u.content, current_provider = u.current_provider, checkpoint_data = u.checkpoint::jsonb
FROM ` + few("id, content, current_provider, checkpoint", "$1::uuid[]", "$2::text[]", "$3::text[]", "$4::text[]") + ` u WHERE w.id = u.id`
