package sqstest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Faults makes the server misbehave in the ways in which SQS and the network
// may. The zero value is no fault. It can be changed at run time with
// [Server.SetFaults] or with PUT /_sqstest/faults, which takes it as JSON.
type Faults struct {
	// Seed makes the choices repeatable.
	Seed uint64 `json:"seed,omitempty"`
	// Queues limits all faults to queues of these names; none means every queue.
	Queues []string `json:"queues,omitempty"`

	// Duplicate delivers a message that was just received a second time, with
	// another receipt handle: in the same reply, or to whoever receives next. Both
	// handles delete it.
	Duplicate Rate `json:"duplicate,omitzero"`
	// Reorder delivers a message from further behind instead of the first one.
	// FIFO queues keep their order.
	Reorder Rate `json:"reorder,omitzero"`
	// RedeliverAfterDelete delivers a deleted message once more.
	RedeliverAfterDelete Rate `json:"redeliverAfterDelete,omitzero"`

	// Fail answers a request with an error and does nothing.
	Fail []ActionFault `json:"fail,omitempty"`
	// PartialBatch lets single entries of a batch fail.
	PartialBatch []ActionFault `json:"partialBatch,omitempty"`
	// DropReply does what was asked and cuts the connection without a reply.
	DropReply []ActionFault `json:"dropReply,omitempty"`
}

// Rate says how often a fault happens. Probability and Every may be combined.
type Rate struct {
	Probability float64 `json:"probability,omitempty"` // 0 to 1
	Every       int     `json:"every,omitempty"`       // every nth time
	Times       int     `json:"times,omitempty"`       // at most so often; 0 means no limit
}

// ActionFault is a fault of requests.
type ActionFault struct {
	Rate
	// Actions are names such as "ReceiveMessage"; none means every action.
	Actions []string `json:"actions,omitempty"`
	// Error is the name of the error: one of the service model, such as
	// "RequestThrottled", or "InternalFailure" (500, the default),
	// "ServiceUnavailable" (503), "ThrottlingException", "AccessDeniedException".
	// DropReply does not use it.
	Error string `json:"error,omitempty"`
}

// FaultCounts says how often each fault has happened since SetFaults.
type FaultCounts struct {
	Duplicate            int `json:"duplicate"`
	Reorder              int `json:"reorder"`
	RedeliverAfterDelete int `json:"redeliverAfterDelete"`
	Fail                 int `json:"fail"`
	PartialBatch         int `json:"partialBatch"`
	DropReply            int `json:"dropReply"`
}

// reorderWindow is how far behind the first message Reorder looks.
const reorderWindow = 100

// SetFaults replaces the faults and forgets the deliveries that earlier ones have
// still in store, so that with none the server is well behaved at once. It refuses unknown actions and errors, because a
// fault that never happens makes a test pass for the wrong reason.
func (s *Server) SetFaults(f Faults) error {
	state, err := newFaultState(f)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = state
	for _, q := range s.queues {
		q.ghosts = nil
	}
	return nil
}

// Faults returns the faults in force and how often they have happened.
func (s *Server) Faults() (Faults, FaultCounts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.config, s.faults.counts
}

// faultState is guarded by Server.mu.
type faultState struct {
	config               Faults
	active               bool
	random               *rand.Rand
	counts               FaultCounts
	duplicate, reorder   die
	redeliverAfterDelete die
	fail, partial, drop  []actionDie
}

type die struct {
	Rate
	rolled, hits int
}

type actionDie struct {
	die
	actions   []string
	errorName string
}

func newFaultState(f Faults) (*faultState, error) {
	state := &faultState{
		config:               f,
		random:               rand.New(rand.NewPCG(f.Seed, 0x9e3779b97f4a7c15)),
		duplicate:            die{Rate: f.Duplicate},
		reorder:              die{Rate: f.Reorder},
		redeliverAfterDelete: die{Rate: f.RedeliverAfterDelete},
	}
	rates := []Rate{f.Duplicate, f.Reorder, f.RedeliverAfterDelete}
	for _, kind := range []struct {
		from []ActionFault
		to   *[]actionDie
	}{{f.Fail, &state.fail}, {f.PartialBatch, &state.partial}, {f.DropReply, &state.drop}} {
		for _, a := range kind.from {
			if a.Error == "" {
				a.Error = "InternalFailure"
			}
			if _, ok := errorShapes[a.Error]; !ok {
				return nil, fmt.Errorf("sqstest: unknown error %q in a fault", a.Error)
			}
			for _, name := range a.Actions {
				if _, ok := actions[name]; !ok {
					return nil, fmt.Errorf("sqstest: unknown action %q in a fault", name)
				}
			}
			rates = append(rates, a.Rate)
			*kind.to = append(*kind.to, actionDie{die: die{Rate: a.Rate}, actions: a.Actions, errorName: a.Error})
		}
	}
	for _, r := range rates {
		if r.Probability < 0 || r.Probability > 1 || r.Every < 0 || r.Times < 0 {
			return nil, fmt.Errorf("sqstest: rate %+v of a fault is out of range", r)
		}
		if r.Probability > 0 || r.Every > 0 {
			state.active = true
		}
	}
	return state, nil
}

func (f *faultState) roll(d *die) bool {
	if d.Probability == 0 && d.Every == 0 || d.Times > 0 && d.hits >= d.Times {
		return false
	}
	d.rolled++
	hit := d.Every > 0 && d.rolled%d.Every == 0
	if d.Probability > 0 && f.random.Float64() < d.Probability {
		hit = true
	}
	if hit {
		d.hits++
	}
	return hit
}

func (f *faultState) applies(queue string) bool {
	return f.active && (len(f.config.Queues) == 0 || slices.Contains(f.config.Queues, queue))
}

// action rolls the dice of one kind for a request, or for an entry of a batch.
func (f *faultState) action(dice []actionDie, count *int, action, queue string) *apiError {
	if !f.applies(queue) {
		return nil
	}
	for i := range dice {
		d := &dice[i]
		if len(d.actions) > 0 && !slices.Contains(d.actions, action) || !f.roll(&d.die) {
			continue
		}
		*count++
		return newError(d.errorName, "This error was made by a fault of sqstest.")
	}
	return nil
}

func (f *faultState) failed(action, queue string) *apiError {
	return f.action(f.fail, &f.counts.Fail, action, queue)
}

func (f *faultState) entryFailed(action, queue string) *apiError {
	return f.action(f.partial, &f.counts.PartialBatch, action, queue)
}

func (f *faultState) replyDropped(action, queue string) bool {
	return f.action(f.drop, &f.counts.DropReply, action, queue) != nil
}

// pick returns the ready message of a standard queue to deliver next.
func (f *faultState) pick(q *queue) *message {
	m := q.ready.front
	if m == nil || m.next == nil || !f.applies(q.name) || !f.roll(&f.reorder) {
		return m
	}
	f.counts.Reorder++
	window := min(reorderWindow, q.count[Visible])
	for range 1 + f.random.IntN(window-1) {
		m = m.next
	}
	return m
}

// ghost is a delivery that a fault will make: of a message that is in flight, or
// of one that was deleted.
type ghost struct {
	message *message
	deleted bool
}

// duplicate may deliver again what was just delivered.
func (q *queue) duplicate(out []delivery, m *message, now time.Time, max int) []delivery {
	f := q.server.faults
	if !f.applies(q.name) || !f.roll(&f.duplicate) {
		return out
	}
	f.counts.Duplicate++
	g := ghost{message: m}
	if len(out) < max && f.random.IntN(2) == 0 {
		return append(out, q.deliverGhost(g, now))
	}
	q.ghosts = append(q.ghosts, g)
	q.touch()
	return out
}

// haunt may bring a deleted message back once.
func (q *queue) haunt(m *message) {
	f := q.server.faults
	if !f.applies(q.name) || !f.roll(&f.redeliverAfterDelete) {
		return
	}
	f.counts.RedeliverAfterDelete++
	q.ghosts = append(q.ghosts, ghost{message: m, deleted: true})
	q.touch()
}

func (q *queue) takeGhosts(now time.Time, max int) []delivery {
	var out []delivery
	for len(q.ghosts) > 0 && len(out) < max {
		g := q.ghosts[0]
		q.ghosts = q.ghosts[1:]
		if !g.deleted && (q.bySeq[g.message.seq] != g.message || g.message.state != InFlight) {
			continue // deleted, or about to come back by itself
		}
		out = append(out, q.deliverGhost(g, now))
	}
	return out
}

func (q *queue) deliverGhost(g ghost, now time.Time) delivery {
	d := q.deliver(g.message, now)
	d.ghost = &g
	return d
}
