package audit

import (
	"container/heap"
	"time"

	"github.com/google/uuid"
)

// Call is one call to the gateway that arrived, or may have.
type Call struct {
	Workflow uuid.UUID
	Attempt  int
	From, To time.Time // it arrived in between, both included; to the microsecond
	Certain  bool      // it did arrive; false: it may have
}

// Stretch is a stretch of calls that belong together, in which a rule was or may have been broken. Two calls belong
// together if some window that may be over the limit may hold both.
type Stretch struct {
	First, Last time.Time // start of the first and of the last call
	Calls       int64     // that belong to it
	Window      time.Time // begin of a window that may hold Most of them
	Most        int64     // as many as may have arrived in one window
	AtLeast     int64     // as many as arrived in some window, wherever in their intervals they did; 0: not over the capacity
	Some        []Call    // of that window
}

// Certain says whether the rule was broken wherever the calls arrived.
func (s Stretch) Certain() bool { return s.AtLeast > 0 }

const (
	maxActive = 4096 // calls beyond the capacity that are kept for one window: more are counted out
	maxSome   = 10   // calls that a stretch names
)

// Windows finds the stretches of one account or recipient in which one rule was broken. Calls are added in the order
// of their starts.
//
// A call may be in the windows that begin after its start less a window and not after its latest arrival. So a rule may be
// broken where more than its capacity of these ranges overlap; only there it can be, and only the calls of that place count.
type Windows struct {
	rule    Rule
	emit    func(Stretch)
	window  int64
	active  byEnd
	outside []*placed // of the active ones those that belong to no stretch
	inside  int       // number of the others
	open    *stretch
}

// placed is a call in microseconds.
type placed struct {
	call     Call
	from, to int64
	inside   bool
	gone     bool
}

// stretch is one that is not over yet.
type stretch struct {
	Stretch
	certain []span // calls that arrived, of which nothing is proved yet
}

// NewWindows returns the windows of a rule; emit gets each stretch when it is over.
func NewWindows(rule Rule, emit func(Stretch)) *Windows {
	return &Windows{rule: rule, emit: emit, window: rule.Window.Microseconds()}
}

// Add adds the next call.
func (w *Windows) Add(c Call) {
	p := &placed{call: c, from: c.From.UnixMicro(), to: c.To.UnixMicro()}
	p.to = max(p.to, p.from)
	first := p.from - w.window + 1 // begin of the first window that may hold it
	for len(w.active) > 0 && (w.active[0].to < first || len(w.active) > w.rule.Capacity+maxActive) {
		w.leave()
	}
	heap.Push(&w.active, p)
	w.outside = append(w.outside, p)
	if len(w.active) > w.rule.Capacity {
		w.over(first, p.from)
	} else if len(w.outside) > 2*len(w.active)+64 {
		w.outside = present(w.outside)
	}
}

// Flush ends the account or recipient; the next call may be another's.
func (w *Windows) Flush() {
	for len(w.active) > 0 {
		w.leave()
	}
	w.outside = w.outside[:0]
}

func (w *Windows) leave() {
	p := heap.Pop(&w.active).(*placed)
	p.gone = true
	if !p.inside {
		return
	}
	if w.inside--; w.inside == 0 {
		w.open.judge(w.rule, w.window)
		w.emit(w.open.Stretch)
		w.open = nil
	}
}

// over notes that a window may hold all active calls: they are one stretch.
func (w *Windows) over(begin, from int64) {
	if w.open == nil {
		w.open = &stretch{Stretch: Stretch{First: time.UnixMicro(from).UTC()}}
	}
	s := w.open
	s.Last = time.UnixMicro(from).UTC()
	for _, p := range present(w.outside) {
		p.inside = true
		w.inside++
		s.Calls++
		if at := time.UnixMicro(p.from).UTC(); at.Before(s.First) {
			s.First = at
		}
		if p.call.Certain {
			s.add(span{p.from, p.to}, w.rule, w.window)
		}
	}
	w.outside = w.outside[:0]
	if most := int64(len(w.active)); most > s.Most {
		s.Most, s.Window, s.Some = most, time.UnixMicro(begin).UTC(), s.Some[:0]
		for _, p := range w.active[max(0, len(w.active)-maxSome):] {
			s.Some = append(s.Some, p.call)
		}
	}
}

func present(all []*placed) []*placed {
	kept := all[:0]
	for _, p := range all {
		if !p.gone {
			kept = append(kept, p)
		}
	}
	return kept
}

// add judges when enough calls have come together. Half of them stay, so that whatever stands close together
// is judged together once.
func (s *stretch) add(one span, rule Rule, window int64) {
	s.certain = append(s.certain, one)
	if most := max(exactMost, 2*(rule.Capacity+1)); len(s.certain) >= most {
		s.judge(rule, window)
		s.certain = append(s.certain[:0], s.certain[len(s.certain)/2:]...)
	}
}

func (s *stretch) judge(rule Rule, window int64) {
	if len(s.certain) <= rule.Capacity {
		return
	}
	least := atLeast(s.certain, window)
	if least <= rule.Capacity && s.AtLeast == 0 && len(s.certain) <= exactMost && !placeable(s.certain, rule.Capacity, window) {
		least = rule.Capacity + 1
	}
	if least > rule.Capacity {
		s.AtLeast = max(s.AtLeast, int64(least))
	}
}

// byEnd is a heap of calls, the one that ended first on top.
type byEnd []*placed

func (h byEnd) Len() int           { return len(h) }
func (h byEnd) Less(i, j int) bool { return h[i].to < h[j].to }
func (h byEnd) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byEnd) Push(x any)        { *h = append(*h, x.(*placed)) }
func (h *byEnd) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
