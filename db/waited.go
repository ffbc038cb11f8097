package db

import (
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// waitedLeast is how long a wait must have been to be worth telling of: less is the way from one transaction to the
// next.
const waitedLeast = 50 * time.Millisecond

// waited says what a message that is released now has waited for since its last transition. The causes are told one
// after the other, though they may have held at the same time: first its own time, then what held up its account or its
// campaign, then the token. What nobody remembers any more, such as a kill switch that was off in between, is called a
// wait for its turn.
func (w winner) waited(now time.Time) []workflow.Waited {
	var waits []workflow.Waited
	since := w.record.updatedAt
	until := func(reason string, at time.Time) {
		if at.After(now) {
			at = now
		}
		if at.Sub(since) < waitedLeast {
			return
		}
		waits = append(waits, workflow.Waited{Reason: reason, Since: since, Until: at})
		since = at
	}
	own := WaitsForSchedule
	switch w.record.state.WaitReason {
	case workflow.WaitRecipient:
		own = WaitsForRecipient
	case workflow.WaitRetry:
		own = WaitsForRetry
	}
	until(string(own), w.record.state.NotBefore)
	if at := w.record.resumed; at != nil {
		until(string(WaitsForCampaign), *at)
	}
	until(string(WaitsForRest), w.account.restUntil)
	until(string(WaitsForQuiet), w.account.quiet.Until(since))
	until(string(WaitsForToken), w.tokenBack)
	until(string(WaitsForTurn), now)
	return waits
}

// traceOf reads a trace context as it is stored. One that can't be read is none: no step fails for that.
func traceOf(stored []byte) (trace workflow.TraceContext) {
	if len(stored) == 0 || json.Unmarshal(stored, &trace) != nil {
		return workflow.TraceContext{}
	}
	return trace
}

// traceOfText selects the trace in which a text is written: that of the first message that waits for it.
func traceOfText(id string) string {
	return `(SELECT m.trace_context FROM hybrid_workflows m WHERE m.text = ` + id + ` AND m.stage = 'planning' ORDER BY m.id LIMIT 1)`
}

// scanReplanned makes a job of a text that gets another: what it waited for, since when, and its trace.
func scanReplanned(row pgx.CollectableRow) (Job, error) {
	j := Job{Kind: workflow.StepPlan}
	var reason string
	var since time.Time
	var trace []byte
	err := row.Scan(&j.Text, &j.Sequence, &reason, &since, &trace)
	j.Trace = traceOf(trace)
	if reason != "" {
		j.Waits = []workflow.Waited{{Reason: reason, Since: since}}
	}
	return j, err
}
