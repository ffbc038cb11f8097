package cli

import (
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// doubtful takes a message in and leaves it in doubt, with a look-up to come.
func (f *fleet) doubtful(messages ...workflow.Message) {
	f.t.Helper()
	f.take(messages...)
	for _, m := range messages {
		f.end(m.WorkflowID, db.Finish{Outcome: workflow.EventUnknown, Reason: "timeout", Detail: "no answer within 20s", LookUpIn: 2 * time.Second})
	}
}

// undecided notes that the gateway has no look-up.
func (f *fleet) undecided(workflowID string) {
	f.t.Helper()
	if err := f.store.AskAgain(f.t.Context(), f.attempt(workflowID), 0, "the gateway has no look-up"); err != nil {
		f.t.Fatal(err)
	}
}

func TestDoubtList(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.run("doubt", "list").wants(t, exitOK).prints(t, "Nothing is in doubt.")
	f.doubtful(message("creator-7", 1))
	f.undecided("wf-1")
	f.advance(time.Minute)
	f.doubtful(message("creator-8", 2))
	f.run("doubt", "list").wants(t, exitOK).prints(t, `
WORKFLOW  ACCOUNT    RECIPIENT  ATTEMPT  SINCE                               REASON             LOOK-UPS  NEXT
wf-1      creator-7  fan-1      1        2026-03-02 12:00:00 UTC (1m0s ago)  no answer in time  1         an operator decides
wf-2      creator-8  fan-2      1        2026-03-02 12:01:00 UTC (0s ago)    no answer in time  0         look-up in 2s
`)
	f.run("doubt", "show", "wf-2").wants(t, exitOK, "wf-2: creator-8 to fan-2", "detail     no answer within 20s", "evidence")
	f.run("doubt", "show", "wf-9").wants(t, exitFailed, `nothing of workflow "wf-9" is in doubt`)
}

// An operator says that it was sent: it ends, whether the look-up can't say or is still to come.
func TestDoubtResolveSent(t *testing.T) {
	t.Parallel()
	for name, absent := range map[string]bool{"look-up absent": true, "look-up late": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "10/60s", "off")
			f.doubtful(message("creator-7", 1))
			if absent {
				f.undecided("wf-1")
			}
			f.run("doubt", "resolve", "wf-1", "--sent", "--message-id", "of-55", "--by", "alex").wants(t, exitOK).prints(t, "wf-1 to fan-1 is settled: stage sent")
			if stage := f.stage("wf-1"); stage != workflow.StageSent {
				t.Errorf("stage %s", stage)
			}
			f.run("explain", "wf-1").wants(t, exitOK, "an operator says that it was sent", "messageId of-55", "settled by operator alex")
			// The resolver comes late and finds it settled; so does a second operator.
			if _, open, err := f.store.Doubt(t.Context(), f.attempt("wf-1")); err != nil || open {
				t.Errorf("still in doubt: %v, %v", open, err)
			}
			f.run("doubt", "resolve", "wf-1", "--not-sent", "--by", "kim", "--early").wants(t, exitFailed, "nothing of workflow", "is in doubt")
		})
	}
}

func TestDoubtResolveNotSent(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.doubtful(message("creator-7", 1), message("creator-7", 2))
	f.undecided("wf-1")
	f.advance(20 * time.Second)
	f.run("doubt", "resolve", "wf-1", "--not-sent", "--by", "alex").wants(t, exitMisused, "the request may still be on its way for 2m0s", "--early")
	if stage := f.stage("wf-1"); stage != workflow.StageInDoubt {
		t.Errorf("stage %s, want it in doubt as before", stage)
	}
	before := f.jobs("release")
	f.run("doubt", "resolve", "wf-1", "--not-sent", "--by", "alex", "--early").wants(t, exitOK, "wf-1 to fan-1 is settled: stage queued")
	f.advance(settle)
	f.run("doubt", "resolve", "wf-2", "--not-sent", "--by", "alex").wants(t, exitOK, "stage queued")
	if jobs := f.jobs("release") - before; jobs < 2 {
		t.Errorf("%d looks at the account were enqueued", jobs)
	}
	released, err := f.store.Release(t.Context(), []db.Release{{UserID: "creator-7"}})
	if err != nil || released[0].Count != 2 {
		t.Errorf("%+v went again (%v), want both", released, err)
	}
	f.run("explain", "wf-1").wants(t, exitOK, "an operator says that it was not sent", "attempt 2: its tokens are taken")
}

// The last try was used up: it is given up, not sent again.
func TestDoubtResolveNotSentAtLast(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.doubtful(message("creator-7", 1, func(m *workflow.Message) { m.MaxRetries = 1 }))
	f.advance(time.Hour)
	f.run("doubt", "resolve", "wf-1", "--not-sent", "--by", "alex").wants(t, exitOK, "stage failed")
}

func TestDoubtResolveChooses(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	for _, fan := range []string{"fan-a", "fan-b"} {
		f.take(message("creator-7", 1, func(m *workflow.Message) { m.RecipientID = fan }))
	}
	f.exec(`UPDATE send_attempts SET state = 'unknown', fence = nextval('send_fence'), started_at = reserved_at, ended_at = reserved_at`)
	f.exec(`UPDATE hybrid_workflows SET stage = 'in_doubt'`)
	f.run("doubt", "resolve", "wf-1", "--sent", "--by", "alex").wants(t, exitMisused, `2 messages of workflow "wf-1" are in doubt`, "--recipient", "fan-a", "fan-b")
	f.run("doubt", "resolve", "wf-1", "--sent", "--by", "alex", "--recipient", "fan-b", "--attempt", "2").wants(t, exitFailed, "attempt 2 is not in doubt, attempt 1 is")
	f.run("doubt", "resolve", "wf-1", "--sent", "--by", "alex", "--recipient", "fan-b", "--attempt", "1").wants(t, exitOK, "wf-1 to fan-b is settled")
	f.run("doubt", "resolve", "wf-1", "--sent", "--by", "alex", "--user", "creator-8").wants(t, exitFailed, `for account "creator-8"`)
	f.run("doubt", "resolve", "wf-1", "--sent", "--by", "alex").wants(t, exitOK, "wf-1 to fan-a is settled")
}

// On a terminal a person is asked; what is not a yes changes nothing.
func TestDoubtResolveAsks(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.doubtful(message("creator-7", 1))
	f.advance(time.Hour)
	f.person = true
	for _, answer := range []string{"", "n\n", "no way\n", "\n"} {
		f.typed(answer, "doubt", "resolve", "wf-1", "--not-sent", "--by", "alex").wants(t, exitFailed,
			"Attempt 1 of wf-1, account creator-7 to fan-1", "the recipient gets it twice", "[y/N]", "nothing was changed")
	}
	if stage := f.stage("wf-1"); stage != workflow.StageInDoubt {
		t.Errorf("stage %s", stage)
	}
	f.typed("Yes\n", "doubt", "resolve", "wf-1", "--not-sent", "--by", "alex").wants(t, exitOK, "stage queued")
	f.doubtful(message("creator-7", 2))
	asked := f.run("doubt", "resolve", "wf-2", "--sent", "--by", "alex", "--yes").wants(t, exitOK, "stage sent")
	if asked.errOut != "" {
		t.Errorf("asked although it was told not to: %s", asked.errOut)
	}
}

func TestDoubtMisused(t *testing.T) {
	t.Parallel()
	c := newTerminal(t)
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"doubt", "resolve"}, "argument WORKFLOW is missing"},
		{[]string{"doubt", "resolve", "wf-1", "--by", "alex"}, "--sent or --not-sent is missing"},
		{[]string{"doubt", "resolve", "wf-1", "--sent", "--not-sent", "--by", "alex"}, "--sent and --not-sent exclude each other"},
		{[]string{"doubt", "resolve", "wf-1", "--sent"}, "--by is missing: say who decides"},
		{[]string{"doubt", "resolve", "wf-1", "--not-sent", "--by", "alex", "--message-id", "1"}, "--message-id goes with --sent only"},
		{[]string{"doubt", "resolve", "wf-1", "--sent", "--early", "--by", "alex"}, "--early goes with --not-sent only"},
		{[]string{"doubt", "resolve", "wf-1", "--sent", "--by", "alex", "--attempt", "-1"}, "--attempt -1: give a number from 1"},
		{[]string{"doubt", "show"}, "argument WORKFLOW is missing"},
		{[]string{"doubt", "list", "extra"}, `unknown command "extra"`},
	} {
		c.run(tt.args...).wants(t, exitMisused, tt.says)
	}
}
