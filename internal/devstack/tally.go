package devstack

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

const (
	// tallyRead and tallyCheck are how many messages a look reads anew and looks at again.
	tallyRead  = 5000
	tallyCheck = 2000
	// tallyMost bounds how many live messages are remembered.
	tallyMost = 200_000
	// tallyBehind is how much later a message may become visible than one with a higher id: longer than an intake takes.
	tallyBehind = 5 * time.Second
)

// tally counts how the messages of each account have ended. No index of the database answers that, since none of the
// fleet's work needs it; so a tally reads each message once, and those that are live again until they have ended.
type tally struct {
	ended  map[string]map[workflow.Stage]int
	behind bool // not all messages have been read yet, or there are too many to remember

	cursor uuid.UUID          // everything up to it was read
	ahead  map[uuid.UUID]bool // what was read beyond it
	live   map[uuid.UUID]string
	round  []uuid.UUID // live messages in the order in which they are looked at again
	lost   bool        // a live message was not remembered
}

func newTally() *tally {
	return &tally{ended: map[string]map[workflow.Stage]int{}, ahead: map[uuid.UUID]bool{}, live: map[uuid.UUID]string{}}
}

// look reads what is new, and looks again at some of what is live.
func (t *tally) look(ctx context.Context, store *db.Store) error {
	if ids := t.next(tallyCheck); len(ids) > 0 {
		stages, err := store.StagesOf(ctx, ids)
		if err != nil {
			return err
		}
		t.settle(ids, stages)
	}
	messages, now, err := store.MessagesAfter(ctx, t.cursor, tallyRead)
	if err != nil {
		return err
	}
	t.add(messages, now)
	t.behind = t.lost || len(messages) == tallyRead
	return nil
}

// next takes the first messages of the round; those that stay live go to its end.
func (t *tally) next(most int) []uuid.UUID {
	ids := t.round[:min(most, len(t.round))]
	t.round = t.round[len(ids):]
	return ids
}

func (t *tally) settle(ids []uuid.UUID, stages map[uuid.UUID]workflow.Stage) {
	for _, id := range ids {
		switch stage, exists := stages[id]; {
		case !exists:
			delete(t.live, id)
		case stage.Final():
			t.count(t.live[id], stage)
			delete(t.live, id)
		default:
			t.round = append(t.round, id)
		}
	}
}

func (t *tally) add(messages []db.MessageStage, now time.Time) {
	for _, m := range messages {
		if !t.ahead[m.ID] {
			t.remember(m)
		}
	}
	for _, m := range messages {
		if now.Sub(m.CreatedAt) < tallyBehind {
			break
		}
		t.cursor = m.ID
		delete(t.ahead, m.ID)
	}
}

func (t *tally) remember(m db.MessageStage) {
	t.ahead[m.ID] = true
	switch {
	case m.Stage.Final():
		t.count(m.UserID, m.Stage)
	case len(t.live) >= tallyMost:
		t.lost = true
	default:
		t.live[m.ID] = m.UserID
		t.round = append(t.round, m.ID)
	}
}

func (t *tally) count(user string, stage workflow.Stage) {
	if t.ended[user] == nil {
		t.ended[user] = map[workflow.Stage]int{}
	}
	t.ended[user][stage]++
}

// endings are those of some accounts.
func (t *tally) endings(accounts []db.AccountProgress) map[string]ending {
	all := make(map[string]ending, len(accounts))
	for _, a := range accounts {
		all[a.UserID] = t.ending(a.UserID)
	}
	return all
}

func (t *tally) ending(user string) (e ending) {
	for stage, count := range t.ended[user] {
		if stage == workflow.StageSent {
			e.sent = count
		} else {
			e.failed += count
		}
	}
	return e
}

func (t *tally) totals() totals {
	sum := totals{open: len(t.live), behind: t.behind}
	for user := range t.ended {
		e := t.ending(user)
		sum.sent, sum.over = sum.sent+e.sent, sum.over+e.sent+e.failed
	}
	return sum
}
