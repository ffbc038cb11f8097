package audit

import (
	"cmp"
	"slices"
)

// span is a call that arrived between two microseconds, both included.
type span struct{ from, to int64 }

// exactMost is of how many calls it is found out exactly whether they can be placed: the work grows with the third power.
const exactMost = 128

// atLeast is a number of calls that some window holds wherever they arrived: those that must lie within a length of
// time share the few windows that cover it.
func atLeast(calls []span, window int64) int {
	byStart := slices.SortedFunc(slices.Values(calls), func(a, b span) int { return cmp.Compare(a.from, b.from) })
	byEnd := make([]int, len(byStart))
	for i := range byEnd {
		byEnd[i] = i
	}
	slices.SortFunc(byEnd, func(a, b int) int { return cmp.Compare(byStart[a].to, byStart[b].to) })
	most := 0
	for first := range byStart {
		within := 0
		for _, i := range byEnd {
			if i < first {
				continue
			}
			within++
			windows := covering(byStart[i].to+1-byStart[first].from, window)
			most = max(most, int((int64(within)+windows-1)/windows))
		}
	}
	return most
}

// covering is how many windows cover a length of time.
func covering(length, window int64) int64 { return (length + window - 1) / window }

// placeable says exactly whether every call can be given a moment in its interval such that no half-open window holds
// more than capacity of them.
//
// Let x(t) be how many arrive before t. Calls can be placed if and only if there is an x such that
//
//	x(t+1) >= x(t)                       it counts
//	x(t+window) <= x(t) + capacity       no window holds more
//	x(end) >= x(begin) + n               for each begin and end between which n calls must arrive (Hall's theorem for intervals)
//
// These are differences, which can be satisfied if and only if the graph of their bounds has no circle of negative
// length. A circle goes from a begin forwards by whole windows to an end, or back to it, and from there back to a
// begin; hence a node for each begin is enough.
func placeable(calls []span, capacity int, window int64) bool {
	begins, ends := make([]int64, 0, len(calls)), make([]int64, 0, len(calls))
	for _, c := range calls {
		begins, ends = append(begins, c.from), append(ends, c.to+1)
	}
	slices.Sort(begins)
	slices.Sort(ends)
	begins, ends = slices.Compact(begins), slices.Compact(ends)
	n := len(begins)
	length := make([]int64, n*n) // of the shortest edge from one begin to another
	within := make([]int64, len(ends))
	for to, begin := range begins {
		for e, end := range ends {
			within[e] = 0
			for _, c := range calls {
				if c.from >= begin && c.to < end {
					within[e]++
				}
			}
		}
		for from, start := range begins {
			shortest := int64(1) << 60
			for e, end := range ends {
				if end <= begin {
					continue
				}
				shortest = min(shortest, int64(capacity)*covering(max(0, end-start), window)-within[e])
			}
			length[from*n+to] = shortest
		}
	}
	return !negativeCircle(length, n)
}

// negativeCircle is the algorithm of Bellman and Ford, from a node that leads to all others.
func negativeCircle(length []int64, n int) bool {
	distance := make([]int64, n)
	for range n + 1 {
		shorter := false
		for from := range n {
			for to := range n {
				if d := distance[from] + length[from*n+to]; d < distance[to] {
					distance[to], shorter = d, true
				}
			}
		}
		if !shorter {
			return false
		}
	}
	return true
}
