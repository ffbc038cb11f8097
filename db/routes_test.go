package db_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/huntaze/hybrid-orchestrator/internal/flags"
)

func (f *fleet) claim(claims ...flags.Claim) []flags.Side {
	f.t.Helper()
	sides, err := f.store.ClaimRoutes(f.ctx, claims)
	if err != nil {
		f.t.Fatal(err)
	}
	return sides
}

func (f *fleet) known(userID, workflowID string) string {
	f.t.Helper()
	side, known, err := f.store.Known(f.ctx, userID, workflowID)
	if err != nil {
		f.t.Fatal(err)
	}
	if !known {
		return "unknown"
	}
	return string(side)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.ingest(false, message("creator-7", 1))
	got := f.claim(
		flags.Claim{UserID: "creator-7", WorkflowID: "wf-creator-7-1", Wanted: flags.Legacy},                                    // taken in before
		flags.Claim{UserID: "creator-7", WorkflowID: "new", Wanted: flags.Legacy, Request: "sqs m-1"},                           // the first decides
		flags.Claim{UserID: "creator-7", WorkflowID: "new", Wanted: flags.Here},                                                 // in the same batch
		flags.Claim{UserID: "creator-8", WorkflowID: "new", Wanted: flags.Here},                                                 // another account's
		flags.Claim{WorkflowID: "whose", Wanted: flags.Legacy}, flags.Claim{WorkflowID: "wf-creator-7-1", Wanted: flags.Legacy}, // nobody knows whose
	)
	if want := []flags.Side{flags.Here, flags.Legacy, flags.Legacy, flags.Here, flags.Legacy, flags.Here}; !slices.Equal(got, want) {
		t.Errorf("claims: %v, want %v", got, want)
	}
	if again := f.claim(flags.Claim{UserID: "creator-7", WorkflowID: "new", Wanted: flags.Here}, flags.Claim{UserID: "creator-9", WorkflowID: "whose", Wanted: flags.Here}); again[0] != flags.Legacy || again[1] != flags.Legacy {
		t.Errorf("claimed again: %v", again)
	}
	for _, want := range []struct{ user, workflow, side string }{
		{"creator-7", "wf-creator-7-1", "here"}, {"creator-7", "new", "legacy"}, {"creator-8", "new", "here"}, {"creator-9", "new", "unknown"},
		{"", "new", "unknown"}, // of two accounts, on two sides
		{"", "wf-creator-7-1", "here"}, {"creator-1", "whose", "legacy"}, {"", "whose", "legacy"}, {"creator-7", "nothing", "unknown"}, {"", "nothing", "unknown"},
	} {
		if got := f.known(want.user, want.workflow); got != want.side {
			t.Errorf("%s of %q is %s, want %s", want.workflow, want.user, got, want.side)
		}
	}
	owners, err := f.store.Owners(f.ctx, []string{"new", "wf-creator-7-1", "whose", "nothing"})
	if err != nil || fmt.Sprint(owners) != "map[wf-creator-7-1:creator-7 whose:creator-9]" {
		t.Errorf("owners %v (%v)", owners, err)
	}
	if _, err := f.pool.Exec(f.ctx, `UPDATE workflow_routes SET side = 'here'`); err == nil {
		t.Error("a workflow changed sides by hand")
	}
	if got := one[string](f, `SELECT request FROM workflow_routes WHERE workflow_id = 'new' AND user_id = 'creator-7'`); got != "sqs m-1" {
		t.Errorf("request %q", got)
	}
	if sides := f.claim(); len(sides) != 0 {
		t.Errorf("no claims: %v", sides)
	}
}

func TestCampaignHere(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.ingest(false, message("creator-7", 1, inCampaign("spring")))
	for _, want := range []struct {
		user, campaign string
		here           bool
	}{{"creator-7", "spring", true}, {"", "spring", true}, {"creator-8", "spring", false}, {"creator-7", "autumn", false}} {
		if here, err := f.store.CampaignHere(f.ctx, want.user, want.campaign); err != nil || here != want.here {
			t.Errorf("%+v: %v (%v)", want, here, err)
		}
	}
}

// Many processes with different flags claim the same workflows at the same time, in batches of any order: each workflow
// has one side for all of them, and none deadlocks.
func TestOneSideForEverybody(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	const processes, rounds, workflows = 6, 15, 40
	answers := make([]map[string]flags.Side, processes)
	var all sync.WaitGroup
	for p := range processes {
		answers[p] = map[string]flags.Side{}
		wanted := []flags.Side{flags.Here, flags.Legacy}[p%2]
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(p), 7))
			for range rounds {
				var batch []flags.Claim
				for range 1 + random.IntN(20) {
					n := random.IntN(workflows)
					batch = append(batch, flags.Claim{UserID: fmt.Sprint("creator-", n%3), WorkflowID: fmt.Sprint("wf-", n), Wanted: wanted})
				}
				sides, err := f.store.ClaimRoutes(f.ctx, batch)
				if err != nil {
					t.Error(err)
					return
				}
				for i, claim := range batch {
					if before, ok := answers[p][claim.WorkflowID]; ok && before != sides[i] {
						t.Errorf("%s was %s and is %s", claim.WorkflowID, before, sides[i])
					}
					answers[p][claim.WorkflowID] = sides[i]
				}
			}
		})
	}
	all.Wait()
	both := map[flags.Side]int{}
	for p, mine := range answers {
		for id, side := range mine {
			both[side]++
			for _, others := range answers[:p] {
				if other, ok := others[id]; ok && other != side {
					t.Errorf("%s is on both sides", id)
				}
			}
		}
	}
	if both[flags.Here] == 0 || both[flags.Legacy] == 0 {
		t.Logf("sides %v: on this machine one of them was always first", both)
	}
}
