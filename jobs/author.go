package jobs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/internal/text"
)

// Author has texts written: it makes the prompt, asks a provider once, lets the gate judge the text and says what it
// cost. Nothing of a prompt or a text leaves it but in its answer.
type Author struct {
	clients   map[provider.Name]provider.Client
	paces     map[provider.Name]*guard.Pace
	templates *text.Set
	current   text.Template // by which new texts are written
	prices    cost.Table
	timeout   time.Duration
	now       func() time.Time
	usual     int64 // tokens of a call, about
}

// AuthorConfig is what an author needs.
type AuthorConfig struct {
	Clients   []provider.Client
	Templates *text.Set
	Template  string // by which new texts are written: "name" or "name@version"
	Prices    cost.Table
	Timeout   time.Duration // of a call
	Now       func() time.Time
}

// NewAuthor returns an author. The error names a template that is not there.
func NewAuthor(c AuthorConfig) (*Author, error) {
	current, err := c.Templates.Get(c.Template)
	if err != nil {
		return nil, err
	}
	a := &Author{clients: map[provider.Name]provider.Client{}, paces: map[provider.Name]*guard.Pace{}, templates: c.Templates, current: current,
		prices: c.Prices, timeout: c.Timeout, now: c.Now}
	for _, client := range c.Clients {
		a.clients[client.Target().Provider], a.paces[client.Target().Provider] = client, &guard.Pace{}
	}
	prompt := current.Prompt(text.Input{})
	const usualBrief = 500 // tokens
	a.usual = cost.EstimateTokens(prompt.System, prompt.User) + usualBrief + int64(current.MaxOutputTokens)
	return a, nil
}

// Targets are the places that the author asks.
func (a *Author) Targets() map[provider.Name]provider.Target {
	targets := map[provider.Name]provider.Target{}
	for name, client := range a.clients {
		targets[name] = client.Target()
	}
	return targets
}

// Delays says how long this process has to stay away from a target to keep below its rate limits.
func (a *Author) Delays() map[provider.Name]time.Duration {
	now := a.now()
	delays := map[provider.Name]time.Duration{}
	for name, pace := range a.paces {
		delays[name] = pace.Delay(a.usual, now)
	}
	return delays
}

// Write makes a call and judges what came of it. It ends within the timeout, counted from the given moment.
func (a *Author) Write(ctx context.Context, call db.PlanCall, since time.Time) db.PlanEnd {
	end := db.PlanEnd{Attempt: call.Attempt, Provider: call.Target}
	client, known := a.clients[call.Target]
	template, err := a.templates.Get(call.Template)
	if !known || err != nil { // another release wrote it down; this one can't tell what to ask for
		end.Result = provider.Result{Class: provider.Canceled, Billed: provider.BilledNot}
		end.Cost = planCost(cost.Free(), end.Result)
		return end
	}
	canary := text.Canary(rand.Text())
	input := text.Input{Brief: call.Brief, Fields: call.Fields, Recipient: call.Recipient, Canary: canary, Repair: repairs(call.Violations)}
	prompt := template.Prompt(input)
	a.paces[call.Target].Take(a.tokens(template, prompt), a.now())
	ctx, cancel := context.WithDeadline(ctx, since.Add(a.timeout))
	defer cancel()
	end.Result = client.Complete(ctx, provider.Request{
		ID: call.Attempt.String(), System: prompt.System, User: prompt.User, SchemaName: "message", Schema: provider.Schema(), MaxOutputTokens: template.MaxOutputTokens,
		Trace: telemetry.TraceOf(ctx),
	})
	a.paces[call.Target].Observe(end.Result.Limits, a.now())
	end.Cost = a.cost(client.Target(), template, prompt, end.Result)
	if end.Result.Class == provider.Completed {
		end.Result.Why = note(end.Result.Why)
		end.Result.Text = strings.TrimSpace(plainSpace.Replace(end.Result.Text))
		for _, v := range template.Gate(call.Fields, canary).Check(end.Result.Text) {
			end.Violations = append(end.Violations, string(v))
		}
	}
	if end.Result.Class != provider.Completed || len(end.Violations) > 0 {
		end.Result.Text, end.Result.Why = "", ""
	}
	return end
}

// plainSpace makes line breaks and tabs what the gate lets through.
var plainSpace = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\t", " ")

// note makes the model's own words about its text fit for the database, and short.
func note(why string) string {
	const most = 1000 // characters
	why = strings.ReplaceAll(strings.ToValidUTF8(why, ""), "\x00", "")
	if characters := []rune(why); len(characters) > most {
		why = string(characters[:most])
	}
	return why
}

func (a *Author) tokens(template text.Template, prompt text.Prompt) int64 {
	return cost.EstimateTokens(prompt.System, prompt.User) + int64(template.MaxOutputTokens)
}

// repairs are the gate's rules among what was wrong with the last text, and what comes near them.
func repairs(violations []string) (rules []text.Violation) {
	for _, v := range violations {
		switch provider.Class(v) {
		case provider.Truncated:
			rules = append(rules, text.TooLong)
		case provider.SchemaViolation:
			rules = append(rules, text.Empty)
		default:
			rules = append(rules, text.Violation(v))
		}
	}
	return rules
}

// cost says what a call cost: by its usage, or as an estimate when it may have been billed and nobody knows for what.
func (a *Author) cost(target provider.Target, template text.Template, prompt text.Prompt, r provider.Result) db.PlanCost {
	call := cost.Call{Provider: string(target.Provider), Model: target.Model, Zone: target.Zone, Tier: r.Tier, At: a.now()}
	if call.Tier == "" {
		call.Tier = target.Tier
	}
	var c cost.Cost
	switch {
	case r.Billed == provider.BilledNot:
		c = cost.Free()
	case r.Billed == provider.BilledUsage && r.Usage.Known:
		u := r.Usage
		c = a.prices.Price(call, cost.Usage{Input: u.Input, Cached: u.Cached, CacheWrite: u.CacheWrite, Output: u.Output, Reasoning: u.Reasoning}, false)
	default:
		input := cost.EstimateTokens(prompt.System, prompt.User)
		r.Usage = provider.Usage{Input: input, Output: int64(template.MaxOutputTokens)}
		c = a.prices.Worst(call, input, int64(template.MaxOutputTokens))
	}
	r.Tier = call.Tier
	return planCost(c, r)
}

func planCost(c cost.Cost, r provider.Result) db.PlanCost {
	return db.PlanCost{Tier: r.Tier, Usage: r.Usage, Kind: string(c.Kind), PicoUSD: c.PicoUSD, PriceID: c.PriceID, Anomaly: c.Anomaly}
}

// Estimate is what a call costs of which nobody knows how it ended.
func (a *Author) Estimate(name provider.Name, call db.PlanCall) db.PlanCost {
	template, err := a.templates.Get(call.Template)
	if err != nil {
		template = a.current
	}
	target := provider.Target{Provider: name}
	if client, known := a.clients[name]; known {
		target = client.Target()
	}
	prompt := template.Prompt(text.Input{Brief: call.Brief, Fields: call.Fields, Recipient: call.Recipient})
	return a.cost(target, template, prompt, provider.Result{Billed: provider.BilledMaybe})
}

// Template implements db.Texts.
func (a *Author) Template() string { return a.current.ID() }

// FallbackText implements db.Texts.
func (a *Author) FallbackText(id string) string {
	template, err := a.templates.Get(id)
	if err != nil {
		template = a.current
	}
	return template.FallbackText
}

// Fill implements db.Texts. What a recipient's own words make of a text is judged once more.
func (a *Author) Fill(id, body string, fields map[string]string) (content, reason string) {
	template, err := a.templates.Get(id)
	if err != nil {
		template = a.current
	}
	merged, err := text.Merge(body, fields)
	if err != nil {
		var field *text.FieldError
		if errors.As(err, &field) {
			return "", "merge_field_unusable: " + field.Name
		}
		return "", "merge_failed"
	}
	if broken := template.Gate(nil, "").CheckMerged(merged); len(broken) > 0 {
		return "", fmt.Sprintf("merged_text_refused: %s", broken[0])
	}
	return merged, ""
}
