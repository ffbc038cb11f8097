package wording

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Entry is one thing that happened to a message.
type Entry struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
	Text string    `json:"text"`
}

// Timeline joins what the inbox, the send ledger and the workflow's own events say, in the order of time.
func Timeline(w db.Workflow) []Entry {
	from := w.Source
	if from == "" {
		from = "the campaign API"
	}
	received := Entry{w.ReceivedAt, "received", "from " + from}
	if w.SQSMessageID != "" {
		received.Text += ", message " + w.SQSMessageID
	}
	entries := append([]Entry{received}, planEntries(w.Plan, w.State.FallbackHistory)...)
	for _, s := range w.Sends {
		entries = append(entries, sendEntries(s)...)
	}
	for _, e := range w.Events {
		entries = append(entries, Entry{e.At, string(e.Kind), eventInWords(e)})
	}
	// Stable: what happened in one transaction has one time, and stands in the order of the life.
	slices.SortStableFunc(entries, func(a, b Entry) int { return a.At.Compare(b.At) })
	return entries
}

func sendEntries(s db.Send) []Entry {
	by := "its tokens are taken"
	if s.Limiter == "bypass" {
		by = "the limiter was bypassed, the ledger's tokens are taken"
	}
	entries := []Entry{{s.ReservedAt, string(workflow.EventReleased), fmt.Sprintf("attempt %d: %s", s.Sequence, by)}}
	if s.StartedAt != nil {
		entries = append(entries, Entry{*s.StartedAt, "called", fmt.Sprintf("attempt %d: the call to the gateway began, by worker %s", s.Sequence, s.Worker)})
	}
	// The doubt itself is an event, for the ledger's row forgets it when it is settled.
	if s.EndedAt != nil && s.State != string(workflow.EventUnknown) {
		entries = append(entries, Entry{*s.EndedAt, s.State, fmt.Sprintf("attempt %d: %s", s.Sequence, sendOutcome(s))})
	}
	return entries
}

func sendOutcome(s db.Send) string {
	outcome := map[string]string{
		"accepted": "the gateway has it", "rejected": "the gateway refused it for good", "not_sent": "known not to have been sent",
		"withdrawn": "taken back before the call, no try is counted",
	}[s.State]
	return Joined(outcome, Reason(s.Reason), s.Detail, Labelled("status", s.Status), Labelled("messageId", s.GatewayMessageID),
		Labelled("look-ups", s.LookUps), Labelled("settled by", s.ResolvedBy))
}

func eventInWords(e db.Event) string {
	var detail struct {
		Attempt int       `json:"attempt"`
		Reason  string    `json:"reason"`
		Status  int       `json:"status"`
		Until   time.Time `json:"until"`
		Source  string    `json:"source"`
	}
	_ = json.Unmarshal(e.Detail, &detail) // what can't be read is left out
	what := map[workflow.EventKind]string{
		workflow.EventUnknown: "nobody knows whether the gateway has it: in doubt", workflow.EventDeferred: "put back",
		workflow.EventCancelled: "its campaign was cancelled", workflow.EventTextReady: "its text is ready", workflow.EventTextFailed: "no text could be had",
	}[e.Kind]
	if detail.Attempt > 0 {
		what = fmt.Sprintf("attempt %d: %s", detail.Attempt, what)
	}
	until := ""
	if !detail.Until.IsZero() {
		until = "until " + Moment(detail.Until)
	}
	switch {
	case detail.Source != "" && e.Kind == workflow.EventTextFailed:
		what = fmt.Sprintf("the text by %s can't be used for it", Source(detail.Source))
	case detail.Source != "":
		what += ", written by " + Source(detail.Source)
	}
	return Joined(what, Scenario(detail.Reason), Labelled("status", detail.Status), until)
}
