package screen

import (
	"fmt"
	"slices"
	"time"
)

// Row says what happened to one message.
type Row struct {
	Workflow  string
	Account   string
	Recipient string
	Outcome   string
	Fine      bool          // the outcome is the one to hope for
	Waited    time.Duration // from its intake to its end; negative: not known
	Reason    string        // why it waited or was not sent; may be empty
}

// Table lays out what happened to messages, by account in the order in which accounts first appear. Of each account's
// messages that ended alike for the same reason at most `each` are shown, the others are one line with their number. When
// the table would have more than `most` lines, fewer are shown of each; what did not end well is left out last.
func Table(rows []Row, size Size, each, most int, look Look) []string {
	t := table{look: look, columns: max(20, size.Width-1)}
	t.measure(rows)
	header := t.row(Row{Workflow: "WORKFLOW", Account: "ACCOUNT", Recipient: "RECIPIENT", Outcome: "OUTCOME", Reason: "REASON"}, "WAITED")
	groups := grouped(rows)
	var lines []line
	for ; each >= 0; each-- {
		lines = []line{styled(bold, header.text())}
		for _, g := range groups {
			lines = append(lines, t.group(g, each)...)
		}
		if len(lines) <= most {
			return render(lines, t.columns, look)
		}
	}
	return render(t.shorten(groups, lines[0], most), t.columns, look)
}

// shorten shows as many groups as fit, those that did not end well first, and counts the rest.
func (t table) shorten(groups [][]Row, header line, most int) []line {
	lines := []line{header}
	slices.SortStableFunc(groups, func(a, b []Row) int { return boolean(a[0].Fine) - boolean(b[0].Fine) })
	left := 0
	for _, g := range groups {
		part := t.group(g, 0)
		if len(lines)+len(part) >= most {
			left += len(g)
			continue
		}
		lines = append(lines, part...)
	}
	return append(lines, styled(dim, fmt.Sprintf("%s and %d more %s", t.look.ellipsis(), left, plural(left, "message", "messages"))))
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

type table struct {
	look      Look
	columns   int
	workflow  int
	account   int
	recipient int
	outcome   int
}

const waitedColumn = 6

func (t *table) measure(rows []Row) {
	t.workflow, t.account, t.recipient, t.outcome = 8, 7, 9, 7
	for _, r := range rows {
		t.workflow = max(t.workflow, textWidth(clean(r.Workflow)))
		t.account = max(t.account, textWidth(clean(r.Account)))
		t.recipient = max(t.recipient, textWidth(clean(r.Recipient)))
		t.outcome = max(t.outcome, textWidth(clean(r.Outcome)))
	}
	widest := t.columns / 4
	t.workflow, t.account, t.recipient, t.outcome = min(t.workflow, widest), min(t.account, widest), min(t.recipient, widest), min(t.outcome, widest)
}

// grouped puts together what ended alike, for each account, without changing the order otherwise.
func grouped(rows []Row) [][]Row {
	type kind struct{ account, outcome, reason string }
	var accounts []string
	byAccount := map[string][][]Row{}
	at := map[kind]int{}
	for _, r := range rows {
		if byAccount[r.Account] == nil {
			accounts = append(accounts, r.Account)
		}
		k := kind{r.Account, r.Outcome, r.Reason}
		i, known := at[k]
		if !known {
			i = len(byAccount[r.Account])
			at[k] = i
			byAccount[r.Account] = append(byAccount[r.Account], nil)
		}
		byAccount[r.Account][i] = append(byAccount[r.Account][i], r)
	}
	var groups [][]Row
	for _, account := range accounts {
		groups = append(groups, byAccount[account]...)
	}
	return groups
}

func (t table) group(rows []Row, each int) (lines []line) {
	shown := rows
	// One line for the number of one message would save nothing.
	if rows[0].Fine && len(rows) > each+1 {
		shown = rows[:each]
	}
	for _, r := range shown {
		waited := ""
		if r.Waited >= 0 {
			waited = Span(r.Waited)
		}
		lines = append(lines, t.wrapped(r, waited)...)
	}
	rest := rows[len(shown):]
	if len(rest) == 0 {
		return lines
	}
	least, longest := rest[0].Waited, rest[0].Waited
	for _, r := range rest {
		least, longest = min(least, r.Waited), max(longest, r.Waited)
	}
	what := "more"
	if len(shown) == 0 {
		what = plural(len(rest), "message", "messages")
	}
	text := fmt.Sprintf("%s %d %s of %s, all %s", t.look.ellipsis(), len(rest), what, clean(rest[0].Account), clean(rest[0].Outcome))
	if least >= 0 {
		text += fmt.Sprintf(", waited %s to %s", Span(least), Span(longest))
	}
	if len(shown) == 0 && rest[0].Reason != "" {
		text += ": " + clean(rest[0].Reason)
	}
	return append(lines, styled(dim, text))
}

func (t table) row(r Row, waited string) line {
	mark := t.look.ellipsis()
	column := func(text string, columns int) string { return pad(cut(clean(text), columns, mark), columns) + t.gap() }
	outcome := bad
	if r.Fine {
		outcome = plain
	}
	return styled(plain, column(r.Workflow, t.workflow)+column(r.Account, t.account)+column(r.Recipient, t.recipient)).
		add(outcome, column(r.Outcome, t.outcome)).
		add(plain, padLeft(waited, waitedColumn)+t.gap()).
		add(plain, clean(r.Reason))
}

// gap is the space between two columns.
func (t table) gap() string {
	if t.columns < 100 {
		return " "
	}
	return "  "
}

// wrapped puts a reason that does not fit on lines of its own.
func (t table) wrapped(r Row, waited string) []line {
	whole := t.row(r, waited)
	if whole.width() <= t.columns {
		return []line{whole}
	}
	reason := clean(r.Reason)
	r.Reason = ""
	lines := []line{t.row(r, waited)}
	const indent = "    "
	for _, text := range Wrap(reason, t.columns-len(indent)) {
		lines = append(lines, styled(plain, indent+text))
	}
	return lines
}

func (l line) text() (text string) {
	for _, p := range l {
		text += p.text
	}
	return text
}
