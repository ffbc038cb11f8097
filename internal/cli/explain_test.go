package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/wording"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

const secretText = "Only for you, darling"

func accepted() db.Finish {
	return db.Finish{Outcome: workflow.EventAccepted, Status: 201, GatewayMessageID: "gw-1"}
}

func TestExplainALife(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.take(message("creator-7", 1, func(m *workflow.Message) {
		m.CampaignID, m.Content, m.Trace = "spring", secretText, workflow.TraceContext{TraceID: "0af7651916cd43dd8448eb211c80319c", SpanID: "b7ad6b7169203331"}
	}))
	f.advance(time.Second)
	f.end("wf-1", db.Finish{Outcome: workflow.EventNotSent, Reason: "connect_failed"})
	f.advance(5 * time.Second)
	if _, err := f.store.Release(t.Context(), []db.Release{{UserID: "creator-7"}}); err != nil {
		t.Fatal(err)
	}
	f.advance(time.Second)
	f.end("wf-1", db.Finish{Outcome: workflow.EventUnknown, Reason: "timeout", LookUpIn: 2 * time.Second})
	f.advance(2500 * time.Millisecond)
	settled := accepted()
	settled.ResolvedBy, settled.Attempt = "look-up", f.attempt("wf-1")
	if err := f.pool.QueryRow(t.Context(), `SELECT fence FROM send_attempts WHERE state = 'unknown'`).Scan(&settled.Fence); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.Finish(t.Context(), []db.Finish{settled}, true); err != nil {
		t.Fatal(err)
	}
	f.run("explain", "wf-1").wants(t, exitOK).prints(t, `
wf-1: creator-7 to fan-1, priority 3, campaign spring
stage sent; text 21 characters; 1 of 3 tries failed; clientRef ID; trace 0af7651916cd43dd8448eb211c80319c

2026-03-02 12:00:00.000  received  from huntaze-hybrid-messages-production, message sqs-wf-1-fan-1
2026-03-02 12:00:00.000  released  attempt 1: its tokens are taken
2026-03-02 12:00:01.000  called    attempt 1: the call to the gateway began, by worker worker-1
2026-03-02 12:00:01.000  not_sent  attempt 1: known not to have been sent, no connection to the gateway
2026-03-02 12:00:06.000  released  attempt 2: its tokens are taken
2026-03-02 12:00:07.000  called    attempt 2: the call to the gateway began, by worker worker-1
2026-03-02 12:00:07.000  unknown   attempt 2: nobody knows whether the gateway has it: in doubt, no answer in time
2026-03-02 12:00:09.500  accepted  attempt 2: the gateway has it, status 201, messageId gw-1, settled by look-up
`)
}

// Each kind of waiting is told with its time, and with who can do something about it.
func TestExplainWaiting(t *testing.T) {
	t.Parallel()
	one := func(adjust ...func(*workflow.Message)) func(*fleet) {
		return func(f *fleet) { f.take(message("creator-7", 1, adjust...)) }
	}
	unknown := db.Finish{Outcome: workflow.EventUnknown, Reason: "connection_reset", LookUpIn: 2 * time.Second}
	parked := func(f *fleet, n int, adjust ...func(*workflow.Message)) { // both tokens are used by others
		f.take(message("creator-7", 101), message("creator-7", 102))
		f.end("wf-101", accepted())
		f.advance(10 * time.Second)
		f.end("wf-102", accepted())
		for i := range n {
			f.advance(time.Millisecond)
			f.take(message("creator-7", i+1, adjust...))
		}
	}
	tests := []struct {
		name  string
		setUp func(*fleet)
		kinds []db.WaitKind
		waits []string
	}{
		{"schedule", one(func(m *workflow.Message) { m.NotBefore = start.Add(2 * time.Hour) }),
			[]db.WaitKind{db.WaitsForSchedule}, []string{"its schedule: not before 2026-03-02 14:00:00 UTC (in 2h0m)"}},
		{"recipient", func(f *fleet) {
			f.run("limits", "set", "--recipient", "1/60s").wants(f.t, exitOK)
			toFan := func(m *workflow.Message) { m.RecipientID = "fan" }
			f.take(message("creator-7", 2, toFan))
			f.end("wf-2", accepted())
			f.take(message("creator-7", 1, toFan))
		}, []db.WaitKind{db.WaitsForRecipient}, []string{"the limit of recipient fan, until 2026-03-02 12:01:00 UTC (in 1m1s)"}},
		{"token", func(f *fleet) { parked(f, 1) },
			[]db.WaitKind{db.WaitsForToken}, []string{"no token of account creator-7 is free: the next one at 2026-03-02 12:01:00 UTC (in 50s); 0 messages of the account ahead of it; expected about 2026-03-02 12:01:00 UTC (in 50s)"}},
		{"token behind others", func(f *fleet) {
			parked(f, 0)
			f.take(message("creator-7", 11), message("creator-7", 12), message("creator-7", 13, func(m *workflow.Message) { m.Priority = 1 }))
			f.advance(time.Millisecond)
			f.take(message("creator-7", 1), message("creator-7", 14, func(m *workflow.Message) { m.Priority = 4 }))
		}, []db.WaitKind{db.WaitsForToken}, []string{"3 messages of the account ahead of it; expected about 2026-03-02 12:02:11 UTC (in 2m1s)"}},
		{"rest after 429", func(f *fleet) {
			f.take(message("creator-7", 2))
			f.end("wf-2", db.Finish{Outcome: workflow.EventRateLimited, Reason: "rate_limited", Status: 429, Rest: 45 * time.Second, RestReason: "rate_limited"})
			f.take(message("creator-7", 1))
		}, []db.WaitKind{db.WaitsForRest}, []string{"account creator-7 rests until 2026-03-02 12:00:45 UTC (in 45s), the gateway said 429, too many requests; to end it now: huntaze limits wake creator-7"}},
		{"retry", func(f *fleet) {
			f.take(message("creator-7", 1))
			f.end("wf-1", db.Finish{Outcome: workflow.EventNotSent, Reason: "connect_failed", Rest: 5 * time.Second, RestReason: "connect_failed"})
			f.advance(2 * time.Second)
		}, []db.WaitKind{db.WaitsForRest, db.WaitsForRetry}, []string{
			"account creator-7 rests until 2026-03-02 12:00:05 UTC (in 3s), no connection to the gateway",
			"its next try, after 1 of 3 tries, not before 2026-03-02 12:00:05 UTC (in 3s), connect_failed"}},
		{"probe", func(f *fleet) {
			f.take(message("creator-7", 2))
			f.end("wf-2", db.Finish{Outcome: workflow.EventRateLimited, Reason: "rate_limited", Status: 429, Rest: 45 * time.Second, RestReason: "rate_limited"})
			f.take(message("creator-7", 1))
			f.advance(46 * time.Second)
		}, []db.WaitKind{db.WaitsForProbe}, []string{"account creator-7 sends one message at a time until one gets through, the gateway said 429, too many requests; 1 message of the account ahead of it"}},
		{"campaign paused", func(f *fleet) {
			f.run("campaign", "pause", "creator-7", "spring", "--reason", "wrong price").wants(f.t, exitOK)
			f.take(message("creator-7", 1, func(m *workflow.Message) { m.CampaignID = "spring" }))
		}, []db.WaitKind{db.WaitsForCampaign}, []string{"campaign spring is paused since 2026-03-02 12:00:00 UTC, wrong price; to go on: huntaze campaign resume creator-7 spring"}},
		{"campaign cancelled", func(f *fleet) {
			f.run("campaign", "cancel", "creator-7", "spring").wants(f.t, exitOK)
			f.take(message("creator-7", 1, func(m *workflow.Message) { m.CampaignID = "spring" }))
		}, []db.WaitKind{db.WaitsForClosing}, []string{"campaign spring was cancelled at 2026-03-02 12:00:00 UTC: it is never sent"}},
		{"fleet frozen", func(f *fleet) {
			f.exec(`UPDATE fleet_state SET frozen_until = $1, frozen_reason = 'the database failed over'`, start.Add(3*time.Minute))
			f.take(message("creator-7", 1))
		}, []db.WaitKind{db.WaitsForFleet}, []string{"the whole fleet is frozen until 2026-03-02 12:03:00 UTC (in 3m0s), the database failed over"}},
		{"turn", func(f *fleet) {
			parked(f, 1)
			f.advance(time.Hour)
		}, []db.WaitKind{db.WaitsForTurn}, []string{"account creator-7 has a token free: it is released as soon as a worker looks; 0 messages of the account ahead of it; at the latest at"}},
		{"worker", one(), []db.WaitKind{db.WaitsForWorker}, []string{"it has its tokens; a worker begins the call until 2026-03-02 12:00:30 UTC (in 30s), or they are given back"}},
		{"reply", func(f *fleet) {
			f.take(message("creator-7", 1))
			f.call("wf-1")
			f.advance(3 * time.Second)
		}, []db.WaitKind{db.WaitsForReply}, []string{"it is being sent since 2026-03-02 12:00:00 UTC by worker worker-1; the call ends until 2026-03-02 12:00:20 UTC (in 17s)"}},
		{"report", func(f *fleet) {
			f.take(message("creator-7", 1))
			f.call("wf-1")
			f.advance(25 * time.Second)
		}, []db.WaitKind{db.WaitsForReport}, []string{"worker worker-1 has not said how the call since 2026-03-02 12:00:00 UTC ended; at 2026-03-02 12:00:35 UTC (in 10s) it is taken for lost"}},
		{"look-up", func(f *fleet) {
			f.take(message("creator-7", 1))
			f.end("wf-1", unknown)
			f.advance(time.Second)
		}, []db.WaitKind{db.WaitsForLookUp}, []string{"in doubt since 2026-03-02 12:00:00 UTC, the connection was reset; the gateway is asked at 2026-03-02 12:00:02 UTC (in 1s); it may still be on its way until 2026-03-02 12:02:20 UTC (in 2m19s)"}},
		{"operator", func(f *fleet) {
			f.take(message("creator-7", 1))
			f.end("wf-1", unknown)
			if err := f.store.AskAgain(f.t.Context(), f.attempt("wf-1"), 0, "no look-up"); err != nil {
				f.t.Fatal(err)
			}
			f.advance(5 * time.Minute)
		}, []db.WaitKind{db.WaitsForOperator}, []string{"in doubt since 2026-03-02 12:00:00 UTC, the connection was reset, look-ups so far 1; the gateway can't say, so an operator must decide: huntaze doubt resolve wf-1 --user creator-7 --sent or --not-sent"}},
		{"provider", one(brief),
			[]db.WaitKind{db.WaitsForProvider}, []string{"its text is to be written, and no worker that runs has a provider"}},
		{"repair", func(f *fleet) {
			f.take(message("creator-7", 1))
			f.exec(`DELETE FROM send_attempts`)
		}, []db.WaitKind{db.WaitsForRepair}, []string{"no attempt of it is open: the reconciler puts it back"}},
		{"over", func(f *fleet) {
			f.take(message("creator-7", 1))
			f.end("wf-1", accepted())
		}, []db.WaitKind{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "2/60s", "off")
			tt.setUp(f)
			shown := f.run("explain", "wf-1", "--user", "creator-7").wants(t, exitOK, tt.waits...)
			if n := strings.Count(shown.out, " waits "); n != min(1, len(tt.waits)) && n != len(tt.waits) {
				t.Errorf("%d lines say what it waits for:\n%s", n, shown.out)
			}
			var explained explanationJSON
			asJSON := f.run("explain", "wf-1", "--json").wants(t, exitOK)
			asJSON.json(t, &explained)
			kinds := []db.WaitKind{}
			for _, w := range explained.Workflows[0].Waits {
				kinds = append(kinds, w.Kind)
			}
			if diff := cmp.Diff(tt.kinds, kinds); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
			if strings.Contains(shown.out+asJSON.out, secretText) {
				t.Error("the text of a message is shown")
			}
		})
	}
}

// The workflow in the JSON is the one of the API contract, member by member.
func TestExplainJSON(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.take(message("creator-7", 1, func(m *workflow.Message) {
		m.Trace = workflow.TraceContext{TraceID: "0af7651916cd43dd8448eb211c80319c", SpanID: "b7ad6b7169203331"}
	}))
	f.end("wf-1", accepted())
	var got struct {
		Workflows []struct {
			Workflow map[string]json.RawMessage
			Sends    []db.Send
			Timeline []wording.Entry
		}
	}
	f.run("explain", "wf-1", "--json").wants(t, exitOK).json(t, &got)
	one := got.Workflows[0]
	var members []string
	for name := range one.Workflow {
		members = append(members, name)
	}
	slices.Sort(members)
	want := []string{"campaignId", "checkpointData", "createdAt", "currentProvider", "fallbackHistory", "id", "notBefore", "providerStates", "recipientId",
		"retryAttempts", "sqsMessageId", "stage", "traceContext", "updatedAt", "userId", "workflowId"}
	if diff := cmp.Diff(want, members); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	for member, text := range map[string]string{
		"providerStates": `"onlyFans": "sent"`, "fallbackHistory": `[]`, "retryAttempts": `"onlyFans": 0`, "currentProvider": `"hybrid"`,
		"sqsMessageId": `"sqs-wf-1-fan-1"`, "checkpointData": `{}`, "traceContext": `"traceId": "0af7651916cd43dd8448eb211c80319c"`,
	} {
		if !strings.Contains(string(one.Workflow[member]), text) {
			t.Errorf("%s is %s, want %s in it", member, one.Workflow[member], text)
		}
	}
	if len(one.Sends) != 1 || one.Sends[0].State != "accepted" || one.Sends[0].GatewayMessageID != "gw-1" || len(one.Timeline) != 4 {
		t.Errorf("sends %+v, timeline %+v", one.Sends, one.Timeline)
	}
}

func TestExplainSeveralRecipients(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	for _, user := range []string{"creator-7", "creator-8"} {
		for _, fan := range []string{"fan-a", "fan-b", "fan-c"} {
			f.take(message(user, 1, func(m *workflow.Message) { m.RecipientID = fan }))
		}
	}
	all := f.run("explain", "wf-1").wants(t, exitOK)
	if n := strings.Count(all.out, "clientRef"); n != 6 {
		t.Errorf("%d messages are shown, want 6", n)
	}
	f.run("explain", "wf-1", "--limit", "2").wants(t, exitOK, "creator-7 to fan-a", "creator-7 to fan-b", "There are more than these 2")
	one := f.run("explain", "wf-1", "--recipient", "fan-b", "--user", "creator-8").wants(t, exitOK, "creator-8 to fan-b")
	if strings.Count(one.out, "clientRef") != 1 || strings.Contains(one.out, "more than") {
		t.Errorf("more than one is shown:\n%s", one.out)
	}
}

func TestExplainUnknown(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.run("explain", "wf-9").wants(t, exitFailed, `no message with workflowId "wf-9" was taken in`, "huntaze quarantine list")
	f.run("explain", "wf-9", "--user", "creator-7").wants(t, exitFailed, `for account "creator-7"`)
	f.run("explain").wants(t, exitMisused, "argument WORKFLOW is missing", "usage: huntaze explain WORKFLOW")
	f.run("explain", "wf-9", "wf-8").wants(t, exitMisused, `argument "wf-8" is one too many`)
	f.run("explain", "wf-9", "--limit", "0").wants(t, exitMisused, "--limit 0: give a number from 1")
	f.run("explain", "wf-9", "--no-such").wants(t, exitMisused, "unknown flag: --no-such")
}
