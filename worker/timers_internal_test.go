package worker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pass lets virtual time go by and everything happen that is due by then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// woken is what timers did, with the time since the start of the test.
type woken struct {
	mu    sync.Mutex
	start time.Time
	calls []wakeCall
	then  func(users []string)
}

type wakeCall struct {
	at    time.Duration
	users []string
}

func startTimers() (*timers, *woken) {
	w := &woken{start: time.Now()}
	return newTimers(w.now, w.wake), w
}

func (w *woken) now() time.Duration { return time.Since(w.start) }

func (w *woken) wake(users []string) {
	w.mu.Lock()
	w.calls = append(w.calls, wakeCall{w.now(), slices.Sorted(slices.Values(users))})
	w.mu.Unlock()
	if w.then != nil {
		w.then(users)
	}
}

// of lists when a user was woken.
func (w *woken) of(user string) (times []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, call := range w.calls {
		for _, u := range call.users {
			if u == user {
				times = append(times, call.at)
			}
		}
	}
	return times
}

// once says that the user was woken once, after the delay, and no later than the coarseness allows.
func (w *woken) once(t *testing.T, user string, set, delay time.Duration) {
	t.Helper()
	times := w.of(user)
	if len(times) != 1 || times[0] < set+delay || times[0] > set+delay+delay/500 {
		t.Errorf("%s was woken at %v, want once between %s and %s", user, times, set+delay, set+delay+delay/500)
	}
}

func TestTimersOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timers, w := startTimers()
		defer timers.close()
		for user, delay := range map[string]time.Duration{"c": 3 * time.Second, "a": time.Second, "d": time.Hour, "b": 2 * time.Second} {
			timers.set(user, delay)
		}
		pass(2 * time.Hour)
		w.once(t, "a", 0, time.Second)
		w.once(t, "b", 0, 2*time.Second)
		w.once(t, "c", 0, 3*time.Second)
		w.once(t, "d", 0, time.Hour)
		var order []string
		for _, call := range w.calls {
			order = append(order, call.users...)
		}
		if diff := cmp.Diff([]string{"a", "b", "c", "d"}, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestTimersAtOnceAndNever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timers, w := startTimers()
		defer timers.close()
		pass(time.Minute)
		timers.set("now", 0)
		timers.set("never", -1)
		timers.set("never", -time.Hour)
		synctest.Wait()
		w.once(t, "now", time.Minute, 0)
		pass(24 * time.Hour)
		if times := w.of("never"); times != nil {
			t.Errorf("a negative delay woke at %v", times)
		}
		w.once(t, "now", time.Minute, 0)
	})
}

// The loop sleeps until the earliest: one that is earlier must interrupt it.
func TestTimersEarlierThanTheEarliest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timers, w := startTimers()
		defer timers.close()
		delays := []time.Duration{time.Hour, time.Minute, 10 * time.Second, time.Second, 100 * time.Millisecond, time.Millisecond}
		for i, delay := range delays {
			timers.set(strconv.Itoa(i), delay)
			synctest.Wait()
		}
		pass(2 * time.Hour)
		for i, delay := range delays {
			w.once(t, strconv.Itoa(i), 0, delay)
		}
	})
}

func TestTimersSameTimeTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timers, w := startTimers()
		defer timers.close()
		for range 5 {
			timers.set("a", time.Minute)
			timers.set("b", time.Minute)
		}
		pass(time.Hour)
		w.once(t, "a", 0, time.Minute)
		w.once(t, "b", 0, time.Minute)
		if len(w.calls) != 1 {
			t.Errorf("two accounts at the same time were woken in %d calls", len(w.calls))
		}
		timers.set("a", time.Minute) // what has been may be set again
		pass(time.Hour)
		if times := w.of("a"); len(times) != 2 {
			t.Errorf("set again after it was woken: %v", times)
		}
	})
}

// Tokens that return within a five-hundredth of their window are woken for together.
func TestTimersCoarseness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timers, w := startTimers()
		defer timers.close()
		const window, step = 60 * time.Second, 120 * time.Millisecond
		for i := range 10 { // within one step, which begins at 0
			timers.set("a", window)
			timers.set(fmt.Sprint("other ", i), window)
			pass(step/10 - 1)
		}
		pass(2 * window)
		if times := w.of("a"); !slices.Equal(times, []time.Duration{window + step}) {
			t.Errorf("ten tokens within a step were woken for at %v, want once at %s", times, window+step)
		}
		if len(w.calls) != 1 || len(w.calls[0].users) != 11 {
			t.Errorf("calls: %v", w.calls)
		}
	})
}

func TestTimersSetWhileWaking(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timers, w := startTimers()
		defer timers.close()
		rounds := 0
		w.then = func([]string) {
			if rounds++; rounds < 10 {
				timers.set("again", time.Second)
			}
		}
		timers.set("again", time.Second)
		pass(time.Minute)
		if times := w.of("again"); len(times) != 10 || times[9] < 10*time.Second || times[9] > 10*(time.Second+2*time.Millisecond) {
			t.Errorf("woken at %v", times)
		}
	})
}

func TestTimersClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timers, w := startTimers()
		timers.set("a", time.Second)
		timers.set("b", time.Minute)
		pass(2 * time.Second)
		timers.close()
		timers.set("c", time.Second)
		pass(time.Hour)
		w.once(t, "a", 0, time.Second)
		if len(w.calls) != 1 {
			t.Errorf("woken after the close: %v", w.calls)
		}
	}) // the bubble fails if a goroutine is left
}

// A hundred thousand accounts wait: each is woken once, not before its time and not late.
func TestTimersMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timers, w := startTimers()
		defer timers.close()
		const count = 100_000
		random := rand.New(rand.NewPCG(1, 1))
		set, delays := make([]time.Duration, count), make([]time.Duration, count)
		for i := range count {
			if i%1000 == 0 {
				pass(time.Duration(random.Int64N(int64(time.Second))))
			}
			set[i], delays[i] = w.now(), time.Duration(random.Int64N(int64(2*time.Minute)))
			timers.set(strconv.Itoa(i), delays[i])
		}
		pass(time.Hour)
		seen := make([]int, count)
		for _, call := range w.calls {
			for _, user := range call.users {
				i, err := strconv.Atoi(user)
				if err != nil {
					t.Fatal(err)
				}
				seen[i]++
				if due := set[i] + delays[i]; call.at < due || call.at > due+delays[i]/500 {
					t.Fatalf("a timer of %s set at %s woke at %s", delays[i], set[i], call.at)
				}
			}
		}
		for i, n := range seen {
			if n != 1 {
				t.Fatalf("timer %d woke %d times", i, n)
			}
		}
		if len(timers.due) != 0 || len(timers.pending) != 0 {
			t.Errorf("%d and %d are remembered after all have been woken", len(timers.due), len(timers.pending))
		}
	})
}
