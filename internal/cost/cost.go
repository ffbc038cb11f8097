package cost

import "time"

// Usage are the tokens of a call, as both providers count them: Input includes Cached and CacheWrite, Output
// includes Reasoning.
type Usage struct {
	Input      int64
	Cached     int64 // read from the provider's cache
	CacheWrite int64 // written to it
	Output     int64
	Reasoning  int64
}

// Call is what was asked for, and when.
type Call struct {
	Provider string
	Model    string // that is paid for, exactly as in the table. Never taken from an answer: Azure shortens it there.
	Zone     string // global, datazone or regional; empty: global, as in the table
	Tier     string // service tier, best as the answer gives it; empty, auto, default and standard: without a factor
	At       time.Time
}

// Kind says what an amount is worth. The list is closed.
type Kind string

// The kinds.
const (
	Actual    Kind = "actual"     // by the usage that the provider gave
	Estimated Kind = "estimated"  // by a usage that nobody knows for certain
	Unpriced  Kind = "unpriced"   // nobody can say; there is no amount
	NotBilled Kind = "not_billed" // refused before the model began
)

// What the table lacks of an unpriced call. They are few and fixed, fit for a metric's label.
const (
	MissingEntry      = "entry" // for the provider, model and zone at that time
	MissingZone       = "zone"  // the model has a price, but neither its own nor a factor for the zone
	MissingTier       = "tier"  // the same for the tier
	MissingCached     = "cached"
	MissingCacheWrite = "cache_write"
)

// What is odd about a usage. They are few and fixed, fit for a metric's label.
const (
	// AnomalyNegativeFresh: more was cached and written to the cache than came in. The fresh input counts as 0;
	// the rest is paid as the provider says.
	AnomalyNegativeFresh = "negative_fresh_input"
	// AnomalyReasoning: more was thought than came out, so Output may lack the reasoning. It is paid as it stands.
	AnomalyReasoning = "reasoning_over_output"
	// AnomalyNegativeTokens: a count is below 0. The call is unpriced.
	AnomalyNegativeTokens = "negative_tokens"
	// AnomalyOverflow: the amount is over nine million USD. The call is unpriced.
	AnomalyOverflow = "overflow"
)

// Cost is what a call cost.
type Cost struct {
	Kind       Kind
	PicoUSD    *int64      // the sum of the components; nil if and only if the kind is Unpriced
	Components *Components // nil if and only if PicoUSD is
	PriceID    string      // the table's entry; empty if there was none
	Missing    string      // what the table lacks, of Unpriced only; else empty
	Anomaly    string      // what is odd about the usage; empty: nothing
}

// Components are the parts of a cost, in pico-USD. Reasoning is part of the output.
type Components struct {
	Input      int64 // neither cached nor written to the cache
	Cached     int64
	CacheWrite int64
	Output     int64
}

// Free is the cost of a call that the provider refused before the model began.
func Free() Cost {
	return Cost{Kind: NotBilled, PicoUSD: new(int64), Components: new(Components)}
}
