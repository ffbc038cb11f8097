package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// member is one "name": value of the body's object. Both raw parts point into the body.
type member struct {
	name    string
	rawName []byte
	value   []byte
}

// members splits the body, which must be one JSON object, into its members. It refuses what encoding/json
// would let through changed, and what a jsonb column would refuse later: invalid UTF-8, half surrogate pairs,
// \u0000, repeated names, numbers out of range.
func members(body []byte, limits Limits) ([]member, *workflow.Problem) {
	whole := func(reason, remedy string) ([]member, *workflow.Problem) {
		return nil, &workflow.Problem{Field: "body", Reason: reason, Remedy: remedy}
	}
	if most := limits.maxMessageBytes(); len(body) > most {
		return whole(fmt.Sprintf("has %d bytes, the most is %d", len(body), most),
			"shorten the message, or raise MAX_MESSAGE_BYTES")
	}
	if !utf8.Valid(body) {
		return whole("is not valid UTF-8", "encode the message as UTF-8")
	}
	if bytes.HasPrefix(body, []byte("\uFEFF")) {
		return whole("begins with a byte order mark", "send the JSON without one")
	}
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return whole("is empty", "send a JSON object")
	}
	if tooDeep(body) {
		return whole(fmt.Sprintf("is nested deeper than %d levels", MaxDepth), "flatten the message")
	}
	if !json.Valid(body) {
		return whole(syntaxReason(body), "send one JSON object and nothing else")
	}
	s := scanner{body: body}
	s.space()
	if kind := kindOf(s.body[s.at:]); kind != "an object" {
		return whole("is "+kind+", it must be an object", "send a JSON object with workflowId, recipientId and content or brief")
	}
	if problem := s.object(true); problem != nil {
		return nil, problem
	}
	return s.members, nil
}

// tooDeep looks at brackets outside of strings only, so that it may run before the syntax is known to be good
// and protects what comes after it.
func tooDeep(body []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// syntaxReason says where the body stops being JSON. The text of encoding/json's own error is not used: it
// quotes the input.
func syntaxReason(body []byte) string {
	var first json.RawMessage
	decoder := json.NewDecoder(bytes.NewReader(body))
	if decoder.Decode(&first) == nil {
		return fmt.Sprintf("has more data after the JSON value, from byte %d on", decoder.InputOffset())
	}
	if err, ok := json.Unmarshal(body, &first).(*json.SyntaxError); ok {
		return fmt.Sprintf("is not valid JSON at byte %d", err.Offset)
	}
	return "is not valid JSON"
}

// kindOf names the type of a JSON value by its first character.
func kindOf(value []byte) string {
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

// scanner walks over a body that is known to be valid JSON of bounded depth.
type scanner struct {
	body    []byte
	at      int
	field   string // the member of the outermost object that is being walked over
	members []member
}

func (s *scanner) space() {
	for s.at < len(s.body) {
		switch s.body[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) problem(reason, remedy string) *workflow.Problem {
	return &workflow.Problem{Field: fieldName(s.field), Reason: reason, Remedy: remedy}
}

func (s *scanner) value() *workflow.Problem {
	s.space()
	switch s.body[s.at] {
	case '{':
		return s.object(false)
	case '[':
		return s.array()
	case '"':
		return s.text()
	case 't', 'n':
		s.at += len("true")
	case 'f':
		s.at += len("false")
	default:
		return s.number()
	}
	return nil
}

func (s *scanner) object(outermost bool) *workflow.Problem {
	seen := map[string]struct{}{}
	s.at++ // {
	for {
		s.space()
		switch s.body[s.at] {
		case '}':
			s.at++
			return nil
		case ',':
			s.at++
			s.space()
		}
		start := s.at
		if outermost {
			s.field = ""
		}
		if problem := s.text(); problem != nil {
			return problem
		}
		rawName := s.body[start:s.at]
		name := unquote(rawName)
		if outermost {
			s.field = name
		}
		if _, twice := seen[name]; twice {
			if outermost {
				return s.problem("occurs more than once", "give the field once")
			}
			return s.problem("holds an object with the same name more than once", "give each name once")
		}
		seen[name] = struct{}{}
		s.space()
		s.at++ // :
		s.space()
		start = s.at
		if problem := s.value(); problem != nil {
			return problem
		}
		if outermost {
			s.members = append(s.members, member{name: name, rawName: rawName, value: s.body[start:s.at]})
		}
	}
}

func (s *scanner) array() *workflow.Problem {
	s.at++ // [
	for {
		s.space()
		switch s.body[s.at] {
		case ']':
			s.at++
			return nil
		case ',':
			s.at++
		}
		if problem := s.value(); problem != nil {
			return problem
		}
	}
}

func (s *scanner) text() *workflow.Problem {
	for s.at++; s.body[s.at] != '"'; s.at++ {
		if s.body[s.at] != '\\' {
			continue
		}
		s.at++
		if s.body[s.at] != 'u' {
			continue
		}
		code := hex4(s.body[s.at+1:])
		s.at += 4
		switch {
		case code == 0:
			return s.problem(`contains \u0000`, "remove the NUL character: Postgres can't store it")
		case code >= 0xDC00 && code <= 0xDFFF:
			return s.problem("contains half of a surrogate pair", "send characters beyond U+FFFF as a whole pair, or as UTF-8")
		case code >= 0xD800 && code <= 0xDBFF:
			rest := s.body[s.at+1:]
			if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' || hex4(rest[2:]) < 0xDC00 || hex4(rest[2:]) > 0xDFFF {
				return s.problem("contains half of a surrogate pair", "send characters beyond U+FFFF as a whole pair, or as UTF-8")
			}
			s.at += 6
		}
	}
	s.at++
	return nil
}

func (s *scanner) number() *workflow.Problem {
	start := s.at
	for s.at < len(s.body) && bytes.IndexByte([]byte("+-.eE0123456789"), s.body[s.at]) >= 0 {
		s.at++
	}
	literal := s.body[start:s.at]
	exponent := 0
	if i := bytes.IndexAny(literal, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(string(literal[i+1:])); err != nil {
			exponent = MaxExponent + 1
		}
	}
	if len(literal) > MaxNumberLength || exponent > MaxExponent || exponent < -MaxExponent {
		return s.problem("holds a number that is too large or has too many digits", "send it as a string")
	}
	return nil
}

// hex4 reads four hex digits, or returns -1.
func hex4(b []byte) int {
	if len(b) < 4 {
		return -1
	}
	code, err := strconv.ParseUint(string(b[:4]), 16, 32)
	if err != nil {
		return -1
	}
	return int(code)
}

// unquote returns the text of a JSON string that has been walked over.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return "" // can't be: the scanner has accepted it
	}
	return text
}

// fieldName makes a member's name fit for a log and for a problem. A name that looks like one is returned as it
// is; anything else may be content that went astray.
func fieldName(name string) string {
	if name == "" || len(name) > 64 {
		return "an unknown field"
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '_' && c != '-' && c != '.' {
			return "an unknown field"
		}
	}
	return name
}
