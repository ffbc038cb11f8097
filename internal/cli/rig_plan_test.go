package cli

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
	"github.com/huntaze/hybrid-orchestrator/internal/text"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

const providerTimeout = 30 * time.Second

// target is a provider that is never asked: what it answers is the test to say.
type target provider.Target

func (t target) Target() provider.Target { return provider.Target(t) }

func (t target) Complete(context.Context, provider.Request) provider.Result {
	return provider.Result{Class: provider.Canceled}
}

var targets = map[provider.Name]target{
	provider.Azure:  {Provider: provider.Azure, Host: "name.openai.azure.com", Deployment: "texts", Model: "gpt-5.4-mini", Zone: "global"},
	provider.OpenAI: {Provider: provider.OpenAI, Host: "api.openai.com", Deployment: "gpt-5.4-mini", Model: "gpt-5.4-mini", Zone: "global"},
}

// withProviders makes the store that of a worker which has both providers, Azure first, and is there.
func (f *fleet) withProviders(budget int64) {
	f.t.Helper()
	templates, err := text.Load("")
	if err != nil {
		f.t.Fatal(err)
	}
	author, err := jobs.NewAuthor(jobs.AuthorConfig{Clients: []provider.Client{targets[provider.Azure], targets[provider.OpenAI]}, Templates: templates, Template: "message",
		Prices: cost.Default(), Timeout: providerTimeout, Now: func() time.Time { return f.database.Clock(f.t) }})
	if err != nil {
		f.t.Fatal(err)
	}
	store, closeStore, err := worker.OpenStore(f.t.Context(), f.database.URL, 4, db.Config{
		Timing: db.Timing{Reservation: 30 * time.Second, CallTimeout: 20 * time.Second, Settle: settle}, Worker: "worker-1",
		Planning: &db.Planning{Plan: fallback.Plan{Matrix: fallback.Default(), Targets: []provider.Name{provider.Azure, provider.OpenAI}}, Guard: guard.DefaultSettings,
			Targets: author.Targets(), CallTimeout: providerTimeout, Texts: author, Estimate: author.Estimate, DailyBudget: budget},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(closeStore)
	f.store = store
	f.seen()
}

// seen is what a worker that has providers does now and then.
func (f *fleet) seen() {
	f.t.Helper()
	if err := f.store.SeeTargets(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// plan takes the text of a message a step further.
func (f *fleet) plan(workflowID string, ended *db.PlanEnd) db.PlanNext {
	f.t.Helper()
	step := db.PlanStep{Ended: ended}
	if err := f.pool.QueryRow(f.t.Context(), `SELECT t.id, t.step FROM texts t JOIN hybrid_workflows w ON w.text = t.id WHERE w.workflow_id = $1`, workflowID).Scan(&step.Text, &step.Step); err != nil {
		f.t.Fatal(err)
	}
	next, err := f.store.Plan(f.t.Context(), []db.PlanStep{step})
	if err != nil {
		f.t.Fatal(err)
	}
	return next[0]
}

// ask begins the call that is due for the text of a message.
func (f *fleet) ask(workflowID string) db.PlanCall {
	f.t.Helper()
	next := f.plan(workflowID, nil)
	if next.Do != db.PlanMakeCall {
		f.t.Fatalf("no call is to be made for %s: %+v", workflowID, next)
	}
	return next.Call
}

// answer is how a call ends.
type answer struct {
	result     provider.Result
	cost       db.PlanCost
	violations []string
}

// told is the end of the call under way, two seconds after it began; it returns the call that follows, if one does.
func (f *fleet) told(workflowID string, call db.PlanCall, a answer) db.PlanCall {
	f.t.Helper()
	f.advance(2 * time.Second)
	a.result.RequestID = "req-" + string(rune('0'+call.Sequence))
	next := f.plan(workflowID, &db.PlanEnd{Attempt: call.Attempt, Provider: call.Target, Result: a.result, Violations: a.violations, Cost: a.cost})
	for next.Do == db.PlanPause {
		f.advance(next.Pause)
		next = f.plan(workflowID, nil)
	}
	return next.Call
}

// answered brings the text of a message through these answers.
func (f *fleet) answered(workflowID string, answers ...answer) {
	f.t.Helper()
	call := f.ask(workflowID)
	for _, a := range answers {
		if call.Attempt == uuid.Nil { // it is left to another job
			f.advance(5 * time.Second)
			call = f.ask(workflowID)
		}
		call = f.told(workflowID, call, a)
	}
}

// The answers.
func wrote(body string) answer {
	return answer{result: provider.Result{Class: provider.Completed, Status: 200, Text: body, Why: secretText}, cost: paid(cost.Actual, 493_500_000)}
}

func failedWith(class provider.Class, status int) answer {
	return answer{result: provider.Result{Class: class, Status: status}, cost: paid(cost.NotBilled, 0)}
}

func (a answer) costing(c db.PlanCost) answer { a.cost = c; return a }

func paid(kind cost.Kind, pico int64) db.PlanCost {
	c := db.PlanCost{Kind: string(kind), PicoUSD: &pico}
	switch kind {
	case cost.Actual, cost.Estimated:
		c.PriceID, c.Usage = "azure-gpt-5.4-mini", provider.Usage{Known: true, Input: 454, Output: 34}
	case cost.Unpriced:
		c.PicoUSD = nil
	}
	return c
}

// brief makes a message one whose text is to be written.
func brief(m *workflow.Message) { m.Content, m.Brief = "", secretText }

func inSpring(m *workflow.Message) { m.CampaignID = "spring" }

func named(name string) func(*workflow.Message) {
	return func(m *workflow.Message) { m.MergeFields = map[string]string{"name": name} }
}
