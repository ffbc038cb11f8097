package fallback

import (
	"slices"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Checkpoint is where a text is between two steps. Its JSON is the workflow's checkpointData: any process goes on
// from it.
type Checkpoint struct {
	Target     provider.Name   `json:"target,omitempty"`     // that is being tried, or is tried next; empty: the first
	Tries      int             `json:"tries,omitempty"`      // on that target in this chain that failed
	Repairs    int             `json:"repairs,omitempty"`    // tries to repair a text that can't be used, in this chain
	Used       []provider.Name `json:"used,omitempty"`       // targets that this chain does not enter again
	Called     []provider.Name `json:"called,omitempty"`     // targets that were called for this text, in any chain
	Calls      int             `json:"calls,omitempty"`      // in this chain
	Failed     bool            `json:"failed,omitempty"`     // a call of this chain failed, or brought a text that can't be used
	Began      *time.Time      `json:"began,omitempty"`      // this chain
	BusySince  *time.Time      `json:"busySince,omitempty"`  // the target has been busy since
	WaitUntil  *time.Time      `json:"waitUntil,omitempty"`  // nothing is called before
	WaitsFor   Scenario        `json:"waitsFor,omitempty"`   // why
	Charged    int             `json:"charged,omitempty"`    // calls for this text, in any chain, that may have been paid for in vain
	Waits      int             `json:"waits,omitempty"`      // in the queue
	FirstWait  *time.Time      `json:"firstWait,omitempty"`  // in the queue
	Violations []string        `json:"violations,omitempty"` // of the gate, that the next try is to repair
}

// Progress is what a workflow shows of the writing of its text.
type Progress struct {
	Current    workflow.Provider
	States     workflow.ProviderStates
	Retries    workflow.RetryAttempts
	History    []workflow.Fallback
	Checkpoint Checkpoint
}

// View is what the guard says about a target.
type View struct {
	Admitted bool
	Busy     bool           // about to be free
	Until    time.Time      // when it may be asked again, at the earliest
	Why      provider.Class // that it is closed for
}

// Do is what is to be done next.
type Do string

// What may be done.
const (
	DoCall         Do = "call"
	DoWait         Do = "wait"
	DoFail         Do = "fail"
	DoFallbackText Do = "fallback_text"
)

// Next is the decision of a step.
type Next struct {
	Do     Do
	Target provider.Name // call
	Until  time.Time     // wait
	Reason string        // a machine word
}

// Plan applies a matrix to texts. Its targets are those that there are credentials for, the preferred one first.
type Plan struct {
	Matrix  Matrix
	Targets []provider.Name
}

const (
	// busyMost is how long a chain waits for a target that is about to be free.
	busyMost = time.Second
	// historyMost bounds the history of a workflow; the oldest entries go first.
	historyMost = 50
	// queueExhausted is the reason of a text that waited as often or as long as it may.
	queueExhausted = "queue_exhausted"
)

// Failed notes how the call under way ended: with any class but Completed, for which see Completed. A veto means
// that the provider does not want to be asked the same again.
func (p Plan) Failed(g Progress, class provider.Class, retryAfter time.Duration, veto bool, violations []string, now time.Time) (Progress, Next) {
	c := &g.Checkpoint
	target := c.Target
	if charged(class) {
		c.Charged++
	}
	scenario := ScenarioOf(target, class)
	if scenario == "" { // canceled, lost: the same again. It counts as a call, so that a crash can't repeat itself for ever.
		setState(&g.States, target, workflow.ProviderPending)
		return g, Next{}
	}
	setState(&g.States, target, failedState(class))
	row := p.Matrix.Row(scenario)
	wait := max(row.Delay, retryAfter)
	repair := unusable(class)
	tries := c.Tries
	if repair {
		tries = c.Repairs
	}
	c.Failed = true
	if tries < row.MaxRetries && !veto && wait <= max(p.Matrix.bounds.RetryAfter, row.Delay) && p.inTime(c, wait, now) {
		if repair {
			c.Repairs, c.Violations = c.Repairs+1, violationsOf(class, violations)
		} else {
			c.Tries++
		}
		c.waitFor(scenario, wait, now)
		return g, Next{}
	}
	return p.leave(g, scenario, row, retryAfter, now)
}

// charged says that a call which ended so may have been paid for.
func charged(class provider.Class) bool {
	switch class {
	case provider.Timeout, provider.Canceled, Lost:
		return true
	}
	return unusable(class)
}

// unusable says that the provider works, and the text is not what is needed.
func unusable(class provider.Class) bool {
	switch class {
	case provider.Refusal, provider.Truncated, provider.SchemaViolation, GateFailed:
		return true
	}
	return false
}

func violationsOf(class provider.Class, violations []string) []string {
	if class == GateFailed {
		return slices.Clone(violations)
	}
	return []string{string(class)}
}

func failedState(class provider.Class) workflow.ProviderState {
	if class == provider.Timeout {
		return workflow.ProviderTimeout
	}
	return workflow.ProviderFailed
}

func (p Plan) inTime(c *Checkpoint, wait time.Duration, now time.Time) bool {
	return c.Calls < p.Matrix.bounds.MaxCalls && (c.Began == nil || now.Add(wait).Sub(*c.Began) < p.Matrix.bounds.Deadline)
}

func (c *Checkpoint) waitFor(s Scenario, wait time.Duration, now time.Time) {
	c.WaitUntil, c.WaitsFor = nil, ""
	if wait > 0 {
		until := now.Add(wait)
		c.WaitUntil, c.WaitsFor = &until, s
	}
}

// leave goes the way that a row shows once its tries are used up.
func (p Plan) leave(g Progress, scenario Scenario, row Row, retryAfter time.Duration, now time.Time) (Progress, Next) {
	c := &g.Checkpoint
	from := c.Target
	c.use(from)
	switch row.Fallback {
	case ToFailure, ToFallbackText:
		if row.Fallback == ToFallbackText {
			g.note(from, string(ToFallbackText), scenario, now)
			return g, Next{Do: DoFallbackText, Reason: string(scenario)}
		}
		return g, Next{Do: DoFail, Reason: string(scenario)}
	case ToQueue:
		return p.queue(g, from, scenario, max(row.Delay, retryAfter), now)
	}
	to := provider.Name(row.Fallback)
	if !slices.Contains(p.Targets, to) || slices.Contains(c.Used, to) {
		return p.leaveAll(g, from, AllFailed, 0, now)
	}
	if !p.inTime(c, 0, now) { // the other would not be called: the history is not to say so
		return p.leaveAll(g, from, Deadline, 0, now)
	}
	g.note(from, string(to), scenario, now)
	c.enter(to)
	c.waitFor("", 0, now)
	return g, Next{}
}

// use notes that this chain does not enter a target again.
func (c *Checkpoint) use(name provider.Name) {
	if name != "" && !slices.Contains(c.Used, name) {
		c.Used = append(slices.Clone(c.Used), name)
	}
}

// enter goes to a target. What was counted is about the one before.
func (c *Checkpoint) enter(name provider.Name) {
	c.Target, c.Tries, c.Repairs, c.Violations, c.BusySince = name, 0, 0, nil, nil
}

// leaveAll is for scenarios of no single target.
func (p Plan) leaveAll(g Progress, from provider.Name, scenario Scenario, wait time.Duration, now time.Time) (Progress, Next) {
	row := p.Matrix.Row(scenario)
	switch row.Fallback {
	case ToFailure:
		return g, Next{Do: DoFail, Reason: string(scenario)}
	case ToFallbackText:
		g.note(from, string(ToFallbackText), scenario, now)
		return g, Next{Do: DoFallbackText, Reason: string(scenario)}
	}
	return p.queue(g, from, scenario, max(row.Delay, wait), now)
}

// queue ends a chain in a durable wait, after which another begins. Whatever a provider asks for, it is no longer
// than a text may wait in all.
func (p Plan) queue(g Progress, from provider.Name, scenario Scenario, wait time.Duration, now time.Time) (Progress, Next) {
	old := g.Checkpoint
	wait = min(wait, max(p.Matrix.Row(scenario).Delay, p.Matrix.bounds.QueueMaxAge))
	first := old.FirstWait
	if first == nil {
		first = &now
	}
	if b := p.Matrix.bounds; old.Waits >= b.QueueMaxWaits || now.Sub(*first) >= b.QueueMaxAge || old.Charged >= b.MaxCharged {
		return g, Next{Do: DoFail, Reason: queueExhausted + ": " + string(scenario)}
	}
	g.note(from, string(ToQueue), scenario, now)
	g.Current = workflow.ProviderHybrid
	g.Checkpoint = Checkpoint{Called: old.Called, Charged: old.Charged, Waits: old.Waits + 1, FirstWait: first}
	g.Checkpoint.waitFor(scenario, wait, now)
	return g, Next{Do: DoWait, Until: now.Add(wait), Reason: string(scenario)}
}

func (g *Progress) note(from provider.Name, to string, scenario Scenario, now time.Time) {
	if from == "" {
		from = provider.Name(workflow.ProviderHybrid)
	}
	history := append(slices.Clone(g.History), workflow.Fallback{From: string(from), To: to, Reason: string(scenario), Timestamp: now.UTC()})
	g.History = history[max(0, len(history)-historyMost):]
}

func setState(s *workflow.ProviderStates, name provider.Name, state workflow.ProviderState) {
	switch name {
	case provider.Azure:
		s.Azure = state
	case provider.OpenAI:
		s.OpenAI = state
	}
}
