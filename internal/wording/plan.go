package wording

import (
	"fmt"
	"strings"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// planEntries are the calls to providers for a message's text, and the fallbacks. One that a call led to stands behind
// it, before the call that it led to, though all have one time.
func planEntries(p *db.Plan, history []workflow.Fallback) (entries []Entry) {
	var calls []db.PlanAttempt
	if p != nil {
		calls = p.Calls
	}
	told := make([]bool, len(history))
	tell := func(which func(workflow.Fallback) bool) {
		for i, f := range history {
			if !told[i] && which(f) {
				told[i] = true
				entries = append(entries, Entry{f.Timestamp, "fallback", fmt.Sprintf("from %s to %s: %s", f.From, f.To, Scenario(f.Reason))})
			}
		}
	}
	for _, c := range calls {
		what := "writes the text"
		switch {
		case c.Repair:
			what = "is asked for a better text"
		case c.Probe:
			what = "is tried again after its outage"
		}
		entries = append(entries, Entry{c.StartedAt, "asked", fmt.Sprintf("call %d: %s %s, asked by worker %s", c.Sequence, c.Provider, what, c.Worker)})
		if c.EndedAt != nil {
			entries = append(entries, Entry{*c.EndedAt, c.State, fmt.Sprintf("call %d: %s", c.Sequence, planOutcome(c))})
			tell(func(f workflow.Fallback) bool { return f.Timestamp.Equal(*c.EndedAt) })
		}
	}
	tell(func(workflow.Fallback) bool { return true })
	return entries
}

func planOutcome(c db.PlanAttempt) string {
	return Joined(c.Provider+" "+Class(c.Class), c.Code, strings.Join(c.Violations, " "), Labelled("status", c.Status), Labelled("request", c.RequestID), callCost(c))
}

func callCost(c db.PlanAttempt) string {
	switch {
	case c.CostKind == "":
		return ""
	case c.PicoUSD == nil:
		return "cost not known: no price"
	case c.CostKind == string(cost.NotBilled):
		return "not billed"
	case c.CostKind == string(cost.Estimated):
		return "at most about " + cost.FormatUSD(*c.PicoUSD)
	}
	return fmt.Sprintf("%s for %d tokens in, %d out", cost.FormatUSD(*c.PicoUSD), c.Input, c.Output)
}

// Written says in the headline who wrote the text and what it cost.
func Written(p db.Plan) string {
	text := ""
	if p.Source != "" {
		text += ", written by " + Source(p.Source)
	}
	if p.Shared {
		text += ", shared with its campaign"
	}
	if p.Cost.Calls > 0 {
		text += fmt.Sprintf(", %s, %s", Plural(p.Cost.Calls, "call"), cost.FormatUSD(p.Cost.PicoUSD))
	}
	return text + Uncertain(p.Cost.Estimated, p.Cost.Unpriced)
}

// Uncertain says what a sum of costs is not certain of.
func Uncertain(estimated, unpriced int) (text string) {
	if estimated > 0 {
		text = fmt.Sprintf(" (%d estimated)", estimated)
	}
	if unpriced > 0 {
		text += fmt.Sprintf(" and %d without a price", unpriced)
	}
	return text
}

// Source says who wrote a text.
func Source(source string) string {
	if source == "fallback_text" {
		return "the template, as its fallback text"
	}
	return source
}

// classes are the classes of provider results in a person's words, to follow the provider's name.
var classes = map[string]string{
	"completed": "wrote a text", "canceled": "was not waited for: the worker stopped", "timeout": "did not answer in time", "connection": "could not be reached, or the connection broke",
	"rate_limited": "said 429, too many requests", "billing_stop": "said 429 because the money or the quota is used up", "overloaded": "is overloaded",
	"server_error": "answered with a fault of its own", "auth": "refused the credential", "not_found": "has no such deployment or model",
	"content_filtered": "refused the brief or the text by its content filter", "context_length": "says that the prompt is too long", "invalid_request": "says that the request is invalid",
	"refusal": "declined to write it", "truncated": "did not get to the end of the text", "schema_violation": "answered in another form than asked for",
	"gate_failed": "wrote a text that may not be sent", "lost": "was asked, and the worker ended before the answer was stored",
}

// Class says how a call to a provider ended, to follow the provider's name.
func Class(class string) string {
	if words, known := classes[class]; known {
		return words
	}
	return class
}

// scenarios are the rows of the fallback matrix that are about no single provider.
var scenarios = map[string]string{
	"onlyfans_rate_limited": "the gateway said 429, too many requests", "rate_limiter_down": "the rate limiter did not answer",
	"budget_exceeded": "the budget for texts is spent", "all_open": "no provider may be called now", "all_failed": "each provider was tried in vain",
	"deadline": "the tries took too long", "campaign_cancelled": "its campaign was cancelled",
	"merge_failed": "the recipient's words could not be put into the text",
}

// Scenario says what a row of the fallback matrix, or the reason of a failed text, is about.
func Scenario(reason string) string {
	if words, known := scenarios[reason]; known {
		return words
	}
	if rest, found := strings.CutPrefix(reason, "queue_exhausted: "); found {
		return "it waited as long as it may: " + Scenario(rest)
	}
	if field, found := strings.CutPrefix(reason, "merge_field_unusable: "); found {
		return fmt.Sprintf("the text needs the recipient's %s, which is missing or can't be used", field)
	}
	if rule, found := strings.CutPrefix(reason, "merged_text_refused: "); found {
		return fmt.Sprintf("with the recipient's own words the text may not be sent (%s)", rule)
	}
	for _, provider := range []string{"azure", "openai"} {
		if class, found := strings.CutPrefix(reason, provider+"_"); found {
			if class == "unavailable" {
				return provider + " does not work"
			}
			return provider + " " + Class(class)
		}
	}
	return Reason(reason)
}
