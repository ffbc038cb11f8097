package console_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// story fills a database with something of everything, of two accounts.
type story struct {
	*rig
	campaign7, campaign8 uuid.UUID
	sent, doubtful       uuid.UUID
	foreign              uuid.UUID
}

func newStory(t *testing.T) story {
	t.Helper()
	s := story{rig: newRig(t)}
	s.campaign7, s.campaign8 = s.campaign("creator-7", "Spring <b>sale</b>", 20), s.campaign("creator-8", "Autumn", 3)
	s.sent = s.take("creator-7", "wf-sent", "fan-1", "hello")
	s.end("wf-sent", db.Finish{Outcome: workflow.EventAccepted, GatewayMessageID: "gw-1"})
	s.doubtful = s.take("creator-7", "wf-doubt", "fan-2", "hello")
	s.doubt("wf-doubt")
	s.foreign = s.take("creator-8", "wf-foreign", "fan-3", "goodbye")
	s.doubt("wf-foreign")
	for n := range 12 {
		s.take("creator-7", fmt.Sprint("wf-queued-", n), fmt.Sprint("fan-q", n), "hello")
	}
	s.exec(`INSERT INTO quarantine (message_id, source, field, reason, remedy, body, received_at) VALUES ('sqs-bad', 'messages', 'recipientId', 'is missing', 'send it', $1, $2)`, []byte(secretText), start)
	s.exec(`INSERT INTO provider_targets (target, provider, seen_at, guard, updated_at) VALUES ('openai/gpt', 'openai', $1, $2, $1)`, start,
		`{"Failures": 3, "Opened": 1, "OpenUntil": "2026-03-02T12:00:30Z", "OpenReason": "timeout"}`)
	if _, err := s.store.SetFlag(t.Context(), db.FlagChange{Name: flags.PlanningEnabled, UserID: "creator-8", Value: flags.Off, By: "operator alex", Reason: "the price is wrong"}); err != nil {
		t.Fatal(err)
	}
	return s
}

// pages are all there are, by whether a key for creator-7 may see them.
func (s story) pages() map[string]bool {
	return map[string]bool{
		"/": true, "/campaigns": true, "/campaigns?state=draft": true, "/campaigns/" + s.campaign7.String(): true, "/messages": true, "/messages?q=wf-queued-1": true,
		"/messages?q=nothing": true, "/messages/" + s.sent.String(): true, "/messages/" + s.doubtful.String(): true, "/accounts": true, "/account?user=creator-7": true, "/doubts": true,
		"/campaigns/" + s.campaign8.String(): false, "/messages/" + s.foreign.String(): false, "/account?user=creator-8": false,
		"/quarantine": false, "/providers": false, "/flags": false,
	}
}

var opening = regexp.MustCompile(`(?i)<(script|style|iframe|object|embed|base)\b[^>]*>`)

// quoted is the value of an attribute: what is in it can't be one itself.
var quoted = regexp.MustCompile(`"[^"]*"`)

// checkPage is what holds for every page.
func checkPage(t *testing.T, path string, a answer) {
	t.Helper()
	if policy := a.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'self'; script-src 'self';") || strings.Contains(policy, "unsafe") {
		t.Errorf("%s: policy %q", path, policy)
	}
	if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Cache-Control") == "" || a.header.Get("Referrer-Policy") != "same-origin" {
		t.Errorf("%s: headers %v", path, a.header)
	}
	if strings.Contains(a.body, secretText) {
		t.Errorf("%s shows a text", path)
	}
	for _, tag := range opening.FindAllString(a.body, -1) {
		if !strings.HasPrefix(tag, `<script src="/assets/console.js?`) {
			t.Errorf("%s has %s", path, tag)
		}
	}
	if found := regexp.MustCompile(`(?i)<[^>]*\s(on[a-z]+|style)\s*=`).FindString(quoted.ReplaceAllString(a.body, `""`)); found != "" {
		t.Errorf("%s has an inline handler or style: %s", path, found)
	}
	if found := regexp.MustCompile(`(?i)(href|src|action)\s*=\s*["']?(https?:|//|javascript:|data:)[^"' >]*`).FindString(a.body); found != "" {
		t.Errorf("%s leads elsewhere: %s", path, found)
	}
	for _, broken := range []string{"ZgotmplZ", "<no value>", "%!"} {
		if strings.Contains(a.body, broken) {
			t.Errorf("%s has %s", path, broken)
		}
	}
}

// TestPages: an admin sees every page, a scoped key its own account's alone, and nobody sees any without a key.
func TestPages(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	admin, scoped, nobody := s.login(adminKey), s.login(scopedKey), s.browser()
	for path, own := range s.pages() {
		found := admin.get(path)
		if want := http.StatusOK; found.status != want && path != "/messages?q=wf-queued-1" {
			t.Errorf("%s for an admin: %d\n%s", path, found.status, found.body)
		}
		checkPage(t, path, found)
		if found.status == http.StatusOK && (!strings.Contains(found.body, "<h1>") || !strings.Contains(found.body, `<nav id="menu"`)) {
			t.Errorf("%s has another layout", path)
		}
		found = scoped.get(path)
		if want := map[bool]int{true: http.StatusOK, false: http.StatusNotFound}[own]; found.status != want && path != "/messages?q=wf-queued-1" {
			t.Errorf("%s for a scoped key: %d, want %d\n%s", path, found.status, want, found.body)
		}
		checkPage(t, path, found)
		found.lacks(t, "creator-8", "Autumn", "wf-foreign", "fan-3")
		found = nobody.get(path)
		if to := found.header.Get("Location"); found.status != http.StatusSeeOther || !strings.HasPrefix(to, "/login") {
			t.Errorf("%s for nobody: %d to %q", path, found.status, to)
		}
		checkPage(t, path, found)
		if got := nobody.get(path, "X-Fragment", "live"); got.status != http.StatusUnauthorized || got.body != "" {
			t.Errorf("%s as a fragment for nobody: %d %s", path, got.status, got.body)
		}
		if got := admin.get(path, "X-Fragment", "live"); got.status == http.StatusOK && strings.Contains(got.body, "<html") {
			t.Errorf("%s as a fragment is a whole page", path)
		}
	}
	for _, path := range []string{"/nothing", "/campaigns/x", "/campaigns/" + uuid.NewString(), "/messages/" + uuid.NewString(), "/campaigns?state=odd", "/campaigns?before=x", "/quarantine?before=x", "/flags?before=-1",
		"/account?user=unknown", "/river", "/river/", "/campaigns/" + s.campaign7.String() + "?stage=odd", "/campaigns/" + s.campaign7.String() + "?after=x"} {
		checkPage(t, path, admin.get(path).wants(t, http.StatusNotFound, "Not found", `<nav id="menu"`))
	}
	checkPage(t, "/login", nobody.get("/login").wants(t, http.StatusOK, `name="key"`, "Log in"))
	if got := nobody.get("/assets/console.css"); got.status != http.StatusOK || got.header.Get("Content-Type") != "text/css; charset=utf-8" || got.header.Get("Content-Security-Policy") == "" {
		t.Errorf("style: %d %v", got.status, got.header)
	}
	nobody.get("/assets/nothing.css").wants(t, http.StatusNotFound)
}

// TestWhatPagesSay: the pages say where things are, and why.
func TestWhatPagesSay(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	admin := s.login(adminKey)
	admin.get("/").wants(t, http.StatusOK, "In doubt", "2 for a person to decide", "openai open", "quarantine")
	admin.get("/campaigns").wants(t, http.StatusOK, "Spring &lt;b&gt;sale&lt;/b&gt;", "<strong>0</strong> of 20 sent", "20 not messages yet")
	hello, _, err := s.store.CampaignNamed(t.Context(), "creator-7", "hello")
	if err != nil {
		t.Fatal(err)
	}
	admin.get("/campaigns/"+hello.ID.String()).wants(t, http.StatusOK, "<strong>1</strong> of 14 sent", "wf-doubt", "fan-2", "Pause", "Expected finish", "about")
	admin.get("/campaigns/"+hello.ID.String()+"?stage=queued").wants(t, http.StatusOK, "wf-queued-9").lacks(t, "wf-sent")
	admin.get("/messages/"+s.sent.String()).wants(t, http.StatusOK, "the gateway has it", "messageId gw-1", "Trace id", "23 characters")
	queued := s.id("wf-queued-11")
	admin.get("/messages/"+queued.String()).wants(t, http.StatusOK, "no token of account creator-7 is free", "goes on", "expected about")
	admin.get("/messages/"+s.doubtful.String()).wants(t, http.StatusOK, "an operator must decide", "Decide", "may still be on its way for 2m20s")
	admin.get("/account?user=creator-7").wants(t, http.StatusOK, "<strong>0</strong> of 10 free", "Expected finish", "10/60s")
	admin.get("/accounts").wants(t, http.StatusOK, "creator-8", "<strong>9</strong> of 10 free")
	admin.get("/quarantine").wants(t, http.StatusOK, "recipientId", "is missing", "huntaze dlq redrive")
	admin.get("/providers").wants(t, http.StatusOK, "not called until 2026-03-02 12:00:30 UTC", "azure_rate_limited", "openai did not answer in time")
	admin.get("/flags").wants(t, http.StatusOK, "planning_enabled", "the price is wrong", "operator alex", "none → <strong>off</strong>")
	for query, target := range map[string]string{"wf-sent": s.sent.String(), s.sent.String(): s.sent.String()} {
		if got := admin.get("/messages?q=" + query); got.status != http.StatusSeeOther || got.header.Get("Location") != "/messages/"+target {
			t.Errorf("search for %s: %d to %s", query, got.status, got.header.Get("Location"))
		}
	}
	admin.get("/messages?q=fan-2").wants(t, http.StatusOK, "To this recipient", "wf-doubt")
	scoped := s.login(scopedKey)
	scoped.get("/messages?q=fan-3").wants(t, http.StatusOK, "No message has")
	scoped.get("/messages?q="+s.foreign.String()).wants(t, http.StatusOK, "No message has")
	scoped.get("/doubts").wants(t, http.StatusOK, "wf-doubt")
	s.login(otherKey).get("/").wants(t, http.StatusOK, "Nothing of your accounts was ever received", "No campaign is running")
}

// TestPaging: long lists are read page by page, each row once.
func TestPaging(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for n := range 60 {
		r.database.AdvanceClock(t, time.Second)
		r.campaign(fmt.Sprintf("account-%02d", n), fmt.Sprintf("campaign-%02d", n), 1)
		r.exec(`INSERT INTO quarantine (message_id, source, field, reason, body, received_at) VALUES ($1, 'messages', 'f', 'r', '', $2)`, fmt.Sprintf("message-%02d", n), start)
		value := []flags.Value{flags.On, flags.Off}[n%2]
		if _, err := r.store.SetFlag(t.Context(), db.FlagChange{Name: flags.SendsEnabled, Value: value, By: "operator", Reason: fmt.Sprintf("reason-%02d", n)}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 120 {
		r.take("big", fmt.Sprintf("workflow-%03d", n), "fan", "wave")
	}
	wave, _, err := r.store.CampaignNamed(t.Context(), "big", "wave")
	if err != nil {
		t.Fatal(err)
	}
	admin := r.login(adminKey)
	next := regexp.MustCompile(`<a rel="next" href="([^"]+)"`)
	for path, row := range map[string]struct {
		pattern string
		all     int
	}{
		"/campaigns": {`<h3><a href="/campaigns/[^"]+">campaign-\d\d`, 60}, "/accounts": {`<h3><a href="/account[^"]+">account-\d\d`, 60}, "/quarantine": {`<code>message-\d\d`, 60},
		"/flags": {`operator: reason-\d\d`, 60}, "/campaigns/" + wave.ID.String(): {`>workflow-\d\d\d<`, 120},
	} {
		seen, pages, at := map[string]int{}, 0, path
		for at != "" && pages < 10 {
			pages++
			body := admin.get(at).wants(t, http.StatusOK).body
			for _, found := range regexp.MustCompile(row.pattern).FindAllString(body, -1) {
				seen[found]++
			}
			at = ""
			if found := next.FindStringSubmatch(body); found != nil {
				at, _, _ = strings.Cut(strings.ReplaceAll(found[1], "&amp;", "&"), "#")
			}
		}
		if len(seen) != row.all || pages < 2 {
			t.Errorf("%s: %d rows on %d pages, want %d", path, len(seen), pages, row.all)
		}
	}
}
