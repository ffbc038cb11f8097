package guard

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
)

// Pace keeps this process below a target's rate limits, as far as its answers tell them: requests and tokens for
// each minute, and what is left of them. It is safe for concurrent use.
type Pace struct {
	mu               sync.Mutex
	requests, tokens *rate.Limiter // nil: not known
}

// Delay is how long a call of that many tokens has to wait; 0: it may begin. It is never longer than two minutes.
func (p *Pace) Delay(tokens int64, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(delay(p.requests, 1, now), delay(p.tokens, tokens, now))
}

// Take counts a call that begins.
func (p *Pace) Take(tokens int64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	take(p.requests, 1, now)
	take(p.tokens, tokens, now)
}

// Observe takes over what an answer says. The smaller of what is left by its account and by ours counts: other
// processes call the target, too.
func (p *Pace) Observe(l provider.Limits, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = observe(p.requests, l.Requests, l.RemainingRequests, l.ResetRequests, now)
	p.tokens = observe(p.tokens, l.Tokens, l.RemainingTokens, l.ResetTokens, now)
}

// amount bounds what is asked for by what a whole minute has: a call that is larger than that waits for a full one.
func amount(l *rate.Limiter, n int64) float64 { return min(float64(max(n, 0)), float64(l.Burst())) }

func delay(l *rate.Limiter, n int64, now time.Time) time.Duration {
	if l == nil {
		return 0
	}
	missing := amount(l, n) - l.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return max(time.Duration(missing/float64(l.Limit())*float64(time.Second)), time.Millisecond)
}

// take counts a call. Those that begin at the same time may take more than there is, but no more than a minute's
// amount: beyond that the target itself refuses.
func take(l *rate.Limiter, n int64, now time.Time) {
	if l == nil {
		return
	}
	if left := l.TokensAt(now) + float64(l.Burst()); left >= 1 {
		l.ReserveN(now, int(min(amount(l, n), left)))
	}
}

func observe(l *rate.Limiter, limit, remaining int64, reset time.Duration, now time.Time) *rate.Limiter {
	const most = 1 << 40 // no limit worth the name
	if limit <= 0 || limit > most {
		return l
	}
	perSecond, burst := rate.Limit(float64(limit)/60), int(limit)
	if l == nil {
		l = rate.NewLimiter(perSecond, burst)
	} else if l.Burst() != burst {
		l.SetLimitAt(now, perSecond)
		l.SetBurstAt(now, burst)
		if l.TokensAt(now) < -float64(burst) { // what was taken by a larger limit; by this one it would last for hours
			l = rate.NewLimiter(perSecond, burst)
			l.ReserveN(now, burst)
			l.ReserveN(now, burst)
		}
	}
	// Nothing left and no time when there will be: Azure has sent that without meaning it.
	if remaining < 0 || remaining == 0 && reset <= 0 {
		return l
	}
	if more := l.TokensAt(now) - float64(remaining); more >= 1 {
		l.ReserveN(now, min(int(more), burst))
	}
	return l
}
