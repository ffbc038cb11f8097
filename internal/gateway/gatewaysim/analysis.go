package gatewaysim

import (
	"maps"
	"slices"
	"time"
)

// ByAccount and ByRecipient are the usual keys of MaxInWindow. A recipient counts per account.
func ByAccount(a Arrival) string { return a.UserID }

// ByRecipient names a recipient of one account.
func ByRecipient(a Arrival) string { return a.UserID + "\x00" + a.RecipientID }

// OnlyAccepted keeps the sends: the arrivals that the gateway took.
func OnlyAccepted(arrivals []Arrival) []Arrival {
	return keep(arrivals, func(a Arrival) bool { return a.Outcome == Accepted })
}

// CountingForLimit keeps what a strict platform counts against a limit: every arrival that it did not turn away
// with 429, taken or not.
func CountingForLimit(arrivals []Arrival) []Arrival {
	return keep(arrivals, func(a Arrival) bool { return a.Outcome != RateLimited })
}

func keep(arrivals []Arrival, wanted func(Arrival) bool) []Arrival {
	kept := make([]Arrival, 0, len(arrivals))
	for _, a := range arrivals {
		if wanted(a) {
			kept = append(kept, a)
		}
	}
	return kept
}

// MaxInWindow finds the most arrivals of one key in any half-open window [t, t+window), and whose they were (the
// smallest key of several). It counts every arrival that was not answered with 429; for sends only, give it
// OnlyAccepted(arrivals). Two arrivals exactly one window apart are never in one window.
func MaxInWindow(arrivals []Arrival, window time.Duration, key func(Arrival) string) (most int, who string) {
	times := map[string][]time.Duration{}
	for _, a := range CountingForLimit(arrivals) {
		times[key(a)] = append(times[key(a)], a.Since)
	}
	for _, name := range slices.Sorted(maps.Keys(times)) {
		if n := maxInWindow(times[name], window); n > most {
			most, who = n, name
		}
	}
	return most, who
}

func maxInWindow(times []time.Duration, window time.Duration) int {
	slices.Sort(times)
	most, first := 0, 0
	for last := range times {
		for first < last && times[last]-times[first] >= window {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// Duplicates lists, sorted, the client references that the gateway took more than once.
func Duplicates(arrivals []Arrival) []string {
	taken := map[string]int{}
	for _, a := range OnlyAccepted(arrivals) {
		taken[a.ClientRef]++
	}
	var twice []string
	for _, ref := range slices.Sorted(maps.Keys(taken)) {
		if taken[ref] > 1 {
			twice = append(twice, ref)
		}
	}
	return twice
}

// PerMinute is the rate of sends of every account in [from, to) since the log was begun, in messages per minute.
// A limited account sends in bunches, so a span of whole windows says most.
func PerMinute(arrivals []Arrival, from, to time.Duration) map[string]float64 {
	rates := map[string]float64{}
	for _, a := range OnlyAccepted(arrivals) {
		if a.Since >= from && a.Since < to {
			rates[a.UserID] += float64(time.Minute) / float64(to-from)
		}
	}
	return rates
}
