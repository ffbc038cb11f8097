package cli

import (
	"strings"
	"testing"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func inCampaign(id string) func(*workflow.Message) {
	return func(m *workflow.Message) { m.CampaignID = id }
}

func TestCampaigns(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	f.run("campaign", "list").wants(t, exitOK).prints(t, "There are no campaigns.")
	for n := range 5 {
		f.take(message("creator-7", n, inCampaign("spring")))
	}
	f.take(message("creator-8", 9, inCampaign("autumn")))
	f.call("wf-0")
	f.call("wf-1")
	f.run("campaign", "pause", "creator-7", "spring", "--reason", "wrong price").wants(t, exitOK).
		prints(t, "campaign spring of account creator-7 is paused; 2 calls in flight and may still arrive")
	f.run("campaign", "list").wants(t, exitOK).prints(t, `
ACCOUNT    CAMPAIGN  STATE    QUEUED  SINCE                    REASON
creator-7  spring    paused   3       2026-03-02 12:00:00 UTC  wrong price
creator-8  autumn    running  0       2026-03-02 12:00:00 UTC  -
`)
	one := f.run("campaign", "list", "creator-8").wants(t, exitOK, "autumn")
	if strings.Contains(one.out, "spring") {
		t.Errorf("another account's campaign is listed:\n%s", one.out)
	}
	f.run("campaign", "list", "--limit", "1").wants(t, exitOK, "spring", "There are more; raise --limit")
	before := f.jobs("release")
	f.run("campaign", "resume", "creator-7", "spring").wants(t, exitOK).prints(t, "campaign spring of account creator-7 is running")
	if woken := f.jobs("release") - before; woken != 1 {
		t.Errorf("%d looks were enqueued, want 1", woken)
	}
	f.end("wf-9", accepted())
	f.run("campaign", "cancel", "creator-8", "autumn").wants(t, exitOK, "is cancelled; no call was in flight")
	f.run("campaign", "resume", "creator-8", "autumn").wants(t, exitFailed, "that is final")
}

// A campaign may be paused before its first message, and the command says that it does not know it.
func TestCampaignUnknown(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.run("campaign", "pause", "creator-7", "sprnig").wants(t, exitOK, "note: no message of campaign sprnig of account creator-7 was taken in yet", "is paused")
	f.take(message("creator-7", 1, inCampaign("sprnig")))
	if released, err := f.store.Release(t.Context(), []db.Release{{UserID: "creator-7"}}); err != nil || released[0].Count != 0 {
		t.Errorf("a message of a paused campaign went: %+v, %v", released, err)
	}
}

func TestCampaignCancelAsks(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.take(message("creator-7", 1, inCampaign("spring")))
	f.person = true
	f.typed("n\n", "campaign", "cancel", "creator-7", "spring").wants(t, exitFailed, "Cancel campaign spring of account creator-7 for good? [y/N]", "nothing was changed")
	f.run("campaign", "list").wants(t, exitOK, "running")
	f.typed("y\n", "campaign", "cancel", "creator-7", "spring").wants(t, exitOK, "is cancelled")
	f.run("campaign", "cancel", "creator-7", "spring", "-y").wants(t, exitOK, "is cancelled")
	f.run("campaign", "cancel", "creator-7").wants(t, exitMisused, "argument CAMPAIGN is missing")
	f.run("campaign", "pause", "creator-7", "").wants(t, exitMisused, "argument CAMPAIGN is empty")
}
