package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

func line(n int) string {
	return fmt.Sprintf(`{"workflowId":"wf-%d","userId":"creator-7","recipientId":"fan-%d","content":"Hello"}`+"\n", n, n)
}

func TestSend(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	server := c.withQueues()
	var text strings.Builder
	for n := range 25 {
		text.WriteString(line(n))
	}
	sent := c.run("send", c.file("messages.jsonl", text.String())).wants(t, exitOK, "25 messages sent to "+messagesQueue+" in ")
	if strings.Contains(sent.out, "refused") || sent.errOut != "" {
		t.Errorf("output %q, errors %q", sent.out, sent.errOut)
	}
	if visible := server.Stats(messagesQueue).Visible; visible != 25 {
		t.Errorf("%d messages are on the queue", visible)
	}
	c.typed(line(1)+"\n"+line(2), "send", "-", "--queue", retryQueue).wants(t, exitOK, "2 messages sent to "+retryQueue)
	if visible := server.Stats(retryQueue).Visible; visible != 2 {
		t.Errorf("%d messages are on the retry queue", visible)
	}
	c.typed("", "send", "-").wants(t, exitOK, "0 messages sent")
}

func TestSendRefuses(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	server := c.withQueues()
	input := line(1) + `{"workflowId":"wf-2","content":"` + secretText + `"}` + "\n" + line(3) + "no JSON\n" + line(5)
	refused := c.typed(input, "send", "-").wants(t, exitFindings, "3 messages sent to "+messagesQueue, "2 lines refused:", "LINE  REASON", "2     recipientId: ", "4     body: ")
	if strings.Contains(refused.out, secretText) {
		t.Errorf("the text of a message is shown:\n%s", refused.out)
	}
	c.typed(input, "send", "--force", "-").wants(t, exitOK, "5 messages sent")
	if visible := server.Stats(messagesQueue).Visible; visible != 8 {
		t.Errorf("%d messages are on the queue, want 3 and 5", visible)
	}
	var many strings.Builder
	for range refusedShown + 20 {
		many.WriteString("no JSON\n")
	}
	c.typed(many.String(), "send", "-").wants(t, exitFindings, "0 messages sent", "120 lines refused", "… and 20 more lines")
}

func TestSendMisused(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	c.withQueues()
	c.run("send").wants(t, exitMisused, "argument FILE is missing", "usage: huntaze send FILE")
	c.run("send", filepath.Join(t.TempDir(), "none.jsonl")).wants(t, exitMisused, "FILE can't be read", "or - for standard input")
	c.run("send", t.TempDir()).wants(t, exitMisused, "is a folder")
	c.typed(line(1), "send", "-", "--queue", "no-such-queue").wants(t, exitFailed, "find queue no-such-queue")
}

// `huntaze send` from a second terminal reaches the stack of a running `huntaze dev` without any setting.
func TestStackOfDev(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	server := c.withQueues()
	stack := filepath.Join(c.environ["HUNTAZE_DATA_DIR"], stackFile)
	text := "# where it is\nAWS_ENDPOINT_URL_SQS=" + server.URL + "\nSQS_QUEUE=" + retryQueue + "\nSQS_RETRY_QUEUE=other\nAWS_REGION=eu-central-1\nDATABASE_URL=postgres://dev:hidden@127.0.0.1:1/dev\n"
	if err := os.WriteFile(stack, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	note := "using the running dev stack in " + c.environ["HUNTAZE_DATA_DIR"]
	// With an address of one's own the file is not looked at.
	own := c.typed(line(1), "send", "-").wants(t, exitOK, "1 message sent to "+messagesQueue)
	if strings.Contains(own.errOut, "dev stack") {
		t.Errorf("the stack is used although there is a queue: %s", own.errOut)
	}
	delete(c.environ, "AWS_ENDPOINT_URL_SQS")
	c.dotenv = map[string]string{"DATABASE_URL": "", "AWS_REGION": "us-east-1"} // as in a copy of .env.example
	used := c.typed(line(1), "send", "-").wants(t, exitOK, "1 message sent to "+retryQueue, note)
	if strings.Contains(used.out, "dev stack") {
		t.Errorf("the note is in the output: %s", used.out)
	}
	c.run("config").wants(t, exitOK, note, "us-east-1", "postgres://dev:***@127.0.0.1:1/dev")
	c.run("status").wants(t, exitFailed, "the database can't be reached", "The settings came from "+stack, "remove that file")
	// Who brings the parts takes none of them.
	worker := c.run("worker").wants(t, exitMisused, "DATABASE_URL is not set")
	if strings.Contains(worker.errOut, "dev stack") {
		t.Errorf("the worker used the stack: %s", worker.errOut)
	}
	if err := os.WriteFile(stack, []byte("no variable\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.typed(line(1), "send", "-").wants(t, exitMisused)
	if err := os.Remove(stack); err != nil {
		t.Fatal(err)
	}
	c.run("status").wants(t, exitMisused, "DATABASE_URL is not set")
}

// quarantineStore brings messages through the real bridge; it takes none that can be used.
type quarantineStore struct{ *fleet }

func (s quarantineStore) Ingest(ctx context.Context, batch []workflow.Delivery) ([]workflow.Intake, error) {
	result, err := s.store.Ingest(ctx, batch, true)
	return result.Answers, err
}

func (s quarantineStore) Ping(ctx context.Context) error { return s.store.Ping(ctx) }

// bridge runs the bridge until the condition holds.
func (f *fleet) bridge(server *sqstest.Running, until func() bool) {
	f.t.Helper()
	ctx, stop := context.WithCancel(f.t.Context())
	b := queue.New(queue.Config{Queue: messagesQueue, DeadLetterQueue: deadQueue, WaitTime: time.Second}, server.Client(), quarantineStore{f}, nil)
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); !until(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Error("the bridge did not do it in time")
			break
		}
	}
	stop()
	if err := <-done; err != nil {
		f.t.Error(err)
	}
}

func TestQuarantineAndDeadLetters(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	server := f.withQueues()
	f.run("quarantine", "list").wants(t, exitOK).prints(t, "The quarantine is empty.")
	f.run("dlq", "list").wants(t, exitOK).prints(t, "The dead-letter queue is empty.")
	bad := `{"workflowId":"wf-2","userId":"creator-7","content":"` + secretText + `\u001b[2J"}`
	f.typed(bad+"\n{broken\n", "send", "--force", "-").wants(t, exitOK)
	f.bridge(server, func() bool { return server.Stats(messagesQueue).Deleted == 2 })

	list := f.run("quarantine", "list").wants(t, exitOK, "recipientId", "is missing", messagesQueue, "ID  RECEIVED", "2026-03-02 12:00:00 UTC")
	id := strings.Fields(list.out[strings.Index(list.out, "\n")+1:])[0]
	if next := f.run("quarantine", "list", "--before", id, "--limit", "5").wants(t, exitOK); strings.Count(next.out, messagesQueue) != 1 {
		t.Errorf("the next page:\n%s", next.out)
	}
	for _, one := range []string{"1", "2"} {
		shown := f.run("quarantine", "show", one).wants(t, exitOK, "queue     "+messagesQueue, "reason    ", "remedy    ", "size      ")
		if strings.Contains(shown.out+list.out, secretText) {
			t.Errorf("the body is shown though nobody asked for it:\n%s", shown.out)
		}
	}
	withBody := f.run("quarantine", "show", "1", "--body").out + f.run("quarantine", "show", "2", "--body").out
	if !strings.Contains(withBody, bad) || !strings.Contains(withBody, "{broken") {
		t.Errorf("the bodies are not as they were received:\n%s", withBody)
	}
	f.run("quarantine", "show", "4711").wants(t, exitFailed, "4711: no such message in the quarantine")
	f.run("quarantine", "show").wants(t, exitMisused, "argument ID is missing")

	dead := f.run("dlq", "list").wants(t, exitOK, "wf-2", "creator-7", messagesQueue, "recipientId: is missing")
	letter := ""
	for _, row := range strings.Split(dead.out, "\n") {
		if strings.Contains(row, "wf-2") {
			letter = strings.Fields(row)[0]
		}
	}
	shown := f.run("dlq", "show", letter).wants(t, exitOK, "account   creator-7", "workflow  wf-2", "reason    recipientId")
	if strings.Contains(shown.out, secretText) {
		t.Error("the body is shown though nobody asked for it")
	}
	f.run("dlq", "show", letter, "--body").wants(t, exitOK, bad)
	f.run("dlq", "show", "no-such").wants(t, exitFailed, "no such message in the dead-letter queue")

	f.person = true
	f.typed("n\n", "dlq", "redrive").wants(t, exitFailed, "Move all dead letters to "+messagesQueue+"? [y/N]", "nothing was changed")
	f.person = false
	f.run("dlq", "redrive", "--to", retryQueue).wants(t, exitOK, "2 messages moved to "+retryQueue)
	if visible := server.Stats(retryQueue).Visible; visible != 2 {
		t.Errorf("%d messages are on the retry queue", visible)
	}
	f.run("dlq", "redrive", "--to", deadQueue).wants(t, exitFailed, "is the dead-letter queue itself")
	f.run("dlq", "redrive", "--rate", "501").wants(t, exitMisused, "--rate 501: give a number from 1 to 500")
	f.run("dlq", "list", "--limit", "0").wants(t, exitMisused, "--limit 0: give a number from 1")
}

// On a terminal a body can't take the screen over.
func TestBodiesAreHarmlessOnTerminals(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.exec(`INSERT INTO quarantine (message_id, source, field, reason, body, received_at) VALUES ('m', 'q', 'body', 'is no JSON', '\x1b5b324a41ff', now())`)
	f.person = true
	if shown := f.run("quarantine", "show", "m", "--body").wants(t, exitOK, `\x1b[2JA\xff`); strings.Contains(shown.out, "\x1b") {
		t.Error("an escape sequence reached the terminal")
	}
	f.person = false
	if shown := f.run("quarantine", "show", "m", "--body").wants(t, exitOK); !strings.Contains(shown.out, "\x1b[2JA\xff\n") {
		t.Errorf("not as it was received: %q", shown.out)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "2/60s", "off")
	server := f.withQueues()
	f.run("status").wants(t, exitOK).prints(t, `
time        2026-03-02 12:00:00 UTC
fleet       not frozen
live        planning 0 · queued 0 · sending 0 · in_doubt 0
over        sent 0 · failed 0 · cancelled 0 · expired 0
waiting     0 accounts, no message of them is due
resting     0 accounts
in doubt    0 messages
quarantine  0 messages
jobs        send: 0 available, 0 running, 0 retryable, 0 scheduled, plan: 0 available, 0 running, 0 retryable, 0 scheduled, default: 0 available, 0 running, 0 retryable, 0 scheduled
queue       huntaze-hybrid-messages-production: about 0 visible, 0 in flight, 0 delayed
queue       huntaze-alerts-production: about 0 visible, 0 in flight, 0 delayed
queue       huntaze-dlq-production: about 0 visible, 0 in flight, 0 delayed
`)
	for n := range 5 {
		f.take(message("creator-7", n))
		f.advance(time.Second)
	}
	f.doubtful(message("creator-8", 11))
	f.undecided("wf-11")
	f.take(message("creator-9", 12), message("creator-9", 13, func(m *workflow.Message) { m.Content, m.Brief = "", "a brief" }))
	f.end("wf-0", accepted())
	f.exec(`UPDATE accounts SET rest_until = $1, rest_count = 1 WHERE user_id = 'creator-9'`, start.Add(time.Hour))
	f.exec(`UPDATE fleet_state SET frozen_until = $1, frozen_reason = 'the database failed over'`, start.Add(time.Minute))
	f.exec(`INSERT INTO quarantine (message_id, source, field, reason, body, received_at) VALUES ('m', 'q', 'body', 'is no JSON', '', $1)`, start)
	f.typed(line(1), "send", "-").wants(t, exitOK)
	f.run("status").wants(t, exitOK,
		"frozen until 2026-03-02 12:01:00 UTC (in 55s), the database failed over",
		"planning 1 · queued 3 · sending 2 · in_doubt 1", "sent 1 · failed 0",
		"1 account; the oldest message is due since 2026-03-02 12:00:02 UTC (3s ago): wf-2 of creator-7",
		"1 account (huntaze limits rest)", "1 message, 1 of them for an operator; the oldest since 2026-03-02 12:00:05 UTC (0s ago) (huntaze doubt list)",
		"1 message; the latest at 2026-03-02 12:00:00 UTC (5s ago) (huntaze quarantine list)", "production: about 1 visible")
	var got statusJSON
	f.run("status", "--json").wants(t, exitOK).json(t, &got)
	if got.Stages[workflow.StageQueued].Number != 3 || got.OldestDueSince == nil || len(got.Queues) != 3 || got.NeedOperator.Number != 1 {
		t.Errorf("as JSON: %+v", got)
	}
	// Without SQS the rest of the screen stands.
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	f.run("status").wants(t, exitOK, "queued 3", messagesQueue+": can't be asked: ")
}

func TestConfigCommand(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	c.environ["GATEWAY_TOKEN"] = "hunter2"
	c.environ["SQS_POLLERS"] = "7"
	c.environ["SQS_POLERS"] = "9"
	shown := c.run("config").wants(t, exitOK, "DATABASE\n", "QUEUE\n", "SQS_POLLERS", "7  (set)", "[default: 4]", "20s  (default)", "[hidden]  (set)", "not set",
		"warning: SQS_POLERS is not a variable of this program: did you mean SQS_POLLERS?")
	if strings.Contains(shown.out+shown.errOut, "hunter2") {
		t.Error("a secret is shown")
	}
	asJSON := c.run("config", "--json").wants(t, exitOK)
	var list []variableJSON
	if err := json.Unmarshal([]byte(asJSON.out), &list); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(asJSON.out, "hunter2") || len(list) < 30 {
		t.Errorf("%d variables, or a secret:\n%s", len(list), asJSON.out)
	}
	for _, v := range list {
		if v.Name == "SQS_POLLERS" && (v.Value != "7" || v.Default != "4" || !v.Set || v.Group != "Queue") {
			t.Errorf("%+v", v)
		}
	}
	c.environ["SQS_POLLERS"] = "many"
	c.run("config").wants(t, exitMisused, `SQS_POLLERS="many"`, "a whole number from 1 to 64", "for example SQS_POLLERS=4")
}
