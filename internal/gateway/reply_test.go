package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestParseAccepted(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"messageId":"m-1"}`:                   "m-1",
		"\n {\"messageId\" : \"m-1\", \"x\":1}": "m-1",
		`{"messageId":"é ü"}`:                   "é ü",
		`{"messageId":12345678901234567890}`:    "12345678901234567890",
	} {
		if got, ok := parseAccepted([]byte(body)); !ok || got != want {
			t.Errorf("%s: got %q, %v", body, got, ok)
		}
	}
	for _, body := range []string{
		"", " ", "null", "[]", `"m-1"`, "{}", `{"messageId":null}`, `{"messageId":""}`, `{"messageId":" m"}`, `{"messageId":{}}`,
		`{"messageId":1.5}`, `{"messageId":-1}`, `{"messageId":true}`, `{"messageId":"a\u0000b"}`, `{"messageId":"a\nb"}`,
		`{"messageId":"a\u001b[31m"}`, `{"messageId":"\ud800"}`, `{"messageId":"a"`, `{"messageId":"a"}}`, "{\"messageId\":\"\xff\"}",
		`{"messageId":"` + strings.Repeat("x", 257) + `"}`, "<html>It works!</html>", strings.Repeat("[", 20000),
	} {
		if got, ok := parseAccepted([]byte(body)); ok {
			t.Errorf("%.60s: got %q", body, got)
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0}, {"0", "", 0}, {"1", "", time.Second}, {" 120 ", "", 2 * time.Minute},
		{"86399", "", MaxRetryAfter - time.Second}, {"86400", "", MaxRetryAfter}, {"86401", "", MaxRetryAfter},
		{strings.Repeat("9", 400), "", MaxRetryAfter}, {strings.Repeat("0", 400) + "7", "", 7 * time.Second},
		{"-5", "", 0}, {"+5", "", 0}, {"1.5", "", 0}, {"1e3", "", 0}, {"soon", "", 0}, {"0x10", "", 0}, {"١", "", 0},
		{date(time.Minute), "", time.Minute}, {date(-time.Minute), "", 0}, {date(48 * time.Hour), "", MaxRetryAfter},
		// The gateway's clock is an hour ahead: what counts is the difference to its own Date.
		{date(time.Hour + time.Minute), date(time.Hour), time.Minute},
		{date(time.Minute), "nonsense", time.Minute},
	} {
		header := http.Header{"Retry-After": {c.value}, "Date": {c.date}}
		if got := parseRetryAfter(header, now); got != c.want {
			t.Errorf("%.40q with date %q: got %v, want %v", c.value, c.date, got, c.want)
		}
	}
}

func TestRetryAfterStaysInRange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.String(), rapid.StringMatching(`-?[0-9]{0,30}`),
			rapid.Map(rapid.Int64(), func(n int64) string { return time.Unix(n%253402300799, 0).UTC().Format(http.TimeFormat) }),
		).Draw(t, "value")
		got := parseRetryAfter(http.Header{"Retry-After": {value}}, time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "now"), 0))
		if got < 0 || got > MaxRetryAfter {
			t.Fatalf("%q: %v", value, got)
		}
	})
}

func TestRefusalWordIsNeverASentence(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"code":"recipient_blocked"}`:               "recipient_blocked",
		`{"error":"no_credit","message":"Dear fan"}`: "no_credit",
		`{"code":4,"error":"no_credit"}`:             "no_credit",
		`{"error":"Dear fan"}`:                       "",
		`{"error":{"code":"x"}}`:                     "",
		`{"code":"a\u001b[31mred"}`:                  "",
		`{"code":"tel_0123456"}`:                     "",
		`{"code":"` + strings.Repeat("a", 49) + `"}`: "",
		`<html>`: "",
	} {
		if got := parseRefusal([]byte(body)); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

func FuzzParseAccepted(f *testing.F) {
	for _, seed := range []string{`{"messageId":"m-1"}`, `{"messageId":1}`, `{"messageId":"\u0000"}`, `{"MessageId":"a","messageid":"b"}`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		id, ok := parseAccepted(body)
		checkID(t, id, ok)
		_ = parseRefusal(body)
	})
}

func FuzzParseFound(f *testing.F) {
	for _, seed := range []string{`{"messageId":"m-1","acceptedAt":"2026-11-23T10:00:00Z"}`, `{"messageId":"m","acceptedAt":7}`, `{"acceptedAt":"x"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		found, ok := parseFound(body)
		checkID(t, found.MessageID, ok)
		if ok != (found.Answer == Found) {
			t.Fatalf("%q: %+v, %v", body, found, ok)
		}
	})
}

// checkID: a usable id can be stored, logged and written as JSON, and comes back the same.
func checkID(t *testing.T, id string, ok bool) {
	t.Helper()
	if !ok {
		if id != "" {
			t.Fatalf("unusable, but %q", id)
		}
		return
	}
	if id == "" || len(id) > maxMessageID || !utf8.ValidString(id) || strings.IndexFunc(id, unicode.IsControl) >= 0 {
		t.Fatalf("id %q", id)
	}
	again, err := json.Marshal(map[string]string{"messageId": id})
	if err != nil {
		t.Fatal(err)
	}
	if back, ok := parseAccepted(again); !ok || back != id {
		t.Fatalf("%q came back as %q", id, back)
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, seed := range []string{"1", "-1", "Mon, 23 Nov 2026 10:00:00 GMT", "99999999999999999999", "1e9"} {
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		got := parseRetryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, time.Unix(1e9, 0))
		if got < 0 || got > MaxRetryAfter {
			t.Fatalf("%q, %q: %v", value, date, got)
		}
	})
}
