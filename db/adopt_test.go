package db_test

import (
	"errors"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// I1 at a change of rules: what is on its way when a rule begins counts by it, whoever the rule is for.
func TestNewRuleCountsWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		account, recipient string
		scope              limit.Scope
		user, to           string
		free               int // messages that may go at once
	}{
		"a limit for accounts that had none":                 {"off", "off", limit.ScopeAccount, "", "7/60s", 4},
		"a limit for this account":                           {"off", "off", limit.ScopeAccount, "creator", "7/60s", 4},
		"a limit for another account":                        {"off", "off", limit.ScopeAccount, "other", "1/60s", 201},
		"a further rule":                                     {"100/60s", "off", limit.ScopeAccount, "", "100/60s,7/1h", 4},
		"two further rules":                                  {"100/60s", "off", limit.ScopeAccount, "", "100/60s,9/1h,6/24h", 3},
		"fewer than are on their way":                        {"off", "off", limit.ScopeAccount, "", "2/60s", 0},
		"a limit for recipients":                             {"off", "off", limit.ScopeRecipient, "", "7/60s", 4},
		"a limit for recipients, of this account":            {"off", "off", limit.ScopeRecipient, "creator", "2/60s", 0},
		"a further rule for recipients":                      {"off", "100/60s", limit.ScopeRecipient, "", "100/60s,7/24h", 4},
		"another window, as ever":                            {"100/60s", "off", limit.ScopeAccount, "", "7/1h", 4},
		"no limit any more":                                  {"4/60s", "off", limit.ScopeAccount, "", "off", 201},
		"a limit for accounts, and this one has its own off": {"off", "off", limit.ScopeAccount, "!", "1/60s", 201},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, c.account, c.recipient)
			if c.user == "!" {
				c.user = ""
				f.setLimit(limit.ScopeAccount, "creator", "off")
			}
			f.park(messages("creator", 4, toRecipient("fan"))...)
			f.release("creator")
			open := f.attempts()
			if len(open) != 4 {
				t.Fatalf("%d released", len(open))
			}
			// One is reserved, one was given back since, and two are called; one of these gets lost.
			f.finish(db.Finish{Attempt: open[1], Outcome: workflow.EventWithdrawn, Reason: "test"})
			called, lost := f.mustBegin(open[2]), f.mustBegin(open[3])
			f.finish(db.Finish{Attempt: open[3], Fence: lost, Outcome: workflow.EventUnknown, Reason: "test", LookUpIn: time.Hour})
			f.park(messages("creator", 204, toRecipient("fan"))[4:]...)

			f.setLimit(c.scope, c.user, c.to)
			f.check()
			gone := 0
			for range 3 { // a release takes a hundred at most
				gone += f.release("creator").Count
			}
			if gone != c.free {
				t.Errorf("%d go, want %d", gone, c.free)
			}
			f.check()
			f.finish(db.Finish{Attempt: open[2], Fence: called, Outcome: workflow.EventAccepted})
			f.finish(db.Finish{Attempt: open[3], Fence: lost, Outcome: workflow.EventAccepted, ResolvedBy: "test"})
			f.check()
		})
	}
}

// What is on its way gets its tokens in the ledger and in the bucket, or the rule does not begin.
func TestNewRuleNeedsTheBuckets(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "off", "off")
	f.ingest(true, messages("creator", 3)...)
	err := f.withoutBuckets().SetLimit(f.ctx, limit.ScopeAccount, "", rules(t, "2/60s"), guard, "test")
	if !errors.Is(err, db.ErrLimiterDown) {
		t.Errorf("error %v, want %v", err, db.ErrLimiterDown)
	}
	if n := one[int](f, `SELECT count(*) FROM limit_policies WHERE capacities <> '{}'`); n != 0 {
		t.Error("the rule is in force all the same")
	}
}
