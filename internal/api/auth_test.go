package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/api"
	"github.com/huntaze/hybrid-orchestrator/internal/apikey"
)

// TestKeys: missing, wrong, expired, revoked and rotated keys.
func TestKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	get := func(key string, headers ...string) answer { return r.do(key, "GET", "/v1/campaigns", "", headers...) }
	none := get("")
	none.refuses(http.StatusUnauthorized, "Authorization")
	if none.header.Get("WWW-Authenticate") == "" {
		t.Error("WWW-Authenticate is missing")
	}
	get("", "Authorization", "Basic YTpi").refuses(http.StatusUnauthorized, "Authorization")
	get(r.a[:len(r.a)-1]).refuses(http.StatusUnauthorized, "Authorization")
	unknown, known := get(apikey.New().Reveal()), get(apikey.Renew(r.a[8:20]).Reveal())
	if p, q := unknown.refuses(http.StatusUnauthorized, "Authorization"), known.refuses(http.StatusUnauthorized, "Authorization"); p.Detail != q.Detail || p.Errors[0] != q.Errors[0] {
		t.Error("it can be seen which ids of keys there are")
	}
	get(r.a).wants(http.StatusOK)
	next := apikey.Renew(r.a[8:20])
	hash := next.Hash()
	if _, err := r.store.RotateAPIKey(t.Context(), next.ID, hash[:], time.Hour); err != nil {
		t.Fatal(err)
	}
	get(r.a).wants(http.StatusOK)
	get(next.Reveal()).wants(http.StatusOK)
	r.AdvanceClock(t, time.Hour)
	get(r.a).refuses(http.StatusUnauthorized, "Authorization")
	get(next.Reveal()).wants(http.StatusOK)
	if _, err := r.store.RevokeAPIKey(t.Context(), next.ID); err != nil {
		t.Fatal(err)
	}
	get(next.Reveal()).refuses(http.StatusUnauthorized, "Authorization")
	if strings.Contains(r.log.String(), r.a[30:50]) || strings.Contains(r.log.String(), next.Reveal()[30:50]) {
		t.Error("a secret is in the log")
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	now := start
	r := newRig(t, func(c *api.Config) { c.RatePerSecond, c.Now = 2, func() time.Time { return now } })
	for range 4 {
		r.do(r.a, "GET", "/v1/campaigns", "").wants(http.StatusOK)
	}
	refused := r.do(r.a, "GET", "/v1/campaigns", "")
	refused.refuses(http.StatusTooManyRequests, "")
	if refused.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", refused.header.Get("Retry-After"))
	}
	r.do(r.b, "GET", "/v1/campaigns", "").wants(http.StatusOK) // another key
}

// TestForeignAccounts: a key for one account can't tell what belongs to another from what does not exist.
func TestForeignAccounts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.newCampaign(r.b, "b", 3)
	r.do(r.b, "POST", "/v1/campaigns/"+id+"/start", "").wants(http.StatusOK)
	r.expand(id)
	r.do(r.b, "PUT", "/v1/accounts/b/opt-outs/fan-1", "").wants(http.StatusOK)
	r.do(r.b, "PUT", "/v1/accounts/b/quiet-hours", `{"quietHours":"22:00-08:00 UTC"}`).wants(http.StatusOK)
	const nobody = "0b38ac53-8a4c-4f1a-9f0c-6f6f3d5f2f11"
	const body = `{"userId":"ACCOUNT","name":"x","content":"y"}`
	covered := map[string]bool{}
	for _, op := range operations(t, r) {
		path := strings.NewReplacer("{id}", id, "{userId}", "b", "{recipientId}", "fan-1", "{workflowId}", id+"-1").Replace(op.path)
		unknown := strings.NewReplacer("{id}", nobody, "{userId}", "nobody", "{recipientId}", "fan-1", "{workflowId}", nobody+"-1").Replace(op.path)
		text, other, headers := "", "", []string{}
		switch op.id {
		case "create-campaign", "estimate-campaign":
			text, other = strings.Replace(body, "ACCOUNT", "b", 1), strings.Replace(body, "ACCOUNT", "nobody", 1)
		case "add-recipients":
			text, headers = `{"recipientId":"x"}`, []string{"Content-Type", "application/x-ndjson"}
			other = text
		case "put-quiet-hours":
			text = `{"quietHours":"off"}`
			other = text
		case "list-campaigns":
			path, unknown = path+"?userId=b", unknown+"?userId=nobody"
		}
		foreign, missing := r.do(r.a, op.method, path, text, headers...), r.do(r.a, op.method, unknown, other, headers...)
		p, q := foreign.refuses(http.StatusNotFound, ""), missing.refuses(http.StatusNotFound, "")
		p.RequestID, q.RequestID = "", ""
		if len(p.Errors) == 0 || p.Detail != q.Detail || p.Code != q.Code || p.Errors[0] != q.Errors[0] || foreign.header.Get("Content-Length") != missing.header.Get("Content-Length") {
			t.Errorf("%s: %s\n%s", op.id, foreign.body, missing.body)
		}
		covered[op.id] = true
	}
	if len(covered) < 18 {
		t.Errorf("only %d routes", len(covered))
	}
	if c := r.do(r.b, "GET", "/v1/campaigns/"+id, "").wants(http.StatusOK); c["state"] != "running" || c["recipients"] != 3.0 {
		t.Errorf("something was changed: %v", c)
	}
	if q := r.do(r.b, "GET", "/v1/accounts/b/quiet-hours", "").wants(http.StatusOK); q["quietHours"] == "off" {
		t.Error("the quiet hours were changed")
	}
	r.do(r.b, "GET", "/v1/accounts/b/opt-outs/fan-1", "").wants(http.StatusOK)
	for _, c := range r.do(r.a, "GET", "/v1/campaigns", "").wants(http.StatusOK)["campaigns"].([]any) {
		t.Errorf("a foreign campaign is listed: %v", c)
	}
}
