package campaign

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// Account is what the limits of an account let through.
type Account struct {
	Rules   []Rule        // apply together; none: no limit
	Guard   time.Duration // added to each window
	Latency time.Duration // mean time of a call to the gateway, from its token's take to its end
	Rests   time.Time     // nothing is sent before; zero: it may send at once
	Quiet   Quiet
}

// Rule allows Capacity messages in any window of length Window: a token is free again when the call that took it has
// ended and a window and the guard have passed (package limit).
type Rule struct {
	Capacity int // from 1 to 4096; what lies outside counts as the nearest
	Window   time.Duration
	InUse    []time.Time // when each token that is not free comes back; those that are not listed are free
}

// Horizon is how far a forecast looks ahead.
const Horizon = 10 * 366 * day

// never is a time beyond every other, in nanoseconds since the forecast's now. Three of them can be added.
const never = 1 << 61

// maxCapacity is limit.MaxCapacity: no rule has more tokens.
const maxCapacity = 4096

// supply says when the messages of an account can go if there is always one that waits: by number, over all
// campaigns. It divides time into spans in which nothing else than the rules holds messages up, between two quiet
// times or from one that comes to an idle account on. Times are durations since now.
type supply struct {
	now   time.Time
	rules []pace // the one that allows the least in the long run comes first
	quiet Quiet
	spans []span // the last one is open
	most  int    // no index is greater
}

// pace is a rule as the supply sees it.
type pace struct {
	capacity int
	hold     time.Duration   // from a take to the next take of the same token
	free     []time.Duration // when the first capacity tokens can be taken
	uneven   bool            // some are taken for longer than a hold
}

type span struct {
	first      int           // the number of its first message
	begin, end time.Duration // end: when quiet time begins
	carried    []bool        // by rule: tokens that were taken before the span may come back in it
	points     []point       // of a span that has ended and carried tokens; the others are exact
}

func newSupply(now time.Time, a Account) *supply {
	s := &supply{now: now, quiet: a.Quiet, most: 1 << 40}
	for _, rule := range a.Rules {
		s.rules = append(s.rules, newPace(now, rule, max(0, a.Latency)+max(0, rule.Window)+max(0, a.Guard)))
	}
	slices.SortStableFunc(s.rules, func(a, b pace) int {
		return cmp.Compare(float64(b.hold)/float64(b.capacity), float64(a.hold)/float64(a.capacity))
	})
	begin := now
	if a.Rests.After(now) {
		begin = a.Rests
	}
	s.open(0, s.since(begin))
	return s
}

func newPace(now time.Time, rule Rule, hold time.Duration) pace {
	p := pace{capacity: min(max(1, rule.Capacity), maxCapacity), hold: max(hold, time.Millisecond)}
	for _, at := range rule.InUse {
		if at.After(now) {
			p.free = append(p.free, at.Sub(now))
		}
	}
	slices.Sort(p.free)
	// After a limit was lowered more tokens are out than there are: what comes back first is not given out again.
	p.free = p.free[max(0, len(p.free)-p.capacity):]
	// The free ones go first.
	p.free = slices.Concat(make([]time.Duration, p.capacity-len(p.free)), p.free)
	p.uneven = p.free[p.capacity-1] > p.free[0]+p.hold
	return p
}

func (s *supply) since(at time.Time) time.Duration { return min(at.Sub(s.now), never) }

// open begins a span at the time, or when the quiet time is over that it lies in.
func (s *supply) open(first int, at time.Duration) {
	next := span{first: first, begin: at, end: never}
	if at < Horizon {
		begin := s.quiet.Until(s.now.Add(at))
		next.begin = s.since(begin)
		if quiet, ok := s.quiet.Next(begin); ok {
			next.end = s.since(quiet)
		}
	}
	for _, rule := range s.rules {
		carried := first > 0 && (s.at(first-1)+rule.hold > next.begin || rule.free[rule.capacity-1] > next.begin)
		next.carried = append(next.carried, carried)
	}
	s.spans = append(s.spans, next)
}

func (s *supply) last() *span { return &s.spans[len(s.spans)-1] }

// close ends the last span before the message of the number, and opens the next one at the time.
func (s *supply) close(before int, at time.Duration) {
	current := s.last()
	if before > current.first {
		if slices.Contains(current.carried, true) {
			current.points = s.sketch(current.first, before-1)
		}
	} else {
		s.spans = s.spans[:len(s.spans)-1]
	}
	s.open(before, at)
}

// at returns when the message of the number goes: exactly in the last span, and nearly in those before.
func (s *supply) at(index int) time.Duration {
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].first > index }) - 1
	if points := s.spans[i].points; points != nil {
		return between(points, index)
	}
	return s.in(&s.spans[i], index-s.spans[i].first)
}

// in returns when the message of the number within the span goes. Under one rule it is the time at which its token
// can be taken for the first time, and as many holds as the token was taken before. Under several, the one that
// allows the least sets the pace by whole rounds of its tokens, and the others within the round.
func (s *supply) in(current *span, number int) time.Duration {
	latest, rounds, rest := current.begin, time.Duration(0), number
	for i := range s.rules {
		rule := &s.rules[i]
		latest = max(latest, s.alone(i, current, number), rounds+s.alone(i, current, rest))
		rounds += times(rest/rule.capacity, rule.hold)
		rest %= rule.capacity
		if rounds >= never || latest >= never {
			return never
		}
	}
	return latest
}

// alone is the same with one rule only.
func (s *supply) alone(i int, current *span, number int) time.Duration {
	rule := &s.rules[i]
	if rule.uneven && current.first == 0 {
		return rule.kth(current.begin, number)
	}
	taken := current.begin
	switch token := current.first + number%rule.capacity; {
	case current.first == 0:
		taken = max(taken, rule.free[token])
	case !current.carried[i]:
	case token < rule.capacity:
		taken = max(taken, rule.free[token])
	default:
		taken = max(taken, s.at(token-rule.capacity)+rule.hold)
	}
	return min(never, taken+times(number/rule.capacity, rule.hold))
}

// kth looks for the time up to which so many tokens could be taken since begin, each as often as it comes back.
func (rule *pace) kth(begin time.Duration, number int) time.Duration {
	count := func(at time.Duration) int {
		count := 0
		for _, free := range rule.free {
			if free = max(free, begin); free <= at {
				count += 1 + int((at-free)/rule.hold)
			}
		}
		return count
	}
	low := begin
	high := min(never, rule.free[rule.capacity-1]+low+times(number/rule.capacity+1, rule.hold))
	for low < high {
		middle := low + (high-low)/2
		if count(middle) > number {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// times multiplies without going over never.
func times(count int, hold time.Duration) time.Duration {
	if count > 0 && hold > never/time.Duration(count) {
		return never
	}
	return time.Duration(count) * hold
}

// before counts the messages that go before the time, all spans together, if there are always some that wait.
func (s *supply) before(at time.Duration) int {
	current := s.last()
	at = min(at, current.end)
	return current.first + sort.Search(s.most-current.first, func(number int) bool {
		return s.in(current, number) >= at
	})
}
