package worker

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A strict flow takes a token only a window after the call that had it has ended, or at once when that call
// never left. The guard must let all of it through: it exists for flows that are not strict.
func TestGuardLetsAStrictFlowThrough(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		capacity               int
		window, guard, latency time.Duration
		notSent                float64
		idle                   time.Duration
	}{
		{10, time.Minute, 500 * time.Millisecond, 400 * time.Millisecond, 0, 0},
		{10, time.Minute, 0, 0, 0, 0}, // nothing to spare at all
		{7, time.Minute, 0, 0, 0, 0},  // a rate that is no whole number
		{1, time.Minute, 0, 0, 0, 0},
		{4096, time.Second, 0, 0, 0, 0},
		{3, 10 * time.Millisecond, 0, time.Millisecond, 0, 0},
		{10, time.Minute, 0, 3 * time.Minute, 0, 0},
		{10, time.Minute, 0, 400 * time.Millisecond, 0.3, 0}, // stale connections: the token goes to the next at once
		{10, time.Minute, 0, 0, 0.5, time.Minute},
		{10, 24 * time.Hour, 0, time.Second, 0.1, time.Hour},
	} {
		t.Run(fmt.Sprintf("%d in %s, guard %s, latency %s, %g not sent, idle %s", test.capacity, test.window, test.guard, test.latency, test.notSent, test.idle), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(1, uint64(test.capacity)))
				p := newPaces()
				free := &returns{}
				for range test.capacity {
					heap.Push(free, time.Now())
				}
				for sends := 0; sends < 200*min(test.capacity, 50); sends++ {
					at := heap.Pop(free).(time.Time)
					if test.idle > 0 && random.IntN(20) == 0 {
						at = at.Add(time.Duration(random.Int64N(int64(test.idle))))
					}
					time.Sleep(time.Until(at))
					if !p.Allow("account", test.capacity, test.window) {
						t.Fatalf("send %d was refused at %s", sends, time.Now())
					}
					if random.Float64() < test.notSent {
						p.Return("account")
						heap.Push(free, time.Now())
						continue
					}
					ended := time.Now()
					if test.latency > 0 {
						ended = ended.Add(time.Duration(random.Int64N(int64(test.latency))))
					}
					heap.Push(free, ended.Add(test.window+test.guard))
				}
			})
		})
	}
}

// returns is a heap of the times at which tokens are free again.
type returns []time.Time

func (r returns) Len() int           { return len(r) }
func (r returns) Less(i, j int) bool { return r[i].Before(r[j]) }
func (r returns) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *returns) Push(x any)        { *r = append(*r, x.(time.Time)) }
func (r *returns) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

func TestGuardRefusesWhatIsNotStrict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPaces()
		allowed := func() (n int) {
			for p.Allow("account", 10, time.Minute) {
				n++
			}
			return n
		}
		if n := allowed(); n != 10 {
			t.Errorf("%d at once, want 10", n)
		}
		time.Sleep(6*time.Second - time.Nanosecond)
		if p.Allow("account", 10, time.Minute) {
			t.Error("one more before a tenth of the window has passed")
		}
		time.Sleep(time.Nanosecond)
		if n := allowed(); n != 1 {
			t.Errorf("%d after a tenth of the window, want 1", n)
		}
		if !p.Allow("another account", 10, time.Minute) {
			t.Error("accounts are not told apart")
		}
		for range 100 {
			p.Return("account")
		}
		if n := allowed(); n != 10 {
			t.Errorf("%d after more were returned than taken, want 10", n)
		}
		p.Return("an unknown account")
	})
}

func TestGuardOfAChangedRuleStartsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPaces()
		for _, rule := range []struct {
			capacity int
			window   time.Duration
		}{{3, time.Minute}, {2, time.Minute}, {5, time.Minute}, {5, time.Hour}, {5, time.Minute}} {
			n := 0
			for n < 100 && p.Allow("account", rule.capacity, rule.window) {
				n++
			}
			if n != rule.capacity {
				t.Errorf("%d at once under %d in %s", n, rule.capacity, rule.window)
			}
		}
	})
}

func TestGuardWithoutALimit(t *testing.T) {
	t.Parallel()
	p := newPaces()
	for range 10_000 {
		if !p.Allow("account", 0, time.Minute) || !p.Allow("account", 10, 0) {
			t.Fatal("refused where there is no limit")
		}
	}
	if len(p.accounts) != 0 {
		t.Errorf("%d accounts are remembered for nothing", len(p.accounts))
	}
}

func TestPacesAreBounded(t *testing.T) {
	t.Parallel()
	for name, touch := range map[string]func(p *paces, user string){
		"guard":  func(p *paces, user string) { p.Allow(user, 10, time.Minute) },
		"bypass": func(p *paces, user string) { p.allowance(user) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPaces()
			for i := range 2*pacesMost + 10 {
				touch(p, strconv.Itoa(i))
				if len(p.accounts) > pacesMost {
					t.Fatalf("%d accounts are remembered, at most %d are allowed", len(p.accounts), pacesMost)
				}
			}
		})
	}
	t.Run("an account that is known already costs nobody anything", func(t *testing.T) {
		t.Parallel()
		p := newPaces()
		for i := range pacesMost {
			p.Allow(strconv.Itoa(i), 10, time.Minute)
		}
		p.Allow("7", 20, time.Minute)
		if len(p.accounts) != pacesMost {
			t.Errorf("%d accounts are left after one rule changed", len(p.accounts))
		}
	})
}

func TestBypassPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPaces()
		expect := func(when string, want int) {
			t.Helper()
			if got := p.allowance("account"); got != want {
				t.Errorf("%s: %d may go, want %d", when, got, want)
			}
		}
		p.spend("account", 1, time.Now()) // unknown: nothing happens
		expect("at first", 1)
		p.spend("account", 0, time.Now())
		expect("nothing was sent", 1)
		p.spend("account", 1, time.Now())
		expect("one was sent", 0)
		time.Sleep(bypassFirst - time.Microsecond - time.Nanosecond)
		expect("before its turn", 0)
		time.Sleep(time.Microsecond + time.Nanosecond)
		expect("at its turn", 1)
		time.Sleep(time.Hour)
		expect("after a long rest", 1)

		p.spend("account", 1, time.Now())
		p.Allow("account", 10, time.Minute) // the first call tells the rule
		expect("the rule is known: no second first message", 0)
		time.Sleep(6*time.Second - 10*time.Microsecond)
		expect("the pace is the rule's", 0)
		time.Sleep(10 * time.Microsecond)
		expect("after a tenth of the window", 1)

		p.spend("account", 1, time.Now()) // two transactions at once saw the same allowance
		p.spend("account", 1, time.Now())
		time.Sleep(6 * time.Second)
		expect("the second of two is still owed", 0)
		time.Sleep(6 * time.Second)
		expect("and paid", 1)

		began := time.Now()
		time.Sleep(2 * time.Second) // a slow transaction: the time counts from when it looked
		p.spend("account", 1, began)
		time.Sleep(4 * time.Second)
		expect("a tenth of the window after the request began", 1)
	})
}

// An account in bypass keeps its pace in the long run: as many as the rule allows, evenly.
func TestBypassKeepsTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPaces()
		for capacity := 1; capacity <= 100; capacity++ {
			p.Allow("account", capacity, time.Minute)
			time.Sleep(time.Minute)
			sent := 0
			for range 10 * capacity { // a look each time that a message may go, to the nanosecond
				n := p.allowance("account")
				p.spend("account", n, time.Now())
				sent += n
				time.Sleep(time.Minute / time.Duration(capacity))
			}
			if sent != 10*capacity {
				t.Errorf("%d in ten minutes at %d per minute", sent, capacity)
			}
		}
	})
}

func TestPacesAtOnce(t *testing.T) {
	t.Parallel()
	p := newPaces()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 500 {
				user := strconv.Itoa((i + j) % 10)
				p.Allow(user, 1+j%3, time.Minute)
				p.spend(user, p.allowance(user), time.Now())
				p.Return(user)
			}
		})
	}
	all.Wait()
}
