package cli

import (
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "1/60s,10/24h")
	f.run("limits", "show").wants(t, exitOK).prints(t, `
LIMIT OF   ACCOUNT     RULES         GUARD  CHANGED                  BY
account    all others  10/60s        500ms  2026-03-02 12:00:00 UTC  seeded from the environment
recipient  all others  1/60s,10/24h  500ms  2026-03-02 12:00:00 UTC  seeded from the environment
`)
	f.advance(time.Minute)
	f.run("limits", "set", "--account", "3/60s,20/24h", "--user", "creator-7", "--guard", "1s", "--by", "alex").wants(t, exitOK).prints(t, `
LIMIT OF   ACCOUNT     RULES         GUARD  CHANGED                  BY
account    all others  10/60s        500ms  2026-03-02 12:00:00 UTC  seeded from the environment
recipient  all others  1/60s,10/24h  500ms  2026-03-02 12:00:00 UTC  seeded from the environment
account    creator-7   3/60s,20/24h  1s     2026-03-02 12:01:00 UTC  operator alex
`)
	// Both at once, and the guards stay as they are.
	f.run("limits", "set", "--account", "5/60s", "--recipient", "off", "--by", "alex").wants(t, exitOK,
		"account    all others  5/60s         500ms", "recipient  all others  off           500ms", "account    creator-7   3/60s,20/24h  1s")
	f.run("limits", "clear", "--user", "creator-7", "--recipient").wants(t, exitOK, "creator-7   3/60s,20/24h")
	f.run("limits", "clear", "--user", "creator-7").wants(t, exitOK).prints(t, `
LIMIT OF   ACCOUNT     RULES  GUARD  CHANGED                  BY
account    all others  5/60s  500ms  2026-03-02 12:01:00 UTC  operator alex
recipient  all others  off    500ms  2026-03-02 12:01:00 UTC  operator alex
`)
}

func TestLimitsShowTokens(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s,5/24h", "off")
	f.run("limits", "show", "--user", "creator-9").wants(t, exitOK, "No message of account creator-9 was ever taken in.", "2/60s  2     0      now")
	f.take(message("creator-7", 1), message("creator-7", 2), message("creator-7", 3))
	f.end("wf-1", accepted())
	f.advance(10 * time.Second)
	f.end("wf-2", accepted())
	f.run("limits", "show", "--user", "creator-7").wants(t, exitOK).prints(t, `
LIMIT OF   ACCOUNT     RULES        GUARD  CHANGED                  BY
account    all others  2/60s,5/24h  500ms  2026-03-02 12:00:00 UTC  seeded from the environment
recipient  all others  off          500ms  2026-03-02 12:00:00 UTC  seeded from the environment

RULE   FREE  TAKEN  NEXT FREE
2/60s  0     2      2026-03-02 12:01:00 UTC (in 51s)
5/24h  3     2      now
`)
}

// A new database has no rules until the first worker or an operator writes some.
func TestLimitsOfNewDatabase(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.exec(`DELETE FROM limit_policies`)
	f.run("limits", "show", "--user", "creator-7").wants(t, exitOK).
		prints(t, "There are no rules yet: the first worker seeds them from the environment, or run huntaze limits set.")
	f.run("limits", "set", "--account", "20/60s").wants(t, exitOK, "account    all others  20/60s        500ms", "recipient  all others  1/60s,10/24h  500ms")
}

// A raised limit is used at once, not at the time that was planned by the old one.
func TestLimitsSetWakes(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "1/24h", "off")
	f.take(message("creator-7", 1), message("creator-7", 2))
	f.end("wf-1", accepted())
	before := f.jobs("release")
	f.run("limits", "set", "--account", "10/60s").wants(t, exitOK)
	if woken := f.jobs("release") - before; woken != 1 {
		t.Errorf("%d looks were enqueued, want 1", woken)
	}
	f.run("limits", "set", "--account", "10/60s", "--user", "creator-8").wants(t, exitOK)
	if woken := f.jobs("release") - before; woken != 1 {
		t.Errorf("%d looks were enqueued, want none for another account", woken)
	}
}

func TestLimitsRestAndWake(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.run("limits", "rest").wants(t, exitOK).prints(t, "No account rests.")
	f.take(message("creator-7", 1), message("creator-7", 2))
	f.end("wf-1", db.Finish{Outcome: workflow.EventRateLimited, Reason: "rate_limited", Status: 429, Rest: time.Minute, RestReason: "rate_limited"})
	f.run("limits", "rest").wants(t, exitOK).prints(t, `
ACCOUNT    UNTIL                              RESTS IN A ROW  REASON
creator-7  2026-03-02 12:01:00 UTC (in 1m0s)  1               the gateway said 429, too many requests
`)
	f.run("limits", "show", "--user", "creator-7").wants(t, exitOK, "The account rests until 2026-03-02 12:01:00 UTC (in 1m0s): the gateway said 429")
	before := f.jobs("release")
	f.run("limits", "wake", "creator-7").wants(t, exitOK).prints(t, "Account creator-7 sends again: one message first.")
	if woken := f.jobs("release") - before; woken != 1 {
		t.Errorf("%d looks were enqueued, want 1", woken)
	}
	f.run("limits", "rest").wants(t, exitOK, "No account rests.")
	f.run("limits", "wake", "creator-7").wants(t, exitOK, "Account creator-7 does not rest.")
	released, err := f.store.Release(t.Context(), []db.Release{{UserID: "creator-7"}})
	if err != nil || released[0].Count != 1 {
		t.Errorf("after it was woken %+v went (%v), want one message to probe", released, err)
	}
	f.run("limits", "show", "--user", "creator-7").wants(t, exitOK)
}

func TestLimitsMisused(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	for _, tt := range []struct {
		args []string
		says []string
	}{
		{[]string{"limits", "set"}, []string{"--account or --recipient is missing", `--account "10/60s"`}},
		{[]string{"limits", "set", "--account", "10"}, []string{`--account: limit "10" has no window`, "capacity/window"}},
		{[]string{"limits", "set", "--recipient", "0/60s"}, []string{"--recipient", "whole number from 1"}},
		{[]string{"limits", "set", "--account", "10/60s", "--guard", "2m"}, []string{"--guard 2m0s", "from 0s to 1m"}},
		{[]string{"limits", "set", "--account", "10/60s", "--guard", "soon"}, []string{`"soon" for "--guard"`, "usage: huntaze limits set"}},
		{[]string{"limits", "clear"}, []string{"--user is missing"}},
		{[]string{"limits", "wake"}, []string{"argument USER is missing"}},
		{[]string{"limits", "wake", " "}, []string{"argument USER is empty"}},
		{[]string{"limits", "rest", "--limit", "-1"}, []string{"--limit -1: give a number from 1"}},
		{[]string{"limits", "sohw"}, []string{`unknown command "sohw" for "huntaze limits"`, "show"}},
		{[]string{"limits", "show"}, []string{"DATABASE_URL is not set", "postgres://"}},
	} {
		c.run(tt.args...).wants(t, exitMisused, tt.says...)
	}
}
