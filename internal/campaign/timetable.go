package campaign

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"
)

// Queue are the messages of one campaign that wait for their turn. Leave out a campaign that is paused. Messages
// without a campaign are a queue like another.
type Queue struct {
	Campaign  string
	Priority  int       // 1 goes first, 4 last
	Weight    int       // its share among the campaigns of its priority; from 1 to MaxWeight
	Messages  int       // that wait, without those in Later
	NotBefore time.Time // of all of them; zero: now
	ExpiresAt time.Time // those that were not released before are given up; zero: never
	Later     []Later   // messages with a time of their own
}

// Later are messages that can't go before a time of their own: because it was set for them, or because their
// recipients have had as many messages as their own limits allow until then. That is all that a forecast knows of
// recipients' limits: whom another campaign will write to in the meantime is not foreseen.
type Later struct {
	At       time.Time
	Messages int
}

// Course is what becomes of a queue.
type Course struct {
	Sent    int
	Expired int       // given up before their turn
	Beyond  int       // that would go after the horizon
	Begins  time.Time // release of the first message; zero: none is sent
	Ends    time.Time // end of the last call; zero: none is sent
}

// Timetable says when the messages of an account's queues go.
type Timetable struct {
	supply  *supply
	latency time.Duration
	lanes   []*course
}

// course is a queue on its way.
type course struct {
	queue   Queue
	index   int
	weight  float64
	expires time.Duration
	later   []arrival // that have not come yet, the earliest first
	left    float64   // that have come and wait
	sent    float64
	expired float64
	pieces  []piece
}

type arrival struct {
	at       time.Duration
	messages float64
}

// piece is a stretch in which a queue has an even share of what the account sends. Both counts are of messages that
// went before.
type piece struct {
	own    float64 // of the queue
	all    float64 // of the account
	length float64 // of the queue's messages in it
	per    float64 // messages of the account for each of the queue
}

// ETA computes when the messages of the queues go, all of them together: the most urgent queue first, those of one
// priority in turns by their weights. It takes time by the number of queues, of rules and of quiet times until all
// are sent, not by the number of messages.
func ETA(now time.Time, account Account, queues []Queue) *Timetable {
	t := &Timetable{supply: newSupply(now, account), latency: max(0, account.Latency)}
	for i, queue := range queues {
		t.lanes = append(t.lanes, newCourse(t.supply, queue, i))
	}
	t.run()
	return t
}

func newCourse(s *supply, queue Queue, index int) *course {
	c := &course{queue: queue, index: index, weight: float64(Lane{Weight: queue.Weight}.weight()), expires: never}
	if !queue.ExpiresAt.IsZero() {
		c.expires = s.since(queue.ExpiresAt)
	}
	notBefore := max(0, s.since(queue.NotBefore))
	add := func(at time.Duration, messages int) {
		if messages > 0 {
			c.later = append(c.later, arrival{max(at, notBefore), float64(messages)})
		}
	}
	add(0, queue.Messages)
	for _, later := range queue.Later {
		add(s.since(later.At), later.Messages)
	}
	slices.SortStableFunc(c.later, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	return c
}

// run goes from one happening to the next: a queue is empty, messages come to their time, a queue expires, it gets
// quiet.
func (t *Timetable) run() {
	s := t.supply
	now, sent := max(0, s.last().begin), 0.0
	for now < Horizon {
		t.happen(now)
		turn := t.turn()
		if len(turn) == 0 {
			next := t.nextArrival()
			if next >= Horizon {
				return
			}
			now = next
			s.close(whole(sent), now)
			now = max(now, s.last().begin)
			continue
		}
		limit := min(t.nextChange(), s.last().end, Horizon)
		possible := max(0, float64(s.before(limit))-sent)
		needed := math.Inf(1)
		weights := 0.0
		for _, c := range turn {
			weights += c.weight
		}
		for _, c := range turn {
			needed = min(needed, c.left*weights/c.weight)
		}
		count := min(needed, possible)
		for _, c := range turn {
			c.serve(count*c.weight/weights, weights/c.weight, sent)
		}
		sent += count
		switch {
		case needed <= possible:
			now = max(now, s.at(whole(sent)-1))
		case limit == s.last().end:
			s.close(whole(sent), limit)
			now = s.last().begin
		default:
			now = limit
		}
	}
}

// whole is the number of messages that have gone when so many have in the model, which divides them.
func whole(sent float64) int { return int(math.Ceil(sent - 1e-6)) }

func (c *course) serve(own, per, all float64) {
	if own <= 0 {
		return
	}
	own = min(own, c.left)
	c.pieces = append(c.pieces, piece{own: c.sent, all: all, length: own, per: per})
	c.sent += own
	if c.left -= own; c.left < 1e-6 {
		c.left = 0
	}
}

// happen takes in the messages whose time has come and gives up what has expired.
func (t *Timetable) happen(now time.Duration) {
	for _, c := range t.lanes {
		for len(c.later) > 0 && c.later[0].at <= now {
			c.left += c.later[0].messages
			c.later = c.later[1:]
		}
		if c.expires > now {
			continue
		}
		c.expired += c.left
		for _, later := range c.later {
			c.expired += later.messages
		}
		c.left, c.later = 0, nil
	}
}

// turn lists the queues that share what is sent next.
func (t *Timetable) turn() []*course {
	var turn []*course
	for _, c := range t.lanes {
		if c.left == 0 || len(turn) > 0 && c.queue.Priority > turn[0].queue.Priority {
			continue
		}
		if len(turn) > 0 && c.queue.Priority < turn[0].queue.Priority {
			turn = turn[:0]
		}
		turn = append(turn, c)
	}
	return turn
}

func (t *Timetable) nextArrival() time.Duration {
	next := time.Duration(never)
	for _, c := range t.lanes {
		if len(c.later) > 0 {
			next = min(next, c.later[0].at)
		}
	}
	return next
}

func (t *Timetable) nextChange() time.Duration {
	next := t.nextArrival()
	for _, c := range t.lanes {
		if c.left > 0 || len(c.later) > 0 {
			next = min(next, c.expires)
		}
	}
	return next
}

// Of returns what becomes of the queue at the index.
func (t *Timetable) Of(index int) Course {
	c := t.lanes[index]
	total := c.queue.total()
	course := Course{Sent: int(math.Round(c.sent)), Expired: int(math.Round(c.expired))}
	course.Expired = min(course.Expired, total-course.Sent)
	course.Beyond = total - course.Sent - course.Expired
	if course.Sent > 0 {
		course.Begins, _ = t.At(index, 0)
		last, _ := t.At(index, course.Sent-1)
		course.Ends = last.Add(t.latency)
	}
	return course
}

// total is how many messages a queue has.
func (q Queue) total() int {
	total := max(0, q.Messages)
	for _, later := range q.Later {
		total += max(0, later.Messages)
	}
	return total
}

// At returns when the message at a place of a queue is released, 0 for the one that goes next; ok is false for one
// that is not sent. The places follow the order in which the messages can go: those of Later behind the ones
// that went before their time came.
func (t *Timetable) At(index, place int) (release time.Time, ok bool) {
	c := t.lanes[index]
	if place < 0 || place >= int(math.Round(c.sent)) {
		return time.Time{}, false
	}
	through := min(float64(place+1), c.sent) // it has gone when so many have
	i := max(0, sort.Search(len(c.pieces), func(i int) bool { return c.pieces[i].own >= through-1e-6 })-1)
	p := c.pieces[i]
	// Of the messages that all queues send in one turn, one is this queue's: which of them is even chances.
	all := p.all + max(0, min(through-p.own, p.length)-0.5)*p.per + 0.5
	return t.supply.now.Add(t.supply.at(max(0, whole(min(all, p.all+p.length*p.per))-1))), true
}
