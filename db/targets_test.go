package db_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	breaker "github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
)

func TestTargets(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	seen, err := f.store.Targets(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !seen.Now.Equal(start) || len(seen.All) > 0 || seen.SpentPicoUSD != 0 {
		t.Errorf("without a provider: %+v", seen)
	}

	state := breaker.State{Failures: 5, Opened: 2, OpenUntil: start.Add(time.Minute), OpenReason: provider.Timeout, RestUntil: start.Add(time.Second), RestReason: provider.RateLimited}
	text, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	f.exec(`INSERT INTO provider_targets (target, provider, guard, seen_at, updated_at) VALUES ('openai/b/m', 'openai', $1, $2, $2), ('azure/a/d', 'azure', '{}', $3, $3)`,
		string(text), start.Add(-time.Hour), start)
	for i, call := range []struct {
		state    string
		deadline time.Duration
	}{{"executing", time.Second}, {"executing", time.Minute}, {"executing", 0}, {"executing", -time.Second}, {"completed", time.Minute}} {
		f.exec(`INSERT INTO plan_attempts (id, text, sequence, provider, target, state, probe, repair, worker, started_at, deadline)
			VALUES ($1, $2, $3, 'azure', 'azure/a/d', $4, false, false, 'w', $5, $6)`, uuid.New(), uuid.New(), i+1, call.state, start.Add(-time.Minute), start.Add(call.deadline))
	}
	midnight := start.Truncate(24 * time.Hour)
	amount := func(pico int64) *int64 { return &pico }
	for _, c := range []struct {
		at      time.Time
		target  string
		kind    string
		pico    *int64
		priceID string
	}{
		{midnight.Add(-time.Microsecond), "azure/a/d", "actual", amount(1_000_000), "p"}, // yesterday's
		{midnight, "azure/a/d", "actual", amount(7), "p"},
		{start, "azure/a/d", "estimated", amount(30), "p"},
		{start, "azure/a/d", "not_billed", amount(0), ""},
		{start, "openai/b/m", "unpriced", nil, ""},
	} {
		f.exec(`INSERT INTO provider_costs (attempt, at, user_id, campaign_id, text, provider, target, deployment, model, zone, tier, input, cached, cache_write, output, reasoning, kind, price_id, pico_usd)
			VALUES ($1, $2, 'creator', '', $3, 'azure', $4, '', '', '', '', 0, 0, 0, 0, 0, $5, $6, $7)`, uuid.New(), c.at, uuid.New(), c.target, c.kind, c.priceID, c.pico)
	}
	f.exec(`INSERT INTO provider_days VALUES ($1, 37), ($2, 1000000)`, midnight, midnight.Add(-time.Hour))
	if seen, err = f.store.Targets(f.ctx); err != nil {
		t.Fatal(err)
	}
	want := db.Targets{Now: start, SpentPicoUSD: 37, All: []db.Target{
		{Provider: provider.Azure, Key: "azure/a/d", SeenAt: start, UnderWay: 2, Today: db.TargetCosts{Calls: 3, PicoUSD: 37, Estimated: 1}},
		{Provider: provider.OpenAI, Key: "openai/b/m", SeenAt: start.Add(-time.Hour), Guard: state, Today: db.TargetCosts{Calls: 1, Unpriced: 1}},
	}}
	if diff := cmp.Diff(want, seen, cmp.Transformer("UTC", func(t time.Time) string { return t.UTC().String() })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
