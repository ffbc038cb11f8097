package cost

import (
	"errors"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// The parts of a cost, in the order of Components.
type part int

const (
	input part = iota
	cached
	cacheWrite
	output
	parts
)

// partNames are the fields of the table.
var partNames = [parts]string{"input", "cached", "cacheWrite", "output"}

var missingPart = [parts]string{cached: MissingCached, cacheWrite: MissingCacheWrite} // the others are required

// The limits of the numbers in a table. Three factors and a price must fit into a uint64 together, so that a rate
// is exact: 10¹⁰ × (10³)³ is below 2⁶⁴.
const (
	pricePlaces  = 6      // 1 USD per million tokens is 10⁶ pico-USD per token
	maxPrice     = 10_000 // USD per million tokens
	factorPlaces = 2
	factorUnit   = 100
	maxFactor    = 10
)

// price is what a token costs, in pico-USD.
type price struct {
	pico  uint64
	known bool
}

// factor is a number in hundredths.
type factor uint64

const one factor = factorUnit

// rate is an exact price of a token with its factors: numerator/denominator pico-USD.
type rate struct {
	numerator, denominator uint64
	known                  bool
}

func (p price) times(factors ...factor) rate {
	r := rate{numerator: p.pico, denominator: 1, known: p.known}
	for _, f := range factors {
		if f != one { // so that the most common rate divides by 1
			r.numerator *= uint64(f)
			r.denominator *= factorUnit
		}
	}
	return r
}

// less compares two rates of one call.
func (r rate) less(other rate) bool {
	hi, lo := bits.Mul64(r.numerator, other.denominator)
	otherHi, otherLo := bits.Mul64(other.numerator, r.denominator)
	return hi < otherHi || hi == otherHi && lo < otherLo
}

// of is what some tokens cost, rounded half to even; false means that it does not fit into an int64.
func (r rate) of(tokens uint64) (pico int64, ok bool) {
	hi, lo := bits.Mul64(tokens, r.numerator)
	if hi >= r.denominator {
		return 0, false
	}
	quotient, rest := bits.Div64(hi, lo, r.denominator)
	if quotient >= math.MaxInt64 { // the largest may still be rounded up
		return 0, false
	}
	if left := r.denominator - rest; rest > left || rest == left && quotient%2 == 1 {
		quotient++
	}
	return int64(quotient), true
}

// The ways in which a decimal can be wrong.
var (
	errNotDecimal = errors.New("is not a decimal number")
	errNegative   = errors.New("is negative")
	errTooFine    = errors.New("is too fine")
	errTooLarge   = errors.New("is too large")
	errTooSmall   = errors.New("is too small")
)

// parseDecimal reads digits with at most one point between them, in units of the given number of places.
func parseDecimal(text string, places int, limit uint64) (uint64, error) {
	unsigned, negative := strings.CutPrefix(text, "-")
	whole, fraction, point := strings.Cut(unsigned, ".")
	if !digits(whole) || point && !digits(fraction) {
		return 0, errNotDecimal
	}
	if negative {
		return 0, errNegative
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > places {
		return 0, errTooFine
	}
	n, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", places-len(fraction)), 10, 64)
	for range places {
		limit *= 10
	}
	if err != nil || n > limit {
		return 0, errTooLarge
	}
	return n, nil
}

func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
