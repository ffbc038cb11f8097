package cli

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

const (
	barWidth  = 30
	barEvery  = 100 * time.Millisecond // redrawn on a terminal
	lineEvery = 5 * time.Second        // a line in a log
)

// progress shows how far something is: a bar that is redrawn on a terminal, a line now and then elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	now      func() time.Time
	last     time.Time
	drawn    int // characters of the bar on the screen
}

func newProgress(out io.Writer, terminal bool, now func() time.Time) *progress {
	return &progress{out: out, terminal: terminal, now: now, last: now()}
}

// show says that the part (0 to 1; negative: not known) is done.
func (p *progress) show(part float64, text string) {
	now, every := p.now(), lineEvery
	if p.terminal {
		every = barEvery
	}
	if now.Sub(p.last) < every {
		return
	}
	p.last = now
	if part >= 0 {
		text = fmt.Sprintf("%3.0f%%  %s", 100*part, text)
	}
	if !p.terminal {
		fmt.Fprintln(p.out, text)
		return
	}
	if part >= 0 {
		full := int(part * barWidth)
		text = strings.Repeat("█", full) + strings.Repeat("░", barWidth-full) + " " + text
	}
	width := len([]rune(text))
	fmt.Fprint(p.out, "\r", text, strings.Repeat(" ", max(0, p.drawn-width)))
	p.drawn = width
}

// end removes the bar, so that the summary takes its place.
func (p *progress) end() {
	if p.drawn > 0 {
		fmt.Fprint(p.out, "\r", strings.Repeat(" ", p.drawn), "\r")
	}
	p.drawn = 0
}

// countingReader counts what was read.
type countingReader struct {
	from io.Reader
	n    atomic.Int64
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.n.Add(int64(n))
	return n, err
}

// part is how much of the size was read; -1 if the size is not known.
func (r *countingReader) part(size int64) float64 {
	if size <= 0 {
		return -1
	}
	return min(1, float64(r.n.Load())/float64(size))
}
