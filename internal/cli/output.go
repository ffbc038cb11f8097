package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/huntaze/hybrid-orchestrator/db"
)

// isTerminal says whether a reader or writer is a person's terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// clean makes a text from outside harmless for a terminal: what is not printable is shown as an escape.
func clean(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, harmful) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case harmful(r):
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		default:
			b.WriteRune(r)
		}
		text = text[size:]
	}
	return b.String()
}

func harmful(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }

// cell is a text that stays in its cell of a table.
func cell(text string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(clean(text))
}

// table writes rows under headings, or a sentence when there are none.
func (a *app) table(none string, headings []string, rows [][]string) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(a.out, none)
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(headings, "\t"))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, text := range row {
			cells[i] = cell(text)
			if text == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// printJSON writes a value for programs.
func (a *app) printJSON(value any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// confirm asks a person. Where nobody can answer, the command line itself is the decision.
func (a *app) confirm(yes bool, question string) error {
	if yes || !a.terminal(a.in) {
		return nil
	}
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer == "y" || answer == "yes" {
		return nil
	}
	return codedError{errors.New("nothing was changed"), exitFailed}
}

const momentLayout = "2006-01-02 15:04:05 UTC"

// moment is a time for a person. Everybody reads the same clock, so it is UTC.
func moment(at time.Time) string { return at.UTC().Format(momentLayout) }

// relative says how far a time is from now.
func relative(at, now time.Time) string {
	if d := at.Sub(now); d > 0 {
		return "in " + length(d)
	}
	return length(now.Sub(at)) + " ago"
}

// when is both.
func when(at, now time.Time) string { return moment(at) + " (" + relative(at, now) + ")" }

// length is a duration with two units at most.
func length(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 2*day:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	default:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
}

// number is a count with its certainty, in groups of three digits.
func number(c db.Count) string {
	text := grouped(c.Number)
	switch c.Certainty {
	case db.AtLeast:
		return "over " + text
	case db.About:
		return "about " + text
	}
	return text
}

func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// plural is a number with the word that it counts.
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return grouped(int64(n)) + " " + word + "s"
}
