package campaign

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// rowReader divides a CSV into records by RFC 4180. It differs from encoding/csv in what happens to records that
// are broken: their length is bounded, and the reader goes on after them.
//
// As there, \r\n in a quoted value becomes \n.
type rowReader struct {
	in        *bufio.Reader
	pending   []byte // read already, valid until the next reading
	separator byte
	most      int
	lines     int // that have ended so far

	// The record that was read last.
	first int    // its first line
	text  []byte // its cells, one after the other
	ends  []int  // where each cell ends in text, for the first maxCells of them
	cells int
	flaw  *flaw // not nil: it can't be used, and the cells are not all there
}

// maxCells is one more than a header may have: the id, the merge fields.
const maxCells = 1 + MaxFields + 1

// The states between two characters of a record.
type cellState int

const (
	cellBegins cellState = iota
	cellPlain            // in a value without quotes
	cellQuoted           // in a value with quotes
	cellClosed           // after a quote in such a value: its end, or the first of two quotes
	cellReturn           // after \r behind such a value
	lineLost             // in what is left of a line after a mistake
)

// read reads the next record. It returns io.EOF when there is none.
func (t *rowReader) read() error {
	t.first, t.text, t.ends, t.cells, t.flaw = t.lines+1, t.text[:0], t.ends[:0], 0, nil
	state, any := cellBegins, false
	for {
		chunk, err := t.chunk()
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("list of recipients: %w", err)
		}
		any = any || len(chunk) > 0
		next, ended := t.scan(chunk, state)
		if ended {
			return nil
		}
		state = next
		if err == nil {
			continue
		}
		switch {
		case !any:
			return io.EOF
		case state == cellQuoted:
			t.fail("has a quote that is never closed: everything after it was left out", "close the quote, and write a quote in a value twice")
		case state != lineLost:
			t.endCell(false)
		}
		t.lines++
		return nil
	}
}

// chunk returns what was kept, or reads up to the next end of a line, or less.
func (t *rowReader) chunk() ([]byte, error) {
	if len(t.pending) > 0 {
		chunk := t.pending
		t.pending = nil
		return chunk, nil
	}
	chunk, err := t.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		err = nil
	}
	return chunk, err
}

// scan goes over a piece of the list in which no line ends but at its end. With ended, the record is complete.
func (t *rowReader) scan(chunk []byte, state cellState) (next cellState, ended bool) {
	for i := 0; i < len(chunk); i++ {
		c := chunk[i]
		if c == '\n' {
			t.lines++
		}
		switch state {
		case cellBegins, cellPlain:
			switch {
			case c == '\n':
				t.endCell(true)
				return state, true
			case c == t.separator:
				t.endCell(false)
				state = cellBegins
			case c == '"' && state == cellBegins:
				state = cellQuoted
			case c == '"':
				t.fail("has a quote inside of a value without quotes", "put the value in quotes, and write a quote in it twice")
				state = lineLost
			default:
				run := t.run(chunk[i:], t.separator)
				t.add(chunk[i : i+run])
				i += run - 1
				state = cellPlain
			}
		case cellQuoted:
			switch {
			case c == '"':
				state = cellClosed
			case c == '\n':
				t.trimReturn()
				t.add(chunk[i : i+1])
			default:
				run := t.run(chunk[i:], '"')
				t.add(chunk[i : i+run])
				i += run - 1
			}
		case cellClosed, cellReturn:
			switch {
			case c == '\n':
				t.endCell(false)
				return state, true
			case state == cellReturn:
				t.fail("has characters after a closing quote", "write a quote in a value twice")
				state = lineLost
			case c == '"':
				t.add(chunk[i : i+1])
				state = cellQuoted
			case c == t.separator:
				t.endCell(false)
				state = cellBegins
			case c == '\r':
				state = cellReturn
			default:
				t.fail("has characters after a closing quote", "write a quote in a value twice")
				state = lineLost
			}
		case lineLost:
			if c == '\n' {
				return state, true
			}
		}
	}
	return state, false
}

// run is how many characters from the first on are part of a value, at least one.
func (t *rowReader) run(chunk []byte, until byte) int {
	for i, c := range chunk {
		if c == '\n' || c == '"' || c == until {
			return max(i, 1)
		}
	}
	return len(chunk)
}

func (t *rowReader) add(part []byte) {
	if t.flaw != nil {
		return
	}
	if len(t.text)+len(part) > t.most {
		t.fail(fmt.Sprintf("has more than %d bytes", t.most), "shorten its values, and look for a quote that isn't closed")
		return
	}
	t.text = append(t.text, part...)
}

func (t *rowReader) fail(reason, remedy string) {
	if t.flaw == nil {
		t.flaw = &flaw{reason, remedy}
	}
}

func (t *rowReader) begin() int {
	if n := len(t.ends); n > 0 {
		return t.ends[n-1]
	}
	return 0
}

func (t *rowReader) trimReturn() {
	if n := len(t.text); n > t.begin() && t.text[n-1] == '\r' {
		t.text = t.text[:n-1]
	}
}

func (t *rowReader) endCell(endsLine bool) {
	if endsLine {
		t.trimReturn()
	}
	if t.cells++; t.cells <= maxCells {
		t.ends = append(t.ends, len(t.text))
	}
}

// cell returns a cell of the record, which is valid until the next one is read.
func (t *rowReader) cell(i int) []byte {
	begin := 0
	if i > 0 {
		begin = t.ends[i-1]
	}
	return t.text[begin:t.ends[i]]
}

// blank is true for an empty line, and for a row of separators, as spreadsheets leave them.
func (t *rowReader) blank() bool { return t.flaw == nil && len(t.text) == 0 }

// lastLine is the record's last line.
func (t *rowReader) lastLine() int { return max(t.lines, t.first) }

// separators are what may stand between cells; none of them can be part of a column's name.
var separators = []byte{',', ';', '\t'}

// separate finds out what separates the cells: what stands most often in the line that comes next. It reads that
// line's beginning, up to the size of the reader's buffer.
func (t *rowReader) separate() error {
	chunk, err := t.chunk()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("list of recipients: %w", err)
	}
	t.pending = chunk
	t.separator = separators[0]
	for _, c := range separators[1:] {
		if bytes.Count(chunk, []byte{c}) > bytes.Count(chunk, []byte{t.separator}) {
			t.separator = c
		}
	}
	return nil
}
