// Package vt is a terminal in memory, for tests: it understands the few control sequences (ECMA-48) that our pictures are
// made of, and keeps what a person would see. A sequence that it does not know is an error, so that none goes unnoticed.
package vt

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Screen is a terminal; what is written to it is shown. It is safe for concurrent use.
type Screen struct {
	mu      sync.Mutex
	columns int
	rows    int
	cells   [][]string // a cell is a character, "" the second half of a wide one
	x, y    int
	wrap    bool // the last column was written: the next character wraps
	hidden  bool
	history []string
	rest    []byte // of a sequence or character that is not complete
}

// New returns an empty terminal.
func New(columns, rows int) *Screen {
	s := &Screen{columns: columns, rows: rows}
	for range rows {
		s.cells = append(s.cells, blank(columns))
	}
	return s
}

func blank(columns int) []string {
	line := make([]string, columns)
	for i := range line {
		line[i] = " "
	}
	return line
}

// Write implements io.Writer.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, p...)
	for len(s.rest) > 0 {
		used, err := s.step(s.rest)
		if err != nil {
			return 0, err
		}
		if used == 0 {
			break
		}
		s.rest = s.rest[used:]
	}
	return len(p), nil
}

// step takes one character or sequence; 0 when it is not complete.
func (s *Screen) step(text []byte) (int, error) {
	switch text[0] {
	case 0x1b:
		return s.sequence(text)
	case '\r':
		s.x, s.wrap = 0, false
		return 1, nil
	case '\n':
		s.down()
		return 1, nil
	}
	if !utf8.FullRune(text) {
		return 0, nil
	}
	r, size := utf8.DecodeRune(text)
	if r < ' ' || r == 0x7f {
		return 0, fmt.Errorf("vt: control character %q", r)
	}
	s.put(r)
	return size, nil
}

func (s *Screen) put(r rune) {
	wide := 1
	if kind := width.LookupRune(r).Kind(); kind == width.EastAsianWide || kind == width.EastAsianFullwidth {
		wide = 2
	}
	if s.wrap || s.x+wide > s.columns {
		s.x, s.wrap = 0, false
		s.down()
	}
	s.cells[s.y][s.x] = string(r)
	if wide == 2 {
		s.cells[s.y][s.x+1] = ""
	}
	if s.x += wide; s.x >= s.columns {
		s.x, s.wrap = s.columns-1, true
	}
}

func (s *Screen) down() {
	if s.y < s.rows-1 {
		s.y++
		return
	}
	s.history = append(s.history, text(s.cells[0]))
	s.cells = append(s.cells[1:], blank(s.columns))
}

func (s *Screen) sequence(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, nil
	}
	if p[1] != '[' {
		return 0, fmt.Errorf("vt: sequence %q", p[:2])
	}
	for i := 2; i < len(p); i++ {
		if p[i] >= 0x40 && p[i] <= 0x7e {
			return i + 1, s.control(string(p[2:i]), p[i])
		}
	}
	return 0, nil
}

func (s *Screen) control(parameters string, final byte) error {
	n, _ := strconv.Atoi(parameters)
	switch {
	case final == 'm': // looks are not kept
	case final == 'A':
		s.y, s.wrap = max(0, s.y-max(1, n)), false
	case final == 'H' && parameters == "":
		s.x, s.y, s.wrap = 0, 0, false
	case final == 'K' && parameters == "":
		copy(s.cells[s.y][s.x:], blank(s.columns-s.x))
	case final == 'J' && parameters == "":
		copy(s.cells[s.y][s.x:], blank(s.columns-s.x))
		for y := s.y + 1; y < s.rows; y++ {
			s.cells[y] = blank(s.columns)
		}
	case final == 'J' && parameters == "2":
		for y := range s.cells {
			s.cells[y] = blank(s.columns)
		}
	case parameters == "?25" && (final == 'h' || final == 'l'):
		s.hidden = final == 'l'
	case parameters == "?2026" && (final == 'h' || final == 'l'):
	default:
		return fmt.Errorf("vt: sequence CSI %s %c", parameters, final)
	}
	return nil
}

// Resize changes the size. What does not fit is cut off, which is what some terminals do.
func (s *Screen) Resize(columns, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for y := range s.cells {
		s.cells[y] = append(s.cells[y], blank(columns)...)[:columns]
	}
	for len(s.cells) < rows {
		s.cells = append(s.cells, blank(columns))
	}
	s.cells, s.columns, s.rows = s.cells[:rows], columns, rows
	s.x, s.y, s.wrap = min(s.x, columns-1), min(s.y, rows-1), false
}

// Lines is what is seen, without spaces at the ends of lines and empty lines at the end.
func (s *Screen) Lines() (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cells := range s.cells {
		lines = append(lines, text(cells))
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// History is what has scrolled out at the top.
func (s *Screen) History() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.history...)
}

// CursorHidden says whether the cursor is.
func (s *Screen) CursorHidden() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hidden
}

func text(cells []string) string { return strings.TrimRight(strings.Join(cells, ""), " ") }
