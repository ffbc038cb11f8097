package campaign_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

// isQuiet says the same as Quiet by looking at the clock of one instant only.
func isQuiet(q campaign.Quiet, at time.Time) bool {
	zone := q.Zone
	if zone == nil {
		zone = time.UTC
	}
	local := at.In(zone)
	clock := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute
	today, yesterday := q.Days.Has(local.Weekday()), q.Days.Has((local.Weekday()+6)%7)
	switch {
	case q.From == q.To:
		return false
	case q.From < q.To:
		return today && clock >= q.From && clock < q.To
	}
	return today && clock >= q.From || yesterday && clock < q.To
}

// bruteForce goes over a time minute by minute, backwards, and holds Until, Total and Add against what it finds.
func bruteForce(t *testing.T, q campaign.Quiet, from, to time.Time) {
	t.Helper()
	minutes := int(to.Sub(from) / time.Minute)
	free := from.Add(time.Duration(minutes) * time.Minute) // the next minute that is not quiet
	for isQuiet(q, free) {
		free = free.Add(time.Minute)
	}
	sending := make([]int, minutes+1) // minutes from each one on
	for i := minutes - 1; i >= 0; i-- {
		at := from.Add(time.Duration(i) * time.Minute)
		sending[i] = sending[i+1]
		if !isQuiet(q, at) {
			free = at
			sending[i]++
		}
		want := free
		if at.Equal(free) {
			at = at.Add(time.Duration(i%60)*time.Second + time.Duration(i%1000)*time.Microsecond)
			want = at
		} else {
			at = at.Add(time.Duration(i % 60 * int(time.Second)))
		}
		if got := q.Until(at); !got.Equal(want) {
			t.Fatalf("%s: until %s at %s, want %s", q, got.In(q.Zone), at.In(q.Zone), want.In(q.Zone))
		}
	}
	for i := 0; i <= minutes; i += 1 + minutes/37 {
		for k := i; k <= minutes; k += 1 + minutes/13 {
			a, b := from.Add(time.Duration(i)*time.Minute), from.Add(time.Duration(k)*time.Minute)
			want := time.Duration(sending[i]-sending[k]) * time.Minute
			got := q.Total(a, b)
			if got != want {
				t.Fatalf("%s: %s of sending time from %s to %s, want %s", q, got, a.In(q.Zone), b.In(q.Zone), want)
			}
			// The first instant with so much: a nanosecond before it is less.
			first := q.Add(a, want)
			if first.After(b) || q.Total(a, first) != want || want > 0 && q.Total(a, first.Add(-1)) >= want {
				t.Fatalf("%s: %s after %s is at %s, not after %s", q, want, a.In(q.Zone), first.In(q.Zone), b.In(q.Zone))
			}
		}
	}
}

// The zones that make trouble: changes of 30 minutes, days without a midnight, a day that was left out, offsets of
// three quarters of an hour, no changes, changes on other days.
var zones = []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu", "UTC", "Asia/Beirut", "America/Caracas", "Africa/Casablanca"}

func TestQuietMinuteByMinute(t *testing.T) {
	t.Parallel()
	texts := []string{
		"22:00-08:00", "02:30-02:31", "02:00-03:00", "01:45-02:15", "02:15-01:45", "00:00-00:30", "23:30-00:00", "00:00-24:00 Sat,Sun", "22:00-24:00 Fri-Mon", "22:00-00:00",
		"00:01-00:00", "12:00-13:00 Wed", "21:00-20:59 Tue-Sun",
	}
	year := map[string]int{"America/Sao_Paulo": 2017, "Pacific/Apia": 2011, "America/Caracas": 2016}
	for z, zone := range zones {
		for i, text := range texts {
			t.Run(zone+" "+text, func(t *testing.T) {
				t.Parallel()
				var clock, days string
				_, _ = fmt.Sscan(text, &clock, &days) // the days may be missing
				q := quiet(t, clock+" "+zone+" "+days)
				begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
				if y := year[zone]; y > 0 {
					begin = time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)
				}
				// A whole year with one quiet time for each zone, and with all of them nine days around each change.
				if i == z%len(texts) && !testing.Short() {
					bruteForce(t, q, begin, begin.AddDate(1, 0, 2))
				}
				bruteForce(t, q, begin, begin.AddDate(0, 0, 9))
				for at := begin; at.Before(begin.AddDate(3, 0, 0)); {
					_, change := at.In(q.Zone).ZoneBounds()
					if change.IsZero() {
						break
					}
					bruteForce(t, q, change.AddDate(0, 0, -4).Truncate(time.Minute), change.AddDate(0, 0, 5))
					at = change
				}
			})
		}
	}
}

func drawQuiet(t *rapid.T) campaign.Quiet {
	zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	return rapid.Custom(func(t *rapid.T) campaign.Quiet {
		return campaign.Quiet{
			Zone: zone,
			From: time.Duration(rapid.IntRange(0, 24*60-1).Draw(t, "from")) * time.Minute,
			To:   time.Duration(rapid.IntRange(0, 24*60).Draw(t, "to")) * time.Minute,
			Days: campaign.Weekdays(rapid.IntRange(0, 126).Draw(t, "days")),
		}
	}).Filter(func(q campaign.Quiet) bool { return q.Check() == nil }).Draw(t, "quiet")
}

// At the time that Until returns it is not quiet, all the time before it is, and it is not far.
func TestUntilIsTheEndOfTheQuietTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuiet(t)
		now := time.Unix(rapid.Int64Range(1_000_000_000, 4_000_000_000).Draw(t, "now"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
		until := q.Until(now)
		if isQuiet(q, until) || until.Before(now) || until.After(now) && !isQuiet(q, until.Add(-1)) {
			t.Fatalf("%s: until %s at %s", q, until.In(q.Zone), now.In(q.Zone))
		}
		most := 8 * 24 * time.Hour
		if q.To != 24*time.Hour || q.From != 0 {
			// A quiet time of less than a day; a change of the clock can join two when little lies between them.
			most = 49 * time.Hour
		}
		if until.Sub(now) > most {
			t.Fatalf("%s: %s at %s", q, until.Sub(now), now.In(q.Zone))
		}
		for i := range 200 {
			if at := now.Add(until.Sub(now) / 200 * time.Duration(i)); until.After(now) && !isQuiet(q, at) {
				t.Fatalf("%s: it is not quiet at %s, between %s and %s", q, at.In(q.Zone), now.In(q.Zone), until.In(q.Zone))
			}
		}
		if begin, ok := q.Next(now); !ok || !isQuiet(q, begin) || begin.Before(now) || begin.After(now) && isQuiet(q, begin.Add(-1)) {
			t.Fatalf("%s: next at %s after %s", q, begin.In(q.Zone), now.In(q.Zone))
		}
	})
}

func TestTotalAndAddAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuiet(t)
		from := time.Unix(rapid.Int64Range(1_000_000_000, 4_000_000_000).Draw(t, "from"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
		d := time.Duration(rapid.Int64Range(0, int64(3000*time.Hour)).Draw(t, "d"))
		at := q.Add(from, d)
		if got := q.Total(from, at); got != d {
			t.Fatalf("%s: %s until %s from %s are %s", q, d, at.In(q.Zone), from.In(q.Zone), got)
		}
		// Two parts are the whole.
		middle := from.Add(at.Sub(from) / 3)
		if got := q.Total(from, middle) + q.Total(middle, at); got != d {
			t.Fatalf("%s: in two parts %s, want %s", q, got, d)
		}
	})
}

func TestQuietText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"22:00-08:00 Europe/Berlin":            "",
		"22:00-08:00 Europe/Berlin Mon-Fri":    "",
		"  00:00-24:00   UTC  sat,SUNDAY ":     "00:00-24:00 UTC Sat,Sun",
		"22:00-24:00 UTC Fri-Mon":              "22:00-24:00 UTC Mon,Fri-Sun",
		"22:00-00:00 America/New_York Mon-Sun": "22:00-00:00 America/New_York",
		"22:00-00:00 UTC Tue,Wed,Thu":          "22:00-00:00 UTC Tue-Thu",
		"OFF":                                  "off",
		"00:00-23:59 UTC":                      "",
		"00:00-24:00 America/New_York Mon-Sat": "",
		"12:00-13:00 Australia/Lord_Howe Wed":  "",
	} {
		if want == "" {
			want = text
		}
		q, err := campaign.ParseQuiet(text)
		if err != nil || q.String() != want {
			t.Errorf("%q: %q, %v", text, q, err)
		}
		if again, err := campaign.ParseQuiet(q.String()); err != nil || !again.Equal(q) {
			t.Errorf("%q comes back as %q, %v", q, again, err)
		}
	}
	for _, text := range []string{
		"", "22:00-08:00", "22-8 UTC", "22:00 UTC", "22:00-25:00 UTC", "24:00-08:00 UTC", "22:60-08:00 UTC", "08:00-08:00 UTC", "00:00-24:00 UTC", "22:00-24:01 UTC",
		"22:00-08:00 Local", "22:00-08:00 Nowhere/City", "22:00-08:00 UTC Mo", "22:00-08:00 UTC Mon-", "22:00-08:00 UTC Mon Tue", "+2:00-08:00 UTC", "22:00-08:00 ../../etc/passwd",
	} {
		if q, err := campaign.ParseQuiet(text); err == nil {
			t.Errorf("%q: %q", text, q)
		}
	}
}

func TestQuietTextRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuiet(t)
		again, err := campaign.ParseQuiet(q.String())
		if err != nil || !again.Equal(q) || again.From != q.From || again.To != q.To || again.Days != q.Days {
			t.Fatalf("%s comes back as %s, %v", q, again, err)
		}
	})
}

func TestNoQuietTime(t *testing.T) {
	t.Parallel()
	var q campaign.Quiet
	if !q.Until(start).Equal(start) || q.Total(start, after(time.Hour)) != time.Hour || !q.Add(start, time.Hour).Equal(after(time.Hour)) || q.Check() != nil {
		t.Error("the zero value is quiet")
	}
	if _, ok := q.Next(start); ok {
		t.Error("it gets quiet")
	}
	if q.Total(after(time.Hour), start) != 0 {
		t.Error("backwards there is sending time")
	}
	// One that Check refuses doesn't hang.
	always := campaign.Quiet{To: 24 * time.Hour}
	if until := always.Until(start); until.Sub(start) < 24*time.Hour || always.Check() == nil || always.Total(start, after(time.Hour)) != 0 || always.Add(start, 1).Before(after(time.Hour)) {
		t.Errorf("until %s", until)
	}
}

func BenchmarkQuiet(b *testing.B) {
	q := quiet(b, "22:00-08:00 Europe/Berlin Mon-Fri")
	at := start
	b.Run("Until", func(b *testing.B) {
		for b.Loop() {
			at = q.Until(at.Add(time.Hour))
		}
	})
	b.Run("TotalOfAYear", func(b *testing.B) {
		for b.Loop() {
			q.Total(start, start.AddDate(1, 0, 0))
		}
	})
}
