package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// dump is what a test leaves behind, read after the fact: the gateway's log from disk, the tables, the queues.
type dump struct {
	inputs     map[key]input
	bad        map[string]badInput
	arrivals   []gatewaysim.Arrival
	workflows  map[string]row // by id, which is also the clientRef
	attempts   map[attemptID]attempt
	quarantine map[string]quarantined // by SQS message id
	dead       map[string]string      // attribute error of the dead letters, by the id of the message they are a copy of
	left       int                    // messages still in the queues, the dead letters not counted
}

type row struct {
	id, stage, lastError, campaign, content string
	key
}

type attemptID struct {
	workflow string
	sequence int
}

type attempt struct{ state, reason, messageID, limiter, resolvedBy string }

type quarantined struct{ field, reason string }

func (f *fleet) dump() dump {
	f.t.Helper()
	arrivals, err := gatewaysim.ReadLog(f.logPath())
	if err != nil {
		f.t.Fatal(err)
	}
	d := dump{inputs: f.inputs, bad: f.bad, arrivals: arrivals, workflows: map[string]row{}, attempts: map[attemptID]attempt{},
		quarantine: map[string]quarantined{}, dead: map[string]string{}}
	for _, w := range query(f, func(r pgx.CollectableRow) (w row, err error) {
		return w, r.Scan(&w.id, &w.user, &w.workflow, &w.recipient, &w.campaign, &w.stage, &w.lastError, &w.content)
	}, `SELECT id::text, user_id, workflow_id, recipient_id, campaign_id, stage, last_error, content FROM hybrid_workflows`) {
		d.workflows[w.id] = w
	}
	type ledger struct {
		attemptID
		attempt
	}
	for _, a := range query(f, func(r pgx.CollectableRow) (a ledger, err error) {
		return a, r.Scan(&a.workflow, &a.sequence, &a.state, &a.reason, &a.messageID, &a.limiter, &a.resolvedBy)
	}, `SELECT workflow::text, sequence, state, reason, gateway_message_id, limiter, resolved_by FROM send_attempts`) {
		d.attempts[a.attemptID] = a.attempt
	}
	type bad struct {
		id string
		quarantined
	}
	for _, q := range query(f, func(r pgx.CollectableRow) (q bad, err error) {
		return q, r.Scan(&q.id, &q.field, &q.reason)
	}, `SELECT message_id, field, reason FROM quarantine`) {
		d.quarantine[q.id] = q.quarantined
	}
	for _, m := range f.sqs.Messages(deadQueue) {
		d.dead[m.Attributes[queue.AttributeSourceMessageID].StringValue] = m.Attributes[queue.AttributeError].StringValue
	}
	for _, name := range []string{mainQueue, retryQueue} {
		s := f.sqs.Stats(name)
		d.left += s.Visible + s.InFlight + s.Delayed
	}
	return d
}

// allowed are the stages in which a test may leave messages, besides "sent".
type allowed []string

// problems compares what was put in with what came out. It returns a sentence for everything that breaks a promise.
func (d dump) problems(live allowed) []string {
	var found []string
	bad := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }

	// Every input in exactly one way, and nothing else (I3, I5).
	byKey := map[key]row{}
	for _, w := range d.workflows {
		if other, twice := byKey[w.key]; twice {
			bad("message %s has two workflows, %s and %s", w.key, w.id, other.id)
		}
		byKey[w.key] = w
		if _, known := d.inputs[w.key]; !known {
			bad("workflow %s of message %s: nobody put it in", w.id, w.key)
		}
	}
	for k := range d.inputs {
		w, here := byKey[k]
		switch {
		case !here:
			bad("message %s is lost: it has no workflow", k)
		case w.stage != "sent" && !slices.Contains(live, w.stage):
			bad("message %s is %s (%s)", k, w.stage, w.lastError)
		}
	}
	for id, b := range d.bad {
		q, here := d.quarantine[id]
		switch {
		case !here:
			bad("bad input %q is lost: it is not in quarantine", b.name)
		case q.field != b.field:
			bad("bad input %q: the quarantine names field %q (%s), want %q", b.name, q.field, q.reason, b.field)
		}
		if d.dead[id] == "" {
			bad("bad input %q has no copy with the attribute error in the dead-letter queue", b.name)
		}
	}
	for id, q := range d.quarantine {
		if _, known := d.bad[id]; !known {
			bad("message %s is in quarantine (%s: %s) without a reason", id, q.field, q.reason)
		}
	}
	for id, reason := range d.dead {
		if _, known := d.bad[id]; !known {
			bad("a good message lies in the dead-letter queue (id %q, error %q)", id, reason)
		}
	}
	if d.left > 0 {
		bad("%d messages are still in the queues", d.left)
	}
	return append(found, d.sendProblems()...)
}

// sendProblems compares the gateway's log with the ledger (I2).
func (d dump) sendProblems() []string {
	var found []string
	bad := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	taken := map[string]int{}
	seen := map[attemptID]gatewaysim.Arrival{}
	for _, a := range d.arrivals {
		w, known := d.workflows[a.ClientRef]
		if !known {
			bad("the gateway got %s, which is no workflow", a.ClientRef)
			continue
		}
		if a.UserID != w.user || a.RecipientID != w.recipient || a.ContentHash != hash(d.wanted(w)) {
			bad("the gateway got message %s of account %s for %s with another account, recipient or content", w.key, a.UserID, a.RecipientID)
		}
		id := attemptID{a.ClientRef, a.Attempt}
		if _, again := seen[id]; again {
			bad("attempt %d of %s arrived twice: something below us sends again", a.Attempt, w.key)
		}
		seen[id] = a
		ledger, here := d.attempts[id]
		if !here {
			bad("attempt %d of %s arrived and is not in the ledger", a.Attempt, w.key)
		}
		if a.Outcome == gatewaysim.Accepted {
			taken[a.ClientRef]++
			if !slices.Contains([]string{"accepted", "unknown", "in_flight"}, ledger.state) {
				bad("attempt %d of %s was accepted, but the ledger says %s (%s)", a.Attempt, w.key, ledger.state, ledger.reason)
			}
		}
	}
	for id, a := range d.attempts {
		arrival, arrived := seen[id]
		if accepted := arrived && arrival.Outcome == gatewaysim.Accepted; a.state == "accepted" && !accepted {
			bad("attempt %d of %s is accepted in the ledger, but the gateway did not take it", id.sequence, d.workflows[id.workflow].key)
		}
	}
	for id, w := range d.workflows {
		switch n := taken[id]; {
		case n > 1:
			bad("message %s was sent %d times", w.key, n)
		case w.stage == "sent" && n != 1:
			bad("message %s is sent, but the gateway never took it", w.key)
		case w.stage != "sent" && w.stage != "in_doubt" && w.stage != "sending" && n != 0:
			bad("message %s is %s, but the gateway took it", w.key, w.stage)
		}
	}
	return found
}

// wanted is what must arrive of a message.
func (d dump) wanted(w row) string {
	if in := d.inputs[w.key]; in.content != "" || in.brief == "" {
		return in.content
	}
	return w.content
}

func hash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// limitProblems looks for a window of the gateway's log with more than so many arrivals of one key (I1).
func limitProblems(arrivals []gatewaysim.Arrival, most int, window time.Duration, by func(gatewaysim.Arrival) string) []string {
	if n, who := gatewaysim.MaxInWindow(arrivals, window, by); n > most {
		return []string{fmt.Sprintf("%s: %d arrivals within %s, the limit is %d", who, n, window, most)}
	}
	return nil
}

// check ends all processes, reads everything and fails the test for each promise that was broken. Stages other than
// "sent" must be allowed.
func (f *fleet) check(live ...string) dump {
	f.t.Helper()
	for _, p := range f.alive() {
		p.kill()
	}
	d := f.dump()
	report(f.t, d.problems(live))
	return d
}

// checkLimit fails the test when the gateway's log breaks a limit of accounts.
func (f *fleet) checkLimit(d dump, most int, window time.Duration) {
	f.t.Helper()
	report(f.t, limitProblems(d.arrivals, most, window, gatewaysim.ByAccount))
}

const shownProblems = 10

func report(t testing.TB, problems []string) {
	t.Helper()
	slices.Sort(problems)
	for i, p := range problems {
		if i == shownProblems {
			t.Errorf("and %d more", len(problems)-i)
			break
		}
		t.Error(p)
	}
}

// resolved counts the attempts whose outcome was unknown and was found out later.
func (d dump) resolved() (n int) {
	for _, a := range d.attempts {
		if a.resolvedBy != "" {
			n++
		}
	}
	return n
}
