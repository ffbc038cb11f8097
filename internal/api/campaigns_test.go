package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func mustID(t testing.TB, text string) uuid.UUID {
	t.Helper()
	id, err := uuid.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestCampaignLife: a campaign is created, filled, started, paused, resumed and cancelled, and shows where it is.
func TestCampaignLife(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	made := r.do(r.a, "POST", "/v1/campaigns", `{"userId":"a","name":"Spring","content":"Hi {{name|you}}","recipients":["fan-1",{"recipientId":"fan-2","mergeFields":{"name":"Ann"}},"fan-1"],
		"priority":2,"share":5,"maxCostUsd":12.5,"expiresAt":"2026-03-05T12:00:00Z"}`, "X-Request-Id", "mine-1", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	c := made.wants(http.StatusCreated)
	id := c["id"].(string)
	if made.header.Get("Location") != "/v1/campaigns/"+id || made.header.Get("X-Request-Id") != "mine-1" || !strings.HasPrefix(made.header.Get("Traceparent"), "00-4bf92f3577b34da6a3ce929d0e0e4736-") {
		t.Errorf("%v", made.header)
	}
	if c["state"] != "draft" || c["recipients"] != 2.0 || c["duplicates"] != 1.0 || c["priority"] != 2.0 || c["share"] != 5.0 || c["maxCostUsd"] != 12.5 || c["contentLength"] != 15.0 || c["source"] != "api" {
		t.Errorf("%s", made.body)
	}
	if strings.Contains(string(made.body), "{{name") {
		t.Errorf("the text is shown: %s", made.body)
	}
	act := func(action, body string, status int) map[string]any {
		t.Helper()
		return r.do(r.a, "POST", "/v1/campaigns/"+id+"/"+action, body).wants(status)
	}
	r.do(r.a, "POST", "/v1/campaigns/"+id+"/pause", "").refuses(http.StatusConflict, "id")
	if s := act("start", "", http.StatusOK); s["state"] != "running" {
		t.Errorf("%v", s)
	}
	r.expand(id)
	got := r.do(r.a, "GET", "/v1/campaigns/"+id, "").wants(http.StatusOK)
	if counts := got["counts"].(map[string]any); counts["sending"] != 2.0 {
		t.Errorf("%v", got)
	}
	if s := act("pause", `{"reason":"wrong price"}`, http.StatusOK); s["state"] != "paused" || s["reason"] != "wrong price" || s["inFlight"] != 0.0 {
		t.Errorf("%v", s)
	}
	act("pause", "", http.StatusOK) // once more does no harm
	act("resume", "", http.StatusOK)
	act("cancel", "", http.StatusOK)
	p := r.do(r.a, "POST", "/v1/campaigns/"+id+"/resume", "").refuses(http.StatusConflict, "id")
	if p.Detail != "a cancelled campaign can't be resumed; that is final" {
		t.Errorf("%q", p.Detail)
	}
	r.do(r.a, "POST", "/v1/campaigns/"+id+"/recipients", `{"recipientId":"x"}`, "Content-Type", "application/x-ndjson").refuses(http.StatusConflict, "id")
}

// TestCampaignStartsAtOnce, and one that is scheduled at its time.
func TestCampaignStartsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.do(r.a, "POST", "/v1/campaigns", `{"userId":"a","name":"x","content":"y","recipients":["f"],"start":true}`).wants(http.StatusCreated)
	if c["state"] != "running" {
		t.Errorf("%v", c)
	}
	c = r.do(r.a, "POST", "/v1/campaigns", `{"userId":"a","name":"x","brief":"y","textPer":"recipient","recipients":["f"],"start":true,"scheduledFor":"2026-03-02T13:00:00Z"}`).wants(http.StatusCreated)
	if c["state"] != "scheduled" || c["textPer"] != "recipient" {
		t.Errorf("%v", c)
	}
	got := r.do(r.a, "GET", "/v1/campaigns/"+c["id"].(string), "").wants(http.StatusOK)
	if f := got["forecast"].(map[string]any); f["waiting"] != 1.0 || f["nextAt"] != "2026-03-02T13:00:00Z" {
		t.Errorf("%v", f)
	}
}

// TestLists: pages follow each other without gaps, by state, account and stage.
func TestLists(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	want := map[string]bool{}
	for range 5 {
		want[r.newCampaign(r.a, "a", 0)] = true
		r.AdvanceClock(t, time.Millisecond)
	}
	other := r.newCampaign(r.b, "b", 0)
	seen, cursor, pages := map[string]bool{}, "", 0
	for {
		page := r.do(r.a, "GET", "/v1/campaigns?limit=2&state=draft&cursor="+cursor, "").wants(http.StatusOK)
		for _, c := range page["campaigns"].([]any) {
			seen[c.(map[string]any)["id"].(string)] = true
		}
		pages++
		next, more := page["nextCursor"].(string)
		if !more {
			break
		}
		cursor = next
	}
	if len(seen) != 5 || pages != 3 || seen[other] {
		t.Errorf("%d campaigns on %d pages", len(seen), pages)
	}
	if all := r.do(r.admin, "GET", "/v1/campaigns?userId=b", "").wants(http.StatusOK)["campaigns"].([]any); len(all) != 1 {
		t.Errorf("%v", all)
	}
	if all := r.do(r.admin, "GET", "/v1/campaigns", "").wants(http.StatusOK)["campaigns"].([]any); len(all) != 6 {
		t.Errorf("%d", len(all))
	}
	id := r.newCampaign(r.a, "a", 25)
	r.do(r.a, "POST", "/v1/campaigns/"+id+"/start", "").wants(http.StatusOK)
	r.expand(id)
	cursor, n := "", 0
	for {
		page := r.do(r.a, "GET", "/v1/campaigns/"+id+"/workflows?limit=10&stage=queued,sending&cursor="+cursor, "").wants(http.StatusOK)
		n += len(page["workflows"].([]any))
		next, more := page["nextCursor"].(string)
		if !more {
			break
		}
		cursor = next
	}
	if n != 25 {
		t.Errorf("%d messages", n)
	}
	queued := r.do(r.a, "GET", "/v1/campaigns/"+id+"/workflows?stage=queued", "").wants(http.StatusOK)["workflows"].([]any)
	if len(queued) != 15 {
		t.Errorf("%d wait", len(queued))
	}
	got := r.do(r.a, "GET", "/v1/campaigns/"+id, "").wants(http.StatusOK)["forecast"].(map[string]any)
	if got["waiting"] != 15.0 || got["endsAt"] == nil {
		t.Errorf("%v", got)
	}
	limits := r.do(r.a, "GET", "/v1/accounts/a/limits", "").wants(http.StatusOK)
	if limits["queued"] != 15.0 || limits["expectedFinish"] != got["endsAt"] || limits["tokens"].([]any)[0].(map[string]any)["free"] != 0.0 {
		t.Errorf("%v", limits)
	}
}

// TestWorkflow: exactly the members of the contract, and the timeline.
func TestWorkflow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.newCampaign(r.a, "a", 11)
	r.do(r.a, "POST", "/v1/campaigns/"+id+"/start", "").wants(http.StatusOK)
	r.expand(id)
	r.sendAll()
	w := r.do(r.a, "GET", "/v1/workflows/"+id+"-1", "").wants(http.StatusOK)
	want := []string{"id", "workflowId", "userId", "recipientId", "campaignId", "stage", "createdAt", "updatedAt", "notBefore", "providerStates", "fallbackHistory", "retryAttempts",
		"currentProvider", "sqsMessageId", "checkpointData", "traceContext", "timeline"}
	for _, name := range want {
		if _, has := w[name]; !has {
			t.Errorf("%s is missing", name)
		}
	}
	if len(w) != len(want) || w["stage"] != "sent" || w["fallbackHistory"] == nil {
		t.Errorf("%v", w)
	}
	waits := r.do(r.a, "GET", "/v1/workflows/"+id+"-11", "").wants(http.StatusOK)["timeline"].([]any)
	if last := waits[len(waits)-1].(map[string]any); last["what"] != "waits" {
		t.Errorf("%v", last)
	}
	r.do(r.b, "GET", "/v1/workflows/"+id+"-1", "").refuses(http.StatusNotFound, "workflowId")
	r.do(r.b, "GET", "/v1/workflows/"+id+"-1?userId=a", "").refuses(http.StatusNotFound, "workflowId")
	both := r.newKey([]string{"a", "b"})
	r.do(both, "GET", "/v1/workflows/"+id+"-1", "").wants(http.StatusOK)
	r.do(r.admin, "GET", "/v1/workflows/"+id+"-1?recipientId=nobody", "").refuses(http.StatusNotFound, "workflowId")
}

func TestEstimate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.do(r.a, "PUT", "/v1/accounts/a/opt-outs/fan-1", `{"reason":"asked"}`).wants(http.StatusOK)
	e := r.do(r.a, "POST", "/v1/campaigns:estimate", `{"userId":"a","brief":"Say hello","textPer":"recipient","recipients":["fan-1","fan-2","fan-2","fan-3"]}`).wants(http.StatusOK)
	s := e["suppressed"].(map[string]any)
	if e["recipients"] != 4.0 || e["sent"] != 2.0 || s["optedOut"] != 1.0 || s["duplicate"] != 1.0 || s["total"] != 2.0 || e["texts"] != 2.0 || e["costUsd"] != 0.004 {
		t.Errorf("%v", e)
	}
	e = r.do(r.a, "POST", "/v1/campaigns:estimate", `{"userId":"a","content":"Hi","recipientCount":1000}`).wants(http.StatusOK)
	ends, err := time.Parse(time.RFC3339Nano, e["endsAt"].(string))
	if took := ends.Sub(start); err != nil || took < 95*time.Minute || took > 105*time.Minute {
		t.Errorf("%v, %v", took, err)
	}
	id := r.newCampaign(r.a, "a", 20)
	e = r.do(r.a, "POST", "/v1/campaigns:estimate", `{"campaignId":"`+id+`"}`).wants(http.StatusOK)
	if e["recipients"] != 20.0 || e["sent"] != 19.0 || e["queuedBefore"] != 0.0 {
		t.Errorf("%v", e)
	}
	r.do(r.a, "POST", "/v1/campaigns:estimate", `{}`).refuses(http.StatusUnprocessableEntity, "userId")
	r.do(r.b, "POST", "/v1/campaigns:estimate", `{"campaignId":"`+id+`"}`).refuses(http.StatusNotFound, "campaignId")
}

func TestOptOutsAndQuietHours(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const path = "/v1/accounts/a/opt-outs"
	r.do(r.a, "PUT", path+"/fan%2F1", "").wants(http.StatusOK)
	r.do(r.a, "PUT", path+"/fan-2", `{"reason":"asked"}`).wants(http.StatusOK)
	if o := r.do(r.a, "GET", path+"/fan%2F1", "").wants(http.StatusOK); o["recipientId"] != "fan/1" {
		t.Errorf("%v", o)
	}
	page := r.do(r.a, "GET", path+"?limit=1", "").wants(http.StatusOK)
	page = r.do(r.a, "GET", path+"?limit=1&cursor="+page["nextCursor"].(string), "").wants(http.StatusOK)
	if list := page["optOuts"].([]any); len(list) != 1 || list[0].(map[string]any)["recipientId"] != "fan/1" || page["nextCursor"] != nil {
		t.Errorf("%v", page)
	}
	for range 2 {
		r.do(r.a, "DELETE", path+"/fan-2", "").wants(http.StatusNoContent)
	}
	r.do(r.a, "GET", path+"/fan-2", "").refuses(http.StatusNotFound, "recipientId")
	const quiet = "/v1/accounts/a/quiet-hours"
	if q := r.do(r.a, "GET", quiet, "").wants(http.StatusOK); q["quietHours"] != "off" {
		t.Errorf("%v", q)
	}
	if q := r.do(r.a, "PUT", quiet, `{"quietHours":"11:00-13:00 UTC"}`).wants(http.StatusOK); q["quietUntil"] != "2026-03-02T13:00:00Z" {
		t.Errorf("%v", q)
	}
	r.do(r.a, "PUT", quiet, `{"quietHours":"whenever"}`).refuses(http.StatusUnprocessableEntity, "quietHours")
	if l := r.do(r.a, "GET", "/v1/accounts/a/limits", "").wants(http.StatusOK); l["quietUntil"] != "2026-03-02T13:00:00Z" {
		t.Errorf("%v", l)
	}
	r.do(r.a, "DELETE", quiet, "").wants(http.StatusNoContent)
}
