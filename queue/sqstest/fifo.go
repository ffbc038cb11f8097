package sqstest

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// deduplicationInterval is how long a FIFO queue remembers a deduplication id.
const deduplicationInterval = 5 * time.Minute

// fifo is what a FIFO queue has besides: its groups, and the sends of the last
// five minutes.
type fifo struct {
	groups    map[string]*group
	available *list.List // of *group: first message visible, none in flight

	sends  map[dedupKey]dedupEntry
	recent []dedupKey // in order of sending
}

type group struct {
	id       string
	messages messageList // all of them, in order of sending
	inFlight int
	element  *list.Element // in available, or nil
}

type dedupKey struct {
	group string // empty when the queue deduplicates over all groups
	id    string
}

type dedupEntry struct {
	messageID string
	sequence  string
	sent      time.Time
}

func newFIFO() *fifo {
	return &fifo{
		groups:    map[string]*group{},
		available: list.New(),
		sends:     map[dedupKey]dedupEntry{},
	}
}

func (f *fifo) join(m *message) {
	g := f.groups[m.groupID]
	if g == nil {
		g = &group{id: m.groupID}
		f.groups[g.id] = g
	}
	m.group = g
	g.messages.pushBack(m)
}

func (f *fifo) leave(m *message) {
	g := m.group
	g.messages.remove(m)
	m.group = nil
	f.refresh(g)
	if g.messages.front == nil {
		delete(f.groups, g.id)
	}
}

// refresh decides whether a group may be received from: while one of its messages
// is in flight no other is handed out, and a delayed first message holds back
// those behind it.
func (f *fifo) refresh(g *group) {
	available := g.inFlight == 0 && g.messages.front != nil && g.messages.front.state == Visible
	switch {
	case available && g.element == nil:
		g.element = f.available.PushBack(g)
	case !available && g.element != nil:
		f.available.Remove(g.element)
		g.element = nil
	}
}

// next returns the group to receive from, or nil.
func (f *fifo) next() *group {
	if e := f.available.Front(); e != nil {
		return e.Value.(*group)
	}
	return nil
}

func (f *fifo) remember(key dedupKey, e dedupEntry) {
	f.sends[key] = e
	f.recent = append(f.recent, key)
}

// forget drops what is older than the interval, so that memory is bounded by the
// rate of sending.
func (f *fifo) forget(now time.Time) {
	for len(f.recent) > 0 {
		if f.sends[f.recent[0]].sent.Add(deduplicationInterval).After(now) {
			return
		}
		delete(f.sends, f.recent[0])
		f.recent = f.recent[1:]
	}
}

// contentID is the deduplication id of a body under ContentBasedDeduplication.
func contentID(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}
