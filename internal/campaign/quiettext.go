package campaign

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Weekdays is a set of weekdays: bit i stands for time.Weekday(i). None at all means every day.
type Weekdays uint8

// EveryDay has all seven. ParseWeekdays returns 0 for them.
const EveryDay Weekdays = 1<<7 - 1

// Has says whether the weekday is one of them.
func (w Weekdays) Has(weekday time.Weekday) bool { return w == 0 || w&(1<<weekday) != 0 }

func (w Weekdays) count() int {
	count := 0
	for weekday := range time.Weekday(7) {
		if w.Has(weekday) {
			count++
		}
	}
	return count
}

// ParseWeekdays reads a list such as "Mon-Fri" or "Tue,Sat-Mon".
func ParseWeekdays(text string) (Weekdays, error) {
	const remedy = "write weekdays like Mon-Fri or Mon,Wed,Sat"
	var days Weekdays
	for _, part := range strings.Split(text, ",") {
		first, last, span := strings.Cut(part, "-")
		from, ok := parseWeekday(first)
		if !ok {
			return 0, fmt.Errorf("%.16q is not a weekday; %s", first, remedy)
		}
		to := from
		if span {
			if to, ok = parseWeekday(last); !ok {
				return 0, fmt.Errorf("%.16q is not a weekday; %s", last, remedy)
			}
		}
		for weekday := from; ; weekday = (weekday + 1) % 7 {
			days |= 1 << weekday
			if weekday == to {
				break
			}
		}
	}
	if days == EveryDay {
		return 0, nil
	}
	return days, nil
}

func parseWeekday(text string) (time.Weekday, bool) {
	for weekday := range time.Weekday(7) {
		name := weekday.String()
		if strings.EqualFold(text, name) || strings.EqualFold(text, name[:3]) {
			return weekday, true
		}
	}
	return 0, false
}

// String is the form that ParseWeekdays reads, from Monday on: "Mon-Fri".
func (w Weekdays) String() string {
	var parts []string
	for i := 0; i < 7; i++ {
		last := i
		for last < 7 && w.Has(time.Weekday((last+1)%7)) {
			last++
		}
		name := func(i int) string { return time.Weekday((i + 1) % 7).String()[:3] }
		switch last - i {
		case 0:
			continue
		case 1:
			parts = append(parts, name(i))
		case 2:
			parts = append(parts, name(i), name(i+1))
		default:
			parts = append(parts, name(i)+"-"+name(last-1))
		}
		i = last
	}
	return strings.Join(parts, ",")
}

// QuietOff is the text of a quiet time that is none.
const QuietOff = "off"

// ParseQuiet reads a quiet time such as "22:00-08:00 Europe/Berlin", with weekdays if it isn't for every day ("00:00-24:00
// Europe/Berlin Sat,Sun"; they say when it begins), or "off". It looks the zone up in the rules that the machine
// has, else in those that are part of the program.
func ParseQuiet(text string) (Quiet, error) {
	const remedy = `write a quiet time like "22:00-08:00 Europe/Berlin", with weekdays like "Mon-Fri" if it isn't for every day, or "off"`
	words := strings.Fields(text)
	if len(words) == 1 && strings.EqualFold(words[0], QuietOff) {
		return Quiet{}, nil
	}
	if len(words) < 2 || len(words) > 3 {
		return Quiet{}, fmt.Errorf("the quiet time %.64q has no time of day and zone; %s", text, remedy)
	}
	var q Quiet
	from, to, ok := strings.Cut(words[0], "-")
	if q.From, ok = parseClock(from, ok); ok {
		q.To, ok = parseClock(to, true)
	}
	if !ok {
		return Quiet{}, fmt.Errorf("the quiet time %.64q doesn't begin with two times of day; %s", text, remedy)
	}
	zone, err := parseZone(words[1])
	if err != nil {
		return Quiet{}, err
	}
	q.Zone = zone
	if len(words) == 3 {
		if q.Days, err = ParseWeekdays(words[2]); err != nil {
			return Quiet{}, err
		}
	}
	return q, q.Check()
}

// parseZone refuses the zone of the machine: it is another one on the next.
func parseZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, fmt.Errorf("there is no time zone %.64q; give it by its name, such as Europe/Berlin or UTC", name)
	}
	return zone, nil
}

// parseClock reads a time of day of the form 08:00.
func parseClock(text string, ok bool) (time.Duration, bool) {
	if !ok || len(text) != len("00:00") || text[2] != ':' {
		return 0, false
	}
	hours, err := strconv.ParseUint(text[:2], 10, 8)
	minutes, err2 := strconv.ParseUint(text[3:], 10, 8)
	if err != nil || err2 != nil || hours > 24 || minutes > 59 || hours == 24 && minutes > 0 {
		return 0, false
	}
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute, true
}

// String is the form that ParseQuiet reads.
func (q Quiet) String() string {
	if q.off() {
		return QuietOff
	}
	text := describe(q.From) + "-" + describe(q.To) + " " + q.zone().String()
	if q.Days.count() < 7 {
		text += " " + q.Days.String()
	}
	return text
}
