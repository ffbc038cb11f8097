package wording

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
)

// Every class, scenario and reason that may be told has words.
func TestPlanWords(t *testing.T) {
	t.Parallel()
	for _, class := range append(slices.Clone(provider.Classes), "gate_failed", "lost") {
		if words := Class(string(class)); words == string(class) {
			t.Errorf("%s has no words", class)
		}
	}
	for _, s := range slices.Concat(scenarioNames(), []string{"campaign_cancelled", "queue_exhausted: all_failed"}) {
		if words := Scenario(s); words == s || strings.Contains(words, "_") {
			t.Errorf("%s is told as %q", s, words)
		}
	}
	for reason, want := range map[string]string{
		"queue_exhausted: azure_timeout": "it waited as long as it may: azure did not answer in time",
		"merged_text_refused: link_host": "with the recipient's own words the text may not be sent (link_host)",
		"merge_failed":                   "the recipient's words could not be put into the text",
		"azure_something_new":            "azure something_new",
		"something_new":                  "something_new",
		"":                               "",
	} {
		if got := Scenario(reason); got != want {
			t.Errorf("%q is told as %q, want %q", reason, got, want)
		}
	}
	if got := fmt.Sprint(planEntries(nil, nil)); got != "[]" {
		t.Errorf("without a plan: %s", got)
	}
}

func scenarioNames() (names []string) {
	for _, s := range fallback.Scenarios() {
		names = append(names, string(s))
	}
	return names
}

// What a person can end has a command, and nothing else has.
func TestCommands(t *testing.T) {
	t.Parallel()
	w := db.Workflow{UserID: "creator-7", WorkflowID: "wf-1", CampaignID: "spring"}
	now := time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)
	for kind, want := range map[db.WaitKind]string{
		db.WaitsForCampaign: "campaign spring is paused since 2026-03-02 12:00:00 UTC; to go on: huntaze campaign resume creator-7 spring",
		db.WaitsForRest:     "account creator-7 rests until 2026-03-02 12:00:30 UTC (in 30s); to end it now: huntaze limits wake creator-7",
		db.WaitsForOperator: "in doubt since 2026-03-02 12:00:00 UTC; the gateway can't say, so an operator must decide: huntaze doubt resolve wf-1 --user creator-7 --sent or --not-sent",
		db.WaitsForSchedule: "its schedule: not before 2026-03-02 12:00:30 UTC (in 30s)",
		db.WaitsForRepair:   "no attempt of it is open: the reconciler puts it back within two minutes",
	} {
		wait := db.Wait{Kind: kind, Since: now, Until: now.Add(30 * time.Second)}
		if got := Wait(w, wait, now) + Command(w, wait); got != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
}
