package devstack

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/huntaze/hybrid-orchestrator/internal/devstack/screen"
)

// view is where a person sees what happens.
type view interface {
	// say prints lines that stay.
	say(lines ...string) error
	// paragraph prints text that stays, in lines that fit.
	paragraph(text string) error
	// readingTime is how long a picture should wait that pushes off the screen what was said before it.
	readingTime() time.Duration
	// rest shows only as much as leaves what was said readable, until something new is received.
	rest()
	// show is called several times a second with the state, and what is new in it.
	show(s screen.Snapshot, n news) error
	size() screen.Size
	look() screen.Look
	close() error
}

// newView draws on a terminal, and elsewhere writes lines.
func newView(out io.Writer, plain bool, environ func(string) string) view {
	file, ok := out.(*os.File)
	if plain || !ok || !term.IsTerminal(int(file.Fd())) || environ("TERM") == "dumb" || environ("TERM") == "" {
		return &lines{out: out, now: time.Now}
	}
	size := func() screen.Size {
		width, height, err := term.GetSize(int(file.Fd()))
		if err != nil || width == 0 || height == 0 {
			return usualSize
		}
		return screen.Size{Width: width, Height: height}
	}
	return &live{terminal: screen.NewTerminal(out, size), style: screen.Look{Colour: environ("NO_COLOR") == "", Unicode: isUTF8(environ)}}
}

var usualSize = screen.Size{Width: 80, Height: 24}

// isUTF8 goes by the variable that decides for every program: https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/V1_chap08.html
func isUTF8(environ func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToUpper(environ(name)); value != "" {
			return strings.Contains(value, "UTF-8") || strings.Contains(value, "UTF8")
		}
	}
	return false
}

// live redraws a picture in place.
type live struct {
	terminal *screen.Terminal
	style    screen.Look

	resting  bool
	received int // when it began to rest; negative: not known yet
}

func (v *live) say(text ...string) error { return v.terminal.Print(text...) }
func (v *live) size() screen.Size        { return v.terminal.Size() }
func (v *live) look() screen.Look        { return v.style }
func (v *live) close() error             { return v.terminal.Close() }

func (v *live) rest() { v.resting, v.received = true, -1 }

func (v *live) readingTime() time.Duration {
	const (
		roomForBoth = 40 // lines
		reading     = 3 * time.Second
	)
	if v.size().Height >= roomForBoth {
		return 0
	}
	return reading
}

// widestText is how long lines of text get: longer ones are hard to read.
const widestText = 100

func (v *live) paragraph(text string) error {
	return v.say(screen.Wrap(text, min(v.size().Width-1, widestText))...)
}

func (v *live) show(s screen.Snapshot, _ news) error {
	if v.resting {
		if v.received < 0 {
			v.received = s.Intake.Received
		}
		v.resting = s.Intake.Received == v.received && s.Trouble == ""
	}
	if v.resting {
		return v.terminal.Draw(screen.Resting(s, v.terminal.Size(), v.style))
	}
	return v.terminal.Draw(screen.Live(s, v.terminal.Size(), v.style))
}

// How often lines are written, at most.
const (
	linesPerSecond = 3
	// quietEvery is the time between two summaries while nothing happens.
	quietEvery = 10 * time.Second
	// busyEvery is the time between two summaries while something does.
	busyEvery = 2 * time.Second
)

// lines writes one plain line for each thing that happens, and a summary from time to time. When much happens at once,
// only some of it gets a line; the others are counted.
type lines struct {
	out io.Writer
	now func() time.Time

	second     time.Time // in which written counts
	written    int
	left       int // without a line since the last summary
	warnings   int
	summarised time.Time
	last       string // summary, without its time
}

func (v *lines) size() screen.Size { return screen.Size{Width: 160, Height: 1 << 20} }
func (v *lines) look() screen.Look { return screen.Look{} }
func (v *lines) close() error      { return nil }
func (v *lines) rest()             {}

func (v *lines) readingTime() time.Duration { return 0 }

func (v *lines) paragraph(text string) error { return v.say(text) }

func (v *lines) say(text ...string) error {
	_, err := io.WriteString(v.out, strings.Join(text, "\n")+"\n")
	return err
}

func (v *lines) show(s screen.Snapshot, n news) error {
	var text []string
	for _, p := range n.problems {
		text = append(text, p.Line(s.Now))
	}
	if s.Warnings > v.warnings {
		text = append(text, screen.Clock(s.Now)+"  warning: "+s.LastWarning+" (all in "+s.LogFile+")")
		v.warnings = s.Warnings
	}
	for _, a := range n.arrivals {
		if v.mayWrite() {
			text = append(text, a.String())
		} else {
			v.left++
		}
	}
	if summary := v.summary(s); summary != "" {
		text = append(text, summary)
	}
	if len(text) == 0 {
		return nil
	}
	return v.say(text...)
}

func (v *lines) mayWrite() bool {
	if second := v.now().Truncate(time.Second); second != v.second {
		v.second, v.written = second, 0
	}
	v.written++
	return v.written <= linesPerSecond
}

func (v *lines) summary(s screen.Snapshot) string {
	text := screen.Summary(s)
	_, what, _ := strings.Cut(text, "  ")
	every := quietEvery
	if totals, _, _ := strings.Cut(what, ";"); !strings.HasPrefix(v.last, totals) {
		every = busyEvery
	}
	if v.now().Sub(v.summarised) < every || what == v.last && v.left == 0 {
		return ""
	}
	v.summarised, v.last = v.now(), what
	if v.left > 0 {
		text += fmt.Sprintf("; %d arrivals without a line of their own", v.left)
		v.left = 0
	}
	return text
}
