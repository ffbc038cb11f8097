package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// entry is one thing that happened to a message.
type entry struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
	Text string    `json:"text"`
}

// timelineOf joins what the inbox, the send ledger and the workflow's own events say, in the order of time.
func timelineOf(w db.Workflow) []entry {
	from := w.Source
	if from == "" {
		from = "the campaign API"
	}
	received := entry{w.ReceivedAt, "received", "from " + from}
	if w.SQSMessageID != "" {
		received.Text += ", message " + w.SQSMessageID
	}
	entries := append([]entry{received}, planEntries(w.Plan, w.State.FallbackHistory)...)
	for _, s := range w.Sends {
		entries = append(entries, sendEntries(s)...)
	}
	for _, e := range w.Events {
		entries = append(entries, entry{e.At, string(e.Kind), eventInWords(e)})
	}
	// Stable: what happened in one transaction has one time, and stands in the order of the life.
	slices.SortStableFunc(entries, func(a, b entry) int { return a.At.Compare(b.At) })
	return entries
}

func sendEntries(s db.Send) []entry {
	by := "its tokens are taken"
	if s.Limiter == "bypass" {
		by = "the limiter was bypassed, the ledger's tokens are taken"
	}
	entries := []entry{{s.ReservedAt, string(workflow.EventReleased), fmt.Sprintf("attempt %d: %s", s.Sequence, by)}}
	if s.StartedAt != nil {
		entries = append(entries, entry{*s.StartedAt, "called", fmt.Sprintf("attempt %d: the call to the gateway began, by worker %s", s.Sequence, s.Worker)})
	}
	// The doubt itself is an event, for the ledger's row forgets it when it is settled.
	if s.EndedAt != nil && s.State != string(workflow.EventUnknown) {
		entries = append(entries, entry{*s.EndedAt, s.State, fmt.Sprintf("attempt %d: %s", s.Sequence, sendOutcome(s))})
	}
	return entries
}

func sendOutcome(s db.Send) string {
	outcome := map[string]string{
		"accepted": "the gateway has it", "rejected": "the gateway refused it for good", "not_sent": "known not to have been sent",
		"withdrawn": "taken back before the call, no try is counted",
	}[s.State]
	return joined(outcome, reasonInWords(s.Reason), s.Detail, word("status", s.Status), word("messageId", s.GatewayMessageID),
		word("look-ups", s.LookUps), word("settled by", s.ResolvedBy))
}

// word is a label with its value, or nothing.
func word(label string, value any) string {
	if value == "" || value == 0 {
		return ""
	}
	return fmt.Sprintf("%s %v", label, value)
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
		until = "until " + moment(detail.Until)
	}
	switch {
	case detail.Source != "" && e.Kind == workflow.EventTextFailed:
		what = fmt.Sprintf("the text by %s can't be used for it", sourceInWords(detail.Source))
	case detail.Source != "":
		what += ", written by " + sourceInWords(detail.Source)
	}
	return joined(what, scenarioInWords(detail.Reason), word("status", detail.Status), until)
}

// reasons are the machine words of the ledger in a person's.
var reasons = map[string]string{
	"rate_limited":        "the gateway said 429, too many requests",
	"refused_credentials": "the gateway refused our token",
	"forbidden":           "the gateway forbids it",
	"refused":             "the gateway refuses the message",
	"bad_reply":           "its answer had no usable messageId",
	"connect_failed":      "no connection to the gateway",
	"dns_failed":          "the gateway's name was not found",
	"tls_failed":          "no TLS connection to the gateway",
	"connect_timeout":     "no connection to the gateway in time",
	"nothing_written":     "the connection took nothing",
	"timeout":             "no answer in time",
	"connection_reset":    "the connection was reset",
	"unexpected_eof":      "the connection was closed without an answer",
	"malformed_reply":     "the answer was not HTTP",
	"connection_lost":     "the connection was lost",
	"server_error":        "the gateway answered 5xx",
	"redirect":            "the gateway answered with a redirect",
	"ambiguous_status":    "the gateway's answer is not in the contract",
	"worker_lost":         "its worker ended in the middle of the call",
	"reservation_expired": "no worker began the call in time",
	"campaign_paused":     "its campaign was paused",
	"campaign_cancelled":  "its campaign was cancelled",
	"fleet_frozen":        "the fleet was frozen",
	"local_guard":         "the worker's own guard held it back",
	"stale":               "the worker was stopped for too long before the call",
	"never_accepted":      "the gateway never accepted it",
	"recipient":           "the recipient's own limit",
	notSentByOperator:     "an operator says that it was not sent",
	sentByOperator:        "an operator says that it was sent",
}

func reasonInWords(reason string) string {
	if words, known := reasons[reason]; known {
		return words
	}
	return reason
}
