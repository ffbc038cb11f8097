package e2e_test

import (
	"strings"
	"testing"
	"time"
)

// What can't be used is recorded in quarantine with a reason that names the field, and copied to the dead-letter queue;
// the good messages between go through.
func TestBadInputIsQuarantined(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "RATE_LIMIT_ACCOUNT=off")
	f.start(2)
	long := strings.Repeat("x", 10_000)
	const ok = `"workflowId":"wf-bad","recipientId":"fan","userId":"creator","content":"Hello"`
	bodies := []struct{ name, field, body string }{
		{"1 MiB", "body", `{` + ok + `,"note":"` + strings.Repeat("x", 1<<20-len(ok)-12) + `"}`},
		{"larger than allowed", "body", `{` + ok + `,"note":"` + strings.Repeat("x", 300_000) + `"}`},
		{"deep nesting", "body", `{` + ok + `,"note":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`},
		{"deep nesting, cut off", "body", strings.Repeat(`{"a":`, 5_000)},
		{"zero character", "content", `{"workflowId":"wf-bad","recipientId":"fan","userId":"creator","content":"a\u0000b"}`},
		{"zero character in an id", "recipientId", `{"workflowId":"wf-bad","recipientId":"fan\u0000","userId":"creator","content":"a"}`},
		{"half a surrogate pair", "content", `{"workflowId":"wf-bad","recipientId":"fan","userId":"creator","content":"\ud800"}`},
		{"not JSON", "body", `Hello`},
		{"cut off", "body", `{"workflowId":"wf-bad","recipientId":`},
		{"an array", "body", `[{` + ok + `}]`},
		{"null", "body", `null`},
		{"two objects", "body", `{` + ok + `}{}`},
		{"a field twice", "content", `{` + ok + `,"content":"Bye"}`},
		{"a field in another case", "priority", `{` + ok + `,"Priority":1}`},
		{"workflowId missing", "workflowId", `{"recipientId":"fan","userId":"creator","content":"a"}`},
		{"workflowId empty", "workflowId", `{"workflowId":"","recipientId":"fan","userId":"creator","content":"a"}`},
		{"workflowId of 10,000 characters", "workflowId", `{"workflowId":"` + long + `","recipientId":"fan","userId":"creator","content":"a"}`},
		{"workflowId a number", "workflowId", `{"workflowId":7,"recipientId":"fan","userId":"creator","content":"a"}`},
		{"recipientId empty", "recipientId", `{"workflowId":"wf-bad","recipientId":" ","userId":"creator","content":"a"}`},
		{"recipientId of 10,000 characters", "recipientId", `{"workflowId":"wf-bad","recipientId":"` + long + `","userId":"creator","content":"a"}`},
		{"userId of 10,000 characters", "userId", `{"workflowId":"wf-bad","recipientId":"fan","userId":"` + long + `","content":"a"}`},
		{"userId an object", "userId", `{"workflowId":"wf-bad","recipientId":"fan","userId":{},"content":"a"}`},
		{"unknown account", "userId", `{"workflowId":"wf-of-nobody","recipientId":"fan","content":"a"}`},
		{"campaignId true", "campaignId", `{` + ok + `,"campaignId":true}`},
		{"content empty", "content", `{"workflowId":"wf-bad","recipientId":"fan","userId":"creator","content":""}`},
		{"content an array", "content", `{"workflowId":"wf-bad","recipientId":"fan","userId":"creator","content":["a"]}`},
		{"content too long", "content", `{"workflowId":"wf-bad","recipientId":"fan","userId":"creator","content":"` + strings.Repeat("x", 30_000) + `"}`},
		{"priority 0", "priority", `{` + ok + `,"priority":0}`},
		{"priority as text", "priority", `{` + ok + `,"priority":"1"}`},
		{"priority 1.5", "priority", `{` + ok + `,"priority":1.5}`},
		{"attempts over 2^53", "attempts", `{` + ok + `,"attempts":9007199254740993}`},
		{"attempts over 2^64", "attempts", `{` + ok + `,"attempts":18446744073709551616}`},
		{"maxRetries negative", "maxRetries", `{` + ok + `,"maxRetries":-1}`},
		{"maxRetries huge", "maxRetries", `{` + ok + `,"maxRetries":1e400}`},
		{"scheduledFor a number", "scheduledFor", `{` + ok + `,"scheduledFor":1700000000}`},
		{"scheduledFor without a zone", "scheduledFor", `{` + ok + `,"scheduledFor":"2026-11-23T10:00:00"}`},
		{"a number that no database keeps", "note", `{` + ok + `,"note":1` + strings.Repeat("0", 500) + `}`},
	}
	for n, b := range bodies {
		f.put(newInput("creator", 2*n)) // a neighbour before
		for _, id := range f.putBodies(b.body) {
			f.bad[id] = badInput{name: b.name, field: b.field}
		}
		f.put(newInput("neighbour", n)) // and one after
	}
	if len(f.bad) != len(bodies) {
		t.Fatalf("%d of %d bodies were put on the queue", len(f.bad), len(bodies))
	}
	f.drained(time.Minute)
	f.check()
	for _, m := range f.sqs.Messages(deadQueue) {
		if m.ReceiveCount != 0 {
			t.Errorf("a dead letter was received %d times: SQS moved it, not we", m.ReceiveCount)
		}
	}
	if n := f.said("panic"); n > 0 {
		t.Errorf("%d panics", n)
	}
}
