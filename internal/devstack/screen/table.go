package screen

import (
	"fmt"
	"strings"
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

// Table lays out what happened to messages, by account in the order in which accounts first appear. Of each
// account's messages that ended alike for the same reason at most `each` are shown, the others as one line with their
// number; what did not end well is always shown, up to `most` lines in all.
func Table(rows []Row, size Size, each, most int, look Look) []string {
	t := table{look: look, columns: max(20, size.Width-1)}
	t.measure(rows)
	header := t.row(Row{Workflow: "WORKFLOW", Account: "ACCOUNT", Recipient: "RECIPIENT", Outcome: "OUTCOME", Reason: "REASON", Waited: -1, Fine: true}, "WAITED")
	lines := []line{styled(bold, header.text())}
	groups := grouped(rows)
	shown := 0
	for i, g := range groups {
		if len(lines) >= most {
			rest := len(rows) - shown
			lines = append(lines, styled(dim, fmt.Sprintf("%s and %d more %s", look.ellipsis(), rest, plural(rest, "message", "messages"))))
			break
		}
		lines = append(lines, t.group(groups[i], each)...)
		shown += len(g)
	}
	return render(lines, t.columns, look)
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
	if rows[0].Fine && len(rows) > each+1 { // one line for one message would save nothing
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
	text := fmt.Sprintf("%s %d more of %s, all %s", t.look.ellipsis(), len(rest), clean(rest[0].Account), clean(rest[0].Outcome))
	if least >= 0 {
		text += fmt.Sprintf(", waited %s to %s", Span(least), Span(longest))
	}
	return append(lines, styled(dim, text))
}

func (t table) row(r Row, waited string) line {
	mark := t.look.ellipsis()
	column := func(text string, columns int) string { return pad(cut(clean(text), columns, mark), columns) + "  " }
	outcome := bad
	if r.Fine {
		outcome = plain
	}
	return styled(plain, column(r.Workflow, t.workflow)+column(r.Account, t.account)+column(r.Recipient, t.recipient)).
		add(outcome, column(r.Outcome, t.outcome)).
		add(plain, padLeft(waited, waitedColumn)+"  ").
		add(plain, clean(r.Reason))
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
	for _, text := range wrap(reason, t.columns-len(indent)) {
		lines = append(lines, styled(plain, indent+text))
	}
	return lines
}

func wrap(text string, columns int) (lines []string) {
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

func (l line) text() (text string) {
	for _, p := range l {
		text += p.text
	}
	return text
}
