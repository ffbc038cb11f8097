package campaign_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

// Every state times every action, as a table for people: "-" is refused, "=" changes nothing.
func TestNextOverAllPairs(t *testing.T) {
	t.Parallel()
	const table = `
                draft      scheduled  running    paused     completed  cancelled  failed
schedule        scheduled  =          -          scheduled  -          -          -
start           running    running    =          -          -          -          -
pause           -          paused     paused     =          -          -          -
resume          -          -          =          running    -          -          -
cancel          cancelled  cancelled  cancelled  cancelled  -          =          -
schedule-due    -          running    =          =          -          -          -
complete        -          completed  completed  completed  =          -          -
fail            -          failed     failed     failed     -          -          =
`
	lines := strings.Split(strings.TrimSpace(table), "\n")
	states := strings.Fields(lines[0])
	if len(states) != len(campaign.States) || len(lines)-1 != len(campaign.Actions) {
		t.Fatalf("the table has %d states and %d actions", len(states), len(lines)-1)
	}
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		action := campaign.Action(cells[0])
		for i, cell := range cells[1:] {
			state := campaign.State(states[i])
			want, refused := campaign.State(cell), cell == "-"
			if cell == "=" || refused {
				want = state
			}
			got, err := campaign.Next(state, action)
			if got != want || (err != nil) != refused {
				t.Errorf("%s, %s: %s, %v; want %s", state, action, got, err, cell)
			}
			var transition *campaign.TransitionError
			if refused && (!errors.As(err, &transition) || transition.State != state || transition.Action != action || strings.Contains(err.Error(), "the states are")) {
				t.Errorf("%s, %s: %v", state, action, err)
			}
			if possible := slices.Contains(campaign.Possible(state), action); possible != (!refused && cell != "=" || state == campaign.StateScheduled && action == campaign.ActionSchedule) {
				t.Errorf("%s, %s: possible %v", state, action, possible)
			}
			if state.Final() && got != state {
				t.Errorf("%s is final and became %s", state, got)
			}
		}
	}
}

func TestTransitionErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		state  campaign.State
		action campaign.Action
		want   string
	}{
		{campaign.StateCancelled, campaign.ActionResume, "a cancelled campaign can't be resumed; that is final"},
		{campaign.StateCompleted, campaign.ActionCancel, "a completed campaign can't be cancelled; that is final"},
		{campaign.StateDraft, campaign.ActionPause, "a draft can't be paused; it sends nothing yet"},
		{campaign.StateDraft, campaign.ActionResume, "a draft can't be resumed; start it first"},
		{campaign.StatePaused, campaign.ActionStart, "a paused campaign can't be started; resume it instead"},
		{campaign.StateRunning, campaign.ActionSchedule, "a running campaign can't be scheduled; it has started; pause it first"},
		{campaign.StateRunning, "stop", `a campaign knows no action "stop"; the actions are schedule, start, pause, resume, cancel, schedule-due, complete and fail`},
		{"gone", campaign.ActionPause, "a gone campaign can't be paused; the states are draft, scheduled, running, paused, completed, cancelled and failed"},
	} {
		if _, err := campaign.Next(test.state, test.action); err == nil || err.Error() != test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}
