package db_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// fillCampaigns writes so many messages of one large campaign, in all stages, and a thousand small ones.
func (f *fleet) fillCampaigns(messages int) (large uuid.UUID) {
	f.t.Helper()
	large = uuid.New()
	f.exec(`INSERT INTO accounts (user_id, created_at) VALUES ('big', $1) ON CONFLICT DO NOTHING`, start)
	f.exec(`INSERT INTO campaigns (user_id, campaign_id, state, changed_at, created_at, id, source, share) VALUES ('big', $2::text, 'running', $1, $1, $2::text::uuid, 'api', 1)`, start, large.String())
	f.exec(`INSERT INTO campaigns (user_id, campaign_id, state, changed_at, created_at) SELECT 'big', 'small-' || n, 'running', $1, $1::timestamptz - n * interval '1 second' FROM generate_series(1, 1000) n`, start)
	f.exec(`INSERT INTO hybrid_workflows (id, user_id, workflow_id, recipient_id, campaign_id, stage, not_before, provider_states, retry_attempts, trace_context, content, created_at, updated_at)
		SELECT (lpad(to_hex(n), 12, '0') || '70008000000000000000')::uuid, 'big', 'wf-' || n, 'fan-' || n, CASE WHEN n % 100 = 0 THEN 'small-' || (1 + n / 100 % 1000) ELSE $2::text END,
			CASE WHEN n % 1000 = 7 THEN 'failed' WHEN n % 3 = 0 THEN 'sent' ELSE 'queued' END, $1, '{"azure":"pending","openai":"pending","rateLimiter":"pending","onlyFans":"pending"}',
			'{"azure":0,"openai":0,"onlyFans":0}', '{}', 'Hello', $1, $1 FROM generate_series(1, $3::int) n`, start, large.String(), messages)
	f.exec(`ANALYZE`)
	return large
}

// campaignReads are what the pages of campaigns are made of.
func campaignReads(f *fleet, store *db.Store, large uuid.UUID) []struct {
	name string
	most float64
	do   func() error
} {
	f.t.Helper()
	id := large.String()
	return []struct {
		name string
		most float64
		do   func() error
	}{
		{"list", 1000, func() error { _, err := store.CampaignPage(f.ctx, db.CampaignPage{Limit: 50}); return err }},
		{"list of accounts", 1000, func() error {
			_, err := store.CampaignPage(f.ctx, db.CampaignPage{Accounts: []string{"big", "other"}, Limit: 50})
			return err
		}},
		{"list, a later page", 1000, func() error {
			_, err := store.CampaignPage(f.ctx, db.CampaignPage{Accounts: []string{"big"}, Before: start.Add(-500 * time.Second), BeforeID: uuid.Max, Limit: 50})
			return err
		}},
		{"detail", 60, func() error { _, err := store.CampaignByID(f.ctx, large); return err }},
		{"messages", 500, func() error { _, err := store.CampaignMessages(f.ctx, "big", id, nil, uuid.Nil, 50); return err }},
		{"messages that failed", 120, func() error {
			_, err := store.CampaignMessages(f.ctx, "big", id, []workflow.Stage{workflow.StageFailed}, uuid.Nil, 50)
			return err
		}},
		{"load of the account", 25_000, func() error { _, err := store.AccountLoad(f.ctx, "big"); return err }},
	}
}

// The pages of campaigns read a bounded number of rows, whatever the number of messages.
func TestCampaignReadsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	large := f.fillCampaigns(60_000)
	if _, err := f.store.Reconcile(f.ctx); err != nil { // adds up the counts
		t.Fatal(err)
	}
	store, collected := f.watched()
	for _, tt := range campaignReads(f, store, large) {
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

// BenchmarkCampaignPages measures the pages with 1,000,000 messages: go test ./db -bench CampaignPages -run '^$'.
func BenchmarkCampaignPages(b *testing.B) {
	f := newFleet(b, "10/60s", "off")
	large := f.fillCampaigns(1_000_000)
	if _, err := f.store.Reconcile(f.ctx); err != nil {
		b.Fatal(err)
	}
	for _, tt := range campaignReads(f, f.store, large) {
		b.Run(strings.ReplaceAll(tt.name, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				if err := tt.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
