package screen

import (
	"fmt"
	"strings"
	"time"
)

// Size is that of a terminal, in characters.
type Size struct {
	Width  int
	Height int
}

// Live lays out the live picture: at most one line less than the terminal is high, so that nothing scrolls, and one
// column less than it is wide, so that nothing wraps.
func Live(s Snapshot, size Size, look Look) []string {
	p := picture{s: s, look: look, columns: max(20, size.Width-1)}
	return render(p.fit(max(3, size.Height-1)), p.columns, look)
}

// Resting is the picture while nothing happens any more, so that what was printed above it can be read.
func Resting(s Snapshot, size Size, look Look) []string {
	dot := look.dot()
	text := styled(bold, "huntaze dev").add(dim, dot+countdown(s.Now.Sub(s.Since).Truncate(time.Second))+dot).
		add(plain, fmt.Sprintf("%d sent, %d on their way", s.All.Sent, s.All.Queued+s.All.Writing+s.All.Sending+s.All.InDoubt)).
		add(dim, dot+"waits for more"+dot+"Ctrl-C stops")
	return render([]line{text}, max(20, size.Width-1), look)
}

type picture struct {
	s       Snapshot
	look    Look
	columns int
}

// room is how much a picture shows of what there may be any amount of.
type room struct {
	accounts int
	problems int
	arrivals int
	legend   bool
	blank    bool // between the parts
}

// fit takes from the less important until the rest has room.
func (p picture) fit(height int) []line {
	r := room{accounts: len(p.s.Accounts), problems: min(3, len(p.s.Intake.Problems)), arrivals: 12, legend: true, blank: true}
	lines := p.lines(r)
	for len(lines) > height {
		switch {
		case r.arrivals > 5:
			r.arrivals--
		case r.accounts > 12:
			r.accounts--
		case r.problems > 2:
			r.problems--
		case r.blank:
			r.blank = false
		case r.arrivals > 3:
			r.arrivals--
		case r.accounts > 6:
			r.accounts--
		case r.legend:
			r.legend = false
		case r.problems > 0:
			r.problems--
		case r.arrivals > 0:
			r.arrivals--
		case r.accounts > 1:
			r.accounts--
		default:
			return lines[:height]
		}
		lines = p.lines(r)
	}
	return lines
}

func (p picture) lines(r room) []line {
	parts := [][]line{p.title(), p.accounts(r), p.intake(r), p.arrivals(r), p.footer()}
	var all []line
	for i, part := range parts {
		if i > 0 && r.blank && len(part) > 0 {
			all = append(all, line{})
		}
		all = append(all, part...)
	}
	return all
}

func (p picture) title() []line {
	dot := p.look.dot()
	left := styled(bold, "huntaze dev").add(dim, dot+countdown(p.s.Now.Sub(p.s.Since).Truncate(time.Second))+dot+
		fmt.Sprintf("%d %s", p.s.Workers, plural(p.s.Workers, "worker", "workers"))+dot+p.s.Limit.String())
	const right = "Ctrl-C stops"
	if gap := p.columns - left.width() - len(right); gap > 1 {
		left = left.add(plain, strings.Repeat(" ", gap)).add(dim, right)
	}
	return []line{left}
}

// String says what the limit is.
func (l Limit) String() string {
	if l.Capacity == 0 {
		return "no limit"
	}
	return fmt.Sprintf("each account: %d in %s", l.Capacity, Window(l.Window))
}

// Window writes the length of a limit's window: "60 s", "24 h".
func Window(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	if d%time.Second == 0 {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return Span(d)
}

func (p picture) intake(r room) []line {
	in := p.s.Intake
	first := styled(bold, "INTAKE").add(plain, fmt.Sprintf("  received %d, accepted %d, duplicates %d, ", in.Received, in.Accepted, in.Duplicates))
	mood := plain
	if in.Quarantined > 0 {
		mood = bad
	}
	lines := []line{first.add(mood, fmt.Sprintf("quarantined %d", in.Quarantined))}
	problems := in.Problems[max(0, len(in.Problems)-r.problems):]
	for _, problem := range problems {
		lines = append(lines, styled(plain, "  "+problem.String()))
	}
	return lines
}

// String is the problem with the message it is about.
func (q Problem) String() string {
	if q.Message == "" {
		return "quarantined: " + clean(q.Reason)
	}
	return "quarantined " + clean(q.Message) + ": " + clean(q.Reason)
}

func (p picture) arrivals(r room) []line {
	if !p.s.Gateway.Simulated {
		return []line{styled(bold, "GATEWAY").add(plain, "  "+p.s.Gateway.Address+", not a simulated one: what arrives there is not seen here")}
	}
	title := styled(bold, "ARRIVED").add(plain, fmt.Sprintf("  %d in the last minute, at the simulated gateway: sent to nobody", p.s.LastMinute))
	lines := []line{title}
	if r.arrivals == 0 {
		return lines
	}
	shown := p.s.Arrivals[max(0, len(p.s.Arrivals)-r.arrivals):]
	accounts, recipients := 8, 8
	for _, a := range p.s.Arrivals { // also those that are not shown any more: the columns should not jump
		accounts, recipients = max(accounts, textWidth(clean(a.Account))), max(recipients, textWidth(clean(a.Recipient)))
	}
	accounts, recipients = min(accounts, p.columns/4), min(recipients, p.columns/4)
	for _, a := range shown {
		lines = append(lines, p.arrival(a, accounts, recipients))
	}
	// Room is kept from the beginning, so that the picture does not grow with every message.
	for range r.arrivals - len(shown) {
		lines = append(lines, line{})
	}
	return lines
}

func (p picture) arrival(a Arrival, accounts, recipients int) line {
	mark := p.look.ellipsis()
	l := styled(dim, "  "+Clock(a.At)).
		add(plain, "  "+pad(cut(clean(a.Account), accounts, mark), accounts)).
		add(plain, "  "+pad(cut(clean(a.Recipient), recipients, mark), recipients))
	took := ""
	if a.Took >= 0 {
		took = Span(a.Took)
	}
	l = l.add(dim, "  "+padLeft(took, 6)+"  ")
	if a.Outcome != "" {
		return l.add(bad, clean(a.Outcome))
	}
	return l.add(dim, clean(a.Content))
}

func (p picture) footer() []line {
	var lines []line
	sample := p.s.Sample
	switch {
	case p.s.Trouble != "":
		lines = append(lines, styled(bad, clean(p.s.Trouble)))
	case sample.Total > 0 && !sample.Ended:
		text := fmt.Sprintf("  %d of %d messages done", sample.Done, sample.Total)
		if left := sample.Expect.Sub(p.s.Now); left > 0 {
			text += fmt.Sprintf(", the last about %s (in %s)", Clock(sample.Expect), countdown(left))
		}
		lines = append(lines, styled(bold, "SAMPLE").add(plain, text))
	case sample.SendHow != "":
		lines = append(lines, styled(bold, "MORE").add(plain, "  "+sample.SendHow))
	}
	if p.s.Warnings > 0 {
		lines = append(lines, styled(plain, fmt.Sprintf("%d %s in %s, the last: %s", p.s.Warnings, plural(p.s.Warnings, "warning", "warnings"), p.s.LogFile, clean(p.s.LastWarning))))
	}
	return lines
}
