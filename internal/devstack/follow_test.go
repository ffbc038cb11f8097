package devstack

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/devstack/screen"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

var tenAMinute = limits{limit.Policy{Account: limit.Rules{{Capacity: 10, Window: time.Minute}}, Recipient: limit.Rules{{Capacity: 1, Window: time.Minute}}}}

func key(n string) workflow.Key {
	return workflow.Key{UserID: "a", WorkflowID: "wf-" + n, RecipientID: "fan-" + n}
}

func message(n, more string) string {
	return `{"userId":"a","workflowId":"wf-` + n + `","recipientId":"fan-` + n + `","content":"Hello"` + more + `}`
}

func TestFollower(t *testing.T) {
	t.Parallel()
	lines := []string{message("1", ""), message("1", ""), message("2", ""), message("3", `,"priority":1`), message("4", `,"priority":"high"`), message("5", ""), message("6", ""), message("7", "")}
	f := newFollower(lines, queue.Limits{})
	if n := f.done(noon); n != 0 {
		t.Fatalf("%d are done before anything happened", n)
	}
	if n := len(f.open()); n != 6 {
		t.Errorf("%d keys to look for, want 6", n)
	}
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	progress := func(n string, stage workflow.Stage, created, updated int, lastError string) db.MessageProgress {
		return db.MessageProgress{Key: key(n), Stage: stage, CreatedAt: at(created), UpdatedAt: at(updated), NotBefore: at(created), LastError: lastError}
	}
	f.update(at(1), []db.MessageProgress{progress("1", workflow.StageSent, 0, 1, ""), progress("2", workflow.StageQueued, 0, 0, ""), progress("3", workflow.StageQueued, 4, 4, "")}, nil, 0)
	if n := f.done(at(1)); n != 1 {
		t.Errorf("%d are done, want 1", n)
	}
	far := progress("7", workflow.StageQueued, 0, 0, "")
	far.NotBefore, far.WaitReason = at(3600), workflow.WaitRecipient
	f.update(at(70), []db.MessageProgress{
		progress("2", workflow.StageSent, 0, 70, ""), progress("3", workflow.StageSent, 4, 60, ""),
		progress("5", workflow.StageFailed, 0, 1, "refused"), progress("6", workflow.StageSent, 0, 3, "reply_lost"), far,
	}, []db.Quarantined{{BodySHA256: hash(lines[4]), Problem: workflow.Problem{Field: "priority", Reason: "is a string"}}, {BodySHA256: hash("of somebody else")}}, 1)
	if n := f.done(at(70)); n != len(lines) {
		t.Errorf("%d are done, want %d", n, len(lines))
	}
	want := []screen.Row{
		{Workflow: "wf-1", Account: "a", Recipient: "fan-1", Outcome: "sent", Fine: true, Waited: time.Second},
		{Workflow: "wf-5", Account: "a", Recipient: "fan-5", Outcome: "failed", Waited: time.Second, Reason: "refused"},
		{Workflow: "wf-6", Account: "a", Recipient: "fan-6", Outcome: "sent", Fine: true, Waited: 3 * time.Second, Reason: "in doubt at first (reply_lost), settled by look-up"},
		{Workflow: "wf-3", Account: "a", Recipient: "fan-3", Outcome: "sent", Fine: true, Waited: 56 * time.Second, Reason: "urgent: overtook 1"},
		{Workflow: "wf-2", Account: "a", Recipient: "fan-2", Outcome: "sent", Fine: true, Waited: 70 * time.Second, Reason: "limit 10 in 60 s"},
		{Workflow: "wf-7", Account: "a", Recipient: "fan-7", Outcome: "waits", Waited: -1, Reason: "its recipient's limit, 1 in 60 s, until " + at(3600).Local().Format("2 Jan 15:04")},
		{Workflow: "wf-1", Account: "a", Recipient: "fan-1", Outcome: "duplicate", Fine: true, Waited: -1, Reason: "it came twice"},
		{Workflow: "wf-4", Account: "a", Recipient: "fan-4", Outcome: "quarantined", Waited: -1, Reason: "priority: is a string"},
	}
	if diff := cmp.Diff(want, f.rows(tenAMinute)); diff != "" {
		t.Error(diff)
	}
}

func hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func TestEstimate(t *testing.T) {
	t.Parallel()
	many := func(n int, more string) (lines []string) {
		for i := range n {
			lines = append(lines, message(string(rune('A'+i)), more))
		}
		return lines
	}
	const once = usualLatency
	round := time.Minute + usualLatency
	for name, c := range map[string]struct {
		lines    []string
		accounts []db.AccountProgress
		limits   limits
		want     time.Duration
	}{
		"nothing":           {limits: tenAMinute},
		"all at once":       {lines: many(10, ""), limits: tenAMinute, want: once},
		"three rounds":      {lines: many(25, ""), limits: tenAMinute, want: 2*round + once},
		"scheduled":         {lines: many(1, `,"scheduledFor":"2026-11-23T12:05:00Z"`), limits: tenAMinute, want: 5*time.Minute + once},
		"no limit":          {lines: many(25, ""), want: once},
		"tokens cooling":    {lines: many(10, ""), limits: tenAMinute, accounts: []db.AccountProgress{{UserID: "a", Policy: tenAMinute.policy, Tokens: []db.TokenUse{{FreeAt: noon.Add(30 * time.Second)}}}}, want: 30*time.Second + once},
		"others wait":       {lines: many(1, ""), limits: tenAMinute, accounts: []db.AccountProgress{{UserID: "a", Policy: tenAMinute.policy, Waiting: []db.Waiting{{Count: 10}}}}, want: round + once},
		"unusable ones":     {lines: many(1, `,"priority":"high"`), limits: tenAMinute},
		"one message often": {lines: []string{message("1", ""), message("1", ""), message("1", "")}, limits: tenAMinute, want: once},
	} {
		if got := c.limits.estimate(noon, newFollower(c.lines, queue.Limits{}).messages, c.accounts).Sub(noon); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestEstimateOfOneRecipient(t *testing.T) {
	t.Parallel()
	lines := []string{
		`{"userId":"a","workflowId":"wf-1","recipientId":"fan","content":"Hello"}`,
		`{"userId":"a","workflowId":"wf-2","recipientId":"fan","content":"Hello"}`,
	}
	got := tenAMinute.estimate(noon, newFollower(lines, queue.Limits{}).messages, nil).Sub(noon)
	if want := time.Minute + 2*usualLatency; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
