package worker

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// paces are the process' own limits of its accounts, kept in memory. They are no guarantee (another process
// knows nothing of them, and a refilling bucket lets bursts meet); the tokens are. They are the second pair of
// eyes before each call, and the pace of a bypass.
type paces struct {
	mu       sync.Mutex
	accounts map[string]*pace
}

type pace struct {
	capacity int
	window   time.Duration
	guard    *rate.Limiter // as many as the rule allows at once, then at its rate: never in the way of a send that has its tokens
	bypass   *rate.Limiter // one at a time, evenly
}

// pacesMost bounds the memory: beyond it the table starts anew, which makes guards full again, never strict.
const pacesMost = 20_000

func newPaces() *paces { return &paces{accounts: map[string]*pace{}} }

// Allow implements jobs.Guard. Capacity 0 means no limit.
func (p *paces) Allow(userID string, capacity int, window time.Duration) bool {
	if capacity == 0 || window == 0 {
		return true
	}
	return p.of(userID, capacity, window).guard.Allow()
}

// Return implements jobs.Guard. A call that never left gave its token back to the bucket at once: without this
// the next message with that token would find a guard that still counts the first.
func (p *paces) Return(userID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one := p.accounts[userID]; one != nil {
		one.guard.AllowN(time.Now(), -1) // the limiter caps what it holds at its burst
	}
}

func (p *paces) of(userID string, capacity int, window time.Duration) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.accounts[userID]
	if one != nil && one.capacity == capacity && one.window == window {
		return one
	}
	each := rate.Every(window / time.Duration(capacity))
	next := &pace{capacity: capacity, window: window, guard: rate.NewLimiter(each, capacity), bypass: rate.NewLimiter(each, 1)}
	if one != nil && one.bypass.Tokens() < 1 {
		next.bypass.Allow() // a bypass that learns the account's rule does not begin again
	}
	p.put(userID, next)
	return next
}

func (p *paces) put(userID string, one *pace) {
	if len(p.accounts) >= pacesMost && p.accounts[userID] == nil {
		clear(p.accounts)
	}
	p.accounts[userID] = one
}

// bypassFirst is the pace of an account in bypass that this process has not sent for yet.
const bypassFirst = time.Second

// allowance is how many messages the account may send in bypass now.
func (p *paces) allowance(userID string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.accounts[userID]
	if one == nil {
		each := rate.Every(bypassFirst)
		one = &pace{guard: rate.NewLimiter(each, 1), bypass: rate.NewLimiter(each, 1)}
		p.put(userID, one)
	}
	return int(one.bypass.Tokens() + rounding)
}

// rounding makes up for what is lost when a rate is written as a floating-point number: a message that comes
// exactly when its turn is must not wait for another one.
const rounding = 1e-6

// spend notes what was sent in bypass, by a request that began at the given time. Two requests at once may have
// sent by the same allowance: the account then owes the second.
func (p *paces) spend(userID string, n int, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one := p.accounts[userID]; one != nil {
		for range n {
			one.bypass.ReserveN(at, 1)
		}
	}
}
