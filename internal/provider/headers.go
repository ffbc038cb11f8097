package provider

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter caps what a provider may ask for: a longer rest is a mistake or a job for a person.
const MaxRetryAfter = 24 * time.Hour

// readRetryAfter reads how long the provider wants to be left alone: the first header that names a time, the finest
// first. It is never rounded down. A date is compared with the answer's own, so that one clock counts.
func readRetryAfter(h http.Header, now time.Time) time.Duration {
	for _, header := range []struct {
		name string
		unit time.Duration
	}{{"Retry-After-Ms", time.Millisecond}, {"X-Ms-Retry-After-Ms", time.Millisecond}, {"Retry-After", time.Second}} {
		if wait, ok := parseWait(h.Get(header.name), header.unit); ok && wait > 0 {
			return wait
		}
	}
	date := strings.TrimSpace(h.Get("Retry-After"))
	if date == "" {
		return 0
	}
	until, err := http.ParseTime(date)
	if err != nil {
		return 0
	}
	if sent, err := http.ParseTime(h.Get("Date")); err == nil {
		now = sent
	}
	return min(max(until.Sub(now), 0), MaxRetryAfter)
}

// parseWait reads a number of units, with a fraction or without.
func parseWait(value string, unit time.Duration) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if value == "" || strings.Trim(value, "0123456789.") != "" { // no sign, exponent, Inf or NaN
		return 0, false
	}
	number, err := strconv.ParseFloat(value, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	if number >= float64(MaxRetryAfter/unit) {
		return MaxRetryAfter, true
	}
	return time.Duration(math.Ceil(number * float64(unit))), true
}

var noLimits = Limits{Requests: -1, RemainingRequests: -1, Tokens: -1, RemainingTokens: -1, ResetRequests: -1, ResetTokens: -1}

// readLimits reads the rate-limit headers. Azure has sent -1 and 0 where it did not know, so there a remaining 0
// is only believed of an answer that also says when to come back.
func readLimits(provider Name, h http.Header) Limits {
	l := Limits{
		Requests: readNumber(h, "X-Ratelimit-Limit-Requests", 1), RemainingRequests: readNumber(h, "X-Ratelimit-Remaining-Requests", 0),
		Tokens: readNumber(h, "X-Ratelimit-Limit-Tokens", 1), RemainingTokens: readNumber(h, "X-Ratelimit-Remaining-Tokens", 0),
		ResetRequests: readReset(h, "X-Ratelimit-Reset-Requests"), ResetTokens: readReset(h, "X-Ratelimit-Reset-Tokens"),
	}
	if provider == Azure && h.Get("Retry-After") == "" && h.Get("Retry-After-Ms") == "" {
		if l.RemainingRequests == 0 {
			l.RemainingRequests = -1
		}
		if l.RemainingTokens == 0 {
			l.RemainingTokens = -1
		}
		if l.Requests < 0 && l.ResetRequests == 0 {
			l.ResetRequests = -1
		}
		if l.Tokens < 0 && l.ResetTokens == 0 {
			l.ResetTokens = -1
		}
	}
	return l
}

func readNumber(h http.Header, name string, least int64) int64 {
	value := h.Get(name)
	if value == "" {
		return -1
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < least {
		return -1
	}
	return n
}

// readReset reads a duration: OpenAI writes "6m0s" (and "1d2h" for a day's limit), Azure bare seconds.
func readReset(h http.Header, name string) time.Duration {
	value := h.Get(name)
	if value == "" {
		return -1
	}
	if wait, ok := parseWait(value, time.Second); ok {
		return wait
	}
	var days time.Duration
	if before, after, has := strings.Cut(value, "d"); has {
		n, err := strconv.ParseUint(before, 10, 8)
		if err != nil {
			return -1
		}
		days, value = time.Duration(n)*24*time.Hour, after
	}
	rest := time.Duration(0)
	if value != "" {
		var err error
		if rest, err = time.ParseDuration(value); err != nil || rest < 0 {
			return -1
		}
	}
	return min(days+rest, 365*24*time.Hour)
}

func readRequestID(h http.Header) string {
	for _, name := range []string{"X-Request-Id", "Apim-Request-Id"} {
		if id := plainWord(h.Get(name)); id != "" {
			return id
		}
	}
	return ""
}
