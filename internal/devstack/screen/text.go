package screen

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// runeWidth is how many columns a character takes.
func runeWidth(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func textWidth(text string) (columns int) {
	for _, r := range text {
		columns += runeWidth(r)
	}
	return columns
}

// clean leaves only what stays where it is put: control characters and line ends become spaces, and what has no
// width (joiners, changes of direction) goes.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == unicode.ReplacementChar, unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, " "))
}

// cut shortens a text to that many columns; the mark at its end says that something is missing.
func cut(text string, columns int, mark string) string {
	if textWidth(text) <= columns {
		return text
	}
	columns -= textWidth(mark)
	if columns < 0 {
		return ""
	}
	used := 0
	for i, r := range text {
		if used += runeWidth(r); used > columns {
			return strings.TrimRight(text[:i], " ") + mark
		}
	}
	return text
}

func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-textWidth(text)))
}

func padLeft(text string, columns int) string {
	return strings.Repeat(" ", max(0, columns-textWidth(text))) + text
}

// Span writes a length of time for a person: "132 ms", "1.2 s", "48 s", "2:05", "3 h 20 min", "4 days".
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d:%02d", d/time.Minute, d%time.Minute/time.Second)
	case d < 2*day:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d days", d/day)
}

// countdown is a time to come, in whole seconds, rounded up: 0 is shown only when it is over.
func countdown(d time.Duration) string {
	if d <= 0 {
		return "0 s"
	}
	d = (d + time.Second - 1).Truncate(time.Second)
	if d < 10*time.Second {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return Span(d)
}

// Clock writes a moment as the time of day, in the machine's zone.
func Clock(t time.Time) string { return t.Local().Format("15:04:05") }

// plural chooses a word by number.
func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// Wrap divides a text into lines of at most that many columns, at its spaces. A word that is longer gets a line of its
// own.
func Wrap(text string, columns int) (lines []string) {
	current := ""
	for _, word := range strings.Fields(text) {
		switch {
		case current == "":
			current = word
		case textWidth(current)+1+textWidth(word) <= columns:
			current += " " + word
		default:
			lines, current = append(lines, current), word
		}
	}
	return append(lines, current)
}
