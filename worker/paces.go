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

func (p *paces) of(userID string, capacity int, window time.Duration) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.accounts[userID]
	if one == nil || one.capacity != capacity || one.window != window {
		if len(p.accounts) >= pacesMost {
			clear(p.accounts)
		}
		each := rate.Every(window / time.Duration(capacity))
		one = &pace{capacity: capacity, window: window, guard: rate.NewLimiter(each, capacity), bypass: rate.NewLimiter(each, 1)}
		p.accounts[userID] = one
	}
	return one
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
		p.accounts[userID] = one
	}
	return int(one.bypass.Tokens())
}

// spend notes what was sent in bypass.
func (p *paces) spend(userID string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one := p.accounts[userID]; one != nil && n > 0 {
		one.bypass.AllowN(time.Now(), n)
	}
}
