package wording

import (
	"fmt"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
)

// Wait says what a message waits for, until when, and who can do something about it.
func Wait(w db.Workflow, wait db.Wait, now time.Time) string {
	until := When(wait.Until, now)
	switch wait.Kind {
	case db.WaitsForCampaign:
		return Joined(fmt.Sprintf("campaign %s is paused since %s", w.CampaignID, Moment(wait.Since)), wait.Reason)
	case db.WaitsForClosing:
		return fmt.Sprintf("campaign %s was cancelled at %s: it is never sent, and closed within a minute", w.CampaignID, Moment(wait.Since))
	case db.WaitsForSwitch:
		return fmt.Sprintf("sends are switched off since %s, %s", Moment(wait.Since), wait.Reason)
	case db.WaitsForFleet:
		return Joined("the whole fleet is frozen until "+until, wait.Reason)
	case db.WaitsForStart:
		return fmt.Sprintf("campaign %s does not run: it is %s since %s", w.CampaignID, wait.Reason, Moment(wait.Since))
	case db.WaitsForQuiet:
		if wait.Until.IsZero() {
			return fmt.Sprintf("the quiet hours of account %s can't be read: set them again, or clear them", w.UserID)
		}
		return fmt.Sprintf("account %s has quiet hours until %s", w.UserID, until)
	case db.WaitsForRest:
		return Joined(fmt.Sprintf("account %s rests until %s", w.UserID, until), Reason(wait.Reason))
	case db.WaitsForProbe:
		return Joined(fmt.Sprintf("account %s sends one message at a time until one gets through", w.UserID), Reason(wait.Reason)) + ahead(wait)
	case db.WaitsForSchedule:
		return "its schedule: not before " + until
	case db.WaitsForRecipient:
		return fmt.Sprintf("the limit of recipient %s, until %s", w.RecipientID, until)
	case db.WaitsForRetry:
		return Joined(fmt.Sprintf("its next try, after %d of %d tries, not before %s", w.State.Attempts, w.State.MaxRetries, until), wait.Reason)
	case db.WaitsForToken:
		return fmt.Sprintf("no token of account %s is free: the next one at %s", w.UserID, until) + ahead(wait) + expected(wait, now)
	case db.WaitsForTurn:
		return fmt.Sprintf("account %s has a token free: it is released as soon as a worker looks", w.UserID) + ahead(wait) + lookAt(wait, now)
	case db.WaitsForProvider:
		return providerWait(wait, now)
	case db.WaitsForAnswer:
		return fmt.Sprintf("%s is writing its text since %s, asked by worker %s; the call ends until %s", wait.Reason, Moment(wait.Since), wait.Worker, until)
	case db.WaitsForText:
		return "its text is " + wait.Reason + ", and handed to it as soon as a worker looks"
	case db.WaitsForWorker:
		return fmt.Sprintf("it has its tokens; a worker begins the call until %s, or they are given back", until)
	case db.WaitsForReply:
		return fmt.Sprintf("it is being sent since %s by worker %s; the call ends until %s", Moment(wait.Since), wait.Worker, until)
	case db.WaitsForReport:
		return fmt.Sprintf("worker %s has not said how the call since %s ended; at %s it is taken for lost, and the message is in doubt", wait.Worker, Moment(wait.Since), until)
	case db.WaitsForLookUp:
		return doubtInWords(wait) + fmt.Sprintf("; the gateway is asked at %s", until) + settles(wait, now)
	case db.WaitsForOperator:
		return doubtInWords(wait) + "; the gateway can't say, so an operator must decide" + settles(wait, now)
	default:
		return "no attempt of it is open: the reconciler puts it back within two minutes"
	}
}

// Command is how a person ends a wait on the command line, to follow what Wait says; empty where nobody can.
func Command(w db.Workflow, wait db.Wait) string {
	switch wait.Kind {
	case db.WaitsForCampaign:
		return fmt.Sprintf("; to go on: huntaze campaign resume %s %s", w.UserID, w.CampaignID)
	case db.WaitsForRest:
		return fmt.Sprintf("; to end it now: huntaze limits wake %s", w.UserID)
	case db.WaitsForOperator:
		return fmt.Sprintf(": huntaze doubt resolve %s --user %s --sent or --not-sent", w.WorkflowID, w.UserID)
	}
	return ""
}

// providerWait says why nobody writes its text now.
func providerWait(wait db.Wait, now time.Time) string {
	switch {
	case wait.Reason == "no_provider":
		return "its text is to be written, and no worker that runs has a provider: set AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY, or OPENAI_API_KEY"
	case wait.Reason == "campaign":
		return "its text is written when its campaign goes on"
	case wait.Until.After(now):
		return Joined("its text: the next try is at "+When(wait.Until, now), Scenario(wait.Reason))
	}
	return Joined("its text: written as soon as a worker is free", Scenario(wait.Reason))
}

func ahead(wait db.Wait) string {
	if wait.Ahead == nil {
		return ""
	}
	return fmt.Sprintf("; %s of the account ahead of it", Counted(*wait.Ahead, "message"))
}

func expected(wait db.Wait, now time.Time) string {
	if wait.Expected.IsZero() {
		return ""
	}
	return "; expected about " + When(wait.Expected, now)
}

func lookAt(wait db.Wait, now time.Time) string {
	if wait.Until.IsZero() {
		return ""
	}
	return "; at the latest at " + When(wait.Until, now)
}

func doubtInWords(wait db.Wait) string {
	return Joined(fmt.Sprintf("in doubt since %s", Moment(wait.Since)), Reason(wait.Reason), Labelled("look-ups so far", wait.LookUps))
}

func settles(wait db.Wait, now time.Time) string {
	if wait.Settles.After(now) {
		return "; it may still be on its way until " + When(wait.Settles, now)
	}
	return ""
}
