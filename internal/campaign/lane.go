package campaign

import (
	"math/bits"
	"slices"
	"strings"
)

// MaxWeight is the largest weight of a campaign.
const MaxWeight = 100

// lap is what a message adds to the pass of a lane of weight 1: a multiple of all weights up to 28 and of most
// round ones above, so that it can be divided without a rest. For the others the rest adds up to less than one
// message in 800 million.
const lap = 80_313_433_200

// overflow is where the passes are brought down again, far below what they can hold.
const overflow = 1 << 61

// Lane is a campaign's place in the choice between the campaigns of one account and one priority that have
// messages to send. Keep it with the campaign; the zero pass is for a new one.
type Lane struct {
	Campaign string
	Weight   int   // from 1 to MaxWeight; what lies outside counts as the nearest
	Pass     int64 // how far it has got: messages sent times lap over weight
}

func (l Lane) weight() uint64 { return uint64(min(max(l.Weight, 1), MaxWeight)) }
func (l Lane) stride() int64  { return lap / int64(l.weight()) }

// Pick returns whose turn it is, -1 if there are no lanes. The order of the lanes doesn't matter.
//
// It is stride scheduling with one rule more: only those take part that have not got more than their share so far
// (their pass is not beyond the mean of all by weight), and of these the one goes first whose next message is due
// first. Without that rule a heavy campaign runs ahead of many light ones by more than one message.
func Pick(lanes []Lane) int {
	if len(lanes) == 0 {
		return -1
	}
	least, total, high, low := mean(lanes)
	best := -1
	for i, lane := range lanes {
		ahead, aheadLow := bits.Mul64(uint64(lane.Pass)-uint64(least), total)
		if ahead > high || ahead == high && aheadLow > low {
			continue
		}
		if best < 0 || lane.before(lanes[best]) {
			best = i
		}
	}
	return best
}

func (l Lane) before(other Lane) bool {
	if due, otherDue := l.due(), other.due(); due != otherDue {
		return due < otherDue
	}
	if l.Pass != other.Pass {
		return l.Pass < other.Pass
	}
	return strings.Compare(l.Campaign, other.Campaign) < 0
}

// due is the pass after the lane's next message.
func (l Lane) due() int64 { return min(l.Pass, 1<<62) + l.stride() }

// mean returns the least pass, the sum of the weights, and the sum of each pass above the least times its weight, in
// 128 bits.
func mean(lanes []Lane) (least int64, total, high, low uint64) {
	least = slices.MinFunc(lanes, func(a, b Lane) int { return compare(a.Pass, b.Pass) }).Pass
	for _, lane := range lanes {
		total += lane.weight()
		h, l := bits.Mul64(uint64(lane.Pass)-uint64(least), lane.weight())
		var carry uint64
		low, carry = bits.Add64(low, l, 0)
		high, _ = bits.Add64(high, h, carry)
	}
	return least, total, high, low
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Advance notes that the lane at the index has sent a message. Before the passes get too large it brings all of
// them down by the same amount, which changes no turn: store all lanes, or none but that one when the others are as
// they were.
func Advance(lanes []Lane, index int) {
	lanes[index].Pass = lanes[index].due()
	if lanes[index].Pass < overflow {
		return
	}
	least, _, _, _ := mean(lanes)
	for i := range lanes {
		lanes[i].Pass -= least
	}
}

// Join returns the lane with the pass at which it enters among those that have messages: a new campaign, or one
// that was paused or had none. It is never behind the mean of the others, so it gets no credit for its absence; and
// never more than a message ahead of it, so that it doesn't wait for what it once had when it was alone.
func Join(lanes []Lane, lane Lane) Lane {
	if len(lanes) == 0 {
		return lane
	}
	least, total, high, low := mean(lanes)
	// The mean lies between the least and the greatest pass: the quotient fits.
	above, _ := bits.Div64(high, low, total)
	now := int64(uint64(least) + above)
	lane.Pass = min(max(lane.Pass, now), now+lane.stride())
	return lane
}
