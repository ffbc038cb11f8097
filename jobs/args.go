// Package jobs holds the steps of a workflow as River jobs, one file for each. A job decides nothing by
// itself: it calls a capability and reports what happened. Its arguments hold ids only.
//
// Every job may be run again at any time, by River's rescue, by an operator's retry or because two workers took
// it: what was done is written in our own tables, and a job reads those first.
package jobs

import (
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
)

// The queues. Sends have their own, so that slow calls do not keep other steps waiting. Wake-ups of accounts are in it, too: a
// process whose environment forbids sends works none of it, and so takes neither from those that may. They go
// before all but the most urgent sends, and need no worker while there is none for what they would release.
const (
	QueueSteps = river.QueueDefault
	QueueSend  = "send"
)

// SendArgs is one attempt to send a message.
type SendArgs struct {
	Workflow uuid.UUID `json:"workflow"`
	Sequence int       `json:"sequence"`
}

// Kind implements river.JobArgs.
func (SendArgs) Kind() string { return "send" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (SendArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: QueueSend} }

// ReleaseArgs is the durable wake-up of an account.
type ReleaseArgs struct {
	UserID string    `json:"userId"`
	WakeAt time.Time `json:"wakeAt"` // names this wake-up: the account's row knows which one is live
}

// Kind implements river.JobArgs.
func (ReleaseArgs) Kind() string { return "release" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (ReleaseArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: QueueSend} }

// ResolveArgs asks the gateway what became of an attempt.
type ResolveArgs struct {
	Workflow uuid.UUID `json:"workflow"`
	Sequence int       `json:"sequence"`
}

// Kind implements river.JobArgs.
func (ResolveArgs) Kind() string { return "resolve" }

// ReconcileArgs looks for what a crash left behind.
type ReconcileArgs struct{}

// Kind implements river.JobArgs.
func (ReconcileArgs) Kind() string { return "reconcile" }
