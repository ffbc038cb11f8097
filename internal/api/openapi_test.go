package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/huntaze/hybrid-orchestrator/internal/api"
)

// operation is one route, as the description has it.
type operation struct {
	id, method, path string
	parameters       []parameter
	body             map[string]any // schema of a JSON body; nil: none
}

type parameter struct {
	Name     string         `json:"name"`
	In       string         `json:"in"`
	Required bool           `json:"required"`
	Schema   map[string]any `json:"schema"`
}

// operations reads the routes from the description that the server serves.
func operations(t *testing.T, r *rig) []operation {
	t.Helper()
	var doc struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
		Parts   struct {
			Schemas map[string]map[string]any `json:"schemas"`
		} `json:"components"`
	}
	served := r.do("", "GET", "/openapi.json", "")
	if served.status != http.StatusOK || json.Unmarshal(served.body, &doc) != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%d: %.300s", served.status, served.body)
	}
	var all []operation
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			var one struct {
				ID         string      `json:"operationId"`
				Parameters []parameter `json:"parameters"`
				Body       struct {
					Content map[string]struct {
						Schema map[string]any `json:"schema"`
					} `json:"content"`
				} `json:"requestBody"`
			}
			if err := json.Unmarshal(doc.Paths[path][method], &one); err != nil {
				t.Fatal(err)
			}
			op := operation{id: one.ID, method: strings.ToUpper(method), path: path, parameters: one.Parameters, body: one.Body.Content["application/json"].Schema}
			if ref, is := op.body["$ref"].(string); is {
				op.body = doc.Parts.Schemas[ref[strings.LastIndex(ref, "/")+1:]]
			}
			all = append(all, op)
		}
	}
	return all
}

// TestContractRoutes: the routes of the contract are there, and no others are unknown to this list.
func TestContractRoutes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	want := []string{
		"POST /v1/campaigns", "GET /v1/campaigns", "GET /v1/campaigns/{id}", "POST /v1/campaigns/{id}/recipients", "GET /v1/campaigns/{id}/workflows", "GET /v1/campaigns/{id}/events",
		"POST /v1/campaigns/{id}/start", "POST /v1/campaigns/{id}/pause", "POST /v1/campaigns/{id}/resume", "POST /v1/campaigns/{id}/cancel", "POST /v1/campaigns:estimate",
		"GET /v1/workflows/{workflowId}", "GET /v1/accounts/{userId}/limits", "GET /v1/accounts/{userId}/opt-outs", "GET /v1/accounts/{userId}/opt-outs/{recipientId}",
		"PUT /v1/accounts/{userId}/opt-outs/{recipientId}", "DELETE /v1/accounts/{userId}/opt-outs/{recipientId}", "GET /v1/accounts/{userId}/quiet-hours",
		"PUT /v1/accounts/{userId}/quiet-hours", "DELETE /v1/accounts/{userId}/quiet-hours",
	}
	var got []string
	for _, op := range operations(t, r) {
		got = append(got, op.method+" "+op.path)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Errorf("routes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// secret stands for a message's text: no answer and no log line may hold it.
const secret = "SECRETWORDS"

// broken lists values that a field with the schema must not take, by what is wrong with them.
func broken(schema map[string]any) map[string]any {
	list := map[string]any{}
	number := func(name string) (float64, bool) { v, is := schema[name].(float64); return v, is }
	kind, _ := schema["type"].(string)
	if kinds, several := schema["type"].([]any); several { // nullable
		kind, _ = kinds[0].(string)
	}
	switch kind {
	case "string":
		list["number"], list["object"], list["list"] = 7, map[string]any{"a": secret}, []any{secret}
		if most, has := number("maxLength"); has {
			list["too long"] = strings.Repeat("x", int(most)+1)
		}
		if schema["enum"] != nil {
			list["unknown word"] = secret
		}
		if schema["format"] != nil {
			list["no "+schema["format"].(string)] = secret
		}
	case "integer", "number":
		list["text"], list["object"] = secret, map[string]any{}
		if least, has := number("minimum"); has {
			list["too small"] = least - 1
		}
		if most, has := number("maximum"); has {
			list["too large"], list["huge"] = most+1, json.Number("1e300")
		}
		if kind == "integer" {
			list["fraction"] = 1.5
		}
	case "boolean":
		list["text"] = secret
	case "array":
		list["text"], list["wrong item"] = secret, []any{7}
	}
	return list
}

// valid is a body that a route takes.
func valid(op operation, id string) map[string]any {
	switch op.id {
	case "create-campaign", "estimate-campaign":
		return map[string]any{"userId": "a", "name": "x", "content": "Hello"}
	case "put-quiet-hours":
		return map[string]any{"quietHours": "22:00-08:00 UTC"}
	}
	return map[string]any{}
}

// TestEveryRouteRefusesWhatIsBroken: whatever comes, no route fails, and each error is a problem document that names the field.
func TestEveryRouteRefusesWhatIsBroken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.newCampaign(r.a, "a", 2)
	tried := 0
	refuse := func(what string, a answer, field string, statuses ...int) {
		t.Helper()
		tried++
		if a.status >= 500 || !slices.Contains(statuses, a.status) {
			t.Errorf("%s: %s: status %d: %.300s", a.what, what, a.status, a.body)
			return
		}
		a.refuses(a.status, field)
		if strings.Contains(string(a.body), secret) {
			t.Errorf("%s: %s: what was sent is in the answer: %s", a.what, what, a.body)
		}
	}
	for _, op := range operations(t, r) {
		path := filled(op.path, id)
		for _, p := range op.parameters {
			for what, value := range broken(p.Schema) {
				text := fmt.Sprint(value)
				switch {
				case p.In == "header", p.Schema["type"] == "string" && (what == "number" || what == "object" || what == "list"):
					continue // texts all of them
				case p.In == "path":
					refuse(p.Name+" "+what, r.do(r.a, op.method, filled(strings.Replace(op.path, "{"+p.Name+"}", url.PathEscape(text), 1), id), bodyOf(op, id)), p.Name, 404, 422)
				case p.Schema["items"] != nil || strings.Contains(fmt.Sprint(p.Schema["type"]), "array"):
					refuse(p.Name+" "+what, r.do(r.a, op.method, path+"?"+p.Name+"="+url.QueryEscape(text), bodyOf(op, id)), p.Name+"[0]", 422)
				default:
					refuse(p.Name+" "+what, r.do(r.a, op.method, path+"?"+p.Name+"="+url.QueryEscape(text), bodyOf(op, id)), p.Name, 404, 422)
				}
			}
			if p.In == "path" && p.Name != "id" {
				for what, text := range map[string]string{"NUL": "%00", "control": "a%0Ab", "UTF-8": "%ff", "space": "%20a"} {
					refuse(p.Name+" "+what, r.do(r.a, op.method, filled(strings.Replace(op.path, "{"+p.Name+"}", text, 1), id), bodyOf(op, id)), "", 404, 422)
				}
			}
		}
		if op.id != "watch-campaign" {
			refuse("unknown parameter", r.do(r.a, op.method, path+"?colour=red", bodyOf(op, id)), "colour", 422)
		}
		if op.body == nil {
			continue
		}
		properties, _ := op.body["properties"].(map[string]any)
		for name, schema := range properties {
			for what, value := range broken(schema.(map[string]any)) {
				body := valid(op, id)
				body[name] = value
				field := name
				if what == "wrong item" {
					field += "[0]"
				}
				refuse(name+" "+what, r.do(r.a, op.method, path, marshalled(body)), field, 422)
			}
			if required, _ := op.body["required"].([]any); slices.Contains(required, any(name)) {
				body := valid(op, id)
				delete(body, name)
				refuse("without "+name, r.do(r.a, op.method, path, marshalled(body)), name, 422)
			}
		}
		body := valid(op, id)
		body["colour"] = secret
		refuse("unknown field", r.do(r.a, op.method, path, marshalled(body)), "colour", 422)
		delete(body, "colour")
		body[secret+" words"] = 1
		refuse("field without a name", r.do(r.a, op.method, path, marshalled(body)), "(unnamed)", 422)
		for what, text := range map[string]string{"no JSON": "{" + secret, "cut off": `{"userId":"` + secret, "list": `["` + secret + `"]`, "text": `"` + secret + `"`, "null byte": "\x00", "deep": strings.Repeat(`{"a":`, 20_000)} {
			refuse(what, r.do(r.a, op.method, path, text), "body", 400, 422)
		}
		refuse("too large", r.do(r.a, op.method, path, `{"name":"`+strings.Repeat("x", 5<<20)+`"}`), "body", 413)
		refuse("media type", r.do(r.a, op.method, path, marshalled(valid(op, id)), "Content-Type", "text/xml"), "Content-Type", 415)
		if op.method == "POST" {
			refuse("key", r.do(r.a, op.method, path, marshalled(valid(op, id)), "Idempotency-Key", strings.Repeat("k", 256)), "Idempotency-Key", 422)
			refuse("key", r.do(r.a, op.method, path, marshalled(valid(op, id)), "Idempotency-Key", "a key"), "Idempotency-Key", 422)
		}
	}
	if strings.Contains(r.log.String(), secret) {
		t.Error("what was sent is in the log")
	}
	t.Logf("%d broken requests", tried)
}

func filled(path, id string) string {
	return strings.NewReplacer("{id}", id, "{userId}", "a", "{recipientId}", "fan-1", "{workflowId}", id+"-1").Replace(path)
}

func bodyOf(op operation, id string) string {
	if op.body == nil {
		return ""
	}
	return marshalled(valid(op, id))
}

func marshalled(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestRulesBeyondTheSchema: what only the program can find out is named, too.
func TestRulesBeyondTheSchema(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct{ members, field string }{
		{`"name":"x"`, "content"}, {`"name":"x","content":"a","brief":"b"`, "brief"}, {`"name":"x","content":" "`, "content"}, {`"name":"x","content":"a\u0000b"`, "content"},
		{`"name":"a\nb","content":"x"`, "name"}, {`"name":" ","content":"x"`, "name"}, {`"name":"x","content":"x","textPer":"recipient"`, "textPer"},
		{`"name":"x","content":"x","expiresAt":"2026-03-02T11:00:00Z"`, "expiresAt"}, {`"name":"x","content":"x","scheduledFor":"2026-03-04T12:00:00Z","expiresAt":"2026-03-03T12:00:00Z"`, "expiresAt"},
		{`"name":"x","content":"x","scheduledFor":"2062-03-04T12:00:00Z"`, "scheduledFor"}, {`"name":"x","content":"x","maxCostUsd":0`, "maxCostUsd"},
		{`"name":"x","content":"x","recipients":["ok",{"recipientId":" "}]`, "recipients[1].recipientId"},
		{`"name":"x","content":"x","recipients":[{"recipientId":"f","mergeFields":{"` + secret + ` 1":"x"}}]`, "recipients[0].mergeFields"},
	} {
		a := r.do(r.a, "POST", "/v1/campaigns", `{"userId":"a",`+c.members+`}`)
		a.refuses(http.StatusUnprocessableEntity, c.field)
		if strings.Contains(string(a.body), secret) {
			t.Errorf("%s", a.body)
		}
	}
	r.do(r.a, "POST", "/v1/campaigns", `{"UserID":"a","name":"x","content":"y"}`).refuses(http.StatusUnprocessableEntity, "UserID")
	r.do(r.a, "GET", "/v1/campaigns?cursor=eHg", "").refuses(http.StatusUnprocessableEntity, "cursor")
	r.do(r.a, "GET", "/v1/campaigns?cursor=AAAKAAA", "").refuses(http.StatusUnprocessableEntity, "cursor")
}

// TestUnknownRoutes are problem documents, whatever is wrong with them.
func TestUnknownRoutes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, path := range []string{"/v1/nothing", "/v1/campaigns/", "/v1//campaigns", "/v1/campaigns/../campaigns", "/", "/v1", "/nothing", "/v1/campaigns/x/y/z"} {
		r.do(r.a, "GET", path, "").refuses(http.StatusNotFound, "path")
	}
	a := r.do(r.a, "PATCH", "/v1/campaigns", "")
	a.refuses(http.StatusMethodNotAllowed, "method")
	if a.header.Get("Allow") == "" {
		t.Error("Allow is missing")
	}
	r.do("", "GET", "/v1/nothing", "").refuses(http.StatusUnauthorized, "Authorization")
	beside := newRig(t, func(c *api.Config) {
		c.Beside = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
	})
	beside.do("", "GET", "/console", "").wants(http.StatusOK)
	beside.do(beside.a, "GET", "/v1/nothing", "").refuses(http.StatusNotFound, "path")
}
