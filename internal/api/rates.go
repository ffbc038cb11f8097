package api

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// rates says how often each key may ask. Each process counts for itself: it protects the process, and is no promise.
type rates struct {
	limit rate.Limit
	burst int
	mu    sync.Mutex
	byKey map[string]*rate.Limiter
}

// ratesKept is how many keys are remembered before those are forgotten that have all their tokens again.
const ratesKept = 1000

func newRates(perSecond float64) *rates {
	return &rates{limit: rate.Limit(perSecond), burst: max(1, int(2*perSecond)), byKey: map[string]*rate.Limiter{}}
}

// take returns how long the key must wait; 0: it may go on.
func (r *rates) take(key string, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	limiter, known := r.byKey[key]
	if !known {
		r.forget(now)
		limiter = rate.NewLimiter(r.limit, r.burst)
		r.byKey[key] = limiter
	}
	reservation := limiter.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

func (r *rates) forget(now time.Time) {
	if len(r.byKey) < ratesKept {
		return
	}
	for key, limiter := range r.byKey {
		if limiter.TokensAt(now) >= float64(r.burst) {
			delete(r.byKey, key)
		}
	}
}
