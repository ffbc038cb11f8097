package console

import (
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

const doubtsMost = 100

// doubtRow is a message in doubt.
type doubtRow struct {
	db.Doubt
	Back string // where the decision leads back to
}

// OnItsWay says how long the request may still be on its way; empty when it can't be.
func (d doubtRow) OnItsWay() string {
	if d.Settled >= 0 {
		return ""
	}
	return wording.Length(-d.Settled)
}

type doubtsView struct {
	Doubts []doubtRow
	More   bool
}

func (c *console) doubtsPage(r *request) error {
	found, err := c.Store.DoubtsIn(r.Context(), r.who.scope(), doubtsMost+1)
	if err != nil {
		return err
	}
	body := doubtsView{More: len(found) > doubtsMost}
	for _, d := range found[:min(doubtsMost, len(found))] {
		body.Doubts = append(body.Doubts, doubtRow{Doubt: d, Back: "/doubts"})
	}
	return r.show("doubts", "In doubt", "doubts", body)
}

// resolveDoubt settles the attempt that the form shows, and no other one.
func (c *console) resolveDoubt(r *request) error {
	id, err := uuid.Parse(r.PathValue("workflow"))
	if err != nil {
		return errNotFound
	}
	sequence, err := strconv.Atoi(r.PathValue("sequence"))
	if err != nil {
		return errNotFound
	}
	which, known, err := c.Store.WhichMessage(r.Context(), id)
	if err != nil {
		return err
	}
	if !known || !r.may(which.UserID) {
		return errNotFound
	}
	reason, err := r.reason(true)
	if err != nil {
		return err
	}
	doubt, open, err := c.Store.Doubt(r.Context(), db.Attempt{Workflow: id, Sequence: sequence})
	if err != nil {
		return err
	}
	if !open {
		return conflict("Attempt %d is not in doubt any more: somebody else has settled it, or the gateway has answered.", sequence)
	}
	report := db.Finish{Attempt: doubt.Attempt, Fence: doubt.Fence, Detail: reason, ResolvedBy: r.by()}
	messageID := strings.TrimSpace(r.PostFormValue("messageId"))
	switch r.PostFormValue("outcome") {
	case "sent":
		if len(messageID) > queryMost || strings.ContainsFunc(messageID, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' }) {
			return invalid("The platform's id is too long, or has characters that can't be shown.")
		}
		report.Outcome, report.Reason, report.GatewayMessageID = workflow.EventAccepted, wording.SentByOperator, messageID
	case "not_sent":
		if messageID != "" {
			return invalid("What was not sent has no id on the platform: leave it empty.")
		}
		if doubt.Settled < 0 {
			return conflict("The request may still be on its way for %s. If it arrived after the message was sent again, the recipient would get it twice: wait until then.", wording.Length(-doubt.Settled))
		}
		report.Outcome, report.Reason = workflow.EventNotSent, wording.NotSentByOperator
	default:
		return invalid("Choose what became of it: sent, or not sent.")
	}
	finished, err := c.Store.Finish(r.Context(), []db.Finish{report}, true)
	if err != nil {
		return err
	}
	if !finished[0].Applied {
		return conflict("It was settled by somebody else meanwhile.")
	}
	r.said("doubt resolved", "workflow", id, "attempt", sequence, "outcome", string(report.Outcome))
	if finished[0].Stage == workflow.StageQueued {
		// Its durable wake-up is there; this saves the time until then.
		if _, err := c.Store.WakeWaiting(r.Context(), doubt.UserID); err != nil {
			c.Logger.Warn("console: an account could not be woken", "account", doubt.UserID, "error", err)
		}
	}
	back := "/doubts"
	if r.PostFormValue("back") != back {
		back = "/messages/" + id.String()
	}
	return r.done(back, "%s is settled: %s.", doubt.WorkflowID, words(string(finished[0].Stage)))
}
