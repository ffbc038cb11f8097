package db

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// WaitKind says what a message waits for.
type WaitKind string

// The kinds. A message may wait for several at once.
const (
	WaitsForCampaign  WaitKind = "campaign"    // its campaign is paused; Reason says why
	WaitsForClosing   WaitKind = "closing"     // its campaign was cancelled: it gets its final stage soon
	WaitsForSwitch    WaitKind = "switch"      // the kill switch is off; Reason says who and why
	WaitsForFleet     WaitKind = "fleet"       // the whole fleet sends nothing until Until
	WaitsForStart     WaitKind = "start"       // its campaign does not run yet, or failed; Reason is its state
	WaitsForQuiet     WaitKind = "quiet_hours" // its account sends nothing until Until; zero: its quiet hours can't be read
	WaitsForRest      WaitKind = "rest"        // its account rests until Until
	WaitsForProbe     WaitKind = "probe"       // after a rest its account sends one message at a time until one gets through
	WaitsForSchedule  WaitKind = "schedule"    // not before Until
	WaitsForRecipient WaitKind = "recipient"   // the recipient's own limit, until Until
	WaitsForRetry     WaitKind = "retry"       // the last try was not sent; the next is not before Until
	WaitsForToken     WaitKind = "token"       // no token is free until Until
	WaitsForTurn      WaitKind = "turn"        // a token is free, and it is looked at now, at the latest at Until
	WaitsForProvider  WaitKind = "provider"    // its text is still to be written; Reason is the scenario that it waits for
	WaitsForAnswer    WaitKind = "answer"      // a provider (Reason) is writing its text, until Until at the latest
	WaitsForText      WaitKind = "text"        // its text is ready or failed, and about to be handed to it
	WaitsForWorker    WaitKind = "worker"      // it has its tokens; a worker begins the call until Until, or they return
	WaitsForReply     WaitKind = "reply"       // the call runs, until Until at the latest
	WaitsForReport    WaitKind = "report"      // the call must be over, and its worker has not said how: soon in doubt
	WaitsForLookUp    WaitKind = "look_up"     // in doubt; the gateway is asked at Until
	WaitsForOperator  WaitKind = "operator"    // in doubt, and the gateway can't say: a person must decide
	WaitsForRepair    WaitKind = "repair"      // no attempt is open: the reconciler puts it back
)

// Wait is one thing that a message waits for.
type Wait struct {
	Kind   WaitKind  `json:"kind"`
	Since  time.Time `json:"since,omitzero"` // zero: not known
	Until  time.Time `json:"until,omitzero"` // zero: not known, somebody must act
	Reason string    `json:"reason,omitempty"`
	// With token and turn: how many of the account's messages go before it, and about when it is its turn.
	Ahead    *Count    `json:"ahead,omitempty"`
	Expected time.Time `json:"expected,omitzero"`
	Attempt  int       `json:"attempt,omitempty"`
	Worker   string    `json:"worker,omitempty"`
	LookUps  int       `json:"lookUps,omitempty"`
	// With look_up and operator: from then on nothing on the way can still hold the request.
	Settles time.Time `json:"settles,omitzero"`
}

// situation is everything around a workflow that may hold it up.
type situation struct {
	fleet    fleet
	account  AccountState
	campaign *Campaign // nil: it belongs to none
	ahead    Count     // of a parked message that is due
	settle   time.Duration
	provided bool       // a worker that has a provider runs
	switched *switched  // off; nil: sends are on
	quiet    *time.Time // until when the account's quiet hours last; nil: they do not
}

// waits says what a workflow waits for, the widest reason first. It is pure.
func (w Workflow) waits(s situation) []Wait {
	switch w.State.Stage {
	case workflow.StagePlanning:
		return append(w.blocks(s), w.planWait(s))
	case workflow.StageQueued:
		return w.queuedWaits(s)
	case workflow.StageSending, workflow.StageInDoubt:
		return []Wait{w.attemptWait(s)}
	}
	return nil
}

// blocks are what holds up more than this message.
func (w Workflow) blocks(s situation) (waits []Wait) {
	if c := s.campaign; c != nil && c.State == CampaignPaused {
		waits = append(waits, Wait{Kind: WaitsForCampaign, Since: c.ChangedAt, Reason: c.Reason})
	}
	if c := s.campaign; c != nil && c.State == CampaignCancelled {
		waits = append(waits, Wait{Kind: WaitsForClosing, Since: c.ChangedAt, Reason: c.Reason})
	}
	if c := s.campaign; c != nil && slices.Contains([]CampaignState{CampaignDraft, CampaignScheduled, CampaignFailed}, c.State) {
		waits = append(waits, Wait{Kind: WaitsForStart, Since: c.ChangedAt, Reason: string(c.State)})
	}
	if s.switched != nil {
		waits = append(waits, Wait{Kind: WaitsForSwitch, Since: s.switched.at, Reason: s.switched.by + ": " + s.switched.reason})
	}
	if s.fleet.frozenUntil.After(s.fleet.now) {
		waits = append(waits, Wait{Kind: WaitsForFleet, Until: s.fleet.frozenUntil, Reason: s.fleet.frozenReason})
	}
	return waits
}

func (w Workflow) queuedWaits(s situation) []Wait {
	now := s.fleet.now
	waits := w.blocks(s)
	if s.quiet != nil {
		waits = append(waits, Wait{Kind: WaitsForQuiet, Until: *s.quiet})
	}
	if s.account.RestUntil.After(now) {
		waits = append(waits, Wait{Kind: WaitsForRest, Until: s.account.RestUntil, Reason: s.account.RestReason})
	}
	if w.State.NotBefore.After(now) {
		kinds := map[workflow.WaitReason]WaitKind{workflow.WaitRecipient: WaitsForRecipient, workflow.WaitRetry: WaitsForRetry}
		kind, stored := kinds[w.State.WaitReason]
		if !stored {
			kind = WaitsForSchedule
		}
		one := Wait{Kind: kind, Until: w.State.NotBefore}
		if kind == WaitsForRetry {
			one.Reason = w.State.LastError
		}
		return append(waits, one)
	}
	ahead, expected := s.ahead, s.account.Turn(int(s.ahead.Number), now)
	one := Wait{Kind: WaitsForTurn, Ahead: &ahead, Expected: expected}
	if s.account.WakeAt != nil {
		one.Until = *s.account.WakeAt
	}
	if next := s.account.NextFree(now); next.After(now) {
		one.Kind, one.Until = WaitsForToken, next
	} else if s.account.Rests > 0 && len(waits) == 0 {
		one.Kind, one.Reason = WaitsForProbe, s.account.RestReason
	}
	if len(waits) > 0 {
		one.Expected = time.Time{} // nobody knows while something else holds it up
		if one.Kind == WaitsForTurn {
			return waits
		}
	}
	return append(waits, one)
}

func (w Workflow) attemptWait(s situation) Wait {
	if len(w.Sends) == 0 {
		return Wait{Kind: WaitsForRepair, Since: w.UpdatedAt}
	}
	a := w.Sends[len(w.Sends)-1]
	one := Wait{Attempt: a.Sequence, Since: a.ReservedAt, Worker: a.Worker, Reason: a.Reason, LookUps: a.LookUps}
	if a.StartedAt != nil {
		one.Since = *a.StartedAt
	}
	switch a.State {
	case "reserved":
		one.Kind, one.Until = WaitsForWorker, a.ReservationEnds
	case "in_flight":
		one.Kind = WaitsForReply
		if a.CallDeadline != nil {
			one.Until = *a.CallDeadline
			if s.fleet.now.After(one.Until) {
				one.Kind, one.Until = WaitsForReport, one.Until.Add(abandonedAfter)
			}
		}
	case "unknown":
		one.Kind, one.Settles = WaitsForOperator, a.settles(s.settle)
		if a.LookUpAt != nil {
			one.Kind, one.Until = WaitsForLookUp, *a.LookUpAt
		}
	default:
		return Wait{Kind: WaitsForRepair, Since: w.UpdatedAt}
	}
	return one
}

// settles is when the request can no longer be on its way; the rule of doubtsSQL.
func (a Send) settles(settle time.Duration) time.Time {
	last := a.ReservedAt
	for _, at := range []*time.Time{a.CallDeadline, a.EndedAt} {
		if at != nil && at.After(last) {
			last = *at
		}
	}
	return last.Add(settle)
}

// readWaits reads what may hold the workflows up and says what does.
func readWaits(ctx context.Context, tx pgx.Tx, workflows []Workflow, f fleet, settle time.Duration) error {
	var users, campaignUsers, campaignIDs []string
	for _, w := range workflows {
		if w.State.Stage.Final() {
			continue
		}
		users = append(users, w.UserID)
		if w.CampaignID != "" {
			campaignUsers, campaignIDs = append(campaignUsers, w.UserID), append(campaignIDs, w.CampaignID)
		}
	}
	if len(users) == 0 {
		return nil
	}
	accounts, err := readAccountStates(ctx, tx, users, f.now)
	if err != nil {
		return err
	}
	campaigns, err := readCampaigns(ctx, tx, campaignUsers, campaignIDs)
	if err != nil {
		return err
	}
	provided, err := readProvided(ctx, tx)
	if err != nil {
		return err
	}
	switches, err := readSwitches(ctx, tx, users)
	if err != nil {
		return err
	}
	held, err := readHeld(ctx, tx, users, f.now)
	if err != nil {
		return err
	}
	for i := range workflows {
		w := &workflows[i]
		if w.State.Stage.Final() {
			continue
		}
		s := situation{fleet: f, account: *accounts[w.UserID], settle: settle, provided: provided, switched: switches[w.UserID]}
		if until, quiet := held.quiet[w.UserID]; quiet {
			s.quiet = &until
		}
		if c, known := campaigns[campaignKey{w.UserID, w.CampaignID}]; known {
			s.campaign = &c
		}
		if w.State.Stage == workflow.StageQueued && !w.State.NotBefore.After(f.now) {
			if s.ahead, err = readAhead(ctx, tx, *w, f.now); err != nil {
				return err
			}
		}
		w.Waits = w.waits(s)
	}
	return nil
}

type campaignKey struct{ userID, campaignID string }

func readCampaigns(ctx context.Context, tx pgx.Tx, users, ids []string) (map[campaignKey]Campaign, error) {
	campaigns := map[campaignKey]Campaign{}
	if len(ids) == 0 {
		return campaigns, nil
	}
	rows, err := tx.Query(ctx, `SELECT `+campaignColumns+` FROM unnest($1::text[], $2::text[]) AS k(user_id, campaign_id)
		JOIN campaigns c ON c.user_id = k.user_id AND c.campaign_id = k.campaign_id`, users, ids)
	if err != nil {
		return nil, fmt.Errorf("campaigns: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanCampaign)
	if err != nil {
		return nil, fmt.Errorf("campaigns: %w", err)
	}
	for _, c := range all {
		campaigns[campaignKey{c.UserID, c.CampaignID}] = c
	}
	return campaigns, nil
}

// switched is a kill switch that is off.
type switched struct {
	at         time.Time
	by, reason string
}

func readSwitches(ctx context.Context, tx pgx.Tx, users []string) (map[string]*switched, error) {
	rows, err := tx.Query(ctx, `SELECT u.user_id, f.changed_at, f.changed_by, f.reason FROM unnest($1::text[]) AS u(user_id)
		JOIN LATERAL (SELECT * FROM flags f WHERE f.name = 'sends_enabled' AND f.user_id IN (u.user_id, '') ORDER BY f.user_id DESC LIMIT 1) f ON f.value <> 'on'`, users)
	if err != nil {
		return nil, fmt.Errorf("kill switch: %w", err)
	}
	off := map[string]*switched{}
	var user string
	var one switched
	_, err = pgx.ForEachRow(rows, []any{&user, &one.at, &one.by, &one.reason}, func() error {
		found := one
		off[user] = &found
		return nil
	})
	return off, err
}
