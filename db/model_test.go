package db_test

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// model is the oracle of the property test: what the database must hold after each operation, in plain Go, one
// message at a time, without SQL, batches or locks.
type model struct {
	now       time.Time
	policies  map[limit.Scope]map[string]modelPolicy // "" is the default
	campaigns map[campaignKey]db.CampaignState
	messages  map[workflow.Key]*modelMessage
	byID      map[uuid.UUID]*modelMessage
	attempts  map[db.Attempt]*modelAttempt
	buckets   map[string]map[modelSlot]modelToken // by account
	holds     []*modelHold
	rests     map[string]modelRest
}

type campaignKey struct{ userID, campaignID string }

type modelPolicy struct {
	rules limit.Rules
	guard time.Duration
}

type modelMessage struct {
	id       uuid.UUID
	key      workflow.Key
	campaign string
	priority workflow.Priority
	state    workflow.State
	sequence int
}

type modelAttempt struct {
	db.Attempt
	message         *modelMessage
	state           string
	refused         bool // with a 429, which the gateway may count although nothing was sent
	bypass          bool
	fence           int64
	reservedAt      time.Time
	reservationEnds time.Time
	startedAt       time.Time
	deadline        time.Time // of the call; zero: not begun
	endedAt         time.Time
	slots           []int
}

type modelHold struct {
	attempt      *modelAttempt
	scope        limit.Scope
	key          string
	rule, slot   int
	lower, upper time.Time
}

type modelSlot struct{ rule, slot int }

type modelToken struct {
	busy    time.Time
	attempt db.Attempt
}

type modelRest struct {
	until, since time.Time
	count        int
}

func newModel(now time.Time, account, recipient limit.Rules) *model {
	return &model{
		now: now,
		policies: map[limit.Scope]map[string]modelPolicy{
			limit.ScopeAccount: {"": {rules: account, guard: guard}}, limit.ScopeRecipient: {"": {rules: recipient, guard: guard}},
		},
		campaigns: map[campaignKey]db.CampaignState{}, messages: map[workflow.Key]*modelMessage{}, byID: map[uuid.UUID]*modelMessage{},
		attempts: map[db.Attempt]*modelAttempt{}, buckets: map[string]map[modelSlot]modelToken{}, rests: map[string]modelRest{},
	}
}

func (m *model) policy(scope limit.Scope, userID string) modelPolicy {
	if own, ok := m.policies[scope][userID]; ok {
		return own
	}
	return m.policies[scope][""]
}

// guard is the one that a release goes by: the longer of an account's two.
func (m *model) guard(userID string) time.Duration {
	return max(m.policy(limit.ScopeAccount, userID).guard, m.policy(limit.ScopeRecipient, userID).guard)
}

func (m *model) ingest(d workflow.Delivery, id uuid.UUID) {
	key := d.Message.Key()
	if m.messages[key] != nil {
		return
	}
	one := &modelMessage{id: id, key: key, campaign: d.Message.CampaignID, priority: d.Message.Priority, state: workflow.Begin(d.Message, m.now)}
	m.messages[key], m.byID[id] = one, one
}

func (m *model) running(one *modelMessage) bool {
	state := m.campaigns[campaignKey{one.key.UserID, one.campaign}]
	return one.campaign == "" || state == "" || state == db.CampaignRunning
}

// held lists the holds of a bucket that are in force.
func (m *model) held(scope limit.Scope, key string) []*modelHold {
	var found []*modelHold
	for _, h := range m.holds {
		if h.scope == scope && h.key == key && h.upper.After(m.now) {
			found = append(found, h)
		}
	}
	return found
}

func (m *model) ledgerBucket(scope limit.Scope, key string, rules limit.Rules) *limit.Bucket {
	b := limit.NewBucket(rules)
	for _, h := range m.held(scope, key) {
		b.Add(h.rule, limit.Use{Slot: h.slot, FreeAt: h.upper})
	}
	return b
}

func (m *model) accountBucket(userID string, rules limit.Rules) *limit.Bucket {
	b := limit.NewBucket(rules)
	for at, token := range m.buckets[userID] {
		if at.rule < len(rules) {
			b.Add(at.rule, limit.Use{Slot: at.slot, FreeAt: token.busy.Add(rules[at.rule].Window + m.guard(userID))})
		}
	}
	return b
}

// candidates are the messages of an account that a release looks at, the best first.
func (m *model) candidates(userID string, most int) []*modelMessage {
	type group struct {
		campaign string
		priority workflow.Priority
	}
	groups := map[group][]*modelMessage{}
	for _, one := range m.byID {
		if one.key.UserID == userID && one.state.Stage == workflow.StageQueued && m.running(one) {
			at := group{one.campaign, one.priority}
			groups[at] = append(groups[at], one)
		}
	}
	var due []*modelMessage
	for _, all := range groups {
		slices.SortFunc(all, urgency)
		for _, one := range all[:min(most, len(all))] {
			if !one.state.NotBefore.After(m.now) {
				due = append(due, one)
			}
		}
	}
	slices.SortFunc(due, urgency)
	return due
}

func urgency(a, b *modelMessage) int {
	return cmp.Or(cmp.Compare(a.priority, b.priority), a.state.NotBefore.Compare(b.state.NotBefore), slices.Compare(a.id[:], b.id[:]))
}

// release says which messages go and which are put off because of their recipient.
func (m *model) release(request db.Release) (released []*modelAttempt, deferred []*modelMessage) {
	user := request.UserID
	account, recipient := m.policy(limit.ScopeAccount, user), m.policy(limit.ScopeRecipient, user)
	rest := m.rests[user]
	wanted := 0
	bucket := m.accountBucket(user, account.rules)
	if request.Bypass {
		bucket = m.ledgerBucket(limit.ScopeAccount, user, account.rules)
	}
	if !rest.until.After(m.now) {
		wanted = bucket.Free(m.now, 100)
		if request.Bypass {
			wanted = min(wanted, request.Allowance)
		}
		if rest.count > 0 {
			wanted = min(wanted, 1)
		}
	}
	most := 1
	if wanted > 0 {
		most = wanted + 10
	}
	until := func(r limit.Rule) time.Time { return m.now.Add(hold + r.Window + m.guard(user)) }
	recipients := map[string]*limit.Bucket{}
	for _, one := range m.candidates(user, most) {
		if len(released) >= wanted {
			break
		}
		to := recipients[one.key.RecipientID]
		if to == nil {
			to = m.ledgerBucket(limit.ScopeRecipient, one.key.RecipientID, recipient.rules)
			recipients[one.key.RecipientID] = to
		}
		recipientSlots, free := to.Take(m.now, until)
		if !free {
			deferred = append(deferred, one)
			continue
		}
		slots, _ := bucket.Take(m.now, until)
		released = append(released, m.reserve(one, request.Bypass, slots, recipientSlots, until))
	}
	released = m.refuse(user, request.Bypass, released)
	if rest.count > 0 && len(released) > 0 {
		rest.until = m.now.Add(45 * time.Second)
		m.rests[user] = rest
	}
	for _, a := range released {
		m.commit(a)
	}
	return released, deferred
}

// reserve makes the attempt that a message would get, with its holds, which are not yet in the ledger.
func (m *model) reserve(one *modelMessage, bypass bool, slots, recipientSlots []int, until func(limit.Rule) time.Time) *modelAttempt {
	a := &modelAttempt{
		Attempt: db.Attempt{Workflow: one.id, Sequence: one.sequence + 1}, message: one, state: "reserved", bypass: bypass,
		reservedAt: m.now, reservationEnds: m.now.Add(db.DefaultReservation), slots: slots,
	}
	for rule, slot := range slots {
		m.holds = append(m.holds, &modelHold{attempt: a, scope: limit.ScopeAccount, key: one.key.UserID, rule: rule, slot: slot,
			lower: m.now, upper: until(m.policy(limit.ScopeAccount, one.key.UserID).rules[rule])})
	}
	for rule, slot := range recipientSlots {
		m.holds = append(m.holds, &modelHold{attempt: a, scope: limit.ScopeRecipient, key: one.key.RecipientID, rule: rule, slot: slot,
			lower: m.now, upper: until(m.policy(limit.ScopeRecipient, one.key.UserID).rules[rule])})
	}
	return a
}

// refuse takes back those whose tokens the ledger has in use, which only happens after a bypass: the bucket was
// not told of it.
func (m *model) refuse(userID string, bypass bool, chosen []*modelAttempt) (kept []*modelAttempt) {
	for _, a := range chosen {
		if !m.overlaps(a) {
			kept = append(kept, a)
			continue
		}
		m.holds = slices.DeleteFunc(m.holds, func(h *modelHold) bool { return h.attempt == a })
	}
	if len(kept) < len(chosen) && !bypass {
		// The tokens of those that stay are not yet in force while the bucket is corrected.
		m.sync(userID, kept)
	}
	return kept
}

func (m *model) overlaps(a *modelAttempt) bool {
	for _, mine := range m.holds {
		if mine.attempt != a {
			continue
		}
		for _, h := range m.holds {
			if m.attempts[h.attempt.Attempt] == h.attempt && h.scope == mine.scope && h.key == mine.key && h.rule == mine.rule && h.slot == mine.slot && h.upper.After(m.now) {
				return true
			}
		}
	}
	return false
}

func (m *model) commit(a *modelAttempt) {
	m.attempts[a.Attempt] = a
	a.message.sequence++
	a.message.state, _, _ = workflow.Transition(a.message.state, workflow.Event{Kind: workflow.EventReleased, At: m.now})
	if a.bypass {
		return
	}
	for rule, slot := range a.slots {
		m.token(a.message.key.UserID, modelSlot{rule, slot}, modelToken{busy: m.now.Add(hold), attempt: a.Attempt})
	}
}

func (m *model) token(userID string, at modelSlot, token modelToken) {
	if m.buckets[userID] == nil {
		m.buckets[userID] = map[modelSlot]modelToken{}
	}
	m.buckets[userID][at] = token
}

// sync makes the bucket of an account agree with the ledger, the given attempts left out.
func (m *model) sync(userID string, without []*modelAttempt) {
	policy := m.policy(limit.ScopeAccount, userID)
	latest := map[modelSlot]*modelHold{}
	for _, h := range m.held(limit.ScopeAccount, userID) {
		if h.rule >= len(policy.rules) || slices.Contains(without, h.attempt) {
			continue
		}
		at := modelSlot{h.rule, h.slot}
		if l := latest[at]; l == nil || h.lower.After(l.lower) {
			latest[at] = h
		}
	}
	for at, h := range latest {
		busy := h.attempt.endedAt
		switch h.attempt.state {
		case "reserved", "in_flight", "unknown":
			busy = h.upper.Add(-policy.rules[at.rule].Window - policy.guard)
		}
		m.token(userID, at, modelToken{busy: busy, attempt: h.attempt.Attempt})
	}
	for at, token := range m.buckets[userID] {
		a := m.attempts[token.attempt]
		if latest[at] != nil || !token.busy.After(m.now) {
			continue
		}
		switch a.state {
		case "accepted", "rejected":
			token.busy = a.endedAt
		case "not_sent", "withdrawn":
			token.busy = time.Unix(0, 0)
		}
		m.token(userID, at, token)
	}
}
