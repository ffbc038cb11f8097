package db_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func withBrief(m *workflow.Message) { m.Content, m.Brief = "", "Say hello" }

func TestTextsOf(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.park(message("creator", 1, withBrief, inCampaign("spring")), message("creator", 2, withBrief, inCampaign("spring")),
		message("creator", 3, withBrief), message("creator", 4))
	id := func(n string) uuid.UUID {
		return one[uuid.UUID](f, `SELECT id FROM hybrid_workflows WHERE workflow_id = 'wf-creator-`+n+`'`)
	}
	ids := []uuid.UUID{id("1"), id("2"), id("3"), id("4"), uuid.New()}
	texts, err := f.store.TextsOf(f.ctx, ids)
	if err != nil {
		t.Fatal(err)
	}
	waiting := db.TextProgress{DueAt: start, Failed: []db.FailedCall{}}
	at := cmp.Transformer("UTC", func(t time.Time) string { return t.UTC().String() })
	if diff := cmp.Diff(map[uuid.UUID]db.TextProgress{ids[0]: waiting, ids[1]: waiting, ids[2]: waiting}, texts, at); diff != "" {
		t.Errorf("before a call (-want +got):\n%s", diff)
	}

	shared := one[uuid.UUID](f, `SELECT text FROM hybrid_workflows WHERE workflow_id = 'wf-creator-1'`)
	for i, state := range []string{"failed", "timeout", "failed", "lost", "failed", "failed", "completed", "executing"} {
		f.exec(`INSERT INTO plan_attempts (id, text, sequence, provider, target, state, class, probe, repair, worker, started_at, deadline)
			VALUES ($1, $2, $3, $4, 'a', $5, $6, false, false, 'w', $7, $7)`, uuid.New(), shared, i+1, []string{"azure", "openai"}[i%2], state, state+"-"+string(rune('1'+i)), start)
	}
	f.exec(`UPDATE texts SET state = 'ready', source = 'openai', body = 'Hello' WHERE id = $1`, shared)
	if texts, err = f.store.TextsOf(f.ctx, ids); err != nil {
		t.Fatal(err)
	}
	ready := db.TextProgress{Written: true, Source: "openai", DueAt: start, Failed: []db.FailedCall{
		{Provider: "openai", Class: "timeout-2"}, {Provider: "azure", Class: "failed-3"}, {Provider: "openai", Class: "lost-4"}, {Provider: "azure", Class: "failed-5"}, {Provider: "openai", Class: "failed-6"}}}
	if diff := cmp.Diff(map[uuid.UUID]db.TextProgress{ids[0]: ready, ids[1]: ready, ids[2]: waiting}, texts, at); diff != "" {
		t.Errorf("afterwards (-want +got):\n%s", diff)
	}
}
