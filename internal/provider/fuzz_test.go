package provider

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzClassify: whatever comes back, there is a class of the list, a known code, and nothing that was not asked for.
func FuzzClassify(f *testing.F) {
	for _, e := range exchanges() {
		f.Add(e.Status, e.Header.Get("Retry-After"), e.Header.Get("X-Request-Id"), e.Body, e.Provider == Azure, false)
	}
	f.Add(0, "", "", []byte(nil), false, true)
	f.Fuzz(func(t *testing.T, status int, retryAfter, id string, body []byte, azure, broken bool) {
		e := Exchange{Provider: OpenAI, Status: status, Body: body, Sent: broken, Now: testNow,
			Header: http.Header{"Retry-After": {retryAfter}, "X-Request-Id": {id}, "X-Ratelimit-Reset-Tokens": {retryAfter}, "X-Ratelimit-Limit-Tokens": {id}}}
		if azure {
			e.Provider = Azure
		}
		if broken {
			e.Err = io.ErrUnexpectedEOF
		}
		got := Classify(e)
		if !slices.Contains(Classes, got.Class) || got.Code != "" && !knownWords[got.Code] {
			t.Errorf("class %q, code %q", got.Class, got.Code)
		}
		if !slices.Contains([]Billed{BilledUsage, BilledMaybe, BilledNot}, got.Billed) {
			t.Errorf("billed %q", got.Billed)
		}
		if got.RetryAfter < 0 || got.RetryAfter > MaxRetryAfter || got.Limits.ResetTokens < -1 || got.Limits.Tokens < -1 {
			t.Errorf("%+v", got)
		}
		if (got.Class == Completed) != (strings.TrimSpace(got.Text) != "") {
			t.Errorf("%s with %q", got.Class, got.Text)
		}
		if u := got.Usage; u.Input < 0 || u.Output < 0 || u.Cached < 0 || u.CacheWrite < 0 || u.Reasoning < 0 || !u.Known && u != (Usage{}) {
			t.Errorf("%+v", u)
		}
	})
}

// FuzzRetryAfter: never an error, never out of range, never earlier than a plain number says.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"7", "0.5", "-1", "1e9", "Mon, 23 Nov 2026 10:00:42 GMT", "99999999999999999999", "NaN", "", "6m0s", "1d"} {
		f.Add(value, value, value, "Mon, 23 Nov 2026 10:00:00 GMT")
	}
	f.Fuzz(func(t *testing.T, ms, xms, seconds, date string) {
		h := http.Header{"Retry-After-Ms": {ms}, "X-Ms-Retry-After-Ms": {xms}, "Retry-After": {seconds}, "Date": {date}, "X-Ratelimit-Reset-Tokens": {seconds}}
		if got := readRetryAfter(h, testNow); got < 0 || got > MaxRetryAfter {
			t.Errorf("%s", got)
		}
		if got := readLimits(OpenAI, h).ResetTokens; got < -1 || got > 366*24*time.Hour {
			t.Errorf("reset %s", got)
		}
		h = http.Header{"Retry-After": {seconds}}
		if told, err := time.ParseDuration(seconds + "s"); err == nil && told >= 0 && told < MaxRetryAfter && strings.Trim(seconds, "0123456789.") == "" {
			if got := readRetryAfter(h, testNow); got < told {
				t.Errorf("%q: %s is earlier than told", seconds, got)
			}
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	for _, name := range []string{"200_text", "openai_429_requests_per_minute", "azure_400_content_filter", "500_html"} {
		all := exchanges()
		e := all[slices.IndexFunc(all, func(e recordedExchange) bool { return e.fixture.Name == name })]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Classify(e.Exchange)
			}
		})
	}
	b.Run("connection", func(b *testing.B) {
		e := Exchange{Provider: Azure, Err: errors.New("reset"), Sent: true}
		for b.Loop() {
			Classify(e)
		}
	})
}
