package worker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/steplog"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// afterRelease sets the timers of accounts that were looked at together with an intake.
func (e *Engine) afterRelease(released []db.Released) {
	e.metrics.refused(released)
	for _, r := range released {
		e.noteRelease(r)
		if r.Waiting {
			e.timers.set(r.UserID, r.Next)
			e.goOn(r)
			e.setTokenTimer(r)
		}
		if r.Waiting && r.Next < 0 && r.NextToken < 0 { // it was only parked
			e.timers.set(r.UserID, 0)
		}
	}
}

// ReleaseDue implements jobs.Releaser: the durable wake-up of an account.
func (e *Engine) ReleaseDue(ctx context.Context, userID string, wakeAt time.Time) error {
	released, err := e.releases.do(ctx, db.Release{UserID: userID, WakeUps: []time.Time{wakeAt}})
	if err == nil && released.Count > 0 {
		steplog.Set(ctx, slog.Int(steplog.Messages, released.Count))
		steplog.Raise(ctx, slog.LevelInfo)
	}
	if err == nil && released.Waiting {
		e.setTokenTimer(released)
	}
	return err
}

// Look looks at accounts now, in the background.
func (e *Engine) Look(users []string) { e.look(users) }

func (e *Engine) look(users []string) {
	if e.stopped {
		return // the durable wake-up is another process', or this one's after its restart
	}
	for _, user := range users {
		e.background.Go(func() {
			released, err := e.releases.do(e.lifetime, db.Release{UserID: user})
			switch {
			case errors.Is(err, db.ErrLimiterDown) || errors.Is(err, jobs.ErrStopped) || e.lifetime.Err() != nil:
				return
			case err != nil: // logged where it happened; this timer is spent, and the durable one comes later
				e.timers.set(user, releaseRetry)
				return
			}
			// A timer may be a little early by the database's clock. Otherwise somebody else has taken what
			// came free, and the next return is theirs to look for.
			if released.Waiting && released.Count == 0 && released.NextToken >= 0 && released.NextToken < time.Second {
				e.timers.set(user, max(released.NextToken, time.Millisecond))
			}
		})
	}
}

// noteRelease tells of what a release found.
func (e *Engine) noteRelease(r db.Released) {
	e.metrics.looked(r)
	if r.Waiting && r.Unclear != nil {
		e.logger.Error("an account sends nothing because its quiet hours can't be read: set or clear them", "account", r.UserID, "error", r.Unclear)
	}
}

// goOn looks again at once where one release was not enough for all the tokens that are free.
func (e *Engine) goOn(r db.Released) {
	if r.Count > 0 && r.NextToken == 0 {
		e.timers.set(r.UserID, 0)
	}
}

// setTokenTimer looks again a little after the next token returns, in case that whoever ended its call is gone.
func (e *Engine) setTokenTimer(r db.Released) {
	if r.NextToken >= 0 {
		e.timers.set(r.UserID, r.NextToken+otherProcessLag)
	}
}

func (e *Engine) releaseAll(ctx context.Context, requests []db.Release) ([]db.Released, error) {
	begin := time.Now()
	merged, index := mergeReleases(requests)
	bypass := e.bypassed()
	if bypass {
		for i := range merged {
			merged[i].Bypass, merged[i].Allowance = true, e.paces.allowance(merged[i].UserID)
		}
	}
	released, err := e.store.Release(ctx, merged)
	e.metrics.transaction("release", len(merged), begin, err)
	switch {
	case errors.Is(err, db.ErrFailover):
		e.adopt(ctx)
	case errors.Is(err, db.ErrLimiterDown):
		e.suspect(err)
		again := e.limiterDown.Delay
		if !bypass && e.bypassed() {
			again = 0 // that was the retry: now without the limiter
		}
		for _, r := range merged {
			e.timers.set(r.UserID, again)
		}
	case err != nil:
		e.logger.Error("release failed", "accounts", len(merged), "error", err)
	case !bypass:
		e.trust()
	}
	if err != nil {
		return nil, err
	}
	e.metrics.refused(released)
	answers := make([]db.Released, len(requests))
	for _, r := range released {
		for _, i := range index[r.UserID] {
			answers[i] = r
		}
		e.noteRelease(r)
		if bypass {
			e.paces.spend(r.UserID, r.Count, begin)
		}
		if r.Waiting {
			e.timers.set(r.UserID, r.Next)
			e.goOn(r)
		}
	}
	return answers, nil
}

// mergeReleases makes one request of all that a group has for an account.
func mergeReleases(requests []db.Release) ([]db.Release, map[string][]int) {
	var merged []db.Release
	at, index := map[string]int{}, map[string][]int{}
	for i, r := range requests {
		index[r.UserID] = append(index[r.UserID], i)
		if j, twice := at[r.UserID]; twice {
			merged[j].WakeUps = slices.Concat(merged[j].WakeUps, r.WakeUps)
			continue
		}
		at[r.UserID] = len(merged)
		merged = append(merged, r)
	}
	return merged, index
}
