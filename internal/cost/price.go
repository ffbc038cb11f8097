package cost

import "math"

// Price is what a call with a known usage cost; estimated says that the usage is a guess.
//
// The entry is the one for the call's own zone and tier, if the table has it. Else a factor takes its place: first
// the tier's, on an entry of the zone; then the zone's, on a global entry of the tier; then both.
func (t Table) Price(c Call, u Usage, estimated bool) Cost {
	if min(u.Input, u.Cached, u.CacheWrite, u.Output, u.Reasoning) < 0 {
		return Cost{Kind: Unpriced, Anomaly: AnomalyNegativeTokens}
	}
	found, missing := t.find(c)
	if missing != "" {
		return Cost{Kind: Unpriced, Missing: missing}
	}
	// Unsigned, since the sum of two counts may be beyond an int64.
	kept := uint64(u.Cached) + uint64(u.CacheWrite)
	fresh, anomaly := uint64(u.Input)-kept, ""
	switch {
	case kept > uint64(u.Input):
		fresh, anomaly = 0, AnomalyNegativeFresh
	case u.Reasoning > u.Output:
		anomaly = AnomalyReasoning
	}
	rates := t.rates(c, found, max(uint64(u.Input), kept))
	cost := Cost{Kind: Actual, PriceID: found.entry.id, Anomaly: anomaly}
	if estimated {
		cost.Kind = Estimated
	}
	return cost.of(rates, [parts]uint64{input: fresh, cached: uint64(u.Cached), cacheWrite: uint64(u.CacheWrite), output: uint64(u.Output)})
}

// Worst is the most that a call can cost whose usage nobody knows: one that is about to be made, timed out, was
// lost or cancelled. All of its input is paid at the dearest way in, which from gpt-5.6 on is a write to the cache,
// and all of maxOutput as used up: how much was written before the end is unknown, and a model may have thought up
// to the limit.
//
// It is never below the price of a usage within both numbers, but for two pico-USD of rounding: the parts of the
// input are rounded one by one there.
func (t Table) Worst(c Call, inputTokens, maxOutput int64) Cost {
	if min(inputTokens, maxOutput) < 0 {
		return Cost{Kind: Unpriced, Anomaly: AnomalyNegativeTokens}
	}
	found, missing := t.find(c)
	if missing != "" {
		return Cost{Kind: Unpriced, Missing: missing}
	}
	rates := t.rates(c, found, uint64(inputTokens))
	tokens := [parts]uint64{output: uint64(maxOutput)}
	dearest := input
	for _, way := range []part{cached, cacheWrite} {
		if rates[way].known && rates[dearest].less(rates[way]) {
			dearest = way
		}
	}
	tokens[dearest] = uint64(inputTokens)
	return Cost{Kind: Estimated, PriceID: found.entry.id}.of(rates, tokens)
}

// of fills in the amounts of a cost, or takes back that there is one.
func (c Cost) of(rates [parts]rate, tokens [parts]uint64) Cost {
	var amounts [parts]int64
	var total int64
	for p, count := range tokens {
		if count > 0 && !rates[p].known {
			return Cost{Kind: Unpriced, PriceID: c.PriceID, Missing: missingPart[p], Anomaly: c.Anomaly}
		}
		amount, ok := rates[p].of(count)
		if !ok || amount > math.MaxInt64-total {
			return Cost{Kind: Unpriced, PriceID: c.PriceID, Anomaly: AnomalyOverflow}
		}
		amounts[p] = amount
		total += amount
	}
	c.PicoUSD = &total
	c.Components = &Components{Input: amounts[input], Cached: amounts[cached], CacheWrite: amounts[cacheWrite], Output: amounts[output]}
	return c
}

// rates are the prices of a call's tokens with every factor. The factor of a long context holds for the whole
// request, not only for the tokens over the threshold.
func (t Table) rates(c Call, f found, prompt uint64) [parts]rate {
	long := [parts]factor{}
	for p := range long {
		long[p] = one
	}
	for _, l := range t.longContext {
		if prompt > l.above && l.matches(c) {
			long = l.factors
		}
	}
	var rates [parts]rate
	for p, price := range f.entry.prices {
		rates[p] = price.times(f.zone, f.tier, long[p])
	}
	return rates
}
