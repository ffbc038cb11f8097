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
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/huntaze/hybrid-orchestrator/internal/wording"
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

// The words that the console uses, too.
var (
	moment   = wording.Moment
	relative = wording.Relative
	when     = wording.When
	length   = wording.Length
	number   = wording.Number
	counted  = wording.Counted
	grouped  = wording.Grouped
	plural   = wording.Plural
	joined   = wording.Joined
	word     = wording.Labelled
)
