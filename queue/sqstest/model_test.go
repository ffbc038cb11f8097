package sqstest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

const (
	modelVisibility  = 30 * time.Second
	modelMaxReceives = 3
)

// model is what a queue should be: a handful of messages, looked at one by one.
type model struct {
	h     handler
	clock *sqstest.ManualClock

	messages map[string]*modelMessage // by body
	dead     map[string]bool
	handles  []modelHandle
	next     int

	sent, received, deleted, deadLettered uint64
}

type modelMessage struct {
	state    sqstest.State
	due      time.Time
	receives int
	received time.Time
	handle   string // the latest
}

type modelHandle struct{ body, handle string }

// settle lets delays and visibility timeouts end.
func (m *model) settle() {
	now := m.clock.Now()
	for _, x := range m.messages {
		if x.state != sqstest.Visible && !x.due.After(now) {
			x.state = sqstest.Visible
		}
	}
}

func (m *model) count(state sqstest.State) (n int) {
	for _, x := range m.messages {
		if x.state == state {
			n++
		}
	}
	return n
}

func (m *model) send(t *rapid.T) {
	delay := rapid.SampledFrom([]int{0, 0, 5, 60}).Draw(t, "delay")
	body := fmt.Sprint("m", m.next)
	m.next++
	if e := m.h.call("SendMessage", map[string]any{"QueueUrl": "q", "MessageBody": body, "DelaySeconds": delay}, nil); e != "" {
		t.Fatalf("send: %s", e)
	}
	x := &modelMessage{state: sqstest.Visible}
	if delay > 0 {
		x.state, x.due = sqstest.Delayed, m.clock.Now().Add(time.Duration(delay)*time.Second)
	}
	m.messages[body] = x
	m.sent++
}

func (m *model) receive(t *rapid.T) {
	max := rapid.IntRange(1, 10).Draw(t, "max")
	visibility := rapid.SampledFrom([]int{30, 10, 1}).Draw(t, "visibility")
	eligible := 0
	for _, x := range m.messages {
		if x.state == sqstest.Visible && x.receives < modelMaxReceives {
			eligible++
		}
	}
	var out receiveReply
	if e := m.h.call("ReceiveMessage", map[string]any{
		"QueueUrl": "q", "MaxNumberOfMessages": max, "VisibilityTimeout": visibility, "AttributeNames": []string{"ApproximateReceiveCount"},
	}, &out); e != "" {
		t.Fatalf("receive: %s", e)
	}
	if len(out.Messages) != min(max, eligible) {
		t.Fatalf("received %d messages, want %d", len(out.Messages), min(max, eligible))
	}
	for _, got := range out.Messages {
		x := m.messages[got.Body]
		if x == nil || x.state != sqstest.Visible || x.receives >= modelMaxReceives {
			t.Fatalf("received %s, which is %+v", got.Body, x)
		}
		x.receives++
		if got.Attributes["ApproximateReceiveCount"] != fmt.Sprint(x.receives) {
			t.Fatalf("receive count of %s is %s, want %d", got.Body, got.Attributes["ApproximateReceiveCount"], x.receives)
		}
		x.state, x.received = sqstest.InFlight, m.clock.Now()
		x.due = m.clock.Now().Add(time.Duration(visibility) * time.Second)
		x.handle = got.ReceiptHandle
		m.handles = append(m.handles, modelHandle{got.Body, got.ReceiptHandle})
		m.received++
	}
	// Which messages were looked at, and given up, depends on the order, which a
	// standard queue does not promise.
	for _, d := range m.h.Messages("dead") {
		if m.dead[d.Body] {
			continue
		}
		x := m.messages[d.Body]
		if x == nil || x.state != sqstest.Visible || x.receives < modelMaxReceives {
			t.Fatalf("%s, which is %+v, became a dead letter", d.Body, x)
		}
		delete(m.messages, d.Body)
		m.dead[d.Body] = true
		m.deadLettered++
	}
	if len(out.Messages) < max {
		for body, x := range m.messages {
			if x.state == sqstest.Visible {
				t.Fatalf("%s was neither received nor given up", body)
			}
		}
	}
}

// pick returns a handle that was given out, and its message if it is still there
// and the handle the latest one.
func (m *model) pick(t *rapid.T) (modelHandle, *modelMessage, bool) {
	if len(m.handles) == 0 {
		return modelHandle{}, nil, false
	}
	h := rapid.SampledFrom(m.handles).Draw(t, "handle")
	x := m.messages[h.body]
	if x != nil && x.handle != h.handle {
		x = nil
	}
	return h, x, true
}

func (m *model) delete(t *rapid.T) {
	h, x, ok := m.pick(t)
	if !ok {
		return
	}
	if e := m.h.call("DeleteMessage", map[string]any{"QueueUrl": "q", "ReceiptHandle": h.handle}, nil); e != "" {
		t.Fatalf("delete: %s", e)
	}
	if x != nil {
		delete(m.messages, h.body)
		m.deleted++
	}
}

func (m *model) changeVisibility(t *rapid.T) {
	h, x, ok := m.pick(t)
	if !ok {
		return
	}
	timeout := rapid.SampledFrom([]int{0, 5, 100}).Draw(t, "timeout")
	got := m.h.call("ChangeMessageVisibility", map[string]any{"QueueUrl": "q", "ReceiptHandle": h.handle, "VisibilityTimeout": timeout}, nil)
	want := ""
	switch {
	case x == nil:
		want = "InvalidParameterValueException"
	case x.state != sqstest.InFlight:
		want = "MessageNotInflight"
	default:
		x.due = m.clock.Now().Add(time.Duration(timeout) * time.Second)
	}
	if got != want {
		t.Fatalf("change of visibility: %q, want %q", got, want)
	}
}

func (m *model) check(t *rapid.T) {
	m.settle()
	want := sqstest.Stats{
		Visible: m.count(sqstest.Visible), InFlight: m.count(sqstest.InFlight), Delayed: m.count(sqstest.Delayed),
		Sent: m.sent, Received: m.received, Deleted: m.deleted, DeadLettered: m.deadLettered,
	}
	if got := m.h.Stats("q"); got != want {
		t.Fatalf("stats are %+v, want %+v", got, want)
	}
}

func TestModelOfStandardQueue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		clock := sqstest.NewManualClock(time.Time{})
		m := &model{
			h: newHandler(t, sqstest.Options{Clock: clock}), clock: clock,
			messages: map[string]*modelMessage{}, dead: map[string]bool{},
		}
		if err := m.h.CreateQueue("dead", nil); err != nil {
			t.Fatal(err)
		}
		if err := m.h.CreateQueue("q", map[string]string{"RedrivePolicy": redrivePolicy(m.h.QueueARN("dead"), modelMaxReceives)}); err != nil {
			t.Fatal(err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"":                 m.check,
			"send":             m.send,
			"receive":          m.receive,
			"delete":           m.delete,
			"changeVisibility": m.changeVisibility,
			"advance": func(t *rapid.T) {
				m.clock.Advance(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
				m.settle()
			},
		})
	})
}

// fifoModel keeps the undeleted messages of each group in order.
type fifoModel struct {
	h      handler
	clock  *sqstest.ManualClock
	groups map[string][]string
	due    map[string]time.Time // in flight until then
	handle map[string]string
	next   int
}

func (m *fifoModel) locked(group string) bool {
	for _, body := range m.groups[group] {
		if due, ok := m.due[body]; ok && due.After(m.clock.Now()) {
			return true
		}
	}
	return false
}

func (m *fifoModel) send(t *rapid.T) {
	group := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "group")
	body := fmt.Sprint(group, m.next)
	m.next++
	if e := m.h.call("SendMessage", map[string]any{"QueueUrl": "q.fifo", "MessageBody": body, "MessageGroupId": group, "MessageDeduplicationId": body}, nil); e != "" {
		t.Fatalf("send: %s", e)
	}
	m.groups[group] = append(m.groups[group], body)
}

func (m *fifoModel) receive(t *rapid.T) {
	max := rapid.IntRange(1, 10).Draw(t, "max")
	eligible := 0
	locked := map[string]bool{}
	for group, bodies := range m.groups {
		locked[group] = m.locked(group)
		if !locked[group] {
			eligible += len(bodies)
		}
	}
	var out receiveReply
	if e := m.h.call("ReceiveMessage", map[string]any{"QueueUrl": "q.fifo", "MaxNumberOfMessages": max}, &out); e != "" {
		t.Fatalf("receive: %s", e)
	}
	if len(out.Messages) != min(max, eligible) {
		t.Fatalf("received %d messages, want %d", len(out.Messages), min(max, eligible))
	}
	byGroup := map[string][]string{}
	for _, got := range out.Messages {
		group := got.Body[:1]
		byGroup[group] = append(byGroup[group], got.Body)
		m.due[got.Body] = m.clock.Now().Add(modelVisibility)
		m.handle[got.Body] = got.ReceiptHandle
	}
	for group, got := range byGroup {
		if locked[group] {
			t.Fatalf("received %v of group %s, which is locked", got, group)
		}
		if want := m.groups[group][:len(got)]; !slices.Equal(want, got) {
			t.Fatalf("received %v of group %s, want %v", got, group, want)
		}
	}
}

func (m *fifoModel) inFlight() []string {
	var out []string
	for body, due := range m.due {
		if due.After(m.clock.Now()) {
			out = append(out, body)
		}
	}
	slices.Sort(out)
	return out
}

func (m *fifoModel) delete(t *rapid.T) {
	held := m.inFlight()
	if len(held) == 0 {
		return
	}
	body := rapid.SampledFrom(held).Draw(t, "body")
	if e := m.h.call("DeleteMessage", map[string]any{"QueueUrl": "q.fifo", "ReceiptHandle": m.handle[body]}, nil); e != "" {
		t.Fatalf("delete: %s", e)
	}
	group := body[:1]
	m.groups[group] = slices.DeleteFunc(m.groups[group], func(b string) bool { return b == body })
	delete(m.due, body)
}

func (m *fifoModel) release(t *rapid.T) {
	held := m.inFlight()
	if len(held) == 0 {
		return
	}
	body := rapid.SampledFrom(held).Draw(t, "body")
	if e := m.h.call("ChangeMessageVisibility", map[string]any{"QueueUrl": "q.fifo", "ReceiptHandle": m.handle[body], "VisibilityTimeout": 0}, nil); e != "" {
		t.Fatalf("release: %s", e)
	}
	delete(m.due, body)
}

func TestModelOfFIFOQueue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		clock := sqstest.NewManualClock(time.Time{})
		m := &fifoModel{
			h: newHandler(t, sqstest.Options{Clock: clock}), clock: clock,
			groups: map[string][]string{}, due: map[string]time.Time{}, handle: map[string]string{},
		}
		if err := m.h.CreateQueue("q.fifo", map[string]string{"FifoQueue": "true"}); err != nil {
			t.Fatal(err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"send":    m.send,
			"receive": m.receive,
			"delete":  m.delete,
			"release": m.release,
			"advance": func(t *rapid.T) {
				m.clock.Advance(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second)
			},
		})
	})
}
