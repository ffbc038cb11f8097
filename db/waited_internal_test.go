package db

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func TestWaited(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	resumed := at(20)
	quiet, err := campaign.ParseQuiet("11:00-12:30 UTC")
	if err != nil {
		t.Fatal(err)
	}
	state := func(reason workflow.WaitReason, minutes int) workflow.State {
		return workflow.State{WaitReason: reason, NotBefore: at(minutes)}
	}
	tests := []struct {
		name string
		win  winner
		now  time.Time
		want []workflow.Waited
	}{
		{"nothing", winner{record: record{state: state("", 0)}}, start.Add(20 * time.Millisecond), nil},
		{"token", winner{record: record{state: state("", 0)}, tokenBack: at(1)}, at(1), []workflow.Waited{{Reason: "token", Since: at(0), Until: at(1)}}},
		{"token that was back before", winner{record: record{state: state("", -5)}, tokenBack: at(-1)}, start, nil},
		{"schedule", winner{record: record{state: state(workflow.WaitSchedule, 3)}, tokenBack: at(-1)}, at(3), []workflow.Waited{{Reason: "schedule", Since: at(0), Until: at(3)}}},
		{"recipient, then token", winner{record: record{state: state(workflow.WaitRecipient, 3)}, tokenBack: at(4)}, at(4),
			[]workflow.Waited{{Reason: "recipient", Since: at(0), Until: at(3)}, {Reason: "token", Since: at(3), Until: at(4)}}},
		{"retry, then its turn", winner{record: record{state: state(workflow.WaitRetry, 3)}}, at(4),
			[]workflow.Waited{{Reason: "retry", Since: at(0), Until: at(3)}, {Reason: "turn", Since: at(3), Until: at(4)}}},
		{"paused", winner{record: record{state: state("", 0), resumed: &resumed}}, at(20), []workflow.Waited{{Reason: "campaign", Since: at(0), Until: at(20)}}},
		{"rest", winner{record: record{state: state("", 0)}, account: &account{restUntil: at(7)}}, at(7), []workflow.Waited{{Reason: "rest", Since: at(0), Until: at(7)}}},
		{"quiet hours", winner{record: record{state: state("", 0)}, account: &account{quiet: quiet}}, at(30), []workflow.Waited{{Reason: "quiet_hours", Since: at(0), Until: at(30)}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.win.account == nil {
				test.win.account = &account{}
			}
			test.win.record.updatedAt = start
			if diff := cmp.Diff(test.want, test.win.waited(test.now)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
