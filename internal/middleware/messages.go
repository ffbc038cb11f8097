package middleware

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/huntaze/hybrid-orchestrator/internal/flags"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// Messages stands between the bridge and the store: deliveries of accounts that are handled here go to the store,
// the others to the legacy orchestrator. It implements queue.Store.
type Messages struct {
	m      *Middleware
	next   queue.Store
	handed *memory
}

// Messages puts the middleware in front of a store.
func (m *Middleware) Messages(next queue.Store) *Messages {
	return &Messages{m: m, next: next, handed: newMemory()}
}

// LeftError says that some deliveries of a batch were taken by nobody and must stay on their queue. The intakes that
// come with it are valid for all others.
type LeftError struct{ left map[int]error }

// Left says which, by their place in the batch, and why.
func (e *LeftError) Left() map[int]error { return e.left }

// Error names the first. It wraps nothing: a legacy orchestrator that is slow is no store that is.
func (e *LeftError) Error() string {
	first := -1
	for i := range e.left {
		if first < 0 || i < first {
			first = i
		}
	}
	return fmt.Sprintf("%d deliveries were not handed over: %s", len(e.left), e.left[first])
}

// Ping implements queue.Store. While the flags are not known nothing can be taken.
func (s *Messages) Ping(ctx context.Context) error {
	if s.m.target != nil && !s.m.config.Flags.Snapshot().Decided(flags.OrchestratorEnabled) {
		return errUndecided
	}
	return s.next.Ping(ctx)
}

// Ingest implements queue.Store. What went to the legacy orchestrator is answered as accepted. With a LeftError
// the intakes are returned, too; with any other error nothing was taken for certain.
//
// A message that was handed over is remembered by its id, so that it is not handed over again when it comes once more
// to this process.
func (s *Messages) Ingest(ctx context.Context, batch []workflow.Delivery) ([]workflow.Intake, error) {
	if s.m.target == nil {
		return s.next.Ingest(ctx, batch)
	}
	letters, err := s.m.sort(ctx, batch)
	if err != nil {
		return nil, err
	}
	var here []workflow.Delivery
	var places []int
	var away []*letter
	for i, l := range letters {
		if l.side == flags.Legacy {
			away = append(away, l)
		} else {
			here, places = append(here, batch[i]), append(places, i)
		}
	}
	if len(away) == 0 {
		return s.next.Ingest(ctx, batch)
	}
	var forwarding sync.WaitGroup
	forwarding.Go(func() { s.forward(ctx, away) })
	var taken []workflow.Intake
	if len(here) > 0 {
		if taken, err = s.next.Ingest(ctx, here); err == nil && len(taken) != len(here) {
			err = fmt.Errorf("the store answered %d of %d deliveries", len(taken), len(here))
		}
	}
	forwarding.Wait()
	if err != nil {
		return nil, err
	}
	answers, left := make([]workflow.Intake, len(batch)), map[int]error{}
	for j, i := range places {
		answers[i] = taken[j]
	}
	for _, l := range away {
		if answers[l.place] = (workflow.Intake{Outcome: workflow.IntakeAccepted}); l.err != nil {
			answers[l.place], left[l.place] = workflow.Intake{}, l.err
		}
	}
	if len(left) > 0 {
		return answers, &LeftError{left}
	}
	return answers, nil
}

// letter is a delivery with what is needed to bring it to a side.
type letter struct {
	place      int
	delivery   workflow.Delivery
	userID     string // empty: not known
	workflowID string
	side       flags.Side
	err        error // why it was not handed over
}

// sort decides for each delivery. One that is unusable here goes where its account is: the legacy orchestrator may
// know what to do with it.
func (m *Middleware) sort(ctx context.Context, batch []workflow.Delivery) ([]*letter, error) {
	letters := make([]*letter, len(batch))
	for i, d := range batch {
		l := &letter{place: i, delivery: d, userID: d.Message.UserID, workflowID: d.Message.WorkflowID}
		if d.Problem != nil {
			l.userID, l.workflowID = idsIn(d.Body)
		}
		l.userID, l.workflowID = usable(l.userID), usable(l.workflowID)
		letters[i] = l
	}
	if err := m.findAccounts(ctx, letters); err != nil {
		return nil, err
	}
	snapshot := m.config.Flags.Snapshot()
	if !snapshot.Decided(flags.OrchestratorEnabled) {
		return nil, errUndecided
	}
	var claims []flags.Claim
	var claiming []*letter
	for _, l := range letters {
		if l.side = snapshot.Side(l.userID); l.workflowID != "" {
			claims = append(claims, flags.Claim{UserID: l.userID, WorkflowID: l.workflowID, Wanted: l.side, Request: "message " + l.delivery.MessageID})
			claiming = append(claiming, l)
		}
	}
	if len(claims) == 0 {
		return letters, nil
	}
	sides, err := m.config.Routes.ClaimRoutes(ctx, claims)
	if err != nil {
		return nil, err
	}
	for i, l := range claiming {
		l.side = sides[i]
	}
	return letters, nil
}

// findAccounts finds them as the intake does: in the message, else that of the workflow, also one in this batch, else
// the default.
func (m *Middleware) findAccounts(ctx context.Context, letters []*letter) error {
	accounts := map[string]map[string]bool{}
	var missing []string
	note := func(workflowID, userID string) {
		if accounts[workflowID] == nil {
			accounts[workflowID] = map[string]bool{}
		}
		accounts[workflowID][userID] = true
	}
	for _, l := range letters {
		switch {
		case l.userID != "":
			note(l.workflowID, l.userID)
		case l.workflowID != "":
			missing = append(missing, l.workflowID)
		}
	}
	if len(missing) > 0 {
		owners, err := m.config.Routes.Owners(ctx, missing)
		if err != nil {
			return err
		}
		for workflowID, userID := range owners {
			note(workflowID, userID)
		}
	}
	for _, l := range letters {
		if l.userID != "" {
			continue
		}
		owners := accounts[l.workflowID]
		if l.workflowID == "" {
			owners = nil
		}
		for userID := range owners {
			l.userID = userID
		}
		if len(owners) > 1 {
			l.userID = "" // nobody's: the intake refuses it
		} else if len(owners) == 0 {
			l.userID = cmp.Or(l.userID, m.config.DefaultUserID)
		}
	}
	return nil
}
