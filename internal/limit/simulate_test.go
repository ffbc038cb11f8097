package limit_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

// This file simulates an account that sends through a slow and unreliable path, and looks at the messages where
// they arrive: that is where the platform counts. The checks know nothing of tokens.

// limiter decides who may send. It learns when a call has ended, as a process would.
type limiter interface {
	change(now time.Time, rules limit.Rules)
	take(now time.Time) (token any, ok bool)
	// end reports a call's end; until is the time up to which the message may still arrive, and zero says that it
	// never left.
	end(token any, until time.Time)
	next(now time.Time) time.Time // when the next one can be taken, as far as the limiter knows
}

// tokens drives a bucket as the database does: for each token it keeps the end of the call that has it, and the
// rules that are in force when a decision is made say how long after that it is free again.
type tokens struct {
	rules limit.Rules
	guard time.Duration
	hold  time.Duration // how long a call may take that nobody hears of again
	busy  []map[int]time.Time
}

func (k *tokens) change(_ time.Time, rules limit.Rules) {
	k.rules = rules
	for len(k.busy) < len(rules) {
		k.busy = append(k.busy, map[int]time.Time{})
	}
}

func (k *tokens) bucket() *limit.Bucket {
	b := limit.NewBucket(k.rules)
	for rule, r := range k.rules {
		for slot, busy := range k.busy[rule] {
			b.Add(rule, limit.Use{Slot: slot, FreeAt: busy.Add(r.Window + k.guard)})
		}
	}
	return b
}

func (k *tokens) take(now time.Time) (any, bool) {
	slots, ok := k.bucket().Take(now, func(r limit.Rule) time.Time { return now.Add(k.hold + r.Window + k.guard) })
	for rule, slot := range slots {
		k.busy[rule][slot] = now.Add(k.hold)
	}
	return slots, ok
}

func (k *tokens) end(token any, until time.Time) {
	for rule, slot := range token.([]int) {
		k.busy[rule][slot] = until
	}
}

func (k *tokens) next(now time.Time) time.Time { return k.bucket().NextFree(now) }

// refilling is a classic token bucket of the capacity, refilled evenly at the rule's rate: what this package is not.
type refilling struct{ limiter *rate.Limiter }

func (r *refilling) change(_ time.Time, rules limit.Rules) {
	r.limiter = rate.NewLimiter(rate.Every(rules[0].Window/time.Duration(rules[0].Capacity)), rules[0].Capacity)
}
func (r *refilling) take(now time.Time) (any, bool) { return nil, r.limiter.AllowN(now, 1) }
func (r *refilling) end(any, time.Time)             {}
func (r *refilling) next(now time.Time) time.Time {
	missing := 1 - r.limiter.TokensAt(now)
	return now.Add(time.Duration(missing/float64(r.limiter.Limit())*float64(time.Second)) + time.Microsecond)
}

// logged counts what was granted within the last window (a sliding log): also not enough.
type logged struct {
	rule   limit.Rule
	grants []time.Time
}

func (l *logged) change(_ time.Time, rules limit.Rules) { l.rule = rules[0] }
func (l *logged) take(now time.Time) (any, bool) {
	l.grants = slices.DeleteFunc(l.grants, func(t time.Time) bool { return !t.Add(l.rule.Window).After(now) })
	if len(l.grants) >= l.rule.Capacity {
		return nil, false
	}
	l.grants = append(l.grants, now)
	return nil, true
}
func (l *logged) end(any, time.Time)       {}
func (l *logged) next(time.Time) time.Time { return l.grants[0].Add(l.rule.Window) }

// path is what lies between the limiter and the receiver.
type path struct {
	seed     uint64
	deadline time.Duration // a call whose end is seen ends within that
	settle   time.Duration // a call whose end is not seen may arrive for so long after its deadline
	latency  func(*rand.Rand) time.Duration
	unknown  float64 // the share of calls whose outcome is never seen
	notSent  float64 // the share that never leaves
	bursts   bool    // messages come in bursts instead of being there from the start
}

// change is a change of the rules in force.
type change struct {
	at    time.Duration
	rules limit.Rules
}

// send is a message as an observer of everything sees it.
type send struct {
	granted time.Time
	arrived time.Time // zero: never
	ended   time.Time // of the call
	rules   int       // the number of the change in force when it was granted
}

// simulate sends as fast as the limiter lets it, until the given time.
func simulate(l limiter, p path, changes []change, until time.Duration) []send {
	random := rand.New(rand.NewPCG(p.seed, 1))
	type ending struct {
		at, until time.Time
		token     any
	}
	var sends []send
	var endings []ending // the earliest first
	backlog, refill := 1<<30, start.Add(until)
	if p.bursts {
		backlog, refill = 0, start
	}
	inForce := -1
	for now := start; now.Before(start.Add(until)); {
		for inForce+1 < len(changes) && !start.Add(changes[inForce+1].at).After(now) {
			inForce++
			l.change(now, changes[inForce].rules)
		}
		for len(endings) > 0 && !endings[0].at.After(now) {
			l.end(endings[0].token, endings[0].until)
			endings = endings[1:]
		}
		if !refill.After(now) {
			backlog += random.IntN(8)
			refill = now.Add(1 + time.Duration(random.Int64N(int64(2*changes[inForce].rules[0].Window))))
		}
		next := refill
		for backlog > 0 {
			token, ok := l.take(now)
			if !ok {
				if at := l.next(now); at.Before(next) {
					next = at
				}
				break
			}
			backlog--
			one, end := p.call(random, now)
			one.rules = inForce
			sends = append(sends, one)
			at, _ := slices.BinarySearchFunc(endings, one.ended, func(e ending, t time.Time) int { return e.at.Compare(t) })
			endings = slices.Insert(endings, at, ending{at: one.ended, until: end, token: token})
		}
		if len(endings) > 0 && endings[0].at.Before(next) {
			next = endings[0].at
		}
		if inForce+1 < len(changes) && start.Add(changes[inForce+1].at).Before(next) {
			next = start.Add(changes[inForce+1].at)
		}
		if !next.After(now) && (len(endings) == 0 || endings[0].at.After(now)) {
			panic(fmt.Sprintf("at %s nothing can be taken, and the limiter says that something can", now.Sub(start)))
		}
		now = next
	}
	return sends
}

// call draws one call. The limiter may forget it only at the returned time.
func (p path) call(random *rand.Rand, now time.Time) (send, time.Time) {
	s := send{granted: now}
	draw := random.Float64()
	switch {
	case draw < p.unknown: // it may arrive at any time, or never
		s.ended = now.Add(p.deadline)
		if random.IntN(4) > 0 {
			s.arrived = now.Add(time.Duration(random.Int64N(int64(p.deadline + p.settle))))
		}
		return s, now.Add(p.deadline + p.settle)
	case draw < p.unknown+p.notSent:
		s.ended = now.Add(min(p.latency(random), p.deadline))
		return s, time.Time{}
	}
	there, back := p.latency(random)/2, p.latency(random)/2
	s.arrived = now.Add(min(there, p.deadline))
	s.ended = now.Add(min(there+back, p.deadline))
	return s, s.ended
}

// exceeded looks for a half-open window in which more messages arrived than the rules allow. Between two changes
// of the rules only windows count that lie wholly between them, and begin when what the old rules had let go is there.
func exceeded(sends []send, changes []change) string {
	for i, c := range changes {
		from, to := start.Add(c.at), start.Add(1<<62)
		if i+1 < len(changes) {
			to = start.Add(changes[i+1].at)
		}
		var arrivals []time.Time
		for _, s := range sends {
			if s.rules < i && s.arrived.After(from) {
				from = s.arrived.Add(1)
			}
		}
		for _, s := range sends {
			if !s.arrived.IsZero() && !s.arrived.Before(from) && s.arrived.Before(to) {
				arrivals = append(arrivals, s.arrived)
			}
		}
		slices.SortFunc(arrivals, time.Time.Compare)
		for _, rule := range c.rules {
			if most, at := mostIn(arrivals, rule.Window); most > rule.Capacity {
				return fmt.Sprintf("%d arrivals in the window of %s from %s, allowed are %s", most, rule.Window, at.Sub(start), rule)
			}
		}
	}
	return ""
}

// mostIn counts the arrivals in the fullest half-open window. A fullest one begins at an arrival.
func mostIn(arrivals []time.Time, window time.Duration) (most int, at time.Time) {
	last := 0
	for first, begin := range arrivals {
		for last < len(arrivals) && arrivals[last].Before(begin.Add(window)) {
			last++
		}
		if last-first > most {
			most, at = last-first, begin
		}
	}
	return most, at
}

// overtaken is the stronger property, which also holds while the rules change: whoever is granted a token finds,
// within a window around its arrival, fewer than the capacity of those that were granted before it, as far as
// these had a token of the same rule and arrived after the rules came into force.
func overtaken(sends []send, changes []change) string {
	for i, s := range sends {
		if s.arrived.IsZero() {
			continue
		}
		inForce := changes[s.rules]
		for rule, r := range inForce.rules {
			near := 1
			for _, before := range sends[:i] {
				if before.arrived.IsZero() || before.arrived.Before(start.Add(inForce.at)) || rule >= len(changes[before.rules].rules) {
					continue
				}
				if before.arrived.Sub(s.arrived).Abs() < r.Window {
					near++
				}
			}
			if near > r.Capacity {
				return fmt.Sprintf("message %d, granted at %s, arrived at %s with %d others within %s, allowed are %s",
					i, s.granted.Sub(start), s.arrived.Sub(start), near-1, r.Window, r)
			}
		}
	}
	return ""
}
