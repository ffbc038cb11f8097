package sqstest

import (
	"container/heap"
	"time"
)

// messageList is a doubly linked list through the messages themselves: a message
// leaves from the middle (deleted, expired) without a search. A message is in at
// most one list: the ready list of a standard queue, or its group's.
type messageList struct {
	front, back *message
}

func (l *messageList) pushBack(m *message) {
	m.prev, m.next = l.back, nil
	if l.back == nil {
		l.front = m
	} else {
		l.back.next = m
	}
	l.back = m
}

func (l *messageList) pushFront(m *message) {
	m.prev, m.next = nil, l.front
	if l.front == nil {
		l.back = m
	} else {
		l.front.prev = m
	}
	l.front = m
}

func (l *messageList) remove(m *message) {
	if m.prev == nil {
		l.front = m.next
	} else {
		m.prev.next = m.next
	}
	if m.next == nil {
		l.back = m.prev
	} else {
		m.next.prev = m.prev
	}
	m.prev, m.next = nil, nil
}

// messageHeap is a heap of messages by one of their times; a message knows its
// place in it, so that it can leave at any time.
type messageHeap struct {
	items []*message
	when  func(*message) time.Time
	place func(*message) *int
}

func newMessageHeap(when func(*message) time.Time, place func(*message) *int) *messageHeap {
	return &messageHeap{when: when, place: place}
}

func (h *messageHeap) add(m *message)    { heap.Push(h, m) }
func (h *messageHeap) remove(m *message) { heap.Remove(h, *h.place(m)) }

// first returns nil when the heap is empty.
func (h *messageHeap) first() *message {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0]
}

func (h *messageHeap) Len() int { return len(h.items) }
func (h *messageHeap) Less(i, j int) bool {
	a, b := h.items[i], h.items[j]
	if ta, tb := h.when(a), h.when(b); !ta.Equal(tb) {
		return ta.Before(tb)
	}
	return a.seq < b.seq
}
func (h *messageHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.place(h.items[i]), *h.place(h.items[j]) = i, j
}
func (h *messageHeap) Push(x any) {
	m := x.(*message)
	*h.place(m) = len(h.items)
	h.items = append(h.items, m)
}
func (h *messageHeap) Pop() any {
	last := len(h.items) - 1
	m := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	return m
}
