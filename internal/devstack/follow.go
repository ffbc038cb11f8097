package devstack

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/devstack/screen"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

const (
	// farWait is how long a message must still wait to be left out of "the sample has ended".
	farWait = 3 * time.Minute
	// worthTelling is a wait that gets its reason told in the table.
	worthTelling = 2 * time.Second
)

// follower knows what was put on the queue, and finds out what became of it. It only goes by what the database and the
// bridges say; what a message is expected to become decides where it is looked for.
type follower struct {
	messages   []*followed
	byKey      map[workflow.Key]*followed // the first with that key
	unusable   map[[sha256.Size]byte]*followed
	duplicates int // messages whose key was there before
}

// followed is one message.
type followed struct {
	key       workflow.Key
	priority  workflow.Priority
	notBefore time.Time
	again     bool              // the same key was put on the queue before
	written   bool              // its text is written from a brief
	problem   *workflow.Problem // it is expected in the quarantine
	body      [sha256.Size]byte

	seen       *db.MessageProgress
	text       *db.TextProgress      // of one that is written
	waits      map[screen.Reason]int // how often it was seen to wait for what
	quarantine *workflow.Problem
	told       bool // as a duplicate, by the bridges
}

// newFollower reads lines as they are put on the queue.
func newFollower(lines []string, limits queue.Limits) *follower {
	f := &follower{byKey: map[workflow.Key]*followed{}, unusable: map[[sha256.Size]byte]*followed{}}
	for _, line := range lines {
		m := &followed{body: sha256.Sum256([]byte(line))}
		message, problem := queue.Decode([]byte(line), nil, limits)
		if problem != nil {
			m.problem = problem
			var ids struct{ WorkflowID, UserID, RecipientID string }
			// What is wrong with the rest does not matter here.
			_ = json.Unmarshal([]byte(line), &ids)
			m.key = workflow.Key{UserID: ids.UserID, WorkflowID: ids.WorkflowID, RecipientID: ids.RecipientID}
			f.unusable[m.body] = m
		} else {
			m.key, m.priority, m.notBefore = message.Key(), message.Priority, message.NotBefore
			m.written = message.Content == ""
			if f.byKey[m.key] != nil {
				m.again = true
				f.duplicates++
			} else {
				f.byKey[m.key] = m
			}
		}
		f.messages = append(f.messages, m)
	}
	return f
}

// accounts lists the accounts in the order in which they appear.
func (f *follower) accounts() (users []string) {
	for _, m := range f.messages {
		if m.key.UserID != "" && !slices.Contains(users, m.key.UserID) {
			users = append(users, m.key.UserID)
		}
	}
	return users
}

// open lists the keys of messages that may still change.
func (f *follower) open() (keys []workflow.Key) {
	for _, m := range f.messages {
		if m.problem == nil && !m.again && (m.seen == nil || !m.seen.Stage.Final()) {
			keys = append(keys, m.key)
		}
	}
	return keys
}

// update takes what the database says now, and how many duplicates the bridges have seen.
func (f *follower) update(now time.Time, found []db.MessageProgress, quarantined []db.Quarantined, duplicates int) {
	for _, p := range found {
		m := f.byKey[p.Key]
		if m == nil {
			continue
		}
		m.seen = &p
		switch p.Stage {
		case workflow.StageQueued:
			m.noteWait(reasonOf(p, now))
		case workflow.StagePlanning:
			m.noteWait(screen.ForText)
		}
	}
	for _, q := range quarantined {
		var body [sha256.Size]byte
		copy(body[:], q.BodySHA256)
		if m := f.unusable[body]; m != nil {
			m.quarantine = &q.Problem
		}
	}
	// Which delivery was the duplicate is the queue's choice, not ours: only their number says that all have come.
	if duplicates >= f.duplicates {
		for _, m := range f.messages {
			m.told = m.again
		}
	}
}

func (m *followed) noteWait(reason screen.Reason) {
	if m.waits == nil {
		m.waits = map[screen.Reason]int{}
	}
	m.waits[reason]++
}

// waitedFor is what it was seen to wait for most often; empty when it was never seen to wait.
func (m *followed) waitedFor() (reason screen.Reason) {
	for r, n := range m.waits {
		if n > m.waits[reason] || n == m.waits[reason] && r < reason {
			reason = r
		}
	}
	return reason
}

func reasonOf(p db.MessageProgress, now time.Time) screen.Reason {
	if !p.NotBefore.After(now) {
		return screen.ForToken
	}
	return reasons[p.WaitReason]
}

var reasons = map[workflow.WaitReason]screen.Reason{
	workflow.WaitNone:      screen.ForToken,
	workflow.WaitSchedule:  screen.ForTime,
	workflow.WaitRecipient: screen.ForRecipient,
	workflow.WaitRetry:     screen.ForRetry,
	workflow.WaitProvider:  screen.ForText,
	db.WaitPaused:          screen.ForCampaign,
}

// done counts the messages of which nothing more is to be expected soon.
func (f *follower) done(now time.Time) (n int) {
	for _, m := range f.messages {
		if m.done(now) {
			n++
		}
	}
	return n
}

func (m *followed) done(now time.Time) bool {
	switch {
	case m.problem != nil:
		return m.quarantine != nil
	case m.again:
		return m.told
	case m.seen == nil:
		return false
	case m.seen.Stage == workflow.StageInDoubt:
		return now.Sub(m.seen.UpdatedAt) > farWait
	case m.seen.Stage == workflow.StagePlanning:
		return m.text != nil && m.text.DueAt.Sub(now) > farWait
	case m.seen.Stage == workflow.StageQueued:
		return m.seen.NotBefore.Sub(now) > farWait
	}
	return m.seen.Stage.Final()
}

// rows says what happened to every message: by account, in the order in which they came to their end.
func (f *follower) rows(limits limits) []screen.Row {
	rows := make([]screen.Row, 0, len(f.messages))
	for _, m := range f.byEnd() {
		row := screen.Row{Workflow: m.key.WorkflowID, Account: m.key.UserID, Recipient: m.key.RecipientID, Waited: -1}
		switch {
		case m.quarantine != nil:
			row.Outcome, row.Reason = "quarantined", m.quarantine.Field+": "+m.quarantine.Reason
		case m.again && m.told:
			row.Outcome, row.Reason, row.Fine = "duplicate", "it came twice", true
		case m.seen == nil:
			row.Outcome = "not received"
		default:
			f.describe(m, &row, limits)
		}
		rows = append(rows, row)
	}
	return rows
}

// byEnd orders the messages: the accounts as they first appear, what has ended before what has not, that before what
// never was a workflow.
func (f *follower) byEnd() []*followed {
	accounts := f.accounts()
	rank := func(m *followed) int {
		switch {
		case m.seen == nil:
			return 2
		case !m.seen.Stage.Final():
			return 1
		}
		return 0
	}
	ordered := slices.Clone(f.messages)
	slices.SortStableFunc(ordered, func(a, b *followed) int {
		if c := cmp.Or(slices.Index(accounts, a.key.UserID)-slices.Index(accounts, b.key.UserID), rank(a)-rank(b)); c != 0 || rank(a) == 2 {
			return c
		}
		return a.seen.UpdatedAt.Compare(b.seen.UpdatedAt)
	})
	return ordered
}

func (f *follower) describe(m *followed, row *screen.Row, limits limits) {
	row.Outcome = string(m.seen.Stage)
	switch {
	case m.seen.Stage == workflow.StageInDoubt:
		row.Outcome, row.Reason = "in doubt", m.seen.LastError
		return
	case m.seen.Stage == workflow.StagePlanning:
		row.Outcome, row.Reason = "waits", m.writing()
		return
	case !m.seen.Stage.Final():
		row.Outcome, row.Reason = "waits", limits.explain(m.waitedFor())
		if why := m.waitedFor(); why == screen.ForTime || why == screen.ForRecipient {
			row.Reason += ", until " + m.seen.NotBefore.Local().Format("2 Jan 15:04")
		}
		return
	}
	row.Waited = m.seen.UpdatedAt.Sub(m.seen.CreatedAt)
	row.Fine = m.seen.Stage == workflow.StageSent
	overtaken := f.overtakenBy(m)
	switch {
	case !row.Fine:
		row.Reason = m.seen.LastError
	case m.seen.LastError != "":
		row.Reason = "in doubt at first (" + m.seen.LastError + "), settled by look-up"
	case overtaken > 0:
		row.Reason = fmt.Sprintf("urgent: overtook %d", overtaken)
	case row.Waited >= worthTelling && m.waitedFor() != screen.ForText:
		row.Reason = limits.explain(m.waitedFor())
	}
	row.Reason = joined(m.author(), row.Reason)
}

// joined puts what there is to say into one cell.
func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "; ")
}

// overtakenBy counts older messages of the account, less urgent, that waited for a token as well and were sent later.
func (f *follower) overtakenBy(m *followed) (n int) {
	for _, other := range f.messages {
		if other.seen == nil || other.key.UserID != m.key.UserID || other.priority <= m.priority || other.waitedFor() != screen.ForToken {
			continue
		}
		if other.seen.CreatedAt.Before(m.seen.CreatedAt) && (!other.seen.Stage.Final() || other.seen.UpdatedAt.After(m.seen.UpdatedAt)) {
			n++
		}
	}
	return n
}
