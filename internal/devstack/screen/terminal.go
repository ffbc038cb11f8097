package screen

import (
	"fmt"
	"io"
	"strings"
)

// Terminal keeps a live picture at the bottom of what was printed. It is not safe for concurrent use.
type Terminal struct {
	out   io.Writer
	size  func() Size
	drawn int // lines of the picture that is there
	last  Size
}

// The control sequences (ECMA-48; 2026 is the synchronised update, which terminals that do not know it ignore).
const (
	hideCursor  = "\x1b[?25l"
	showCursor  = "\x1b[?25h"
	beginUpdate = "\x1b[?2026h"
	endUpdate   = "\x1b[?2026l"
	eraseBelow  = "\x1b[J"
	eraseRight  = "\x1b[K"
	eraseAll    = "\x1b[2J\x1b[H"
)

// NewTerminal draws on a terminal whose size is asked for at every picture.
func NewTerminal(out io.Writer, size func() Size) *Terminal {
	return &Terminal{out: out, size: size, last: size()}
}

// Size is that of the terminal now.
func (t *Terminal) Size() Size { return t.size() }

// Draw replaces the picture. Its lines must fit the size.
func (t *Terminal) Draw(lines []string) error {
	var text strings.Builder
	text.WriteString(beginUpdate + hideCursor)
	if size := t.size(); size != t.last {
		// The terminal has wrapped or cut what was there in a way of its own: begin at the top.
		text.WriteString(eraseAll)
		t.last, t.drawn = size, 0
	}
	text.WriteString(t.up())
	for i, l := range lines {
		if i > 0 {
			text.WriteString("\r\n")
		}
		text.WriteString(l + eraseRight)
	}
	text.WriteString(eraseBelow + endUpdate)
	t.drawn = len(lines)
	return t.write(text.String())
}

// Print writes lines above the picture, which is gone until the next Draw.
func (t *Terminal) Print(lines ...string) error {
	var text strings.Builder
	text.WriteString(t.up() + eraseBelow)
	for _, l := range lines {
		text.WriteString(l + "\r\n")
	}
	t.drawn = 0
	return t.write(text.String())
}

// Close leaves the picture where it is, goes below it and shows the cursor.
func (t *Terminal) Close() error {
	text := showCursor
	if t.drawn > 0 {
		text = "\r\n" + text
	}
	t.drawn = 0
	return t.write(text)
}

// up goes to the first column of the picture's first line.
func (t *Terminal) up() string {
	if t.drawn > 1 {
		return fmt.Sprintf("\r\x1b[%dA", t.drawn-1)
	}
	return "\r"
}

func (t *Terminal) write(text string) error {
	_, err := io.WriteString(t.out, text)
	return err
}
