package provider

import (
	"net/http"
	"testing"
	"time"
)

var testNow = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	in := func(d time.Duration) string { return testNow.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		header map[string]string
		want   time.Duration
	}{
		{nil, 0},
		{map[string]string{"Retry-After": "7"}, 7 * time.Second},
		{map[string]string{"Retry-After": " 7 "}, 7 * time.Second},
		{map[string]string{"Retry-After": "0.0000000001"}, 1},
		{map[string]string{"Retry-After": "1.5"}, 1500 * time.Millisecond},
		{map[string]string{"Retry-After-Ms": "250", "Retry-After": "7"}, 250 * time.Millisecond},
		{map[string]string{"X-Ms-Retry-After-Ms": "300", "Retry-After": "7"}, 300 * time.Millisecond},
		{map[string]string{"Retry-After-Ms": "250.5"}, 250500 * time.Microsecond},
		{map[string]string{"Retry-After-Ms": "0", "Retry-After": "7"}, 7 * time.Second},
		{map[string]string{"Retry-After-Ms": "soon", "X-Ms-Retry-After-Ms": "-1", "Retry-After": "7"}, 7 * time.Second},
		{map[string]string{"Retry-After": "86401"}, MaxRetryAfter},
		{map[string]string{"Retry-After": "99999999999999999999999999"}, MaxRetryAfter},
		{map[string]string{"Retry-After": in(42 * time.Second)}, 42 * time.Second},
		{map[string]string{"Retry-After": in(-42 * time.Second)}, 0},
		{map[string]string{"Retry-After": in(48 * time.Hour)}, MaxRetryAfter},
		{map[string]string{"Retry-After": in(42 * time.Second), "Date": in(40 * time.Second)}, 2 * time.Second},
		{map[string]string{"Retry-After": in(42 * time.Second), "Date": "yesterday"}, 42 * time.Second},
		{map[string]string{"Retry-After": "-5"}, 0}, {map[string]string{"Retry-After": "NaN"}, 0}, {map[string]string{"Retry-After": "Inf"}, 0},
		{map[string]string{"Retry-After": "1e3"}, 0}, {map[string]string{"Retry-After": "0x10"}, 0}, {map[string]string{"Retry-After": "1.2.3"}, 0},
		{map[string]string{"Retry-After": "."}, 0}, {map[string]string{"Retry-After": "1_000"}, 0},
	} {
		if got := readRetryAfter(headerOf(c.header), testNow); got != c.want {
			t.Errorf("%v: %s, want %s", c.header, got, c.want)
		}
	}
}

func headerOf(values map[string]string) http.Header {
	h := http.Header{}
	for name, value := range values {
		h.Set(name, value)
	}
	return h
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		provider Name
		header   map[string]string
		want     Limits
	}{
		{"none", OpenAI, nil, noLimits},
		{"openai", OpenAI, map[string]string{"X-Ratelimit-Limit-Requests": "500", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "6m0s",
			"X-Ratelimit-Limit-Tokens": "200000", "X-Ratelimit-Remaining-Tokens": "199420", "X-Ratelimit-Reset-Tokens": "174ms"},
			Limits{500, 0, 200000, 199420, 6 * time.Minute, 174 * time.Millisecond}},
		{"openai, a day's limit", OpenAI, map[string]string{"X-Ratelimit-Reset-Requests": "1d2h3m", "X-Ratelimit-Reset-Tokens": "2d"},
			Limits{-1, -1, -1, -1, 26*time.Hour + 3*time.Minute, 48 * time.Hour}},
		{"azure", Azure, map[string]string{"X-Ratelimit-Limit-Requests": "100", "X-Ratelimit-Remaining-Requests": "99", "X-Ratelimit-Reset-Requests": "10",
			"X-Ratelimit-Remaining-Tokens": "5", "X-Ratelimit-Reset-Tokens": "300"}, Limits{100, 99, -1, 5, 10 * time.Second, 5 * time.Minute}},
		{"azure that does not know", Azure, map[string]string{"X-Ratelimit-Limit-Tokens": "-1", "X-Ratelimit-Remaining-Tokens": "0",
			"X-Ratelimit-Reset-Tokens": "0", "X-Ratelimit-Limit-Requests": "0", "X-Ratelimit-Remaining-Requests": "-1"}, noLimits},
		{"azure that does", Azure, map[string]string{"X-Ratelimit-Remaining-Tokens": "0", "Retry-After": "5"}, Limits{-1, -1, -1, 0, -1, -1}},
		{"garbage", OpenAI, map[string]string{"X-Ratelimit-Limit-Requests": "many", "X-Ratelimit-Remaining-Requests": "1.5",
			"X-Ratelimit-Reset-Requests": "-3s", "X-Ratelimit-Reset-Tokens": "d"}, noLimits},
	} {
		if got := readLimits(c.provider, headerOf(c.header)); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"req_0f1e-2d": "req_0f1e-2d", "hello there": "", "": "", "<b>": ""} {
		if got := readRequestID(headerOf(map[string]string{"X-Request-Id": value})); got != want {
			t.Errorf("%q: %q", value, got)
		}
	}
	if got := readRequestID(headerOf(map[string]string{"X-Request-Id": "a sentence", "Apim-Request-Id": "5f3c"})); got != "5f3c" {
		t.Errorf("got %q", got)
	}
}
