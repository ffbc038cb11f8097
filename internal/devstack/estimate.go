package devstack

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/devstack/screen"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// limits are the default rules in force.
type limits struct{ policy limit.Policy }

// limitsOf takes the defaults from the rules of the database.
func limitsOf(policies []db.LimitPolicy) (l limits) {
	for _, p := range policies {
		switch {
		case p.UserID != "":
		case p.Scope == limit.ScopeRecipient:
			l.policy.Recipient = p.Rules
		default:
			l.policy.Account, l.policy.Guard = p.Rules, p.Guard
		}
	}
	return l
}

// account is the first rule of an account, for the display.
func (l limits) account() screen.Limit {
	if len(l.policy.Account) == 0 {
		return screen.Limit{}
	}
	return screen.Limit{Capacity: l.policy.Account[0].Capacity, Window: l.policy.Account[0].Window}
}

// explain says why a message waited.
func (l limits) explain(reason screen.Reason) string {
	switch reason {
	case screen.ForToken:
		return "limit " + inWords(l.policy.Account)
	case screen.ForTime:
		return "its time"
	case screen.ForRecipient:
		return "its recipient's limit, " + inWords(l.policy.Recipient)
	case screen.ForRetry:
		return "its next try"
	case screen.ForText:
		return "its text"
	case screen.ForCampaign:
		return "its campaign is paused"
	}
	return ""
}

// inWords writes rules for a person: "1 in 60 s and 10 in 24 h".
func inWords(rules limit.Rules) string {
	if len(rules) == 0 {
		return "without limit"
	}
	parts := make([]string, len(rules))
	for i, r := range rules {
		parts[i] = fmt.Sprintf("%d in %s", r.Capacity, screen.Window(r.Window))
	}
	return strings.Join(parts, " and ")
}

// usualLatency is what a call takes on average, as far as an estimate goes.
const usualLatency = 250 * time.Millisecond

// usualText is what it takes to have a text written, with a call that fails.
const usualText = 2 * time.Second

// estimate says about when the last of the messages will have been sent, in messages that are due only by their place in
// the line: an account's tokens go round once in a window and guard, and so do those of a recipient. It knows what waits
// already, and only the first rule of each list.
func (l limits) estimate(now time.Time, messages []*followed, accounts []db.AccountProgress) time.Time {
	tokens := map[string][]time.Time{}
	for _, a := range accounts {
		free := freeTimes(a, now)
		tokens[a.UserID] = free
		for _, w := range a.Waiting {
			if w.Reason != workflow.WaitNone || free == nil {
				continue
			}
			for range w.Count {
				take(free, now, l.turn(a.Policy.Account, a.Policy.Guard))
			}
		}
	}
	end := now
	recipients := map[string]time.Time{}
	for _, m := range messages {
		if m.problem != nil || m.again {
			continue
		}
		free, known := tokens[m.key.UserID]
		if !known {
			free = freeTimes(db.AccountProgress{Policy: l.policy}, now)
			tokens[m.key.UserID] = free
		}
		at := now
		if m.written {
			at = now.Add(usualText)
		}
		for _, earliest := range []time.Time{m.notBefore, recipients[m.key.RecipientID]} {
			if earliest.After(at) {
				at = earliest
			}
		}
		if free != nil {
			at = take(free, at, l.turn(l.policy.Account, l.policy.Guard))
		}
		if len(l.policy.Recipient) > 0 {
			recipients[m.key.RecipientID] = at.Add(l.turn(l.policy.Recipient, l.policy.Guard))
		}
		if at = at.Add(usualLatency); at.After(end) {
			end = at
		}
	}
	return end
}

// turn is how long a token is away.
func (l limits) turn(rules limit.Rules, guard time.Duration) time.Duration {
	if len(rules) == 0 {
		return 0
	}
	return rules[0].Window + guard + usualLatency
}

// freeTimes are when each token of the account is free; nil without a limit.
func freeTimes(a db.AccountProgress, now time.Time) []time.Time {
	if len(a.Policy.Account) == 0 {
		return nil
	}
	free := make([]time.Time, a.Policy.Account[0].Capacity)
	for i := range free {
		free[i] = now
		if i < len(a.Tokens) {
			free[i] = a.Tokens[i].FreeAt
		}
	}
	return free
}

// take uses the token that is free first, and returns when.
func take(free []time.Time, at time.Time, away time.Duration) time.Time {
	first := slices.MinFunc(free, time.Time.Compare)
	i := slices.IndexFunc(free, first.Equal)
	if first.After(at) {
		at = first
	}
	free[i] = at.Add(away)
	return at
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
