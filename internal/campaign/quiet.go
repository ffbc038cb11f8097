package campaign

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // images built from scratch have no time zones
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// Quiet is a time of day in which nothing is sent: on each of Days from From on, up to To, of the same day or, if To
// is not after From, of the next one. The zero value is never quiet.
//
// What counts is what the clock on the wall shows in Zone, and that it skips an hour or shows one twice changes
// nothing: when quiet time ends at 02:30 and the clock is put forward from 02:00 to 03:00, it ends at 03:00; and when
// the clock is put back from 03:00 to 02:00, it is quiet from 02:00 to 02:30 once more.
//
// Quiet spans that adjoin are one.
type Quiet struct {
	Zone *time.Location // nil: UTC
	From time.Duration  // since midnight by the clock, from 0 to 23:59
	To   time.Duration  // the same, up to 24:00; the end itself is not quiet
	Days Weekdays       // on which it begins
}

// Check says what is wrong with a quiet time. The methods are meant for one that it lets through.
func (q Quiet) Check() error {
	switch {
	case q == Quiet{}:
		return nil
	case q.From%time.Minute != 0 || q.To%time.Minute != 0:
		return errors.New("a quiet time begins and ends at a whole minute")
	case q.From < 0 || q.From >= day || q.To < 0 || q.To > day:
		return errors.New("a quiet time begins from 00:00 to 23:59 and ends from 00:00 to 24:00")
	case q.From == q.To:
		return errors.New("a quiet time can't end when it begins; for whole days write 00:00-24:00 and the weekdays")
	case q.Days > EveryDay:
		return errors.New("a quiet time's weekdays are not weekdays")
	case q.length() == day && q.Days.count() == 7:
		return errors.New("with that quiet time nothing would ever be sent; pause the account instead")
	}
	return nil
}

// off is true if it is never quiet.
func (q Quiet) off() bool { return q.From == q.To }

func (q Quiet) zone() *time.Location {
	if q.Zone == nil {
		return time.UTC
	}
	return q.Zone
}

// Equal says whether both are quiet at the same times for the same reason.
func (q Quiet) Equal(other Quiet) bool { return q.String() == other.String() }

// length is how long it is quiet by the clock.
func (q Quiet) length() time.Duration {
	if q.To > q.From {
		return q.To - q.From
	}
	return q.To + day - q.From
}

// perWeek is the sending time in a week in which the clock is not put back or forward.
func (q Quiet) perWeek() time.Duration {
	return week - time.Duration(q.Days.count())*q.length()
}

// phase says whether it is quiet at an instant, and up to when that certainly lasts: the end of the span, or of
// the time in which the clock runs evenly. It always gets on.
func (q Quiet) phase(at time.Time) (quiet bool, until time.Time) {
	local := at.In(q.zone())
	_, offset := local.Zone()
	clock := local.Unix() + int64(offset) // seconds by the clock on the wall
	today := floorDiv(clock, int64(day/time.Second))
	quiet, end := q.span(today, time.Duration(clock-today*int64(day/time.Second))*time.Second)
	// The clock shows whole seconds; what is beyond is in at.
	until = at.Add(end - time.Duration(clock-today*int64(day/time.Second))*time.Second - time.Duration(at.Nanosecond()))
	if _, change := local.ZoneBounds(); !change.IsZero() && change.Before(until) {
		until = change
	}
	return quiet, until
}

// span says whether a time of day is quiet and when that ends, both since the midnight before by a clock that runs
// evenly. The day is given in days since 1 January 1970, a Thursday.
func (q Quiet) span(today int64, clock time.Duration) (quiet bool, end time.Duration) {
	on := func(ahead int64) bool { return q.Days.Has(weekdayOf(today + ahead)) }
	if q.To > q.From {
		if on(0) && clock >= q.From && clock < q.To {
			return true, q.To
		}
	} else {
		if on(-1) && clock < q.To {
			return true, q.To
		}
		if on(0) && clock >= q.From {
			return true, day + q.To
		}
	}
	for ahead := range int64(8) {
		if begin := time.Duration(ahead)*day + q.From; on(ahead) && begin > clock {
			return false, begin
		}
	}
	return false, week + day // can't be: one weekday comes within eight days
}

func weekdayOf(day int64) time.Weekday {
	return time.Weekday(day + 4 - 7*floorDiv(day+4, 7))
}

func floorDiv(a, b int64) int64 {
	quotient := a / b
	if a%b < 0 {
		quotient--
	}
	return quotient
}

// Until returns now if it is not quiet then, else the end of the quiet time: at the latest after the spans that
// adjoin (a day, or as many whole days as are quiet in a row) and what a change of the clock adds. Of a quiet time
// that Check refuses it returns a time that may be quiet, so ask again then.
func (q Quiet) Until(now time.Time) time.Time {
	if q.off() {
		return now
	}
	at := now
	for range 32 { // seven days, with both changes of a clock in between, are less than that
		quiet, until := q.phase(at)
		if !quiet {
			return at
		}
		at = until
	}
	return at
}

// Next returns when it gets quiet: now if it is so already, and ok is false if it never does.
func (q Quiet) Next(now time.Time) (begin time.Time, ok bool) {
	if q.off() {
		return time.Time{}, false
	}
	at := now
	for range 64 { // a span may fall into what the clock skips, week after week it can't
		quiet, until := q.phase(at)
		if quiet {
			return at, true
		}
		at = until
	}
	return at, true
}

// Total is the sending time between two instants, 0 if the second is not after the first.
func (q Quiet) Total(from, to time.Time) time.Duration {
	if q.off() {
		return max(0, to.Sub(from))
	}
	var total time.Duration
	for at := from; at.Before(to); {
		if weeks := int64(q.even(at, to) / week); weeks > 0 {
			total += time.Duration(weeks) * q.perWeek()
			at = at.Add(time.Duration(weeks) * week)
			continue
		}
		quiet, until := q.phase(at)
		if until.After(to) {
			until = to
		}
		if !quiet {
			total += until.Sub(at)
		}
		at = until
	}
	return total
}

// Add returns the first instant at which so much sending time has passed since from. That may be the moment in
// which it gets quiet; Until of it is when the next message may go.
func (q Quiet) Add(from time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return from
	}
	if q.off() {
		return from.Add(d)
	}
	perWeek := q.perWeek()
	if perWeek <= 0 { // Check refuses that
		return from.Add(1<<63 - 1)
	}
	for at := from; ; {
		weeks := min(int64(q.even(at, at.Add(1<<63-1))/week), int64((d-1)/perWeek))
		if weeks > 0 {
			d -= time.Duration(weeks) * perWeek
			at = at.Add(time.Duration(weeks) * week)
			continue
		}
		quiet, until := q.phase(at)
		switch left := until.Sub(at); {
		case quiet:
		case left >= d:
			return at.Add(d)
		default:
			d -= left
		}
		at = until
	}
}

// even is how long the clock runs evenly from an instant on, at most up to the other.
func (q Quiet) even(at, to time.Time) time.Duration {
	if _, change := at.In(q.zone()).ZoneBounds(); !change.IsZero() && change.Before(to) {
		to = change
	}
	return to.Sub(at)
}

// describe is the form of a time of day: 22:00.
func describe(clock time.Duration) string {
	return fmt.Sprintf("%02d:%02d", clock/time.Hour, clock%time.Hour/time.Minute)
}
