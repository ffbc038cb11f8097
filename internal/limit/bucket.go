package limit

import "time"

// Use is the last use of one token: nobody may take it again before FreeAt.
type Use struct {
	Slot   int
	FreeAt time.Time
}

// Bucket is the state of one account or recipient: for each rule the tokens that were used lately. Tokens
// without an entry were never used.
type Bucket struct {
	rules Rules
	uses  []map[int]time.Time // by rule: slot to the time at which it is free
}

// NewBucket returns a bucket whose tokens are all free.
func NewBucket(rules Rules) *Bucket {
	b := &Bucket{rules: rules, uses: make([]map[int]time.Time, len(rules))}
	for i := range b.uses {
		b.uses[i] = map[int]time.Time{}
	}
	return b
}

// Add records a use of a token of the given rule. Uses of rules that no longer exist are ignored.
func (b *Bucket) Add(rule int, u Use) {
	if rule < 0 || rule >= len(b.uses) {
		return
	}
	if u.FreeAt.After(b.uses[rule][u.Slot]) {
		b.uses[rule][u.Slot] = u.FreeAt
	}
}

// Take picks the lowest free token of every rule, or none at all; it returns their slots in the order of the
// rules. The tokens are taken until the given time for each rule, so that a second Take can't pick them again.
//
// A rule's token may be taken only while fewer than its capacity are in use, those of slots beyond the
// capacity counted: after a limit was lowered nothing new goes until the surplus has returned.
func (b *Bucket) Take(now time.Time, until func(Rule) time.Time) (slots []int, ok bool) {
	slots = make([]int, len(b.rules))
	for i := range b.rules {
		slot, free := b.free(i, now)
		if !free {
			return nil, false
		}
		slots[i] = slot
	}
	for i, rule := range b.rules {
		b.uses[i][slots[i]] = until(rule)
	}
	return slots, true
}

func (b *Bucket) free(rule int, now time.Time) (slot int, ok bool) {
	inUse, lowest := 0, -1
	for _, freeAt := range b.uses[rule] {
		if freeAt.After(now) {
			inUse++
		}
	}
	if inUse >= b.rules[rule].Capacity {
		return 0, false
	}
	for s := 0; s < b.rules[rule].Capacity && lowest < 0; s++ {
		if !b.uses[rule][s].After(now) {
			lowest = s
		}
	}
	return lowest, lowest >= 0
}

// Free is how many messages could be taken now, at most limit (which caps a bucket without rules).
func (b *Bucket) Free(now time.Time, limit int) int {
	free := limit
	for i, rule := range b.rules {
		inUse := 0
		for _, freeAt := range b.uses[i] {
			if freeAt.After(now) {
				inUse++
			}
		}
		free = min(free, max(0, rule.Capacity-inUse))
	}
	return free
}

// Returned is since when one message could have been taken: a token of every rule was back. Zero: always, as far as
// anybody remembers. It looks only at tokens that are free now.
func (b *Bucket) Returned(now time.Time) time.Time {
	var since time.Time
	for i, rule := range b.rules {
		var first time.Time // that a token of this rule which is free now came back
		for s := range rule.Capacity {
			freeAt := b.uses[i][s]
			if freeAt.IsZero() {
				first = freeAt
				break
			}
			if !freeAt.After(now) && (first.IsZero() || freeAt.Before(first)) {
				first = freeAt
			}
		}
		if first.After(since) {
			since = first
		}
	}
	return since
}

// NextFree is the earliest time, not before now, at which one message can be taken.
func (b *Bucket) NextFree(now time.Time) time.Time {
	next := now
	for i, rule := range b.rules {
		var times []time.Time
		for _, freeAt := range b.uses[i] {
			if freeAt.After(now) {
				times = append(times, freeAt)
			}
		}
		if len(times) < rule.Capacity {
			continue
		}
		// The bucket has room again when all but capacity-1 of the uses have returned.
		if at := kthEarliest(times, len(times)-rule.Capacity); at.After(next) {
			next = at
		}
	}
	return next
}

func kthEarliest(times []time.Time, k int) time.Time {
	for i := 0; i <= k; i++ {
		least := i
		for j := i + 1; j < len(times); j++ {
			if times[j].Before(times[least]) {
				least = j
			}
		}
		times[i], times[least] = times[least], times[i]
	}
	return times[k]
}
