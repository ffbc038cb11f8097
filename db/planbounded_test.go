package db_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	breaker "github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// plainTexts fills nothing in.
type plainTexts struct{}

func (plainTexts) Template() string                                          { return "message@1" }
func (plainTexts) FallbackText(string) string                                { return "" }
func (plainTexts) Fill(_, body string, _ map[string]string) (string, string) { return body, "" }
func estimateNothing(provider.Name, db.PlanCall) db.PlanCost                 { return db.PlanCost{Kind: "unpriced"} }
func targetOf(name provider.Name) provider.Target {
	return provider.Target{Provider: name, Host: "h", Deployment: "d", Model: "m", Zone: "global"}
}

func planningConfig() *db.Planning {
	return &db.Planning{
		Plan: fallback.Plan{Matrix: fallback.Default(), Targets: provider.Names}, Guard: breaker.DefaultSettings,
		Targets:     map[provider.Name]provider.Target{provider.Azure: targetOf(provider.Azure), provider.OpenAI: targetOf(provider.OpenAI)},
		CallTimeout: 30 * time.Second, Texts: plainTexts{}, Estimate: estimateNothing,
	}
}

// A step of a text reads a bounded number of rows, however many texts, calls, costs, campaigns and messages there are.
func TestPlanningReadsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.config.Planning = planningConfig()
	const many = 30_000
	f.exec(`INSERT INTO campaigns (user_id, campaign_id, changed_at, created_at) SELECT 'user-' || n % 100, 'campaign-' || n, $1, $1 FROM generate_series(1, $2::int) n`, start, many)
	f.exec(`INSERT INTO accounts (user_id, created_at) SELECT 'user-' || n, $1::timestamptz FROM generate_series(0, 99) n`, start)
	f.exec(`INSERT INTO texts (id, user_id, campaign_id, scope, brief, fields, state, body, source, attempts, provider_states, retry_attempts, due_at, created_at, updated_at)
		SELECT gen_random_uuid(), 'user-' || n % 100, 'campaign-' || n, 'campaign:' || n, 'b', '[]', CASE WHEN n % 2 = 0 THEN 'planning' ELSE 'ready' END,
			CASE WHEN n % 2 = 0 THEN '' ELSE 'text' END, CASE WHEN n % 2 = 0 THEN '' ELSE 'azure' END, 2, '{}', '{}', $1, $1, $1 FROM generate_series(1, $2::int) n`, start, many)
	f.exec(`INSERT INTO hybrid_workflows (id, user_id, workflow_id, recipient_id, campaign_id, stage, not_before, provider_states, retry_attempts, trace_context, brief, text, created_at, updated_at)
		SELECT gen_random_uuid(), t.user_id, 'wf-' || t.id, 'fan-' || t.id, t.campaign_id, CASE WHEN t.state = 'planning' THEN 'planning' ELSE 'sent' END, $1, '{}', '{}', '{}', 'b', t.id, $1, $1 FROM texts t`, start)
	f.exec(`INSERT INTO plan_attempts (id, text, sequence, provider, target, state, probe, repair, worker, started_at, deadline)
		SELECT gen_random_uuid(), t.id, n, 'azure', 'azure/h/d', CASE WHEN n = 1 THEN 'failed' ELSE 'completed' END, false, false, 'w', $1, $1 FROM texts t, generate_series(1, 2) n`, start)
	f.exec(`INSERT INTO provider_costs (attempt, at, user_id, campaign_id, text, provider, target, deployment, model, zone, tier, input, cached, cache_write, output, reasoning, kind)
		SELECT a.id, $1, 'u', '', a.text, 'azure', a.target, 'd', 'm', 'global', '', 1, 0, 0, 1, 0, 'unpriced' FROM plan_attempts a`, start)
	f.exec(`INSERT INTO provider_targets (target, provider, seen_at, updated_at) VALUES ('azure/h/d', 'azure', $1, $1), ('openai/h/d', 'openai', $1, $1)`, start)
	f.exec(`ANALYZE`)
	store, collected := f.watched()
	planned := one[uuid.UUID](f, `SELECT id FROM texts WHERE state = 'planning' LIMIT 1`)
	var call db.PlanCall
	tests := []struct {
		name string
		most float64
		do   func() error
	}{
		{"a call begins", 30, func() error {
			next, err := store.Plan(f.ctx, []db.PlanStep{{Text: planned, Step: 1}})
			if err != nil {
				return err
			}
			if call = next[0].Call; next[0].Do != db.PlanMakeCall {
				return fmt.Errorf("%+v", next[0])
			}
			return nil
		}},
		{"a call ends", 40, func() error {
			next, err := store.Plan(f.ctx, []db.PlanStep{{Text: planned, Step: 1, Ended: &db.PlanEnd{Attempt: call.Attempt, Provider: call.Target,
				Result: provider.Result{Class: provider.Completed, Text: "Hello"}, Cost: db.PlanCost{Kind: "unpriced"}}}})
			if err == nil && next[0].Moved != 1 {
				err = fmt.Errorf("%+v", next[0])
			}
			return err
		}},
		{"a job of a text that has ended", 20, func() error {
			_, err := store.Plan(f.ctx, []db.PlanStep{{Text: planned, Step: 1}})
			return err
		}},
		{"an intake", 40, func() error {
			_, err := store.Ingest(f.ctx, []workflow.Delivery{message("user-7", 1, inCampaign("campaign-7"), func(m *workflow.Message) { m.Content, m.Brief = "", "other" })}, false)
			return err
		}},
		{"a campaign goes on", 40, func() error {
			_, err := store.SetCampaignState(f.ctx, "user-7", "campaign-7", db.CampaignRunning, "test")
			return err
		}},
		{"explain", 40, func() error {
			_, err := store.Explain(f.ctx, db.Which{WorkflowID: "wf-user-7-1"}, 1)
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			collected.all = nil
			if err := tt.do(); err != nil {
				t.Fatal(err)
			}
			total, parts := 0.0, []string{}
			for _, p := range collected.all {
				p.read(func(table, node string, rows float64) {
					total += rows
					parts = append(parts, fmt.Sprintf("%s %s %.0f", node, table, rows))
				})
			}
			if len(collected.all) == 0 {
				t.Fatal("Postgres did not say what it did")
			}
			if total > tt.most {
				t.Errorf("%.0f rows were read, want at most %.0f: %s", total, tt.most, strings.Join(parts, ", "))
			}
		})
	}
}
