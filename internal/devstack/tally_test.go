package devstack

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Whatever the order in which messages become visible and end, each is counted once, and in the end all are.
func TestTallyCountsEachOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type message struct {
			db.MessageStage
			visible time.Time
			ends    time.Time
		}
		var all []message
		want := map[string]ending{}
		for i := range rapid.IntRange(1, 60).Draw(t, "messages") {
			created := noon.Add(time.Duration(i) * time.Second)
			m := message{db.MessageStage{ID: uuid.UUID{15: byte(i + 1)}, UserID: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "account"), CreatedAt: created},
				created.Add(time.Duration(rapid.IntRange(0, 4).Draw(t, "visible after")) * time.Second),
				created.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "ends after")) * time.Second)}
			e := want[m.UserID]
			if m.Stage = rapid.SampledFrom([]workflow.Stage{workflow.StageSent, workflow.StageFailed, workflow.StageExpired}).Draw(t, "end"); m.Stage == workflow.StageSent {
				e.sent++
			} else {
				e.failed++
			}
			want[m.UserID] = e
			all = append(all, m)
		}
		at := func(m message, now time.Time) workflow.Stage {
			if m.ends.After(now) {
				return workflow.StageQueued
			}
			return m.Stage
		}
		tally := newTally()
		for now, last := noon, noon.Add(4*time.Minute); now.Before(last); now = now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "pause")) * time.Second) {
			stages := map[uuid.UUID]workflow.Stage{}
			var page []db.MessageStage
			for _, m := range all {
				if m.visible.After(now) {
					continue
				}
				stages[m.ID] = at(m, now)
				if m.ID.String() > tally.cursor.String() && len(page) < 10 {
					page = append(page, db.MessageStage{ID: m.ID, UserID: m.UserID, Stage: stages[m.ID], CreatedAt: m.CreatedAt})
				}
			}
			tally.settle(tally.next(7), stages)
			tally.add(page, now)
		}
		for range 20 { // the rest of the round
			stages := map[uuid.UUID]workflow.Stage{}
			for _, m := range all {
				stages[m.ID] = m.Stage
			}
			tally.settle(tally.next(7), stages)
		}
		got := map[string]ending{}
		for user := range want {
			got[user] = tally.ending(user)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(ending{})); diff != "" {
			t.Fatal(diff)
		}
		if total := tally.totals(); total.open != 0 || total.over != len(all) {
			t.Fatalf("%+v of %d", total, len(all))
		}
	})
}

func TestTallyOfADatabase(t *testing.T) {
	t.Parallel()
	pool, store := begin(t)
	put(t, pool, "a", "sent", "", "", "0", 4)
	put(t, pool, "a", "queued", "", "", "0", 3)
	put(t, pool, "b", "failed", "", "", "0", 2)
	tally := newTally()
	look := func(want totals) {
		t.Helper()
		if err := tally.look(t.Context(), store); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, tally.totals(), cmp.AllowUnexported(totals{})); diff != "" {
			t.Error(diff)
		}
	}
	look(totals{sent: 4, over: 6, open: 3})
	execute(t, pool, `UPDATE hybrid_workflows SET stage = 'sent' WHERE stage = 'queued'`)
	look(totals{sent: 7, over: 9})
}
