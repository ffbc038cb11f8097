// Package cost says what a call to a language model cost, exactly, in whole pico-USD (10⁻¹² USD).
//
// It promises four things.
//
// The amount is exact. Prices are decimal texts that become whole pico-USD per token, factors are fractions, and
// each component is rounded once, half to even. There is no floating point.
//
// An unknown price is never 0. What the table does not hold is [Unpriced] and has no amount at all: neither a
// model, a zone, a tier or a time that it does not know, nor a kind of token without a price. The same goes for
// counts that make no sense, and for amounts beyond an int64.
//
// History stays. A price holds from one day to another, both written in the table, and a call is paid by the time
// at which it was made: a new price is a new entry beside the old one.
//
// A table is right or refused. Unknown fields, overlapping times and prices that can't be read exactly are errors
// that name the entry, the field and the remedy; nothing is guessed.
//
// The table that is built in is prices.yaml. Another one in its place is read by [Load].
package cost
