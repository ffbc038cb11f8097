package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// errNoLimiter is how the database says that the buckets can't be used: with its own error inside.
var errNoLimiter = fmt.Errorf("tokens: %w: %w", db.ErrLimiterDown, &pgconn.PgError{Code: "42501", Message: "permission denied for table account_tokens"})

// limited lets the store answer for an account that always has messages waiting, at 10 per minute, whose limiter is
// down from time to time (in virtual time since the start).
func (e *engineTest) limited(down func(at time.Duration) bool) {
	const each = 6 * time.Second
	e.paces.Allow("a", 10, time.Minute)
	e.store.release = func(requests []db.Release) ([]db.Released, error) {
		released := idle(requests)
		for i, r := range requests {
			if !r.Bypass && down(e.store.elapsed()) {
				return nil, errNoLimiter
			}
			if r.Bypass {
				released[i].Count = r.Allowance
			} else {
				released[i].Count = 1
			}
			released[i].Waiting, released[i].Next = true, each
		}
		return released, nil
	}
}

// story is what the store was asked to release since the last time, in whole seconds.
func (e *engineTest) story() (story []string) {
	for _, call := range e.released() {
		call.at = call.at.Truncate(time.Second)
		line := call.String()
		story = append(story, line)
	}
	return story
}

func (e *engineTest) tells(want ...string) {
	e.Helper()
	if diff := cmp.Diff(want, e.story()); diff != "" {
		e.Errorf("releases (-want +got):\n%s", diff)
	}
}

// rate_limiter_down → bypass_with_warning: one retry after 2 s, then 30 s at the local pace, then the limiter again.
func TestBypassAndBack(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		e.limited(func(at time.Duration) bool { return at < 20*time.Second })
		pass(5 * time.Second)
		e.Look([]string{"a"})
		pass(time.Second)
		e.tells("5s a")
		if e.metric("huntaze_limiter_bypass") != 0 || strings.Contains(e.log.String(), "bypass") {
			e.Errorf("in bypass after one failure:\n%s", e.log)
		}
		pass(time.Second + 500*time.Millisecond)
		e.tells("7s a", "7s a bypass 1") // the retry, and without another pause the bypass
		if e.metric("huntaze_limiter_bypass") != 1 || strings.Count(e.log.String(), "bypass_with_warning") != 1 || !strings.Contains(e.log.String(), "level=WARN") {
			e.Errorf("the bypass is not told:\n%s", e.log)
		}
		pass(29 * time.Second)
		e.tells("13s a bypass 1", "19s a bypass 1", "25s a bypass 1", "31s a bypass 1")
		pass(12 * time.Second)
		e.tells("37s a", "43s a")
		if e.metric("huntaze_limiter_bypass") != 0 || !strings.Contains(e.log.String(), "trying the rate limiter again") {
			e.Errorf("still in bypass:\n%s", e.log)
		}
	})
}

// A limiter that is still down when the bypass ends gets no second retry. One that has worked since does.
func TestBypassGoesOn(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		e.limited(func(at time.Duration) bool { return at < 40*time.Second || at > 100*time.Second })
		e.Look([]string{"a"})
		pass(5 * time.Second)
		e.tells("0s a", "2s a", "2s a bypass 1")
		pass(25 * time.Second)
		e.tells("8s a bypass 1", "14s a bypass 1", "20s a bypass 1", "26s a bypass 1")
		pass(5 * time.Second)
		e.tells("32s a", "32s a bypass 1")
		pass(30 * time.Second)
		e.tells("38s a bypass 1", "44s a bypass 1", "50s a bypass 1", "56s a bypass 1", "1m2s a")
		pass(35 * time.Second)
		e.tells("1m8s a", "1m14s a", "1m20s a", "1m26s a", "1m32s a", "1m38s a")
		pass(8 * time.Second)
		e.tells("1m44s a", "1m46s a", "1m46s a bypass 1")
	})
}

func TestLimiterThatRecoversInTime(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		e.limited(func(at time.Duration) bool { return at < time.Second || at > 60*time.Second && at < 63*time.Second })
		e.Look([]string{"a"})
		pass(10 * time.Second)
		e.tells("0s a", "2s a", "8s a")
		pass(time.Minute)
		if log := e.log.String(); strings.Contains(log, "bypass") {
			e.Errorf("two failures with a success between them are no reason for a bypass:\n%s", log)
		}
	})
}

// A group that finds the limiter down does not look for the account to blame: one retry means one.
func TestLimiterDownIsNobodysFault(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		gate := make(chan struct{})
		e.store.release = func([]db.Release) ([]db.Released, error) {
			<-gate
			return nil, errNoLimiter
		}
		for _, user := range []string{"x", "y"} {
			e.Look([]string{user})
			synctest.Wait()
		}
		for i := range 50 {
			e.Look([]string{fmt.Sprint(i)})
		}
		synctest.Wait()
		close(gate)
		pass(time.Second)
		asked := 0
		calls := e.released()
		for _, call := range calls[2:] {
			asked += len(call.requests)
		}
		if len(calls) > 4 || asked != 50 { // two groups may share what waits
			e.Errorf("%d transactions into a limiter that is down, for %d accounts: %v", len(calls), asked, calls)
		}
	})
}

// A release of a bypass says nothing of the limiter, also when the bypass ends while it runs.
func TestBypassIsNoProofOfTheLimiter(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		e.limited(func(time.Duration) bool { return true })
		quick := e.store.release
		e.store.release = func(requests []db.Release) ([]db.Released, error) {
			if requests[0].Bypass {
				time.Sleep(31 * time.Second)
			}
			return quick(requests)
		}
		e.Look([]string{"a"})
		pass(40 * time.Second)
		e.tells("0s a", "2s a", "2s a bypass 1", "39s a", "39s a bypass 1")
	})
}

// In bypass the requests carry what the local pace allows, for each account its own, and nothing when it was used up.
func TestBypassAllowance(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		e.limited(func(time.Duration) bool { return true })
		e.Look([]string{"a"})
		pass(2500 * time.Millisecond)
		e.tells("0s a", "2s a", "2s a bypass 1")
		e.Look([]string{"b"}) // never sent for: a message a second
		synctest.Wait()
		e.tells("2s b bypass 1")
		if err := e.ReleaseDue(e.Context(), "a", time.Now()); err != nil {
			e.Error(err)
		}
		e.tells("2s a bypass 0")
		e.Look([]string{"b"})
		synctest.Wait()
		e.tells("2s b bypass 0")
		pass(1500 * time.Millisecond)
		e.Look([]string{"a", "b"})
		synctest.Wait()
		story := e.story()
		slices.Sort(story)
		if diff := cmp.Diff([]string{"4s a bypass 0", "4s b bypass 1"}, story); diff != "" {
			e.Errorf("releases (-want +got):\n%s", diff)
		}
	})
}

// An outcome does not wait for the limiter: the ledger's holds are written, the bucket learns of it later.
func TestFinishWithoutTheLimiter(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		e.store.finish = func(reports []db.Finish, tokens bool) ([]db.Finished, error) {
			if tokens {
				return nil, errNoLimiter
			}
			return []db.Finished{{Applied: true, Stage: workflow.StageSent, UserID: "b", Next: time.Minute}}, nil
		}
		done, err := e.Finish(e.Context(), sentReport(1))
		if err != nil || done.Stage != workflow.StageSent {
			e.Errorf("%+v, %v", done, err)
		}
		if tokens := e.finishTokens(); !slices.Equal(tokens, []bool{true, false}) {
			e.Errorf("finished with tokens %v, want once with and once without", tokens)
		}
		pass(2 * time.Minute)
		e.looks("b", 0, time.Minute)

		e.startBypass()
		if _, err := e.Finish(e.Context(), sentReport(2)); err != nil {
			e.Error(err)
		}
		if tokens := e.finishTokens(); !slices.Equal(tokens, []bool{false}) {
			e.Errorf("finished in bypass with tokens %v, want once without", tokens)
		}
	})
}

// startBypass leaves the engine in bypass.
func (e *engineTest) startBypass() {
	e.limited(func(time.Duration) bool { return true })
	e.Look([]string{"a"})
	pass(2500 * time.Millisecond)
	if !e.bypassed() {
		e.Fatalf("no bypass:\n%s", e.log)
	}
	e.released()
}

func (e *engineTest) finishTokens() (tokens []bool) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	for _, call := range e.store.finishes {
		tokens = append(tokens, call.tokens)
	}
	e.store.finishes = nil
	return tokens
}

func TestFinishFails(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		gone := errors.New("connection refused")
		e.store.finish = func([]db.Finish, bool) ([]db.Finished, error) { return nil, gone }
		if _, err := e.Finish(e.Context(), sentReport(1)); !errors.Is(err, gone) {
			e.Errorf("%v", err)
		}
		if tokens := e.finishTokens(); !slices.Equal(tokens, []bool{true}) {
			e.Errorf("finished with tokens %v: only a limiter that is down is worth a second try", tokens)
		}
		if got := e.metric("huntaze_send_outcomes_total"); got != 0 {
			e.Errorf("%v outcomes were counted", got)
		}
	})
}

func (e *engineTest) ingestReleases() (release []bool) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	for _, call := range e.store.ingests {
		release = append(release, call.release)
	}
	e.store.ingests = nil
	return release
}

// What comes from the queues is taken in whatever the limiter does: then it is only parked, and released as
// everything else is.
func TestIngestWithoutTheLimiter(t *testing.T) {
	for name, failure := range map[string]error{"limiter down": errNoLimiter, "failover": fmt.Errorf("fleet state: %w", db.ErrFailover)} {
		t.Run(name, func(t *testing.T) {
			withEngine(t, func(e *engineTest) {
				e.store.ingest = func(batch []workflow.Delivery, release bool) (db.IntakeResult, error) {
					if release {
						return db.IntakeResult{}, failure
					}
					result := accepted(batch)
					result.Released = []db.Released{parked("a"), parked("b")}
					return result, nil
				}
				answers, err := e.Ingest(e.Context(), make([]workflow.Delivery, 2))
				if err != nil || len(answers) != 2 || answers[1].Outcome != workflow.IntakeAccepted {
					e.Errorf("%v, %v", answers, err)
				}
				if release := e.ingestReleases(); !slices.Equal(release, []bool{true, false}) {
					e.Errorf("taken in with release %v, want once with and once without", release)
				}
				synctest.Wait()
				var looked []string
				for _, call := range e.released() {
					for _, r := range call.requests {
						looked = append(looked, r.UserID)
					}
				}
				slices.Sort(looked)
				if diff := cmp.Diff([]string{"a", "b"}, looked); diff != "" {
					e.Errorf("looked at (-want +got):\n%s", diff)
				}
				if adopted := e.store.adoptions; (adopted == 1) != errors.Is(failure, db.ErrFailover) || adopted > 1 {
					e.Errorf("the database was adopted %d times", adopted)
				}
			})
		})
	}
}

// The failure of an intake counts like that of a release.
func TestIngestCountsAsTheFirstFailure(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		e.limited(func(time.Duration) bool { return true })
		e.store.ingest = func(batch []workflow.Delivery, release bool) (db.IntakeResult, error) {
			if release {
				return db.IntakeResult{}, errNoLimiter
			}
			result := accepted(batch)
			result.Released = []db.Released{parked("a")}
			return result, nil
		}
		_, _ = e.Ingest(e.Context(), make([]workflow.Delivery, 1))
		pass(3 * time.Second)
		e.tells("0s a", "2s a", "2s a bypass 1")
		if _, err := e.Ingest(e.Context(), make([]workflow.Delivery, 1)); err != nil {
			e.Error(err)
		}
		if release := e.ingestReleases(); !slices.Equal(release, []bool{true, false, false}) {
			e.Errorf("taken in with release %v, want none of it in bypass", release)
		}
	})
}

// Intakes alone find out as well, when nothing is released meanwhile.
func TestIngestStartsTheBypass(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		e.store.ingest = func(batch []workflow.Delivery, release bool) (db.IntakeResult, error) {
			if release {
				return db.IntakeResult{}, errNoLimiter
			}
			return accepted(batch), nil
		}
		for range 4 {
			if _, err := e.Ingest(e.Context(), make([]workflow.Delivery, 1)); err != nil {
				e.Error(err)
			}
			pass(time.Second)
		}
		if release := e.ingestReleases(); !slices.Equal(release, []bool{true, false, true, false, true, false, false}) {
			e.Errorf("taken in with release %v, want the bypass from the third second on", release)
		}
	})
}

func TestIngestFails(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		gone := errors.New("connection refused")
		e.store.ingest = func([]workflow.Delivery, bool) (db.IntakeResult, error) { return db.IntakeResult{}, gone }
		if answers, err := e.Ingest(e.Context(), make([]workflow.Delivery, 2)); !errors.Is(err, gone) || answers != nil {
			e.Errorf("%v, %v", answers, err)
		}
		if release := e.ingestReleases(); !slices.Equal(release, []bool{true}) {
			e.Errorf("taken in with release %v: an outage is the caller's to wait for", release)
		}
		e.store.ingest = func([]workflow.Delivery, bool) (db.IntakeResult, error) {
			return db.IntakeResult{}, fmt.Errorf("%w, and the database with it: %w", db.ErrLimiterDown, gone)
		}
		if _, err := e.Ingest(e.Context(), make([]workflow.Delivery, 2)); !errors.Is(err, gone) {
			e.Errorf("the second try failed as well: %v", err)
		}
		pass(time.Hour)
		e.quiet()
	})
}

// A database that failed over is adopted, by whatever finds out first.
func TestFailoverIsAdopted(t *testing.T) {
	failover := fmt.Errorf("transaction: fleet state: %w", db.ErrFailover)
	for name, do := range map[string]func(e *engineTest) error{
		"begin": func(e *engineTest) error {
			e.store.begin = func([]db.Attempt) ([]db.Start, error) { return nil, failover }
			_, err := e.Begin(context.Background(), attempt(1))
			return err
		},
		"release": func(e *engineTest) error {
			e.store.release = func([]db.Release) ([]db.Released, error) { return nil, failover }
			return e.ReleaseDue(context.Background(), "a", time.Now())
		},
	} {
		t.Run(name, func(t *testing.T) {
			withEngine(t, func(e *engineTest) {
				e.store.adopt = func() (time.Time, error) { return time.Now().Add(time.Hour), nil }
				if err := do(e); !errors.Is(err, db.ErrFailover) {
					e.Errorf("nothing may begin: %v", err)
				}
				if e.store.adoptions != 1 {
					e.Errorf("adopted %d times", e.store.adoptions)
				}
				if log := e.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "nothing is sent until") {
					e.Errorf("the freeze is not told:\n%s", log)
				}
				e.store.adopt = func() (time.Time, error) { return time.Time{}, errors.New("read only") }
				_ = do(e)
				if log := e.log.String(); !strings.Contains(log, "could not be frozen") {
					e.Errorf("the failure is not told:\n%s", log)
				}
				if e.bypassed() {
					e.Error("a failover is no reason to do without the limiter")
				}
			})
		})
	}
}
