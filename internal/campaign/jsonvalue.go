package campaign

import (
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

func (p *jsonLine) id(r *Recipient) bool {
	id, ok := p.string(memberID)
	if !ok {
		return false
	}
	if f := checkID(id); f != nil {
		return p.refuse(memberID, *f)
	}
	r.ID = string(id)
	return true
}

func (p *jsonLine) idValue(r *Recipient) bool {
	if p.peek() == '"' {
		return p.id(r)
	}
	kind, ok := p.kind()
	if !ok || kind == "null" { // the same as a missing one
		return ok
	}
	return p.refuse(memberID, flaw{"is " + kind + ", it must be a string", "put the id in quotes"})
}

// fields reads the merge fields: strings, or numbers as they are written; null is the same as a missing one.
func (p *jsonLine) fields(r *Recipient) bool {
	if p.peek() != '{' {
		kind, ok := p.kind()
		if !ok || kind == "null" {
			return ok
		}
		return p.refuse(memberFields, flaw{"is " + kind + ", it must be an object", `write it like {"name":"Ann"}`})
	}
	p.at++
	p.seen = p.seen[:0]
	if p.peek() == '}' {
		p.at++
		return true
	}
	for {
		if p.peek() != '"' {
			return p.broken()
		}
		name, ok := p.fieldName()
		if !ok || !p.take(':') {
			return false
		}
		value, given, ok := p.fieldValue(name)
		if !ok {
			return false
		}
		if given {
			if r.Fields == nil {
				r.Fields = make(map[string]string)
			}
			r.Fields[name] = value
		}
		if p.peek() == '}' {
			p.at++
			return true
		}
		if !p.take(',') {
			return false
		}
	}
}

func (p *jsonLine) fieldName() (string, bool) {
	raw, ok := p.string(memberFields)
	if !ok {
		return "", false
	}
	name, known := p.names[string(raw)]
	if !known {
		if !isFieldName(raw) {
			// The name is not shown: it may be anything that somebody put there.
			return "", p.refuse(memberFields, flaw{"has a field without a valid name", fieldNameRemedy})
		}
		name = string(raw)
		if len(p.names) < 16*MaxFields {
			p.names[name] = name
		}
	}
	if slices.Contains(p.seen, name) {
		return "", p.refuse(memberFields+"."+name, flaw{"occurs more than once", "give each field once"})
	}
	if p.seen = append(p.seen, name); len(p.seen) > MaxFields {
		return "", p.refuse(memberFields, flaw{fmt.Sprintf("has more than %d fields", MaxFields), "leave out those that the text doesn't use"})
	}
	return name, true
}

func (p *jsonLine) fieldValue(name string) (value string, given, ok bool) {
	var raw []byte
	if p.peek() == '"' {
		if raw, ok = p.string(name); !ok {
			if p.problem.Field == name {
				p.problem.Field = memberFields + "." + name
			}
			return "", false, false
		}
	} else {
		start := p.at
		kind, ok := p.kind()
		switch {
		case !ok:
			return "", false, false
		case kind == "null":
			return "", false, true
		case kind != "a number":
			return "", false, p.refuse(memberFields+"."+name, flaw{"is " + kind + ", it must be a string or a number", "put the value in quotes"})
		}
		raw = p.text[start:p.at]
	}
	if f := checkValue(raw); f != nil {
		return "", false, p.refuse(memberFields+"."+name, *f)
	}
	return string(raw), true, true
}

// kind names the type of the value that begins here. It passes over it, but for strings, objects and arrays,
// which are refused by their first character.
func (p *jsonLine) kind() (string, bool) {
	switch p.peek() {
	case '"':
		return "a string", true
	case '{':
		return "an object", true
	case '[':
		return "an array", true
	case 'n':
		return "null", p.word("null") || p.broken()
	case 't':
		return "true or false", p.word("true") || p.broken()
	case 'f':
		return "true or false", p.word("false") || p.broken()
	}
	return "a number", p.number()
}

func (p *jsonLine) number() bool {
	p.oneOf("-")
	if !p.oneOf("0") && !p.digits() {
		return p.broken()
	}
	if p.oneOf(".") && !p.digits() {
		return p.broken()
	}
	if p.oneOf("eE") {
		p.oneOf("+-")
		if !p.digits() {
			return p.broken()
		}
	}
	return true
}

func (p *jsonLine) oneOf(list string) bool {
	for i := 0; p.at < len(p.text) && i < len(list); i++ {
		if p.text[p.at] == list[i] {
			p.at++
			return true
		}
	}
	return false
}

func (p *jsonLine) digits() bool {
	start := p.at
	for p.at < len(p.text) && isDigit(p.text[p.at]) {
		p.at++
	}
	return p.at > start
}

// string reads a string, of which the opening quote is the next character. What it returns is valid until it is
// called again.
func (p *jsonLine) string(field string) ([]byte, bool) {
	p.at++
	start, ascii := p.at, true
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			found := p.text[start:p.at]
			p.at++
			if !ascii && !utf8.Valid(found) {
				return nil, p.refuse(field, flaw{"is not valid UTF-8", "encode the list as UTF-8"})
			}
			return found, true
		case c == '\\':
			return p.escaped(field, start)
		case c < ' ':
			return nil, p.broken()
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, p.broken()
}

// escaped reads on from the first escape of a string.
func (p *jsonLine) escaped(field string, start int) ([]byte, bool) {
	p.scratch = append(p.scratch[:0], p.text[start:p.at]...)
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			if !utf8.Valid(p.scratch) {
				return nil, p.refuse(field, flaw{"is not valid UTF-8", "encode the list as UTF-8"})
			}
			return p.scratch, true
		case c == '\\':
			if !p.escape(field) {
				return nil, false
			}
		case c < ' ':
			return nil, p.broken()
		default:
			p.scratch = append(p.scratch, c)
			p.at++
		}
	}
	return nil, p.broken()
}

// short are the escapes of one letter.
var short = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (p *jsonLine) escape(field string) bool {
	p.at++ // the backslash
	if p.at >= len(p.text) {
		return p.broken()
	}
	if plain, ok := short[p.text[p.at]]; ok {
		p.scratch = append(p.scratch, plain)
		p.at++
		return true
	}
	code, ok := p.unicode()
	if !ok {
		return p.broken()
	}
	if code == 0 {
		return p.refuse(field, flaw{`contains \u0000`, "remove the NUL character: Postgres can't store it"})
	}
	if utf16.IsSurrogate(code) {
		first := code
		if p.at+1 < len(p.text) && p.text[p.at] == '\\' && p.text[p.at+1] == 'u' {
			p.at++
			second, ok := p.unicode()
			if !ok {
				return p.broken()
			}
			code = utf16.DecodeRune(first, second)
		}
		if utf16.IsSurrogate(code) || code == utf8.RuneError {
			return p.refuse(field, flaw{"contains half of a surrogate pair", "send characters beyond U+FFFF as a whole pair, or as UTF-8"})
		}
	}
	p.scratch = utf8.AppendRune(p.scratch, code)
	return true
}

// unicode reads a u and four hex digits.
func (p *jsonLine) unicode() (rune, bool) {
	if p.at >= len(p.text) || p.text[p.at] != 'u' {
		return 0, false
	}
	p.at++
	code := rune(0)
	for range 4 {
		if p.at >= len(p.text) {
			return 0, false
		}
		switch c := p.text[p.at]; {
		case isDigit(c):
			code = code<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			code = code<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			code = code<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
		p.at++
	}
	return code, true
}
