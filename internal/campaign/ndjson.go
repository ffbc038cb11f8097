package campaign

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// jsonLines reads lines of JSON: {"recipientId":"fan-1","mergeFields":{"name":"Ann"}}, or just "fan-1". It has a
// parser of its own, because encoding/json would let through changed what must not be changed (repeated names,
// broken characters, other cases of a name) and is too slow by a factor.
type jsonLines struct {
	in     *bufio.Reader
	most   int
	number int    // of the line that was read last
	long   []byte // a line that the reader's buffer doesn't hold
	line   jsonLine
}

func newJSONLines(in *bufio.Reader, most int) *jsonLines {
	return &jsonLines{in: in, most: most, line: jsonLine{names: make(map[string]string)}}
}

func (l *jsonLines) next() (Recipient, *Refused, error) {
	for {
		text, whole, err := l.read()
		if err != nil {
			return Recipient{}, nil, err
		}
		if !whole {
			return Recipient{}, &Refused{Line: l.number, Field: wholeLine, Reason: fmt.Sprintf("has more than %d bytes", l.most),
				Remedy: "shorten its values, and write one recipient a line"}, nil
		}
		p := &l.line
		p.text, p.at, p.problem = text, 0, nil
		if p.empty() {
			continue
		}
		recipient := Recipient{Line: l.number}
		p.recipient(&recipient)
		if p.problem != nil {
			p.problem.Line = l.number
			return Recipient{}, p.problem, nil
		}
		return recipient, nil, nil
	}
}

// read returns the next line without its end. A line that is too long is passed over, and whole is false.
func (l *jsonLines) read() (text []byte, whole bool, err error) {
	l.long = l.long[:0]
	tooLong := false
	for {
		part, err := l.in.ReadSlice('\n')
		ended := err == nil
		if ended {
			part = part[:len(part)-1]
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return nil, false, fmt.Errorf("list of recipients: %w", err)
		}
		if errors.Is(err, io.EOF) {
			if len(part) == 0 && len(l.long) == 0 && !tooLong {
				return nil, false, io.EOF
			}
			ended = true
		}
		tooLong = tooLong || len(l.long)+len(part) > l.most
		switch {
		case ended && tooLong:
			l.number++
			return nil, false, nil
		case ended && len(l.long) == 0:
			l.number++
			return part, true, nil
		case !tooLong:
			l.long = append(l.long, part...)
		}
		if ended {
			l.number++
			return l.long, true, nil
		}
	}
}

// jsonLine reads one line. Its methods return false as soon as there is a problem.
type jsonLine struct {
	text    []byte
	at      int
	scratch []byte            // of a string with escapes
	seen    []string          // names of the merge fields so far
	names   map[string]string // names of earlier lines: a list has few, and each is kept once
	problem *Refused
}

func (p *jsonLine) refuse(field string, f flaw) bool {
	p.problem = &Refused{Field: field, Reason: f.reason, Remedy: f.remedy}
	return false
}

// broken refuses a line that is not JSON from here on. The column counts characters, as editors do.
func (p *jsonLine) broken() bool {
	column := 1 + utf8.RuneCount(p.text[:min(p.at, len(p.text))])
	if p.at >= len(p.text) {
		return p.refuse(wholeLine, flaw{fmt.Sprintf("is not valid JSON: it ends too early, at column %d", column), "write each recipient on one line of its own"})
	}
	return p.refuse(wholeLine, flaw{fmt.Sprintf("is not valid JSON at column %d", column), `write each line like {"recipientId":"fan-1","mergeFields":{"name":"Ann"}}`})
}

// peek passes over white space and returns what follows, 0 at the end of the line.
func (p *jsonLine) peek() byte {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return c
		}
	}
	return 0
}

func (p *jsonLine) take(c byte) bool {
	if p.peek() != c || p.at >= len(p.text) {
		return p.broken()
	}
	p.at++
	return true
}

// end is true if nothing follows.
func (p *jsonLine) end() bool {
	p.peek()
	return p.at >= len(p.text) || p.broken()
}

// empty is true for a line without a value or with null.
func (p *jsonLine) empty() bool {
	if p.peek() == 0 && p.at >= len(p.text) {
		return true
	}
	if start := p.at; p.word("null") {
		if p.peek() == 0 && p.at >= len(p.text) {
			return true
		}
		p.at = start
	}
	return false
}

func (p *jsonLine) word(word string) bool {
	if len(p.text)-p.at < len(word) || string(p.text[p.at:p.at+len(word)]) != word {
		return false
	}
	p.at += len(word)
	return true
}

func (p *jsonLine) recipient(r *Recipient) bool {
	switch p.peek() {
	case '"':
		return p.id(r) && p.end()
	case '{':
		p.at++
		return p.members(r) && p.end()
	case '[':
		return p.refuse(wholeLine, flaw{"is an array", "write one recipient a line, without brackets around the list"})
	}
	kind, ok := p.kind()
	if !ok {
		return false
	}
	if !p.end() {
		return false
	}
	return p.refuse(wholeLine, flaw{"is " + kind + ", it must be an object or a string", `write each line like {"recipientId":"fan-1"}`})
}

func (p *jsonLine) members(r *Recipient) bool {
	hasID, hasFields := false, false
	if p.peek() == '}' {
		p.at++
	} else {
		for {
			if p.peek() != '"' {
				return p.broken()
			}
			name, ok := p.string(wholeLine)
			if !ok {
				return false
			}
			switch {
			case string(name) == memberID && hasID, string(name) == memberFields && hasFields:
				return p.refuse(string(name), flaw{"occurs more than once", "give the member once"})
			case string(name) == memberID:
				hasID = true
				if !p.take(':') || !p.idValue(r) {
					return false
				}
			case string(name) == memberFields:
				hasFields = true
				if !p.take(':') || !p.fields(r) {
					return false
				}
			default:
				return p.refuse(shownName(string(name)), unknownMember(string(name)))
			}
			if p.peek() == '}' {
				p.at++
				break
			}
			if !p.take(',') {
				return false
			}
		}
	}
	if r.ID == "" {
		return p.refuse(memberID, flaw{"is missing", "give each recipient an id"})
	}
	return true
}
