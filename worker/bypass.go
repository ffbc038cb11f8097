package worker

import (
	"time"
)

// bypassed says whether this process works without the limiter now.
func (e *Engine) bypassed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.bypassEnds != 0 && e.now() >= e.bypassEnds {
		e.bypassEnds = 0
		e.suspicion, e.retries = max(e.now()-e.limiterDown.Delay, 1), max(e.limiterDown.MaxRetries-1, 0) // one failure more is enough
		e.logger.Info("trying the rate limiter again")
	}
	e.metrics.bypass(e.bypassEnds != 0)
	return e.bypassEnds != 0
}

// suspect notes that the limiter failed. When it still does after its retries, the bypass begins.
func (e *Engine) suspect(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	switch {
	case e.bypassEnds != 0:
		return
	case e.suspicion != 0 && now-e.suspicion < e.limiterDown.Delay-50*time.Millisecond:
		return // the same failure, seen by another transaction
	case e.suspicion != 0:
		e.retries++
	}
	e.suspicion = max(now, 1)
	if e.retries < e.limiterDown.MaxRetries {
		e.logger.Warn("the rate limiter does not answer; it is tried again", "in", e.limiterDown.Delay, "retry", e.retries+1, "of", e.limiterDown.MaxRetries, "error", err)
		return
	}
	e.bypassEnds, e.retries = now+bypassFor, 0
	e.metrics.bypasses.WithLabelValues().Inc()
	e.logger.Warn("bypass_with_warning: sending at a local pace; the ledger still refuses what exceeds the limit", "for", bypassFor, "error", err)
}

func (e *Engine) trust() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.suspicion, e.retries = 0, 0
}
