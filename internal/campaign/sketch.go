package campaign

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// point says when the message of a number went.
type point struct {
	index int
	at    time.Duration
}

const (
	// mostPoints is how many points of a span are kept at most.
	mostPoints = 300

	// The line between two points may be off by a hold of the rule that gives tokens back soonest, but not by more
	// than a hundredth of the time from the span's first message to its last; a thousandth is good enough.
	coarsest = 100
	finest   = 1000
)

// sketch notes when the messages from first to last go, by as many points as it takes for the straight lines between
// them to be right: few for an even pace, more for one that halts, as when a day's tokens are used up by noon.
func (s *supply) sketch(first, last int) []point {
	at := func(index int) point { return point{index, s.at(index)} }
	points := []point{at(first)}
	if last > first {
		points = append(points, at(last))
	}
	type stretch struct{ low, high point }
	open := []stretch{{points[0], points[len(points)-1]}}
	took := points[len(points)-1].at - points[0].at
	tolerance := took / coarsest
	for _, rule := range s.rules {
		tolerance = min(tolerance, rule.hold)
	}
	tolerance = max(tolerance, took/finest, time.Millisecond)
	for len(open) > 0 && len(points) < mostPoints {
		low, high := open[0].low, open[0].high
		open = open[1:]
		gap := high.index - low.index
		if gap < 2 {
			continue
		}
		// The point that is farthest off the line, of a few. They lie unevenly: the pace may halt as evenly as others.
		var worst point
		off := time.Duration(-1)
		for _, part := range []float64{0.09, 0.27, 0.41, 0.58, 0.83} {
			index := min(max(low.index+int(float64(gap)*part), low.index+1), high.index-1)
			p := at(index)
			if d := (p.at - line(low, high, index)).Abs(); d > off {
				worst, off = p, d
			}
		}
		if off > tolerance {
			points = append(points, worst)
			open = append(open, stretch{low, worst}, stretch{worst, high})
		}
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.index, b.index) })
	return points
}

// between reads a sketch.
func between(points []point, index int) time.Duration {
	i := sort.Search(len(points), func(i int) bool { return points[i].index >= index })
	if i == len(points) {
		return points[i-1].at
	}
	if i == 0 || points[i].index == index {
		return points[i].at
	}
	return line(points[i-1], points[i], index)
}

func line(low, high point, index int) time.Duration {
	return low.at + time.Duration(float64(high.at-low.at)*float64(index-low.index)/float64(high.index-low.index))
}
