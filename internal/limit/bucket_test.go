package limit_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// at is a time some milliseconds after the start.
func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

// use is one token of one rule that is taken until a time.
type use struct{ rule, slot, freeAt int }

func bucketOf(rules limit.Rules, uses ...use) *limit.Bucket {
	b := limit.NewBucket(rules)
	for _, u := range uses {
		b.Add(u.rule, limit.Use{Slot: u.slot, FreeAt: at(u.freeAt)})
	}
	return b
}

func forAnHour(limit.Rule) time.Time { return start.Add(time.Hour) }

func TestBucketTake(t *testing.T) {
	t.Parallel()
	three := limit.Rules{{Capacity: 3, Window: time.Second}}
	both := limit.Rules{{Capacity: 2, Window: time.Second}, {Capacity: 3, Window: time.Minute}}
	tests := []struct {
		name  string
		rules limit.Rules
		uses  []use
		now   int
		want  [][]int // slots of each Take until one is refused
		next  int     // NextFree at first
	}{
		{"all free", three, nil, 0, [][]int{{0}, {1}, {2}}, 0},
		{"the lowest free one first", three, []use{{0, 0, 10}, {0, 2, 10}}, 5, [][]int{{1}}, 5},
		{"free at its time, not before", three, []use{{0, 0, 10}, {0, 1, 10}, {0, 2, 10}}, 9, nil, 10},
		{"free at its time", three, []use{{0, 0, 10}, {0, 1, 10}, {0, 2, 11}}, 10, [][]int{{0}, {1}}, 10},
		{"the earliest return counts", three, []use{{0, 0, 30}, {0, 1, 20}, {0, 2, 10}}, 0, nil, 10},
		{"the later of two uses of a token counts", three, []use{{0, 0, 30}, {0, 0, 10}, {0, 1, 99}, {0, 2, 99}}, 10, nil, 30},
		{"both rules or none", both, []use{{1, 0, 50}, {1, 1, 60}, {1, 2, 70}}, 0, nil, 50},
		{"the slots of both rules", both, []use{{0, 0, 50}, {1, 1, 60}}, 0, [][]int{{1, 0}}, 0},
		{"the stricter rule decides", both, []use{{0, 0, 50}, {0, 1, 60}, {1, 0, 5}}, 0, nil, 50},
		{"each rule when it has room", both, []use{{0, 0, 50}, {0, 1, 60}, {1, 0, 55}, {1, 1, 56}, {1, 2, 57}}, 0, nil, 55},
		{"lowered: the surplus counts", three, []use{{0, 7, 40}, {0, 8, 30}, {0, 9, 20}}, 0, nil, 20},
		{"lowered: nothing until it has returned", three, []use{{0, 5, 10}, {0, 6, 20}, {0, 7, 30}, {0, 8, 40}, {0, 9, 50}}, 0, nil, 30},
		{"lowered: then one at a time", three, []use{{0, 5, 10}, {0, 6, 20}, {0, 7, 30}, {0, 8, 40}, {0, 9, 50}}, 30, [][]int{{0}}, 30},
		{"raised: the new tokens are free", three, []use{{0, 0, 99}}, 0, [][]int{{1}, {2}}, 0},
		{"a rule that is gone", three, []use{{1, 0, 99}, {1, 1, 99}, {1, 2, 99}, {-1, 0, 99}}, 0, [][]int{{0}, {1}, {2}}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := bucketOf(test.rules, test.uses...)
			if next := b.NextFree(at(test.now)); !next.Equal(at(test.next)) {
				t.Errorf("next free at %s, want %s", next.Sub(start), at(test.next).Sub(start))
			}
			if free := b.Free(at(test.now), 1000); free != len(test.want) {
				t.Errorf("%d free, want %d", free, len(test.want))
			}
			var taken [][]int
			for {
				slots, ok := b.Take(at(test.now), forAnHour)
				if !ok {
					if slots != nil {
						t.Errorf("refused with slots %v", slots)
					}
					break
				}
				taken = append(taken, slots)
			}
			if diff := cmp.Diff(test.want, taken); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
		})
	}
}

// What is refused by one rule costs the others nothing.
func TestRefusedTakeChangesNothing(t *testing.T) {
	t.Parallel()
	rules := limit.Rules{{Capacity: 1, Window: time.Second}, {Capacity: 1, Window: time.Minute}}
	b := bucketOf(rules, use{1, 0, 50})
	if _, ok := b.Take(at(0), forAnHour); ok {
		t.Fatal("the second rule has no token")
	}
	if next := b.NextFree(at(0)); !next.Equal(at(50)) {
		t.Errorf("after the refusal the next is free at %s", next.Sub(start))
	}
	if slots, ok := b.Take(at(50), forAnHour); !ok || !cmp.Equal(slots, []int{0, 0}) {
		t.Errorf("at its time: %v, %v", slots, ok)
	}
}

func TestTakeHoldsEachRuleForItsOwnTime(t *testing.T) {
	t.Parallel()
	b := limit.NewBucket(limit.Rules{{Capacity: 1, Window: time.Second}, {Capacity: 2, Window: time.Minute}})
	until := func(r limit.Rule) time.Time { return start.Add(r.Window) }
	if _, ok := b.Take(start, until); !ok {
		t.Fatal("refused")
	}
	if next := b.NextFree(start); !next.Equal(start.Add(time.Second)) {
		t.Errorf("after the first: %s", next.Sub(start))
	}
	if _, ok := b.Take(start.Add(time.Second), func(r limit.Rule) time.Time { return start.Add(time.Second + r.Window) }); !ok {
		t.Fatal("refused")
	}
	if next := b.NextFree(start.Add(time.Second)); !next.Equal(start.Add(time.Minute)) {
		t.Errorf("after the second: %s", next.Sub(start))
	}
}

func TestBucketWithoutRules(t *testing.T) {
	t.Parallel()
	for _, rules := range []limit.Rules{nil, {}} {
		b := bucketOf(rules, use{0, 0, 99})
		if free := b.Free(start, 100); free != 100 {
			t.Errorf("%d free of 100", free)
		}
		if next := b.NextFree(start); !next.Equal(start) {
			t.Errorf("next free at %s", next.Sub(start))
		}
		if slots, ok := b.Take(start, forAnHour); !ok || len(slots) != 0 {
			t.Errorf("%v, %v", slots, ok)
		}
	}
}

func drawUses(t *rapid.T, rules limit.Rules) []use {
	var uses []use
	for rule, r := range rules {
		for range rapid.IntRange(0, r.Capacity+3).Draw(t, "uses") {
			uses = append(uses, use{rule, rapid.IntRange(0, r.Capacity+4).Draw(t, "slot"), rapid.IntRange(0, 60).Draw(t, "freeAt")})
		}
	}
	return uses
}

func drawSmallRules(t *rapid.T) limit.Rules {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) limit.Rule {
		return limit.Rule{Capacity: rapid.IntRange(1, 6).Draw(t, "capacity"), Window: time.Duration(rapid.IntRange(1, 100).Draw(t, "window")) * time.Millisecond}
	}), 1, 3).Draw(t, "rules")
}

// Before NextFree nothing can be taken at any time; at it something can.
func TestNextFreeIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rules := drawSmallRules(t)
		uses := drawUses(t, rules)
		now := rapid.IntRange(0, 60).Draw(t, "now")
		next := bucketOf(rules, uses...).NextFree(at(now))
		if next.Before(at(now)) {
			t.Fatalf("next free at %s, before now", next.Sub(start))
		}
		if _, ok := bucketOf(rules, uses...).Take(next, forAnHour); !ok {
			t.Fatalf("nothing can be taken at %s", next.Sub(start))
		}
		for ms := now; at(ms).Before(next); ms++ {
			for _, when := range []time.Time{at(ms), next.Add(-time.Nanosecond)} {
				if _, ok := bucketOf(rules, uses...).Take(when, forAnHour); ok {
					t.Fatalf("one can be taken at %s, before %s", when.Sub(start), next.Sub(start))
				}
			}
		}
	})
}

func TestFreeAgreesWithTake(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rules := drawSmallRules(t)
		b := bucketOf(rules, drawUses(t, rules)...)
		now, most := at(rapid.IntRange(0, 60).Draw(t, "now")), rapid.IntRange(0, 10).Draw(t, "limit")
		free := b.Free(now, most)
		seen := map[[2]int]bool{}
		taken := 0
		for ; taken < most; taken++ {
			slots, ok := b.Take(now, forAnHour)
			if !ok {
				break
			}
			for rule, slot := range slots {
				if slot < 0 || slot >= rules[rule].Capacity || seen[[2]int{rule, slot}] {
					t.Fatalf("slot %d of rule %d (%s) was taken twice or does not exist", slot, rule, rules[rule])
				}
				seen[[2]int{rule, slot}] = true
			}
		}
		if taken != free {
			t.Fatalf("%d free, %d taken", free, taken)
		}
	})
}
