package screen

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// widest is how many tokens are drawn one by one; of more there is the number of the free ones.
const widest = 12

const (
	tokensColumn = widest - 2
	nextColumn   = 5
)

func (p picture) accounts(r room) []line {
	names := len("ACCOUNT")
	for _, a := range p.s.Accounts {
		names = max(names, textWidth(clean(a.Name)))
	}
	names = min(names, max(10, p.columns/5))
	tokens := tokensColumn
	for _, a := range p.s.Accounts {
		if a.Tokens.Capacity <= widest {
			tokens = max(tokens, a.Tokens.Capacity)
		}
	}
	header := pad("ACCOUNT", names) + fmt.Sprintf("%6s%7s%6s%7s  ", "SENT", "QUEUED", "DOUBT", "FAILED") + pad("TOKENS", tokens) + "  " + pad("NEXT", nextColumn) + "  WAITS FOR"
	lines := []line{styled(bold, header)}
	for _, a := range p.s.Accounts[:r.accounts] {
		lines = append(lines, p.account(a, names, tokens))
	}
	switch hidden := len(p.s.Accounts) - r.accounts; {
	case p.s.MoreAccounts:
		lines = append(lines, styled(dim, p.look.ellipsis()+" and more accounts"))
	case hidden > 0:
		lines = append(lines, styled(dim, fmt.Sprintf("%s and %d more %s", p.look.ellipsis(), hidden, plural(hidden, "account", "accounts"))))
	}
	all := p.counts(pad("ALL", names), p.s.All)
	if p.s.All.Writing > 0 {
		all = all.add(plain, fmt.Sprintf("  and %d being written", p.s.All.Writing))
	}
	lines = append(lines, all)
	if r.legend {
		lines = append(lines, p.legend()...)
	}
	return lines
}

func (p picture) account(a Account, names, tokens int) line {
	l := p.counts(pad(cut(clean(a.Name), names, p.look.ellipsis()), names), a).add(plain, "  ")
	l = append(l, p.tokens(a.Tokens, tokens)...)
	next := ""
	switch {
	case a.Tokens.Capacity == 0:
	case a.NextFree.After(p.s.Now):
		next = countdown(a.NextFree.Sub(p.s.Now))
	default:
		next = "now"
	}
	l = l.add(plain, "  "+pad(next, nextColumn)+"  ")
	return l.add(plain, p.waits(a, p.columns-l.width()))
}

// counts are the columns of figures. What is nothing stays in the background.
func (p picture) counts(name string, a Account) line {
	l := styled(plain, name)
	for _, c := range []struct {
		n      int
		width  int
		notice style
	}{{a.Sent, 6, plain}, {a.Queued, 7, plain}, {a.InDoubt, 6, bad}, {a.Failed, 7, bad}} {
		text := strconv.Itoa(c.n)
		if a.More {
			text += "+"
		}
		look := c.notice
		if c.n == 0 {
			look = dim
		}
		l = l.add(look, padLeft(text, c.width))
	}
	return l
}

func (p picture) tokens(t Tokens, columns int) line {
	switch {
	case t.Capacity == 0:
		return styled(dim, pad("no limit", columns))
	case t.Capacity > widest:
		return styled(plain, pad(fmt.Sprintf("%d free", t.free()), columns))
	}
	// After a limit was lowered more may be in use than there are.
	inUse := min(t.InUse, t.Capacity)
	cooling := min(t.Cooling, t.Capacity-inUse)
	free := t.Capacity - inUse - cooling
	return styled(good, strings.Repeat(p.look.free(), free)).
		add(plain, strings.Repeat(p.look.cooling(), cooling)).
		add(bold, strings.Repeat(p.look.inUse(), inUse)).
		add(plain, strings.Repeat(" ", columns-t.Capacity))
}

// waits says why the account's messages wait, in many words or in few.
func (p picture) waits(a Account, columns int) string {
	for _, words := range []bool{true, false} {
		var parts []string
		if a.RestUntil.After(p.s.Now) {
			parts = append(parts, strings.TrimSuffix(fmt.Sprintf("rests %s: %s", countdown(a.RestUntil.Sub(p.s.Now)), clean(a.RestReason)), ": "))
		}
		if a.Sending > 0 {
			parts = append(parts, strconv.Itoa(a.Sending)+choose(words, plural(a.Sending, " on its way", " on their way"), " sending"))
		}
		if a.Writing > 0 {
			parts = append(parts, strconv.Itoa(a.Writing)+choose(words, " being written", " writing"))
		}
		for _, w := range a.Waits {
			parts = append(parts, w.text(p.s.Now, words))
		}
		if text := strings.Join(parts, ", "); textWidth(text) <= columns || !words {
			return text
		}
	}
	return ""
}

func (w Wait) text(now time.Time, words bool) string {
	n := strconv.Itoa(w.Count)
	in := ""
	if w.Until.After(now) {
		in = countdown(w.Until.Sub(now))
	}
	its := plural(w.Count, "its", "their")
	switch w.Reason {
	case ForToken:
		return n + choose(words, " for a token", " token")
	case ForTime:
		if w.Until.Sub(now) < 12*time.Hour {
			return n + choose(words, " for "+its+" time: "+Clock(w.Until), " for "+Clock(w.Until))
		}
		return n + choose(words, " for "+its+" time, in "+in, " scheduled")
	case ForRecipient:
		return n + choose(words, " for "+its+" recipient: "+in, " recipient "+in)
	case ForRetry:
		return n + choose(words, " for "+its+" next try: "+in, " retry "+in)
	case ForText:
		return n + choose(words, " for "+its+" text", " text")
	}
	return n + choose(words, " in a paused campaign", " paused")
}

func choose(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// legend explains the tokens, and the wait of the account that waits most.
func (p picture) legend() []line {
	if p.s.Limit.Capacity == 0 {
		return nil
	}
	lines := []line{styled(dim, fmt.Sprintf("%s free  %s cooling  %s in use; a token comes back %s after its send has ended",
		p.look.free(), p.look.cooling(), p.look.inUse(), Window(p.s.Limit.Window)))}
	most, who := 0, Account{}
	for _, a := range p.s.Accounts {
		for _, w := range a.Waits {
			if w.Reason == ForToken && w.Count > most && a.NextFree.After(p.s.Now) {
				most, who = w.Count, a
			}
		}
	}
	if most == 0 {
		return append(lines, line{})
	}
	return append(lines, styled(plain, "The limit at work: ").
		add(bold, fmt.Sprintf("%s has sent its %d, the next goes in %s", clean(who.Name), who.Tokens.Capacity, countdown(who.NextFree.Sub(p.s.Now)))))
}
