package db

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

const (
	// planPause is the longest wait that a job makes itself; longer ones are River's.
	planPause = time.Second
	// planSlack is how much later than the caller's own deadline a call counts as lost: it includes the answer's way
	// into the database.
	planSlack = 15 * time.Second
	// planLost is how overdue a text must be for its job to be taken for lost.
	planLost = planSlack + 5*time.Second
	// parked is what a text waits for while its campaign is paused.
	parked = "campaign"
	// disabled is what it waits for while no text may be written: the flag planning_enabled.
	disabled = "planning_disabled"
)

// Plan takes texts a step further: it notes how a call ended, decides by the fallback matrix what follows, and
// writes down the next call before it is made, the cost, the state and the next job, in one transaction. A text that
// has ended is handed to its messages. What a job that was run again, or comes too late, reports changes nothing.
func (s *Store) Plan(ctx context.Context, steps []PlanStep) ([]PlanNext, error) {
	if s.config.Planning == nil {
		return nil, errors.New("this process has no provider to plan with")
	}
	var next []PlanNext
	err := s.releasing(ctx, func(tx pgx.Tx, _ bool) error {
		p := planning{store: s, config: *s.config.Planning, steps: steps, next: make([]PlanNext, len(steps))}
		if err := p.run(ctx, tx); err != nil {
			return err
		}
		next = p.next
		return nil
	})
	return next, err
}

// planning is one batch of steps on its way into the database.
type planning struct {
	store  *Store
	config Planning
	steps  []PlanStep
	next   []PlanNext

	now      time.Time
	texts    map[uuid.UUID]*plannedText
	guards   map[string]guard.State // by target
	underWay map[string]int
	spent    int64           // today (UTC), pico-USD
	changed  map[string]bool // of guards
	decided  map[uuid.UUID]bool
	jobs     []Job
	ended    []endedCall
	begun    []begunCall
	costs    []costRow
	toSpread map[uuid.UUID][]int // steps, by text
}

type endedCall struct {
	attempt    uuid.UUID
	state      string
	result     provider.Result
	violations []string
}

type begunCall struct {
	call     PlanCall
	text     uuid.UUID
	target   provider.Target
	probe    bool
	deadline time.Time
}

type costRow struct {
	attempt uuid.UUID
	text    *plannedText
	target  provider.Target
	cost    PlanCost
}

func (p *planning) run(ctx context.Context, tx pgx.Tx) error {
	if err := p.read(ctx, tx); err != nil {
		return err
	}
	p.decided, p.changed, p.toSpread = map[uuid.UUID]bool{}, map[string]bool{}, map[uuid.UUID][]int{}
	for _, i := range p.order() {
		p.decide(i)
	}
	if err := p.write(ctx, tx); err != nil {
		return err
	}
	if err := p.spread(ctx, tx); err != nil {
		return err
	}
	if len(p.jobs) == 0 {
		return nil
	}
	return p.store.enqueuer.EnqueueTx(ctx, tx, p.jobs)
}

// order puts reports of calls first: they say whether others may be made.
func (p *planning) order() []int {
	order := make([]int, len(p.steps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return boolInt(p.steps[a].Ended == nil) - boolInt(p.steps[b].Ended == nil)
	})
	return order
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// decide says what follows for one step. Two steps of one text in a batch: the second finds nothing to do.
func (p *planning) decide(i int) {
	step := p.steps[i]
	p.next[i].Do = PlanDone
	t := p.texts[step.Text]
	if t == nil || p.decided[step.Text] {
		return
	}
	if t.state != textPlanning {
		p.toSpread[t.id] = append(p.toSpread[t.id], i)
		return
	}
	open := t.open
	switch {
	case step.Ended != nil && (open == nil || open.id != step.Ended.Attempt):
		return // it was taken for lost, and paid for as an estimate: others went on
	case step.Ended == nil && step.Step != t.step:
		return // of an earlier job
	}
	p.decided[t.id] = true
	var next fallback.Next
	switch {
	case step.Ended != nil:
		next = p.end(t, open, step.Ended)
	case open != nil && p.now.Before(open.deadline.Add(planSlack)):
		p.later(t, open.deadline.Add(planSlack), t.waitsFor, step.Trace) // another process makes the call, or died of it
		return
	case open != nil:
		p.lose(t, open)
	}
	if t.state == textPlanning && next.Do == "" {
		next = p.choose(i, t, step)
	}
	p.settle(i, t, next)
	p.next[i].Fallbacks = p.decidedNow(t.progress.History)
	if t.state != textPlanning {
		p.toSpread[t.id] = append(p.toSpread[t.id], i)
	}
}

// decidedNow are the entries of a history that this step made. Their number tells nothing: old ones may have gone.
func (p *planning) decidedNow(history []workflow.Fallback) []workflow.Fallback {
	first := len(history)
	for first > 0 && history[first-1].Timestamp.Equal(p.now) {
		first--
	}
	return history[first:]
}

// end notes how a call ended.
func (p *planning) end(t *plannedText, open *openCall, e *PlanEnd) fallback.Next {
	class := e.Result.Class
	if class == provider.Completed && len(e.Violations) > 0 {
		class = fallback.GateFailed
	}
	open.probe = open.probe && p.now.Before(open.deadline.Add(planSlack))
	p.record(open, e.Result.Class, e.Result.RetryAfter)
	result := e.Result
	result.Class = class
	p.ended = append(p.ended, endedCall{open.id, attemptStateOf(class), result, e.Violations})
	p.costs = append(p.costs, costRow{open.id, t, p.config.Targets[open.provider], e.Cost})
	t.open = nil
	if class != provider.Completed {
		var next fallback.Next
		t.progress, next = p.config.Plan.Failed(t.progress, class, e.Result.RetryAfter, e.Result.Veto, e.Violations, p.now)
		return next
	}
	t.progress = p.config.Plan.Completed(t.progress)
	t.state, t.body, t.why, t.source, t.waitsFor = textReady, e.Result.Text, e.Result.Why, string(open.provider), ""
	return fallback.Next{}
}

func attemptStateOf(class provider.Class) string {
	switch class {
	case provider.Completed, provider.Timeout, provider.Canceled, fallback.Lost:
		return string(class)
	}
	return "failed"
}

// lose notes a call whose process ended before it said how. What it cost is not known.
func (p *planning) lose(t *plannedText, open *openCall) {
	open.probe = false // its time is over, and another may be under way
	p.record(open, provider.Canceled, 0)
	p.ended = append(p.ended, endedCall{attempt: open.id, state: string(fallback.Lost), result: provider.Result{Class: fallback.Lost}})
	p.costs = append(p.costs, costRow{open.id, t, p.config.Targets[open.provider], p.config.Estimate(open.provider, t.call())})
	t.progress, _ = p.config.Plan.Failed(t.progress, fallback.Lost, 0, false, nil, p.now)
	t.open = nil
}

func (p *planning) record(open *openCall, class provider.Class, retryAfter time.Duration) {
	p.guards[open.target] = p.config.Guard.Record(p.guards[open.target], class, retryAfter, open.probe, p.now)
	p.changed[open.target] = true
	if p.now.Before(open.deadline.Add(planSlack)) {
		p.underWay[open.target]--
	}
}

// choose decides what to do now for a text that is still to be written.
func (p *planning) choose(i int, t *plannedText, step PlanStep) fallback.Next {
	switch {
	case t.disabled:
		return fallback.Next{Do: doPark, Reason: disabled}
	case t.campaign == CampaignPaused || t.campaign == CampaignDraft || t.campaign == CampaignScheduled:
		return fallback.Next{Do: doPark, Reason: parked}
	case t.campaign == CampaignCancelled:
		return fallback.Next{Do: fallback.DoFail, Reason: campaignCancelled}
	case step.NoCall:
		return fallback.Next{Do: doHandOver}
	}
	verdicts, views := map[provider.Name]guard.Verdict{}, map[provider.Name]fallback.View{}
	for name, target := range p.config.Targets {
		key := target.Key()
		v := p.config.Guard.Admit(p.guards[key], p.underWay[key], p.now)
		view := fallback.View{Admitted: v.Admitted, Busy: v.Busy, Until: v.Until, Why: v.Why}
		if d := step.Delays[name]; v.Admitted && d > 0 {
			view = fallback.View{Busy: d <= planPause, Until: p.now.Add(d), Why: provider.RateLimited}
		}
		verdicts[name], views[name] = v, view
	}
	progress, next := p.config.Plan.Choose(t.progress, views, p.now)
	if next.Do == fallback.DoCall && !p.affords(t, next.Target) {
		t.progress, next = p.config.Plan.OverBudget(t.progress, 0, p.now)
		return next
	}
	t.progress = progress
	if next.Do == fallback.DoCall {
		p.begin(i, t, next.Target, verdicts[next.Target])
	}
	return next
}

// affords says whether a call may begin within its campaign's and the day's budget, whatever those under way will cost. A target whose
// price nobody knows can't be kept within one.
func (p *planning) affords(t *plannedText, name provider.Name) bool {
	if p.config.DailyBudget == 0 && t.maxCost == nil {
		return true
	}
	call := t.call()
	if call.Template == "" {
		call.Template = p.config.Texts.Template()
	}
	most := p.config.Estimate(name, call).PicoUSD
	if most == nil {
		return false
	}
	if t.maxCost != nil {
		if t.cost+*most > *t.maxCost {
			return false
		}
		for _, other := range p.texts { // of the same campaign, in the same transaction
			if other.userID == t.userID && other.campaignID == t.campaignID {
				other.cost += *most
			}
		}
	}
	if p.config.DailyBudget == 0 {
		return true
	}
	underWay := 0
	for _, n := range p.underWay {
		underWay += n
	}
	return p.spent+int64(underWay+1)**most <= p.config.DailyBudget
}

// begin writes down a call.
func (p *planning) begin(i int, t *plannedText, name provider.Name, verdict guard.Verdict) {
	target := p.config.Targets[name]
	deadline := p.now.Add(p.config.CallTimeout)
	key := target.Key()
	p.guards[key] = p.guards[key].Began(verdict, deadline.Add(planSlack)) // its end may be known here only then
	p.changed[key] = p.changed[key] || verdict.Probe
	p.underWay[key]++
	t.attempts++
	if t.template == "" {
		t.template = p.config.Texts.Template()
	}
	t.dueAt, t.waitsFor = deadline, ""
	call := t.call()
	call.Target, call.Attempt = name, uuid.Must(uuid.NewV7())
	p.begun = append(p.begun, begunCall{call: call, text: t.id, target: target, probe: verdict.Probe, deadline: deadline})
	p.next[i].Do, p.next[i].Call = PlanMakeCall, call
}

// What else may be decided.
const (
	doPark     fallback.Do = "park"      // wait without a job: whoever resumes the campaign writes one
	doHandOver fallback.Do = "hand_over" // to another job, at once
)

// campaignCancelled is the reason of texts that nobody needs any more.
const campaignCancelled = "campaign_cancelled"

// settle turns a decision into the text's state.
func (p *planning) settle(i int, t *plannedText, next fallback.Next) {
	switch next.Do {
	case fallback.DoWait:
		p.next[i].Reason = next.Reason
		if wait := next.Until.Sub(p.now); wait <= planPause && !p.steps[i].NoCall {
			p.next[i].Do, p.next[i].Pause = PlanPause, wait
			t.dueAt, t.waitsFor = next.Until, next.Reason
			return
		}
		p.later(t, next.Until, next.Reason, p.steps[i].Trace)
	case doHandOver:
		p.later(t, p.now, "", p.steps[i].Trace)
	case doPark:
		t.step++
		t.dueAt, t.waitsFor = p.now, next.Reason
		p.next[i].Reason = next.Reason
	case fallback.DoFallbackText:
		template := t.template
		if template == "" {
			template = p.config.Texts.Template()
		}
		if body := p.config.Texts.FallbackText(template); body != "" {
			t.state, t.body, t.source, t.waitsFor, t.template = textReady, body, string(fallback.ToFallbackText), "", template
			break
		}
		fallthrough
	case fallback.DoFail:
		t.state, t.reason, t.waitsFor = textFailed, next.Reason, ""
	}
	if t.state == textReady {
		p.next[i].Source = t.source
	}
	if t.state == textFailed {
		p.next[i].Reason = t.reason
	}
}

// later leaves a text to another job.
func (p *planning) later(t *plannedText, at time.Time, reason string, trace workflow.TraceContext) {
	t.step++
	t.dueAt, t.waitsFor = at, reason
	var waits []workflow.Waited
	if at.After(p.now) {
		waits = []workflow.Waited{{Reason: cmp.Or(reason, string(WaitsForAnswer)), Since: p.now}}
	}
	p.jobs = append(p.jobs, Job{Kind: workflow.StepPlan, Text: t.id, Sequence: t.step, At: at, Trace: trace, Waits: waits})
}
