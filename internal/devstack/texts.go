package devstack

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
)

// texts reads how the texts are written of those of the messages that came with a brief only.
func (w *watcher) texts(ctx context.Context, found []db.MessageProgress) (map[uuid.UUID]db.TextProgress, error) {
	w.mu.Lock()
	var ids []uuid.UUID
	for _, p := range found {
		if w.sample == nil {
			break
		}
		if m := w.sample.byKey[p.Key]; m != nil && m.written {
			ids = append(ids, p.ID)
		}
	}
	w.mu.Unlock()
	if len(ids) == 0 {
		return nil, nil
	}
	return w.stack.database.store.TextsOf(ctx, ids)
}

// noteTexts takes what the database says now of the texts.
func (f *follower) noteTexts(found []db.MessageProgress, texts map[uuid.UUID]db.TextProgress) {
	for _, p := range found {
		if text, known := texts[p.ID]; known && f.byKey[p.Key] != nil {
			f.byKey[p.Key].text = &text
		}
	}
}

// writtenOne is a message whose text was written, best one that was tried for more than once; nil: there is none.
func (f *follower) writtenOne() (one *followed) {
	for _, m := range f.messages {
		if m.written && (one == nil || m.text != nil && len(m.text.Failed) > 0 && (one.text == nil || len(one.text.Failed) == 0)) {
			one = m
		}
	}
	return one
}

// writing says what a message waits for whose text is being written.
func (m *followed) writing() string {
	if m.text == nil {
		return "its text"
	}
	return "its text" + failures(m.text.Failed)
}

// author says who wrote the text of a message, and who was asked in vain before: "text by openai, after azure: overloaded".
// It says nothing of a message that came with one.
func (m *followed) author() string {
	switch {
	case m.text == nil:
		return ""
	case !m.text.Written:
		return "no text" + failures(m.text.Failed)
	case m.text.Source == "fallback_text":
		return "the template's own text" + failures(m.text.Failed)
	}
	return "text by " + m.text.Source + failures(m.text.Failed)
}

// failures says which calls brought no text. One that failed several times in a row for the same reason is told once.
func failures(calls []db.FailedCall) string {
	if len(calls) == 0 {
		return ""
	}
	parts := make([]string, len(calls))
	for i, c := range calls {
		words, known := classes[c.Class]
		if !known {
			words = strings.ReplaceAll(c.Class, "_", " ")
		}
		parts[i] = c.Provider + ": " + words
	}
	return ", after " + strings.Join(slices.Compact(parts), ", ")
}

// classes are the classes of calls whose names say too little; of the others the name is enough.
var classes = map[string]string{
	"connection": "no connection", "auth": "credential refused", "not_found": "no such deployment or model", "billing_stop": "money or quota used up",
	"context_length": "brief too long", "truncated": "text not finished", "schema_violation": "answer of another form", "gate_failed": "text not fit to be sent",
	"canceled": "call broken off", "lost": "call lost",
}
