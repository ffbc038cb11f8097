package db_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// outcomes are the answers to a batch, without their problems.
func outcomes(result db.IntakeResult) []workflow.IntakeOutcome {
	var all []workflow.IntakeOutcome
	for _, a := range result.Answers {
		all = append(all, a.Outcome)
	}
	return all
}

const (
	accepted    = workflow.IntakeAccepted
	duplicate   = workflow.IntakeDuplicate
	quarantined = workflow.IntakeQuarantined
)

// TestIntakeOnce: a key that is delivered again, in the same batch or a later one, under another message id or from
// another queue, makes no second workflow and changes nothing about the first.
func TestIntakeOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	again := message("creator", 1, func(m *workflow.Message) { m.Content, m.Priority = "Other words", 1 })
	again.MessageID, again.Source = "sqs-later", "retry"
	got := outcomes(f.ingest(true, message("creator", 1), message("creator", 2), message("creator", 1), again))
	if diff := cmp.Diff([]workflow.IntakeOutcome{accepted, accepted, duplicate, duplicate}, got); diff != "" {
		t.Errorf("in one batch (-want +got):\n%s", diff)
	}
	got = outcomes(f.ingest(true, again, message("creator", 3), message("creator", 2)))
	if diff := cmp.Diff([]workflow.IntakeOutcome{duplicate, accepted, duplicate}, got); diff != "" {
		t.Errorf("in a later batch (-want +got):\n%s", diff)
	}
	for _, a := range f.attempts() {
		f.send(a, workflow.EventAccepted)
	}
	if got := outcomes(f.ingest(true, again)); got[0] != duplicate {
		t.Errorf("after it was sent: %s", got[0])
	}
	if got := column[string](f, `SELECT content FROM hybrid_workflows WHERE workflow_id = 'wf-creator-1'`); len(got) != 1 || got[0] != "Hello" {
		t.Errorf("contents %q, want the first one's", got)
	}
	if n := len(f.attempts()); n != 3 {
		t.Errorf("%d send jobs, want 3", n)
	}
	f.check()
}

// TestIntakeKey: what differs in one part of the key is another message.
func TestIntakeKey(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	key := func(user, id, recipient string) workflow.Delivery {
		return message(user, 0, toRecipient(recipient), func(m *workflow.Message) { m.WorkflowID = id })
	}
	got := outcomes(f.ingest(true, key("a", "b", "c"), key("a", "b", "C"), key("a", "B", "c"), key("A", "b", "c"), key("ab", "c", "c"), key("a", "bc", "c"), key("a", "b", "c")))
	if diff := cmp.Diff([]workflow.IntakeOutcome{accepted, accepted, accepted, accepted, accepted, accepted, duplicate}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f.check()
}

// TestIntakeAtOnce: eight sessions take in the same messages at once, each in another order and other batches. Each
// message makes one workflow, exactly one session hears that it is new, and nobody sees a deadlock.
func TestIntakeAtOnce(t *testing.T) {
	t.Parallel()
	const count, sessions = 200, 8
	f := newFleet(t, "10/60s", "off") // the constraint on a recipient's tokens makes circles of its own
	var all []workflow.Delivery
	for n := range count {
		all = append(all, message(fmt.Sprintf("account-%d", n%5), n, toRecipient(fmt.Sprintf("fan-%d", n%20)), inCampaign(fmt.Sprintf("campaign-%d", n%7))))
	}
	circles := f.countDeadlocks()
	fresh := make([]int, sessions)
	var sessionsDone errgroup.Group
	for session := range sessions {
		random := rand.New(rand.NewPCG(3, uint64(session)))
		sessionsDone.Go(func() error {
			mine := append([]workflow.Delivery(nil), all...)
			random.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			for len(mine) > 0 {
				n := min(len(mine), 1+random.IntN(30))
				result, err := f.store.Ingest(f.ctx, mine[:n], random.IntN(2) == 0)
				if err != nil {
					return err
				}
				for _, outcome := range outcomes(result) {
					if outcome == accepted {
						fresh[session]++
					}
				}
				mine = mine[n:]
			}
			return nil
		})
	}
	if err := sessionsDone.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := circles.Load(); n > 0 {
		t.Errorf("%d deadlocks, want none: everybody locks in the order of the keys", n)
	}
	total := 0
	for _, n := range fresh {
		total += n
	}
	if n := one[int](f, `SELECT count(*) FROM hybrid_workflows`); n != count || total != count {
		t.Errorf("%d workflows, %d deliveries said to be new, want %d", n, total, count)
	}
	f.check()
}

// TestIntakeAccount: a message without userId belongs to the account that its workflow id is known for, or else to the
// default account, or else to nobody.
func TestIntakeAccount(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	named := func(user, id, recipient string) workflow.Delivery {
		return message(user, 0, toRecipient(recipient), func(m *workflow.Message) { m.WorkflowID = id })
	}
	f.ingest(true, named("ann", "known", "fan-1"), named("ann", "shared", "fan-1"), named("ben", "shared", "fan-1"))

	result := f.ingest(true,
		named("", "known", "fan-2"),   // known from before
		named("", "here", "fan-1"),    // known from this batch, though it comes later
		named("cyd", "here", "fan-2"), //
		named("", "shared", "fan-2"),  // of two accounts
		named("", "unknown", "fan-1"), // of nobody
		named("", "known", "fan-1"),   // the same as the very first
	)
	if diff := cmp.Diff([]workflow.IntakeOutcome{accepted, accepted, accepted, quarantined, quarantined, duplicate}, outcomes(result)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, i := range []int{3, 4} {
		if p := result.Answers[i].Problem; p == nil || p.Field != "userId" || p.Reason == "" || p.Remedy == "" {
			t.Errorf("problem %+v, want one with userId that says what to do", p)
		}
	}
	users := map[string]string{}
	rows, err := f.pool.Query(f.ctx, `SELECT workflow_id || ' ' || recipient_id, user_id FROM hybrid_workflows WHERE workflow_id <> 'shared'`)
	if err != nil {
		t.Fatal(err)
	}
	var key, user string
	if _, err := pgx.ForEachRow(rows, []any{&key, &user}, func() error { users[key] = user; return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"known fan-1": "ann", "known fan-2": "ann", "here fan-1": "cyd", "here fan-2": "cyd"}, users); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}

	f.config.DefaultUserID = "house"
	withDefault := db.NewStore(f.pool, f.jobs, f.config)
	result, err = withDefault.Ingest(f.ctx, []workflow.Delivery{named("", "unknown", "fan-1"), named("", "shared", "fan-2"), named("", "known", "fan-3")}, true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]workflow.IntakeOutcome{accepted, quarantined, accepted}, outcomes(result)); diff != "" {
		t.Errorf("with a default account (-want +got):\n%s", diff)
	}
	if got := column[string](f, `SELECT user_id FROM hybrid_workflows WHERE workflow_id = 'unknown'`); len(got) != 1 || got[0] != "house" {
		t.Errorf("account of a message of nobody: %q, want the default", got)
	}
	f.check()
}

// TestIntakeStages: where a message begins.
func TestIntakeStages(t *testing.T) {
	t.Parallel()
	later := start.Add(time.Hour)
	for _, test := range []struct {
		name   string
		adjust func(*workflow.Message)
		want   string // stage, wait reason, attempts, priority, not before
		error  string
	}{
		{"now", func(*workflow.Message) {}, "queued//0/3/0s", ""},
		{"urgent, tried before", func(m *workflow.Message) { m.Priority, m.Attempts, m.LastError = 1, 2, "timeout" }, "queued//2/1/0s", "timeout"},
		{"scheduled", func(m *workflow.Message) { m.NotBefore = later }, "queued/schedule/0/3/1h0m0s", ""},
		{"scheduled for the past", func(m *workflow.Message) { m.NotBefore = start.Add(-time.Hour) }, "queued//0/3/0s", ""},
		{"a brief", func(m *workflow.Message) { m.Content, m.Brief = "", "Say hello" }, "planning/provider/0/3/0s", ""},
		{"both", func(m *workflow.Message) { m.Brief = "Say hello" }, "queued//0/3/0s", ""},
		{"all tries used", func(m *workflow.Message) { m.Attempts = 3 }, "failed//3/3/0s", "attempts: all retries were used before the message came here"},
		{"more than all", func(m *workflow.Message) { m.Attempts, m.MaxRetries = 9, 2 }, "failed//9/3/0s", "attempts: all retries were used before the message came here"},
		{"no retries allowed, none made", func(m *workflow.Message) { m.MaxRetries = 0 }, "queued//0/3/0s", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "10/60s", "off")
			f.park(message("creator", 1, test.adjust))
			got := one[string](f, `SELECT concat_ws('/', stage, wait_reason, attempts, priority) FROM hybrid_workflows`)
			got += "/" + one[time.Time](f, `SELECT not_before FROM hybrid_workflows`).Sub(start).String()
			if got != test.want {
				t.Errorf("begins as %s, want %s", got, test.want)
			}
			if text := one[string](f, `SELECT last_error FROM hybrid_workflows`); text != test.error {
				t.Errorf("last error %q, want %q", text, test.error)
			}
			f.release("creator")
			sends := len(f.attempts())
			if want := strings.HasPrefix(test.want, "queued//"); (sends == 1) != want {
				t.Errorf("%d send jobs, want one: %v", sends, want)
			}
			f.check()
		})
	}
}

// oddTexts are valid, and break what is written for plain ones.
var oddTexts = []string{
	"Hello", " leading and trailing ", "two\nlines\r\n\ttab", `quote " and ' and \ and \n`, "'; DROP TABLE accounts; --", "$1 %s {{.}} ${x}",
	"\u0001\u0008\u001b\u007f", "émoji 😀👩‍👩‍👧‍👦", "\u202eright to left\u202c", "\u200b\ufeff\u2028\u2029", "\ufffd\uffff\U0010ffff", "NULL", "null", `{"a":1}`, "{1,2}", `\x00`, `\u0000`,
	strings.Repeat("long ", 4000),
}

// TestIntakeTexts: what is valid comes out as it went in.
func TestIntakeTexts(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "100/60s", "off")
	var batch []workflow.Delivery
	for n, text := range oddTexts {
		short := text[:min(len(text), 200)]
		batch = append(batch, message("creator", n, toRecipient("fan "+short), inCampaign("campaign "+short), func(m *workflow.Message) {
			m.Content, m.Brief, m.LastError, m.WorkflowID = text, "brief "+text, short, fmt.Sprintf("%d %s", n, short)
			m.Trace = workflow.TraceContext{TraceID: strings.Repeat("a", 32), SpanID: strings.Repeat("b", 16), TraceState: short, Timestamp: start}
			extra, _ := json.Marshal(map[string]any{"text": text, "number": json.RawMessage("123456789012345678901234567890.5"), "nested": map[string]any{short: []int{1}}})
			m.Extra = extra
		}))
	}
	f.ingest(true, batch...)
	for n, text := range oddTexts {
		short := text[:min(len(text), 200)]
		id := fmt.Sprintf("%d %s", n, short)
		var content, brief, recipient, campaign, lastError, extraText, number, state, owner string
		err := f.pool.QueryRow(f.ctx, `SELECT content, brief, recipient_id, campaign_id, last_error, extra->>'text', extra->>'number', coalesce(trace_context->>'traceState', ''), trace_context->>'workflowId'
			FROM hybrid_workflows WHERE workflow_id = $1`, id).Scan(&content, &brief, &recipient, &campaign, &lastError, &extraText, &number, &state, &owner)
		if err != nil {
			t.Fatalf("%q: %v", short, err)
		}
		got := []string{content, brief, recipient, campaign, lastError, extraText, number, state, owner}
		want := []string{text, "brief " + text, "fan " + short, "campaign " + short, short, text, "123456789012345678901234567890.5", short, id}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-went in +came out):\n%s", short, diff)
		}
	}
	sent := map[string]bool{}
	for _, a := range f.attempts() {
		begun := f.begin(a)
		sent[begun.Content] = true
		if begun.Trace.WorkflowID != begun.WorkflowID || begun.Trace.UserID != "creator" || begun.Trace.TraceID != strings.Repeat("a", 32) {
			t.Errorf("trace %+v of %s", begun.Trace, begun.WorkflowID)
		}
	}
	for _, text := range oddTexts {
		if !sent[text] {
			t.Errorf("%q is not handed to the gateway as it came in", text[:min(len(text), 40)])
		}
	}
	f.check()
}

// TestIntakeQuarantine: what can't be used is recorded once, with the reason and the bytes, and does no harm to its
// neighbours.
func TestIntakeQuarantine(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	bad := workflow.Delivery{Source: "messages", MessageID: "sqs-bad", Body: []byte("\x00\xff{"), Problem: &workflow.Problem{Field: "body", Reason: "is not valid JSON", Remedy: "send JSON"}}
	for round := range 3 {
		got := outcomes(f.ingest(true, message("creator", round), bad, message("creator", 10+round), bad))
		if diff := cmp.Diff([]workflow.IntakeOutcome{accepted, quarantined, accepted, quarantined}, got); diff != "" {
			t.Errorf("round %d (-want +got):\n%s", round, diff)
		}
	}
	if n := one[int](f, `SELECT count(*) FROM quarantine WHERE message_id = 'sqs-bad' AND field = 'body' AND reason = 'is not valid JSON' AND remedy = 'send JSON' AND body = '\x00ff7b'::bytea`); n != 1 {
		t.Errorf("%d entries as they should be, want 1", n)
	}
	if n := one[int](f, `SELECT count(*) FROM quarantine`); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	if n := len(f.attempts()); n != 6 {
		t.Errorf("%d neighbours go, want 6", n)
	}
	f.check()
}

// TestIntakeEmpty: nothing is an answer, too.
func TestIntakeEmpty(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	for _, release := range []bool{true, false} {
		if result := f.ingest(release); len(result.Answers) != 0 || len(result.Released) != 0 {
			t.Errorf("answers to nothing: %+v", result)
		}
	}
	if released, err := f.store.Release(f.ctx, nil); err != nil || len(released) != 0 {
		t.Errorf("release of nothing: %v, %v", released, err)
	}
	if starts, err := f.store.Begin(f.ctx, nil); err != nil || len(starts) != 0 {
		t.Errorf("begin of nothing: %v, %v", starts, err)
	}
	if finished, err := f.store.Finish(f.ctx, nil, true); err != nil || len(finished) != 0 {
		t.Errorf("finish of nothing: %v, %v", finished, err)
	}
	if applied, err := f.store.Apply(f.ctx, nil); err != nil || len(applied) != 0 {
		t.Errorf("apply of nothing: %v, %v", applied, err)
	}
}

// TestIntakeLetsGo: intake gives free tokens to new messages in the transaction that takes them in, the best first,
// and says what is left.
func TestIntakeLetsGo(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "3/60s", "off")
	result := f.ingest(true, message("ann", 1, withPriority(4)), message("ann", 2, withPriority(1)), message("ann", 3), message("ann", 4, withPriority(2)),
		message("ben", 1), message("cyd", 1, notBefore(start.Add(time.Minute))))
	got := map[string]db.Released{}
	for _, r := range result.Released {
		got[r.UserID] = r
	}
	open := 170*time.Second + time.Minute + guard // until the calls must have ended, and their tokens are back
	want := map[string]db.Released{
		"ann": {UserID: "ann", Count: 3, Waiting: true, Next: -1, NextToken: open},
		"ben": {UserID: "ben", Count: 1, Next: -1, NextToken: -1},
		"cyd": {UserID: "cyd", Waiting: true, Next: time.Minute, NextToken: -1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if left := column[string](f, `SELECT workflow_id FROM hybrid_workflows WHERE stage = 'queued' AND user_id = 'ann'`); len(left) != 1 || left[0] != "wf-ann-1" {
		t.Errorf("left of ann's: %v, want the least urgent", left)
	}
	f.check()
}
