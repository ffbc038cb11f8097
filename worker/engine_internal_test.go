package worker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// What the engine is to others.
var (
	_ jobs.Ledger   = (*Engine)(nil)
	_ jobs.Releaser = (*Engine)(nil)
	_ queue.Store   = (*Engine)(nil)
	_ jobs.Guard    = (*paces)(nil)
)

func attempt(n int) db.Attempt { return db.Attempt{Workflow: uuid.UUID{15: byte(n)}, Sequence: n} }

func sentReport(n int) db.Finish {
	return db.Finish{Attempt: attempt(n), Fence: 7, Outcome: workflow.EventAccepted}
}

func TestEngineHandsThrough(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		start, err := e.Begin(e.Context(), attempt(5))
		if err != nil || start.Fence != 5 {
			e.Errorf("begin: %+v, %v", start, err)
		}
		e.store.finish = func([]db.Finish, bool) ([]db.Finished, error) {
			return []db.Finished{{Applied: true, Stage: workflow.StageSent, Next: -1, Elapsed: time.Second}}, nil
		}
		done, err := e.Finish(e.Context(), sentReport(5))
		if err != nil || done.Stage != workflow.StageSent {
			e.Errorf("finish: %+v, %v", done, err)
		}
		e.store.apply = func([]db.Apply) ([]db.Applied, error) {
			return []db.Applied{{Changed: true, Stage: workflow.StageCancelled, Next: -1}}, nil
		}
		event := db.Apply{Workflow: uuid.UUID{1}, Event: workflow.EventCancelled}
		applied, err := e.Apply(e.Context(), event)
		if err != nil || applied.Stage != workflow.StageCancelled {
			e.Errorf("apply: %+v, %v", applied, err)
		}
		answers, err := e.Ingest(e.Context(), make([]workflow.Delivery, 3))
		if err != nil || len(answers) != 3 {
			e.Errorf("ingest: %v, %v", answers, err)
		}
		e.store.ping = errors.New("gone")
		if err := e.Ping(e.Context()); !errors.Is(err, e.store.ping) {
			e.Errorf("ping: %v", err)
		}
		if diff := cmp.Diff([][]db.Attempt{{attempt(5)}}, e.store.begins); diff != "" {
			e.Errorf("begins (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]finishCall{{reports: []db.Finish{sentReport(5)}, tokens: true}}, e.store.finishes, cmp.AllowUnexported(finishCall{})); diff != "" {
			e.Errorf("finishes (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([][]db.Apply{{event}}, e.store.applies); diff != "" {
			e.Errorf("applies (-want +got):\n%s", diff)
		}
		for name, want := range map[string]float64{"huntaze_send_outcomes_total": 1, "huntaze_message_duration_seconds": 1,
			"huntaze_intake_messages_total": 3, "huntaze_transactions_total": 4, "huntaze_limiter_bypass": 0} {
			if got := e.metric(name); got != want {
				e.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	})
}

// What the reconciler settles for processes that are gone is counted, whatever else failed in its pass.
func TestEngineCountsWhatTheReconcilerSettles(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		e.store.reconciled = db.Reconciled{Expired: 2, Abandoned: 3, Unwoken: 4}
		if done, err := e.Reconcile(e.Context()); err != nil || done != e.store.reconciled {
			e.Errorf("%+v, %v", done, err)
		}
		if got := e.metric("huntaze_send_outcomes_total"); got != 5 {
			e.Errorf("%v outcomes were counted, want 5", got)
		}
	})
}

// A report that came too late changes nothing: neither a metric nor a timer.
func TestEngineIgnoresWhatWasNotApplied(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		e.store.finish = func([]db.Finish, bool) ([]db.Finished, error) {
			return []db.Finished{{UserID: "a", Next: time.Second}}, nil
		}
		e.store.apply = func([]db.Apply) ([]db.Applied, error) {
			return []db.Applied{{UserID: "a", Next: time.Second}}, nil
		}
		_, _ = e.Finish(e.Context(), sentReport(1))
		_, _ = e.Apply(e.Context(), db.Apply{})
		pass(time.Hour)
		e.quiet()
		if got := e.metric("huntaze_send_outcomes_total"); got != 0 {
			e.Errorf("%v outcomes were counted", got)
		}
	})
}

func TestEngineTimers(t *testing.T) {
	const minute = time.Minute
	released := func(r db.Released) func([]db.Release) ([]db.Released, error) {
		first := true
		return func(requests []db.Release) ([]db.Released, error) {
			if first {
				first = false
				return []db.Released{r}, nil
			}
			return idle(requests), nil
		}
	}
	ingested := func(r db.Released) func(*engineTest) {
		return func(e *engineTest) {
			e.store.ingest = func(batch []workflow.Delivery, _ bool) (db.IntakeResult, error) {
				result := accepted(batch)
				result.Released = []db.Released{r}
				return result, nil
			}
			_, _ = e.Ingest(e.Context(), make([]workflow.Delivery, 1))
		}
	}
	for name, test := range map[string]struct {
		do    func(e *engineTest)
		delay time.Duration // of the look that follows; negative: none
	}{
		"a finished call: when its token returns": {func(e *engineTest) {
			e.store.finish = func([]db.Finish, bool) ([]db.Finished, error) {
				return []db.Finished{{Applied: true, UserID: "a", Next: minute}}, nil
			}
			_, _ = e.Finish(e.Context(), sentReport(1))
		}, minute},
		"a finished call, nothing waits": {func(e *engineTest) {
			e.store.finish = func([]db.Finish, bool) ([]db.Finished, error) {
				return []db.Finished{{Applied: true, UserID: "a", Next: -1}}, nil
			}
			_, _ = e.Finish(e.Context(), sentReport(1))
		}, -1},
		"a text is ready": {func(e *engineTest) {
			e.store.apply = func([]db.Apply) ([]db.Applied, error) {
				return []db.Applied{{Changed: true, UserID: "a", Next: 0}}, nil
			}
			_, _ = e.Apply(e.Context(), db.Apply{})
		}, 0},
		"taken in, the rest waits for a schedule":        {ingested(db.Released{UserID: "a", Waiting: true, Next: minute, NextToken: -1}), minute},
		"taken in, the rest waits for a token":           {ingested(db.Released{UserID: "a", Waiting: true, Next: -1, NextToken: minute}), minute + otherProcessLag},
		"taken in, only parked":                          {ingested(parked("a")), 0},
		"taken in, everything went":                      {ingested(db.Released{UserID: "a", Count: 3, Next: -1, NextToken: -1}), -1},
		"the durable wake-up, the rest waits for a time": {dueRelease(released(db.Released{UserID: "a", Waiting: true, Next: minute, NextToken: -1})), minute},
		"the durable wake-up, the rest waits for a token": {dueRelease(released(db.Released{UserID: "a", Waiting: true, Count: 10, Next: -1, NextToken: minute})),
			minute + otherProcessLag},
		"the durable wake-up, nothing waits": {dueRelease(released(db.Released{UserID: "a", Count: 10, Next: -1, NextToken: -1})), -1},
		// Whoever ends the calls looks when their tokens return.
		"a look that took what was free":                   {lookRelease(released(db.Released{UserID: "a", Waiting: true, Count: 1, Next: -1, NextToken: 10 * time.Millisecond})), -1},
		"a look that came a little early":                  {lookRelease(released(db.Released{UserID: "a", Waiting: true, Next: -1, NextToken: 10 * time.Millisecond})), 10 * time.Millisecond},
		"a look that came hardly early":                    {lookRelease(released(db.Released{UserID: "a", Waiting: true, Next: -1, NextToken: 0})), time.Millisecond},
		"a look after somebody else took what was free":    {lookRelease(released(db.Released{UserID: "a", Waiting: true, Next: -1, NextToken: minute})), -1},
		"a look at a message that waits for its recipient": {lookRelease(released(db.Released{UserID: "a", Waiting: true, Next: minute, NextToken: -1})), minute},
	} {
		t.Run(name, func(t *testing.T) {
			withEngine(t, func(e *engineTest) {
				pass(5 * time.Second)
				set := e.store.elapsed()
				test.do(e)
				pass(time.Hour)
				if test.delay < 0 {
					e.quiet()
				} else {
					e.looks("a", set, test.delay)
				}
			})
		})
	}
}

func dueRelease(answer func([]db.Release) ([]db.Released, error)) func(*engineTest) {
	return func(e *engineTest) {
		e.store.release = answer
		if err := e.ReleaseDue(e.Context(), "a", time.Now()); err != nil {
			e.Error(err)
		}
		e.looks("a", e.store.elapsed(), 0)
	}
}

func lookRelease(answer func([]db.Release) ([]db.Released, error)) func(*engineTest) {
	return func(e *engineTest) {
		e.store.release = answer
		e.Look([]string{"a"})
		synctest.Wait()
		e.looks("a", e.store.elapsed(), 0)
	}
}

// What one transaction can't carry follows in the next, at once.
func TestEngineLooksAgainForTheRest(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		left := 250
		e.store.release = func([]db.Release) ([]db.Released, error) {
			count := min(left, 100)
			left -= count
			next := time.Duration(-1)
			if left > 0 {
				next = 0
			}
			return []db.Released{{UserID: "a", Count: count, Waiting: left > 0, Next: next, NextToken: -1}}, nil
		}
		e.Look([]string{"a"})
		synctest.Wait()
		if calls := e.released(); len(calls) != 3 || left != 0 || calls[2].at != 0 {
			e.Errorf("%d are left after %v", left, calls)
		}
	})
}

// Everything that waits for the database at the same time shares a transaction, an account in it is one request,
// and every caller gets the answer.
func TestEngineMergesReleases(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		gate := make(chan struct{})
		e.store.release = func(requests []db.Release) ([]db.Released, error) {
			<-gate
			released := idle(requests)
			for i := range released {
				released[i].Count, released[i].Waiting, released[i].NextToken = 10, true, time.Hour
			}
			return released, nil
		}
		e.Look([]string{"busy 1"})
		synctest.Wait()
		e.Look([]string{"busy 2"})
		synctest.Wait()
		wakeUps := []time.Time{time.Now().Add(time.Minute), time.Now().Add(2 * time.Minute), time.Now().Add(3 * time.Minute)}
		errs := make(chan error, 3)
		for _, at := range wakeUps {
			go func() { errs <- e.ReleaseDue(e.Context(), "a", at) }()
			synctest.Wait()
		}
		e.Look([]string{"b", "a"})
		synctest.Wait()
		close(gate)
		synctest.Wait()
		for range wakeUps {
			if err := <-errs; err != nil {
				e.Error(err)
			}
		}
		calls := e.released()
		if len(calls) != 3 {
			e.Fatalf("releases %v, want the two that kept the engine busy and one for the rest", calls)
		}
		merged := calls[2].requests
		slices.SortFunc(merged, func(x, y db.Release) int { return strings.Compare(x.UserID, y.UserID) })
		if diff := cmp.Diff([]db.Release{{UserID: "a", WakeUps: wakeUps}, {UserID: "b"}}, merged); diff != "" {
			e.Errorf("the shared release (-want +got):\n%s", diff)
		}
		if got := e.metric("huntaze_released_messages_total"); got != 40 {
			e.Errorf("%v messages were counted as released, want 10 of each of 4 accounts", got)
		}
		pass(2 * time.Hour) // all three callers got the answer: they agree on one timer
		e.looks("a", 0, time.Hour+otherProcessLag)
	})
}

func TestEngineAnswersEveryCaller(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		e.store.release = func(requests []db.Release) ([]db.Released, error) {
			released := idle(requests)
			for i := range released {
				released[i].Count = len(released[i].UserID)
			}
			slices.Reverse(released) // the database answers in its own order
			return released, nil
		}
		answers, err := e.releaseAll(e.Context(), []db.Release{{UserID: "a"}, {UserID: "bb"}, {UserID: "a"}, {UserID: "ccc"}, {UserID: "bb"}})
		if err != nil {
			e.Fatal(err)
		}
		var counts []int
		for _, a := range answers {
			counts = append(counts, a.Count)
		}
		if !slices.Equal(counts, []int{1, 2, 1, 3, 2}) {
			e.Errorf("answers %v", answers)
		}
	})
}

func TestMergeReleases(t *testing.T) {
	t.Parallel()
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	room := make([]time.Time, 1, 4) // appending in place would change what the caller has
	room[0] = at(1)
	requests := []db.Release{{UserID: "a", WakeUps: room}, {UserID: "b"}, {UserID: "a"}, {UserID: "a", WakeUps: []time.Time{at(2), at(3)}}, {UserID: "b", WakeUps: []time.Time{at(4)}}}
	merged, index := mergeReleases(requests)
	if diff := cmp.Diff([]db.Release{{UserID: "a", WakeUps: []time.Time{at(1), at(2), at(3)}}, {UserID: "b", WakeUps: []time.Time{at(4)}}}, merged); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]int{"a": {0, 2, 3}, "b": {1, 4}}, index); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	if len(requests[0].WakeUps) != 1 || !room[:4][1].IsZero() {
		t.Error("the caller's list was changed")
	}
}

// An account that the database does not know gets no answer of its own: nobody waits for one.
func TestEngineUnknownAccount(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		e.store.release = func([]db.Release) ([]db.Released, error) { return nil, nil }
		if err := e.ReleaseDue(e.Context(), "nobody", time.Now()); err != nil {
			e.Error(err)
		}
		e.Look([]string{"nobody"})
		pass(time.Hour)
		if calls := e.released(); len(calls) != 2 {
			e.Errorf("releases %v", calls)
		}
	})
}

// The database is gone: the callers are told, and the durable wake-up does the rest.
func TestEngineReleaseFails(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		gone := errors.New("connection refused")
		e.store.release = func([]db.Release) ([]db.Released, error) { return nil, gone }
		if err := e.ReleaseDue(e.Context(), "a", time.Now()); !errors.Is(err, gone) {
			e.Errorf("%v", err)
		}
		e.released()
		pass(time.Hour)
		e.quiet()
		if log := e.log.String(); strings.Count(log, "release failed") != 1 {
			e.Errorf("log:\n%s", log)
		}
	})
}

// One account whose release the database refuses does not keep the others of its group from theirs.
func TestEngineReleaseRefusedForOne(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		gate := make(chan struct{})
		e.store.release = func(requests []db.Release) ([]db.Released, error) {
			<-gate
			if slices.ContainsFunc(requests, func(r db.Release) bool { return r.UserID == "bad" }) {
				return nil, &pgconn.PgError{Code: "23514"}
			}
			return idle(requests), nil
		}
		e.Look([]string{"busy 1"})
		synctest.Wait()
		e.Look([]string{"busy 2"})
		synctest.Wait()
		users := []string{"a", "b", "bad", "c", "d"}
		errs := make([]error, len(users))
		for i, user := range users {
			go func() { errs[i] = e.ReleaseDue(e.Context(), user, time.Now()) }()
			synctest.Wait()
		}
		close(gate)
		synctest.Wait()
		for i, user := range users {
			if (errs[i] != nil) != (user == "bad") {
				e.Errorf("%s: %v", user, errs[i])
			}
		}
	})
}

// A call for which everything is written but the answer is still heard of after the engine was told to end.
func TestEngineClose(t *testing.T) {
	withEngine(t, func(e *engineTest) {
		gate := make(chan struct{})
		e.store.finish = func(reports []db.Finish, _ bool) ([]db.Finished, error) {
			<-gate
			return make([]db.Finished, len(reports)), nil
		}
		errs := make([]error, 4)
		ended := make([]bool, len(errs))
		for i := range errs { // two transactions run, two requests wait
			go func() {
				_, errs[i] = e.Finish(context.Background(), sentReport(i))
				ended[i] = true
			}()
			synctest.Wait()
		}
		e.timers.set("a", time.Minute)
		closed := false
		go func() { e.Engine.Close(); closed = true }()
		synctest.Wait()
		if closed {
			e.Error("closed while transactions run")
		}
		close(gate)
		synctest.Wait()
		if !closed {
			e.Error("not closed after the transactions have ended")
		}
		for i, err := range errs {
			if running := i < 2; !ended[i] || running && err != nil || !running && !errors.Is(err, jobs.ErrStopped) {
				e.Errorf("report %d: ended %v, %v", i, ended[i], err)
			}
		}
		if _, err := e.Begin(context.Background(), attempt(1)); !errors.Is(err, jobs.ErrStopped) {
			e.Errorf("begin after the close: %v", err)
		}
		pass(time.Hour)
		e.quiet()
		e.closed = true
	})
}
