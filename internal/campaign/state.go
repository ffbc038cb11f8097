package campaign

import "fmt"

// State is where a campaign stands.
type State string

// The states. Only in running are its messages sent.
const (
	StateDraft     State = "draft"     // is being put together
	StateScheduled State = "scheduled" // will start by itself at its time
	StateRunning   State = "running"
	StatePaused    State = "paused"
	StateCompleted State = "completed" // every message has ended
	StateCancelled State = "cancelled" // somebody stopped it for good
	StateFailed    State = "failed"    // it can't go on, such as one whose text can't be written
)

// States lists them all.
var States = []State{StateDraft, StateScheduled, StateRunning, StatePaused, StateCompleted, StateCancelled, StateFailed}

// Action is what is done to a campaign: by a person, or by the fleet.
type Action string

// The actions.
const (
	ActionSchedule    Action = "schedule"     // a person starts it, and its time is still to come
	ActionStart       Action = "start"        // a person starts it now
	ActionPause       Action = "pause"        // a person
	ActionResume      Action = "resume"       // a person; if its time is still to come, use schedule instead
	ActionCancel      Action = "cancel"       // a person
	ActionScheduleDue Action = "schedule-due" // the fleet: its time has come
	ActionComplete    Action = "complete"     // the fleet: its last message has ended
	ActionFail        Action = "fail"         // the fleet
)

// Actions lists them all.
var Actions = []Action{ActionSchedule, ActionStart, ActionPause, ActionResume, ActionCancel, ActionScheduleDue, ActionComplete, ActionFail}

// Final is true for a state that nothing leads out of.
func (s State) Final() bool {
	return s == StateCompleted || s == StateCancelled || s == StateFailed
}

// transitions is what each action makes of each state that it applies to. What already is so stays so without an
// error: a request that is repeated, or a report that comes twice, does no harm.
var transitions = map[Action]map[State]State{
	ActionSchedule: {
		StateDraft:     StateScheduled,
		StateScheduled: StateScheduled, // at another time
		StatePaused:    StateScheduled,
	},
	ActionStart: {
		StateDraft:     StateRunning,
		StateScheduled: StateRunning,
		StateRunning:   StateRunning,
	},
	ActionPause: {
		StateScheduled: StatePaused,
		StateRunning:   StatePaused,
		StatePaused:    StatePaused,
	},
	ActionResume: {
		StatePaused:  StateRunning,
		StateRunning: StateRunning,
	},
	ActionCancel: {
		StateDraft:     StateCancelled,
		StateScheduled: StateCancelled,
		StateRunning:   StateCancelled,
		StatePaused:    StateCancelled,
		StateCancelled: StateCancelled,
	},
	ActionScheduleDue: {
		StateScheduled: StateRunning,
		StateRunning:   StateRunning,
		StatePaused:    StatePaused, // it waits for the person who paused it
	},
	ActionComplete: {
		StateScheduled: StateCompleted, // nobody was left to send to
		StateRunning:   StateCompleted,
		StatePaused:    StateCompleted, // what was in flight was the rest
		StateCompleted: StateCompleted,
	},
	ActionFail: {
		StateScheduled: StateFailed,
		StateRunning:   StateFailed,
		StatePaused:    StateFailed,
		StateFailed:    StateFailed,
	},
}

// done says what an action does, in the passive voice.
var done = map[Action]string{
	ActionSchedule: "be scheduled", ActionStart: "be started", ActionPause: "be paused", ActionResume: "be resumed",
	ActionCancel: "be cancelled", ActionScheduleDue: "be started by its schedule", ActionComplete: "be completed", ActionFail: "fail",
}

// TransitionError says that an action doesn't apply to a campaign's state.
type TransitionError struct {
	State  State
	Action Action
	Why    string // and what to do instead
}

func (e *TransitionError) Error() string {
	what := "a " + string(e.State) + " campaign"
	if e.State == StateDraft {
		what = "a draft"
	}
	return fmt.Sprintf("%s can't %s; %s", what, done[e.Action], e.Why)
}

// Next returns what an action makes of a state, or a *TransitionError and the state as it was.
func Next(state State, action Action) (State, error) {
	next, applies := transitions[action][state]
	if applies {
		return next, nil
	}
	if _, known := transitions[action]; !known {
		return state, fmt.Errorf("a campaign knows no action %.32q; the actions are %s", action, list(Actions))
	}
	return state, &TransitionError{State: state, Action: action, Why: why(state, action)}
}

func why(state State, action Action) string {
	switch {
	case state.Final():
		return "that is final"
	case state == StateDraft && action == ActionPause:
		return "it sends nothing yet"
	case state == StateDraft:
		return "start it first"
	case state == StateScheduled && action == ActionResume:
		return "it starts at its time; start it to send now"
	case state == StateRunning && action == ActionSchedule:
		return "it has started; pause it first"
	case state == StatePaused && action == ActionStart:
		return "resume it instead"
	}
	return "the states are " + list(States)
}

// Possible lists what can be done to a campaign in the state, without what would change nothing.
func Possible(state State) []Action {
	var possible []Action
	for _, action := range Actions {
		if next, ok := transitions[action][state]; ok && (next != state || action == ActionSchedule) {
			possible = append(possible, action)
		}
	}
	return possible
}

func list[T ~string](all []T) string {
	var text string
	for i, one := range all {
		switch {
		case i == 0:
		case i == len(all)-1:
			text += " and "
		default:
			text += ", "
		}
		text += string(one)
	}
	return text
}
