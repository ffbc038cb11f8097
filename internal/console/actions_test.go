package console_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// done fails the test unless a form was accepted, and returns the page that follows.
func (b *browser) done(a answer, path string, texts ...string) {
	b.t.Helper()
	if to := a.header.Get("Location"); a.status != http.StatusSeeOther || to != path {
		b.t.Fatalf("%d to %q, want %q:\n%s", a.status, to, path, a.body)
	}
	b.get(path).wants(b.t, http.StatusOK, texts...)
}

func TestCampaignActions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.campaign("creator-7", "Spring", 3)
	path := "/campaigns/" + id.String()
	b := r.login(scopedKey)
	b.get(path).wants(t, http.StatusOK, "Start this campaign", "Cancel this campaign").lacks(t, "Pause this campaign")
	b.post(path+"/pause").wants(t, http.StatusConflict, "It has changed meanwhile", "it sends nothing yet")
	b.done(b.post(path+"/start"), path, "The campaign is running.", "Pause this campaign")
	b.get(path).wants(t, http.StatusOK).lacks(t, "The campaign is running.") // said once
	b.done(b.post(path+"/pause", "reason", "the <price> is wrong"), path, "The campaign is paused.", "the &lt;price&gt; is wrong", "not while it is paused")
	b.done(b.post(path+"/resume"), path, "The campaign is running.")
	if state := r.state(id); state != db.CampaignRunning {
		t.Fatalf("it is %s", state)
	}
	b.post(path+"/pause", "reason", strings.Repeat("x", 301)).wants(t, http.StatusUnprocessableEntity, "longer than 300")
	b.post(path+"/pause", "reason", "a\x00b").wants(t, http.StatusUnprocessableEntity)
	for _, name := range []string{"complete", "fail", "schedule", "schedule-due", "delete"} {
		b.post(path+"/"+name).wants(t, http.StatusNotFound)
	}
	b.done(b.post(path+"/cancel"), path, "The campaign is cancelled.")
	b.post(path+"/resume").wants(t, http.StatusConflict, "that is final")
	// A campaign that was paused before its time waits for it when it goes on.
	at := start.Add(time.Hour)
	later := r.campaign("creator-7", "Later", 1)
	r.exec(`UPDATE campaigns SET scheduled_for = $2 WHERE id = $1`, later, at)
	path = "/campaigns/" + later.String()
	b.done(b.post(path+"/start"), path, "The campaign is scheduled.")
	b.done(b.post(path+"/pause"), path, "The campaign is paused.")
	b.done(b.post(path+"/resume"), path, "The campaign is scheduled.")
}

func TestResolveDoubt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var paths []string
	for n := range 3 {
		id := r.take("creator-7", fmt.Sprint("wf-", n), fmt.Sprint("fan-", n), "")
		r.doubt(fmt.Sprint("wf-", n))
		paths = append(paths, "/doubts/"+id.String()+"/1")
	}
	b := r.login(scopedKey)
	b.post(paths[0], "outcome", "sent").wants(t, http.StatusUnprocessableEntity, "Say why")
	b.post(paths[0], "outcome", "perhaps", "reason", "x").wants(t, http.StatusUnprocessableEntity, "Choose")
	b.post(paths[0], "outcome", "not_sent", "reason", "not in the chat").wants(t, http.StatusConflict, "still be on its way")
	b.post(strings.TrimSuffix(paths[0], "1")+"2", "outcome", "sent", "reason", "x").wants(t, http.StatusConflict, "not in doubt any more")
	b.done(b.post(paths[0], "outcome", "sent", "reason", "it is in the chat", "messageId", "of-77", "back", "/doubts"), "/doubts", "wf-0 is settled: sent")
	if got := r.stage("wf-0"); got != workflow.StageSent {
		t.Errorf("stage %s", got)
	}
	b.get("/messages/"+r.id("wf-0").String()).wants(t, http.StatusOK, "an operator says that it was sent, it is in the chat, messageId of-77, settled by key scoped000001 in the console")
	b.post(paths[0], "outcome", "sent", "reason", "again").wants(t, http.StatusConflict)
	r.database.AdvanceClock(t, 3*time.Minute)
	b.post(paths[1], "outcome", "not_sent", "reason", "x", "messageId", "of-78").wants(t, http.StatusUnprocessableEntity, "leave it empty")
	b.done(b.post(paths[1], "outcome", "not_sent", "reason", "not in the chat"), strings.TrimSuffix(strings.Replace(paths[1], "doubts", "messages", 1), "/1"), "wf-1 is settled: queued")
	if got := r.stage("wf-1"); got != workflow.StageQueued {
		t.Errorf("stage %s", got)
	}
	other := r.login(otherKey)
	other.post(paths[2], "outcome", "sent", "reason", "x").wants(t, http.StatusNotFound)
	if got := r.stage("wf-2"); got != workflow.StageInDoubt {
		t.Errorf("stage %s after somebody else's decision", got)
	}
}

func TestWakeAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.take("creator-7", "wf-1", "fan-1", "")
	r.end("wf-1", db.Finish{Outcome: workflow.EventNotSent, Reason: "rate_limited", Rest: time.Minute, RestReason: "rate_limited"})
	b := r.login(scopedKey)
	b.get("/account?user=creator-7").wants(t, http.StatusOK, "It rests", "429", "End the rest now")
	b.done(b.post("/account/wake", "user", "creator-7"), "/account?user=creator-7", "The rest is over", "one at a time")
	b.done(b.post("/account/wake", "user", "creator-7"), "/account?user=creator-7", "was not resting any more")
	b.post("/account/wake", "user", "creator-8").wants(t, http.StatusNotFound)
	r.login(adminKey).post("/account/wake", "user", "unknown").wants(t, http.StatusNotFound)
}

func TestFlagActions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.login(adminKey)
	set := func(fields ...string) answer { return b.post("/flags", fields...) }
	set("name", "nothing", "value", "on", "reason", "x").wants(t, http.StatusUnprocessableEntity, "no such flag")
	set("name", "sends_enabled", "value", "off").wants(t, http.StatusUnprocessableEntity, "Say why")
	set("name", "sends_enabled", "value", "50%", "reason", "x").wants(t, http.StatusUnprocessableEntity, "give on or off")
	set("name", "sends_enabled", "value", "off", "reason", "x", "version", "seven").wants(t, http.StatusUnprocessableEntity)
	b.done(set("name", "sends_enabled", "value", "off", "reason", "<i>stop</i>", "version", "0"), "/flags", "sends_enabled is off for all.", "&lt;i&gt;stop&lt;/i&gt;", "key admin0000001 in the console")
	set("name", "sends_enabled", "value", "on", "reason", "x", "version", "0").wants(t, http.StatusConflict, "Somebody else")
	b.get("/").wants(t, http.StatusOK, "Sends are switched off")
	b.done(set("name", "sends_enabled", "user", "creator-7", "value", "on", "reason", "a test"), "/flags", "sends_enabled is on for account creator-7.", "a test")
	b.done(set("name", "sends_enabled", "value", "", "reason", "it is over"), "/flags", "The value of sends_enabled for all is removed.", "it is over")
	b.done(set("name", "sends_enabled", "value", "", "reason", "it is over"), "/flags", "had no value")
	if on, err := r.store.SendsEnabled(t.Context(), "creator-8"); err != nil || !on {
		t.Errorf("sends are off (%v)", err)
	}
	r.login(scopedKey).post("/flags", "name", "sends_enabled", "value", "off", "reason", "x").wants(t, http.StatusNotFound)
}

// TestOtherSites: what another site makes a browser send changes nothing, whoever is logged in.
func TestOtherSites(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.campaign("creator-7", "Spring", 3)
	message := r.take("creator-7", "wf-1", "fan-1", "")
	r.doubt("wf-1")
	r.take("creator-7", "wf-2", "fan-2", "")
	r.end("wf-2", db.Finish{Outcome: workflow.EventNotSent, Reason: "rate_limited", Rest: time.Minute, RestReason: "rate_limited"})
	b := r.login(adminKey)
	for path, fields := range map[string][]string{
		"/campaigns/" + id.String() + "/start":  nil,
		"/campaigns/" + id.String() + "/cancel": nil,
		"/doubts/" + message.String() + "/1":    {"outcome", "sent", "reason", "x"},
		"/account/wake":                         {"user", "creator-7"},
		"/flags":                                {"name", "sends_enabled", "value", "off", "reason", "x"},
		"/logout":                               nil,
		"/login":                                {"key", scopedKey},
		"/river/api/jobs/retry":                 nil,
		"/nothing":                              nil,
	} {
		for _, site := range []string{"cross-site", "same-site"} {
			checkPage(t, path, b.postFrom(site, path, fields...).wants(t, http.StatusForbidden, "came from another site"))
		}
	}
	b.get("/").wants(t, http.StatusOK, "admin0000001")
	if state := r.state(id); state != db.CampaignDraft {
		t.Errorf("the campaign is %s", state)
	}
	if got := r.stage("wf-1"); got != workflow.StageInDoubt {
		t.Errorf("the message is %s", got)
	}
	if table, err := r.store.Flags(t.Context()); err != nil || len(table.Rows) != 0 {
		t.Errorf("flags %v (%v)", table.Rows, err)
	}
	if state, now, err := r.store.AccountState(t.Context(), "creator-7"); err != nil || !state.RestUntil.After(now) {
		t.Errorf("the account does not rest any more (%v)", err)
	}
}

// TestHostileNames: ids, names and reasons that look like markup are shown as what they are.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>'{{.}}`
	campaign := r.campaign(evil, evil, 1)
	if _, err := r.store.SetCampaignState(t.Context(), evil, campaign.String(), db.CampaignPaused, evil); err != nil {
		t.Fatal(err)
	}
	message := r.take(evil, evil, evil, evil)
	r.end(evil, db.Finish{Outcome: workflow.EventUnknown, Reason: evil, Detail: evil})
	r.exec(`UPDATE send_attempts SET look_up_at = NULL`)
	r.exec(`UPDATE hybrid_workflows SET last_error = $1`, evil)
	r.exec(`UPDATE accounts SET rest_until = 'infinity'::timestamptz - interval '1 day', rest_reason = $1 WHERE user_id = $1`, evil)
	r.exec(`UPDATE accounts SET rest_until = $2 WHERE user_id = $1`, evil, start.Add(time.Hour))
	r.exec(`INSERT INTO quarantine (message_id, source, field, reason, remedy, body, received_at) VALUES ($1, $1, $1, $1, $1, '', $2)`, evil, start)
	r.exec(`INSERT INTO provider_targets (target, provider, seen_at, guard, updated_at) VALUES ($1, 'openai', $2, '{}', $2)`, evil, start)
	if _, err := r.store.SetFlag(t.Context(), db.FlagChange{Name: flags.SendsEnabled, UserID: evil, Value: flags.On, By: evil, Reason: evil}); err != nil {
		t.Fatal(err)
	}
	b := r.login(adminKey)
	query := "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E%3Cimg+src%3Dx+onerror%3Dalert(2)%3E%27%7B%7B.%7D%7D"
	for _, path := range []string{"/", "/campaigns", "/campaigns/" + campaign.String(), "/messages/" + message.String(), "/accounts", "/account?user=" + query, "/doubts",
		"/quarantine", "/providers", "/flags", "/messages?q=" + query + "x"} {
		a := b.get(path).wants(t, http.StatusOK)
		if path != "/" {
			a.wants(t, http.StatusOK, "&lt;script&gt;alert(1)")
		}
		checkPage(t, path, a)
		a.lacks(t, "<script>", "<img src=x")
	}
	checkPage(t, "error", b.post("/campaigns/"+campaign.String()+"/start", "reason", evil).lacks(t, "<script>"))
	checkPage(t, "login", r.browser().get("/login?next="+query).lacks(t, "<script>"))
	checkPage(t, "404", b.get("/"+query).wants(t, http.StatusNotFound).lacks(t, "<script>"))
}
