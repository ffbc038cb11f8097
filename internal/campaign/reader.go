package campaign

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// Recipient is a line that can be used.
type Recipient struct {
	Line   int               // in the list, from 1; of a CSV record that goes over several lines the first
	ID     string            // the recipientId
	Fields map[string]string // its merge fields by name; nil when there are none
}

// Refused is a line that can't be used: which part of it, why, and what to do about it. It never holds a value,
// and a name only if it looks like one.
type Refused struct {
	Line   int
	Field  string // recipientId, mergeFields, mergeFields.name or a column's name; "line" for the whole
	Reason string
	Remedy string
}

// String is the form for reports: "line 3: recipientId: is empty; give each recipient an id".
func (r Refused) String() string {
	s := fmt.Sprintf("line %d: %s: %s", r.Line, r.Field, r.Reason)
	if r.Remedy != "" {
		s += "; " + r.Remedy
	}
	return s
}

// FileError says that nothing of the list can be read, or no more of it. The lines before it stand.
type FileError struct {
	Line   int
	Reason string
	Remedy string
}

func (e *FileError) Error() string {
	return fmt.Sprintf("the list of recipients %s (line %d); %s", e.Reason, e.Line, e.Remedy)
}

// wholeLine is the field of a refusal that is about no single one.
const wholeLine = "line"

// Reader reads a list of recipients line by line. It holds one line at a time, whatever the list's length, and
// doesn't look for recipients who stand in it twice.
type Reader struct {
	in     *bufio.Reader
	limits Limits
	next   func() (Recipient, *Refused, error)
	begun  bool
	count  int
	failed error // what Next answers from now on
}

// NewReader returns a reader of a list in the given format.
func NewReader(r io.Reader, format Format, limits Limits) *Reader {
	reader := &Reader{in: bufio.NewReaderSize(r, 64<<10), limits: limits}
	switch format {
	case NDJSON:
		reader.next = newJSONLines(reader.in, limits.maxLineBytes()).next
	case CSV:
		reader.next = newTable(reader.in, limits.maxLineBytes()).next
	default:
		reader.failed = fmt.Errorf("a list of recipients can't be read as %s", format)
	}
	return reader
}

// Next returns the next recipient, or the next line that is refused, or an error: io.EOF at the end of the list, a
// *FileError when the list itself is unusable, else what reading it failed with. A last line that an error cut
// off is never taken for a whole one. Empty lines are left out.
func (r *Reader) Next() (Recipient, *Refused, error) {
	if r.failed != nil {
		return Recipient{}, nil, r.failed
	}
	if !r.begun {
		r.begun = true
		if r.failed = r.begin(); r.failed != nil {
			return Recipient{}, nil, r.failed
		}
	}
	recipient, refused, err := r.next()
	if err != nil {
		r.failed = err
		return Recipient{}, nil, err
	}
	if r.count++; r.count > r.limits.maxRecipients() {
		line := recipient.Line
		if refused != nil {
			line = refused.Line
		}
		r.failed = &FileError{Line: line, Reason: fmt.Sprintf("has more than %d recipients", r.limits.maxRecipients()), Remedy: "divide it, and send each part with a call of its own"}
		return Recipient{}, nil, r.failed
	}
	return recipient, refused, nil
}

// begin leaves out a byte order mark, which spreadsheets write before UTF-8.
func (r *Reader) begin() error {
	head, _ := r.in.Peek(3) // a list of less than three bytes, or an error that comes again when it is read
	switch {
	case bytes.HasPrefix(head, []byte("\uFEFF")):
		_, err := r.in.Discard(3)
		return err
	case bytes.HasPrefix(head, []byte{0xFE, 0xFF}), bytes.HasPrefix(head, []byte{0xFF, 0xFE}):
		return &FileError{Line: 1, Reason: "is written in UTF-16", Remedy: "save it as UTF-8"}
	}
	return nil
}
