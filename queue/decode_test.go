package queue_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// base is a message with the required fields, open for more.
const base = `{"workflowId":"wf-1","recipientId":"fan-42","content":"Hello"`

func plain(change func(*workflow.Message)) workflow.Message {
	m := workflow.Message{WorkflowID: "wf-1", RecipientID: "fan-42", Content: "Hello", Priority: 3, MaxRetries: 3}
	if change != nil {
		change(&m)
	}
	return m
}

func TestDecode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		body       string
		attributes queue.Attributes
		want       workflow.Message
	}{
		{"the least", base + `}`, nil, plain(nil)},
		{"the contract's example", `{ "workflowId": "wf-1", "recipientId": "fan-42", "content": "Hello",
			"attempts": 2, "maxRetries": 5, "scheduledFor": "2026-11-23T12:00:00.5+02:00", "lastError": "timeout",
			"userId": "creator-7", "campaignId": "spring", "brief": "say hello", "priority": 1 }`, nil,
			workflow.Message{WorkflowID: "wf-1", RecipientID: "fan-42", Content: "Hello", Attempts: 2, MaxRetries: 5,
				NotBefore: time.Date(2026, 11, 23, 10, 0, 0, 500_000_000, time.UTC), LastError: "timeout",
				UserID: "creator-7", CampaignID: "spring", Brief: "say hello", Priority: 1}},
		{"brief instead of content", `{"workflowId":"wf-1","recipientId":"fan-42","brief":"say hello"}`, nil,
			plain(func(m *workflow.Message) { m.Content, m.Brief = "", "say hello" })},
		{"blank content beside a brief", `{"workflowId":"wf-1","recipientId":"fan-42","content":" \n","brief":"say hello"}`, nil,
			plain(func(m *workflow.Message) { m.Content, m.Brief = "", "say hello" })},
		{"null is missing", base + `,"attempts":null,"maxRetries":null,"scheduledFor":null,"lastError":null,"userId":null,"campaignId":null,"brief":null,"priority":null}`, nil, plain(nil)},
		{"empty optional texts are missing", base + `,"userId":"","campaignId":"","brief":"","lastError":""}`, nil, plain(nil)},
		{"whole numbers with a fraction of zero", base + `,"attempts":1.0,"maxRetries":0,"priority":4.00}`, nil,
			plain(func(m *workflow.Message) { m.Attempts, m.MaxRetries, m.Priority = 1, 0, 4 })},
		{"account from the attribute", base + `}`, queue.Attributes{"userId": "creator-9", "other": "x"},
			plain(func(m *workflow.Message) { m.UserID = "creator-9" })},
		{"account of the body before the attribute's", base + `,"userId":"creator-7"}`, queue.Attributes{"userId": "creator-9"},
			plain(func(m *workflow.Message) { m.UserID = "creator-7" })},
		{"unknown fields exactly", base + `, "big": 12345678901234567890.10, "deep" : {"a": [1e3, null, "é\u00e9\ud83d\ude00"]}, "user_id":"x" }`, nil,
			plain(func(m *workflow.Message) {
				m.Extra = json.RawMessage(`{"big":12345678901234567890.10,"deep":{"a": [1e3, null, "é\u00e9\ud83d\ude00"]},"user_id":"x"}`)
			})},
		{"escapes and characters beyond the BMP", `{"workflowId":"w\u0066-1","recipientId":"fan-42","content":"\u00e9 \ud83d\ude00 😀 \t\"\\\/"}`, nil,
			plain(func(m *workflow.Message) { m.Content = "é 😀 😀 \t\"\\/" })},
		{"merge fields", base + `,"mergeFields":{"name":"Ann \u00e9","age":42,"none":null},"textPer":"recipient"}`, nil,
			plain(func(m *workflow.Message) {
				m.MergeFields, m.OwnText = map[string]string{"name": "Ann é", "age": "42"}, true
			})},
		{"a text for the campaign", base + `,"mergeFields":{},"textPer":"campaign"}`, nil, plain(func(m *workflow.Message) { m.MergeFields = map[string]string{} })},
		{"escaped names", `{"workflow\u0049d":"wf-1","recipientId":"fan-42","content":"Hello"}`, nil, plain(nil)},
		{"an id of the longest length", `{"workflowId":"` + strings.Repeat("w", 256) + `","recipientId":"fan-42","content":"Hello"}`, nil,
			plain(func(m *workflow.Message) { m.WorkflowID = strings.Repeat("w", 256) })},
		{"a text of the longest length", `{"workflowId":"wf-1","recipientId":"fan-42","content":"` + strings.Repeat("é", 20_000) + `"}`, nil,
			plain(func(m *workflow.Message) { m.Content = strings.Repeat("é", 20_000) })},
		{"a long lastError is cut", base + `,"lastError":"` + strings.Repeat("é", 2_001) + `"}`, nil,
			plain(func(m *workflow.Message) { m.LastError = strings.Repeat("é", 1_999) + "…" })},
		{"nested as deep as may be", base + `,"x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, nil,
			plain(func(m *workflow.Message) {
				m.Extra = json.RawMessage(`{"x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`)
			})},
		{"brackets in texts are not nesting", `{"workflowId":"wf-1","recipientId":"fan-42","content":"Hello\"` + strings.Repeat("[", 100) + `"}`, nil,
			plain(func(m *workflow.Message) { m.Content = `Hello"` + strings.Repeat("[", 100) })},
		{"microseconds", base + `,"scheduledFor":"2026-11-23T10:00:00.123456789Z"}`, nil,
			plain(func(m *workflow.Message) { m.NotBefore = time.Date(2026, 11, 23, 10, 0, 0, 123_456_000, time.UTC) })},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, problem := queue.Decode([]byte(test.body), test.attributes, queue.Limits{})
			if problem != nil {
				t.Fatalf("Decode: %s", problem)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Decode (-want +got):\n%s", diff)
			}
		})
	}
}

// Every bad input of the contract is refused with a reason that names the field and never shows its value.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	const secret = "CANARY"
	without := func(field string) string {
		fields := map[string]any{"workflowId": "wf-1", "recipientId": "fan-42", "content": secret}
		delete(fields, field)
		body, _ := json.Marshal(fields)
		return string(body)
	}
	with := func(field, value string) string {
		fields := map[string]json.RawMessage{"workflowId": []byte(`"wf-1"`), "recipientId": []byte(`"fan-42"`), "content": []byte(`"` + secret + `"`)}
		delete(fields, field)
		body, _ := json.Marshal(fields)
		return string(body[:len(body)-1]) + `,"` + field + `":` + value + `}`
	}
	tests := []struct {
		name, body, field, reason string
	}{
		{"nothing", "", "body", "is empty"},
		{"white space", " \n", "body", "is empty"},
		{"not JSON", secret, "body", "not valid JSON at byte"},
		{"half of JSON", `{"workflowId":"` + secret, "body", "not valid JSON at byte"},
		{"unquoted value", `{"workflowId":` + secret + `}`, "body", "not valid JSON at byte"},
		{"raw control character", "{\"workflowId\":\"" + secret + "\x01\"}", "body", "not valid JSON at byte"},
		{"more after it", base + `} ` + secret, "body", "more data after the JSON value"},
		{"two objects", base + `}` + base + `}`, "body", "more data after the JSON value"},
		{"byte order mark", "\uFEFF" + base + `}`, "body", "byte order mark"},
		{"an array", `["` + secret + `"]`, "body", "an array"},
		{"a string", `"` + secret + `"`, "body", "a string"},
		{"a number", `42`, "body", "a number"},
		{"null", `null`, "body", "null"},
		{"true", `true`, "body", "true or false"},
		{"1 MiB", base + `,"x":"` + strings.Repeat(secret, (1<<20)/6) + `"}`, "body", "the most is 262144"},
		{"invalid UTF-8", base + ",\"lastError\":\"" + secret + "\xff\"}", "body", "not valid UTF-8"},
		{"overlong UTF-8", base + ",\"lastError\":\"\xc0\x80\"}", "body", "not valid UTF-8"},
		{"surrogate in UTF-8", base + ",\"lastError\":\"\xed\xa0\x80\"}", "body", "not valid UTF-8"},
		{"too deep", base + `,"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, "body", "deeper than 64"},
		{"a million deep", strings.Repeat("[", 200_000), "body", "deeper than 64"},
		{"deep objects", strings.Repeat(`{"a":`, 20_000), "body", "deeper than 64"},

		{"NUL in a known field", with("content", `"`+secret+`\u0000"`), "content", `\u0000`},
		{"NUL in an unknown field", with("note", `"`+secret+`\u0000"`), "note", `\u0000`},
		{"NUL deep inside", with("note", `[{"a":["`+secret+`\u0000"]}]`), "note", `\u0000`},
		{"NUL in a nested name", with("note", `{"`+secret+`\u0000":1}`), "note", `\u0000`},
		{"NUL in a name", with(secret+`\u0000`, `1`), "an unknown field", `\u0000`},
		{"high surrogate alone", with("content", `"`+secret+`\ud83d"`), "content", "surrogate"},
		{"high surrogate before another", with("content", `"\ud83d\ud83d\ude00"`), "content", "surrogate"},
		{"high surrogate before a letter", with("content", `"\ud83d\u0041"`), "content", "surrogate"},
		{"low surrogate alone", with("content", `"\ude00"`), "content", "surrogate"},
		{"low surrogate in an unknown field", with("note", `["\uDE00"]`), "note", "surrogate"},

		{"a field twice", base + `,"content":"` + secret + `"}`, "content", "more than once"},
		{"a field twice, once escaped", base + `,"\u0063ontent":"` + secret + `"}`, "content", "more than once"},
		{"an unknown field twice", with("note", `1,"note":2`), "note", "more than once"},
		{"a nested name twice", with("note", `{"a":1,"a":2}`), "note", "more than once"},

		{"no workflowId", without("workflowId"), "workflowId", "is missing"},
		{"no recipientId", without("recipientId"), "recipientId", "is missing"},
		{"neither content nor brief", without("content"), "content", "so is brief"},
		{"workflowId null", with("workflowId", `null`), "workflowId", "is missing"},
		{"workflowId in another case", `{"workflowID":"` + secret + `","recipientId":"r","content":"c"}`, "workflowId", "another case"},
		{"recipientId in another case", `{"workflowId":"w","RecipientId":"` + secret + `","content":"c"}`, "recipientId", "another case"},
		{"scheduledFor in another case", with("scheduledfor", `"2030-01-01T00:00:00Z"`), "scheduledFor", "another case"},
		{"userId in another case", with("userID", `"`+secret+`"`), "userId", "another case"},

		{"workflowId empty", with("workflowId", `""`), "workflowId", "is empty"},
		{"recipientId blank", with("recipientId", `" \t "`), "recipientId", "is empty"},
		{"content empty", with("content", `""`), "content", "so is brief"},
		{"content blank", with("content", `"\u00a0 \n"`), "content", "so is brief"},
		{"userId blank", with("userId", `"  "`), "userId", "is empty"},

		{"workflowId of 257 bytes", with("workflowId", `"`+strings.Repeat("w", 257)+`"`), "workflowId", "has 257 bytes, the most is 256"},
		{"recipientId of 10,000 characters", with("recipientId", `"`+strings.Repeat("r", 10_000)+`"`), "recipientId", "the most is 256"},
		{"userId of 129 characters in 258 bytes", with("userId", `"`+strings.Repeat("é", 129)+`"`), "userId", "has 258 bytes"},
		{"campaignId too long", with("campaignId", `"`+strings.Repeat("c", 257)+`"`), "campaignId", "the most is 256"},
		{"control character in an id", with("workflowId", `"`+secret+`\u0007"`), "workflowId", "control characters"},
		{"C1 control character in an id", with("workflowId", `"`+secret+`\u0085x"`), "workflowId", "control characters"},
		{"new line in an id", with("recipientId", `"`+secret+`\nx"`), "recipientId", "control characters"},
		{"line separator in an id", with("recipientId", `"`+secret+`\u2028x"`), "recipientId", "control characters"},
		{"white space around an id", with("recipientId", `" `+secret+`"`), "recipientId", "white space"},

		{"workflowId a number", with("workflowId", `42`), "workflowId", "is a number, it must be a string"},
		{"recipientId an object", with("recipientId", `{"a":"`+secret+`"}`), "recipientId", "is an object"},
		{"content an array", with("content", `["`+secret+`"]`), "content", "is an array"},
		{"brief true", with("brief", `true`), "brief", "is true or false"},
		{"userId a number", with("userId", `7`), "userId", "is a number"},
		{"attempts a string", with("attempts", `"1"`), "attempts", "is a string, it must be a number"},
		{"priority a string", with("priority", `"high"`), "priority", "is a string"},
		{"lastError an object", with("lastError", `{}`), "lastError", "is an object"},
		{"scheduledFor a number", with("scheduledFor", `1700000000`), "scheduledFor", "is a number"},

		{"attempts over 2^53", with("attempts", `9007199254740993`), "attempts", "out of range"},
		{"attempts over 2^64", with("attempts", `99999999999999999999999`), "attempts", "out of range"},
		{"attempts negative", with("attempts", `-1`), "attempts", "out of range"},
		{"attempts fractional", with("attempts", `1.5`), "attempts", "not a whole number"},
		{"attempts with exponent", with("attempts", `1e3`), "attempts", "not a whole number"},
		{"attempts just fractional", with("attempts", `1.00000000000000000001`), "attempts", "not a whole number"},
		{"maxRetries over 2^53", with("maxRetries", `9007199254740993`), "maxRetries", "out of range"},
		{"maxRetries negative", with("maxRetries", `-3`), "maxRetries", "out of range"},
		{"merge fields no object", with("mergeFields", `"`+secret+`"`), "mergeFields", "is a string, it must be an object"},
		{"merge fields in a list", with("mergeFields", `["`+secret+`"]`), "mergeFields", "is an array"},
		{"a merge field that is an object", with("mergeFields", `{"name":{"first":"`+secret+`"}}`), "mergeFields", "has an object as a value"},
		{"a merge field with a bad name", with("mergeFields", `{"`+secret+` 1":"x"}`), "mergeFields", "no valid name"},
		{"a merge field too long", with("mergeFields", `{"name":"`+strings.Repeat(secret, 1000)+`"}`), "mergeFields", "the field name has 6000 bytes"},
		{"textPer", with("textPer", `"`+secret+`"`), "textPer", "is neither campaign nor recipient"},
		{"textPer a number", with("textPer", `1`), "textPer", "is a number"},
		{"a brief too long", `{"workflowId":"wf-1","recipientId":"fan-42","brief":"` + strings.Repeat(secret, 1500) + `"}`, "brief", "8000"},
		{"priority 0", with("priority", `0`), "priority", "from 1 to 4"},
		{"priority 5", with("priority", `5`), "priority", "from 1 to 4"},
		{"unknown number that jsonb refuses", with("note", `1e999999`), "note", "number"},
		{"unknown number with a huge negative exponent", with("note", `[1e-99999999999999999999]`), "note", "number"},
		{"unknown number of too many digits", with("note", strings.Repeat("9", 401)), "note", "number"},

		{"scheduledFor empty", with("scheduledFor", `""`), "scheduledFor", "RFC 3339"},
		{"scheduledFor in words", with("scheduledFor", `"`+secret+`"`), "scheduledFor", "RFC 3339"},
		{"scheduledFor without zone", with("scheduledFor", `"2026-11-23T10:00:00"`), "scheduledFor", "RFC 3339"},
		{"scheduledFor a day only", with("scheduledFor", `"2026-11-23"`), "scheduledFor", "RFC 3339"},
		{"scheduledFor of the 30th of February", with("scheduledFor", `"2026-02-30T10:00:00Z"`), "scheduledFor", "RFC 3339"},
		{"scheduledFor with a comma", with("scheduledFor", `"2026-11-23T10:00:00,5Z"`), "scheduledFor", "RFC 3339"},
		{"scheduledFor with an hour of one digit", with("scheduledFor", `"2026-11-23T1:00:00Z"`), "scheduledFor", "RFC 3339"},
		{"scheduledFor with an offset of a day", with("scheduledFor", `"2026-11-23T10:00:00+24:00"`), "scheduledFor", "RFC 3339"},
		{"scheduledFor in the year 1", with("scheduledFor", `"0001-01-01T00:00:00Z"`), "scheduledFor", "out of range"},
		{"scheduledFor in 2100", with("scheduledFor", `"2100-01-01T00:00:00Z"`), "scheduledFor", "out of range"},
		{"scheduledFor in 9999", with("scheduledFor", `"9999-12-31T23:59:59-12:00"`), "scheduledFor", "out of range"},

		{"content too long", with("content", `"`+strings.Repeat("é", 20_001)+`"`), "content", "has 20001 characters, the most is 20000"},
		{"brief too long", with("brief", `"`+strings.Repeat("b", 20_001)+`"`), "brief", "the most is 20000"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			message, problem := queue.Decode([]byte(test.body), nil, queue.Limits{})
			if problem == nil {
				t.Fatalf("Decode accepted it: %+v", message)
			}
			if problem.Field != test.field || !strings.Contains(problem.Reason, test.reason) || problem.Remedy == "" {
				t.Errorf("problem %+v, want field %q and reason with %q", *problem, test.field, test.reason)
			}
			if strings.Contains(problem.String(), secret) {
				t.Errorf("the problem shows the value: %s", problem)
			}
			if diff := cmp.Diff(workflow.Message{}, message); diff != "" {
				t.Errorf("a message in spite of the problem:\n%s", diff)
			}
		})
	}
}

func TestDecodeRefusesBadAttribute(t *testing.T) {
	t.Parallel()
	for name, userID := range map[string]string{
		"blank": " ", "too long": strings.Repeat("u", 257), "control character": "a\x00b", "not UTF-8": "a\xff",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problem := queue.Decode([]byte(base+`}`), queue.Attributes{"userId": userID}, queue.Limits{})
			if problem == nil || problem.Field != "userId" || !strings.Contains(problem.Reason, "message attribute") {
				t.Errorf("problem %v", problem)
			}
		})
	}
}

func TestDecodeObeysMaxMessageBytes(t *testing.T) {
	t.Parallel()
	body := []byte(base + `}`)
	if _, problem := queue.Decode(body, nil, queue.Limits{MaxMessageBytes: len(body)}); problem != nil {
		t.Errorf("a body of just the size: %s", problem)
	}
	if _, problem := queue.Decode(body, nil, queue.Limits{MaxMessageBytes: len(body) - 1}); problem == nil {
		t.Error("a body of one byte more was accepted")
	}
}

// FuzzDecode shows that whatever the bytes, the result is a message that keeps every bound of the contract and
// goes round, or a problem that has a field, a reason and a remedy and does not show the content.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		base + `}`, base + `,"attempts":1,"maxRetries":2,"priority":4,"scheduledFor":"2026-11-23T10:00:00Z","note":{"a":[1,2.5e3,"\ud83d\ude00"]}}`,
		`{"workflowId":"\u0000"}`, `{"a":"\ud83d"}`, `[1,2`, `{"a":1,"a":2}`, "\xff", `{"x":1e99999}`, `{"workflowID":""}`, `{"":{"":""}}`,
		`{"scheduledFor":"2026-02-30T10:00:00Z"}`, `{"a"`, `{"a":tru`, strings.Repeat("[", 70),
	} {
		f.Add([]byte(seed), "creator-1")
	}
	f.Fuzz(func(t *testing.T, body []byte, userID string) {
		const canary = "cAnArY-7f3a"
		attributes := queue.Attributes{"userId": userID}
		check(t, body, attributes)
		// The same bytes as the value of each field, with a canary as the text to send.
		for _, field := range []string{"workflowId", "recipientId", "brief", "attempts", "scheduledFor", "priority", "note"} {
			wrapped := append([]byte(`{"content":"`+canary+`","`+field+`":`), body...)
			if problem := check(t, append(wrapped, '}'), attributes); problem != nil && strings.Contains(problem.String(), canary) {
				t.Fatalf("the problem shows the content: %s", problem)
			}
		}
		// And as the text to send itself.
		quoted, _ := json.Marshal(canary + string(body))
		whole := []byte(`{"workflowId":"w","recipientId":"r","content":` + string(quoted) + `}`)
		if problem := check(t, whole, attributes); problem != nil && strings.Contains(problem.String(), canary) {
			t.Fatalf("the problem shows the content: %s", problem)
		}
	})
}

func check(t *testing.T, body []byte, attributes queue.Attributes) *workflow.Problem {
	t.Helper()
	m, problem := queue.Decode(body, attributes, queue.Limits{})
	again, problemAgain := queue.Decode(body, attributes, queue.Limits{})
	if !cmp.Equal(m, again) || !cmp.Equal(problem, problemAgain) {
		t.Fatal("not a pure function")
	}
	if problem != nil {
		if problem.Field == "" || problem.Reason == "" || problem.Remedy == "" || len(problem.String()) > 400 || !utf8.ValidString(problem.String()) {
			t.Fatalf("problem %+v", *problem)
		}
		return problem
	}
	for name, id := range map[string]string{"workflowId": m.WorkflowID, "recipientId": m.RecipientID, "userId": m.UserID, "campaignId": m.CampaignID} {
		required := name == "workflowId" || name == "recipientId"
		if len(id) > queue.MaxIDBytes || required && strings.TrimSpace(id) == "" || strings.ContainsRune(id, 0) {
			t.Fatalf("%s %q", name, id)
		}
	}
	for _, text := range []string{m.WorkflowID, m.RecipientID, m.UserID, m.CampaignID, m.Content, m.Brief, m.LastError, string(m.Extra)} {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			t.Fatalf("text %q can't be stored", text)
		}
	}
	if m.Content == "" && m.Brief == "" || m.Priority < 1 || m.Priority > 4 || m.Attempts < 0 || m.MaxRetries < 0 {
		t.Fatalf("message %+v", m)
	}
	if m.Extra != nil && (!json.Valid(m.Extra) || m.Extra[0] != '{') {
		t.Fatalf("extra %s", m.Extra)
	}
	encoded, err := json.Marshal(encode(m))
	if err != nil {
		t.Fatalf("can't be encoded: %v", err)
	}
	round, problem := queue.Decode(encoded, nil, queue.Limits{MaxMessageBytes: 1 << 22})
	if problem != nil {
		t.Fatalf("does not go round: %s\n%s", problem, encoded)
	}
	m.Extra, round.Extra = nil, nil
	if diff := cmp.Diff(m, round); diff != "" {
		t.Fatalf("does not go round:\n%s", diff)
	}
	return nil
}

// encode is a producer's view of a message.
func encode(m workflow.Message) map[string]any {
	fields := map[string]any{
		"workflowId": m.WorkflowID, "recipientId": m.RecipientID, "userId": m.UserID, "campaignId": m.CampaignID,
		"content": m.Content, "brief": m.Brief, "priority": m.Priority, "attempts": m.Attempts, "maxRetries": m.MaxRetries,
		"lastError": m.LastError,
	}
	if !m.NotBefore.IsZero() {
		fields["scheduledFor"] = m.NotBefore
	}
	return fields
}

func BenchmarkDecode(b *testing.B) {
	body := []byte(base + `,"attempts":0,"maxRetries":3,"userId":"creator-7","campaignId":"spring","priority":3,"note":{"a":[1,2,3]}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, problem := queue.Decode(body, nil, queue.Limits{}); problem != nil {
			b.Fatal(problem)
		}
	}
}
