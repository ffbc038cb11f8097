package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
)

func TestFlags(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.run("flags", "list").wants(t, exitOK).prints(t, `
FLAG                  ACCOUNT     VALUE  CHANGED  BY       REASON
orchestrator_enabled  all others  on     -        default  -
sends_enabled         all others  on     -        default  -
planning_enabled      all others  on     -        default  -
`)
	f.run("flags", "history").wants(t, exitOK).prints(t, "No flag was ever changed.")
	f.environ["LEGACY_ORCHESTRATOR_URL"] = "http://127.0.0.1:1"
	f.run("flags", "set", "orchestrator_enabled", "10%", "--reason", "first tenth", "--by", "alex").wants(t, exitOK).prints(t, `
FLAG                  ACCOUNT     VALUE  CHANGED                  BY             REASON
orchestrator_enabled  all others  10%    2026-03-02 12:00:00 UTC  operator alex  first tenth
`)
	f.advance(time.Minute)
	f.run("flags", "set", "orchestrator_enabled", "on", "--user", "creator-7", "--reason", "pilot", "--by", "sam").wants(t, exitOK)
	f.run("flags", "clear", "orchestrator_enabled", "--reason", "back", "--by", "sam").wants(t, exitOK).prints(t, `
FLAG                  ACCOUNT     VALUE  CHANGED                  BY            REASON
orchestrator_enabled  all others  off    -                        default       -
orchestrator_enabled  creator-7   on     2026-03-02 12:01:00 UTC  operator sam  pilot
`)
	f.run("flags", "clear", "orchestrator_enabled", "--user", "creator-8", "--reason", "x").wants(t, exitOK, `orchestrator_enabled had no value for account "creator-8"`)
	f.run("flags", "history", "orchestrator_enabled").wants(t, exitOK).prints(t, `
VERSION  CHANGED                  FLAG                  ACCOUNT     WAS  IS       BY             REASON
4        2026-03-02 12:01:00 UTC  orchestrator_enabled  all others  10%  cleared  operator sam   back
3        2026-03-02 12:01:00 UTC  orchestrator_enabled  creator-7   -    on       operator sam   pilot
2        2026-03-02 12:00:00 UTC  orchestrator_enabled  all others  -    10%      operator alex  first tenth
`)
	f.run("flags", "history", "--before", "4", "--limit", "1").wants(t, exitOK, "pilot")
	f.run("flags", "history", "--user", "creator-7").wants(t, exitOK, "pilot")
	var history []map[string]any
	f.run("flags", "history", "--json").wants(t, exitOK).json(t, &history)
	if len(history) != 3 || history[0]["previous"] != "10%" || history[0]["value"] != nil || history[2]["changedAt"] != "2026-03-02T12:00:00Z" {
		t.Errorf("history %v", history)
	}
}

func TestFlagsOverridden(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.environ["FLAG_ORCHESTRATOR_ENABLED"], f.environ["FLAG_SENDS_ENABLED"] = "100%", "off"
	f.run("flags", "set", "orchestrator_enabled", "off", "--user", "creator-7", "--reason", "slow").wants(t, exitOK,
		"orchestrator_enabled  all         100%", "FLAG_ORCHESTRATOR_ENABLED", "in this environment: goes before the others", "creator-7   off")
	f.run("flags", "list", "--user", "creator-7").wants(t, exitOK).prints(t, `
FLAG                  IS   VALUE  BECAUSE OF                                     DECIDES
orchestrator_enabled  on   100%   FLAG_ORCHESTRATOR_ENABLED in this environment  which accounts are handled here and not by the orchestrator before this one
sends_enabled         off  off    FLAG_SENDS_ENABLED in this environment         whether messages are sent
planning_enabled      on   on     default                                        whether texts are written
`)
	var answers map[flags.Name]struct {
		On    bool
		Value string
		From  flags.Origin
	}
	f.run("flags", "list", "--user", "creator-7", "--json").wants(t, exitOK).json(t, &answers)
	if got := answers[flags.OrchestratorEnabled]; !got.On || got.Value != "100%" || got.From != flags.FromEnvironment {
		t.Errorf("answers %+v", answers)
	}
	var lines []flagLine
	f.run("flags", "list", "--json").wants(t, exitOK).json(t, &lines)
	if len(lines) != 6 || lines[0].From != flags.FromEnvironment || lines[1].From != flags.FromDefault || lines[2].UserID != "creator-7" || lines[2].Version != 2 {
		t.Errorf("lines %+v", lines)
	}
	f.environ["FLAG_SENDS_ENABLED"] = "on"
	f.run("flags", "list").wants(t, exitMisused, "FLAG_SENDS_ENABLED: the environment can only switch it off")
}

// The kill switch says what may still arrive, and who is not stopped by it. When it is lifted, nobody waits for the
// time that was planned before.
func TestKillSwitch(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "1/24h", "off")
	f.take(message("creator-7", 1), message("creator-7", 2), message("creator-8", 3))
	a, fence := f.call("wf-1")
	f.run("flags", "set", "sends_enabled", "on", "--user", "creator-8", "--reason", "test account").wants(t, exitOK)
	f.run("flags", "set", "sends_enabled", "off", "--reason", "stop\teverything").wants(t, exitOK,
		"Nothing more is sent. 1 message in flight may still arrive.", `stop\teverything`,
		"warning: account creator-8 has a value of its own and sends on; to stop it too: huntaze flags set sends_enabled off --user creator-8")
	if enabled, err := f.store.SendsEnabled(t.Context(), "creator-7"); err != nil || enabled {
		t.Errorf("creator-7: %v (%v)", enabled, err)
	}
	report := accepted()
	report.Attempt, report.Fence = a, fence
	if _, err := f.store.Finish(t.Context(), []db.Finish{report}, true); err != nil {
		t.Fatal(err)
	}
	before := f.jobs("release")
	if out := f.run("flags", "set", "sends_enabled", "on", "--reason", "over").wants(t, exitOK).out; strings.Contains(out, "Nothing more") {
		t.Error(out)
	}
	if woken := f.jobs("release") - before; woken != 1 {
		t.Errorf("%d accounts were woken, want 1", woken)
	}
}

func TestFlagsMisused(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	for _, tt := range []struct {
		args []string
		says []string
	}{
		{[]string{"flags", "set", "sends_enabled", "off"}, []string{"--reason is missing"}},
		{[]string{"flags", "set", "sends_enabled", "off", "--reason", " "}, []string{"--reason is missing"}},
		{[]string{"flags", "set", "sends_enabled", "off", "--reason", "x", "--by", ""}, []string{"--by is empty"}},
		{[]string{"flags", "set", "sends_enabled", "--reason", "x"}, []string{"argument VALUE is missing", "usage: huntaze flags set NAME VALUE"}},
		{[]string{"flags", "set", "sends", "off", "--reason", "x"}, []string{`no flag "sends"`, "sends_enabled"}},
		{[]string{"flags", "set", "sends_enabled", "50%", "--reason", "x"}, []string{"give on or off"}},
		{[]string{"flags", "set", "orchestrator_enabled", "50%", "--user", "creator-7", "--reason", "x"}, []string{"a percentage is for all of them"}},
		{[]string{"flags", "clear", "sends_enabled"}, []string{"--reason is missing"}},
		{[]string{"flags", "clear", "sneds_enabled", "--reason", "x"}, []string{`no flag "sneds_enabled"`}},
		{[]string{"flags", "history", "x"}, []string{`no flag "x"`}},
		{[]string{"flags", "history", "--limit", "0"}, []string{"--limit 0"}},
		{[]string{"flags", "list"}, []string{"DATABASE_URL is not set"}},
	} {
		c.run(tt.args...).wants(t, exitMisused, tt.says...)
	}
}
