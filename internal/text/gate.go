package text

import (
	"strings"
	"unicode/utf8"
)

// Violation is a rule that a text breaks. It is a word for machines and never holds a part of the text.
type Violation string

// The rules, in the order in which they are reported.
const (
	Empty             Violation = "empty"              // nothing to be seen
	TooLong           Violation = "too_long"           // more characters than MaxLength, or more than MaxBytes
	InvalidUTF8       Violation = "invalid_utf8"       // or U+FFFD, which tells that it was
	ControlCharacters Violation = "control_characters" // and hidden ones; of those only line feeds are allowed
	Bidi              Violation = "bidi"               // marks that change the direction of writing
	CombiningMarks    Violation = "combining_marks"    // more than MaxMarks in a row
	LinkHost          Violation = "link_host"          // what becomes a link, other than to an allowed host
	LeftoverField     Violation = "leftover_field"     // a placeholder that nobody fills, or markup
	CanaryLeak        Violation = "canary"             // the prompt's marker, or a good part of it
	Instructions      Violation = "instructions"       // a verbatim stretch of the system message
	WrongLanguage     Violation = "language"           // certainly another one
)

// Violations lists every rule in the order in which they are reported.
var Violations = []Violation{Empty, TooLong, InvalidUTF8, ControlCharacters, Bidi, CombiningMarks, LinkHost, LeftoverField,
	CanaryLeak, Instructions, WrongLanguage}

// MaxBytes is how much of a text is looked at, and how long it may be whatever its gate says.
const MaxBytes = 64 << 10

// Gate says what a text must keep to. An empty value or a zero means that there is nothing to keep to, except that
// without LinkHosts there may be no links and without Fields no merge fields.
type Gate struct {
	MaxLength int    // in characters
	Language  string // BCP 47
	// LinkHosts are the hosts that a text may link to with http, https or no scheme: "example.com" is that host
	// alone, ".example.com" every host below it but not itself.
	LinkHosts []string
	Fields    []string // that {{name}} may name
	Canary    string   // see Canary; with one of a letter or two hardly any text would pass
	System    string   // the instructions, which a text may not repeat
}

// Check says which rules a written text breaks, before its fields are filled: each once, in the order of
// Violations; none means that it may be used.
//
// A text is judged by what can become of it: once with the defaults of its fields and once with a letter in their
// place, so that "{{name}}.com" is a link. The length counts the defaults only; the final length is CheckMerged's
// business.
func (g Gate) Check(text string) []Violation {
	r := g.judge(text)
	if plain := render(cut(text, MaxBytes), g.Fields, asNothing); wrongLanguage(withoutAllowedLinks(plain, g.LinkHosts), g.Language) {
		r[WrongLanguage] = true
	}
	return r.list()
}

// CheckMerged says which rules a text breaks whose fields are filled. The language is not looked at again, and a
// field that is still there is a leftover.
func (g Gate) CheckMerged(text string) []Violation {
	g.Fields = nil
	return g.judge(text).list()
}

type findings map[Violation]bool

func (f findings) list() []Violation {
	var list []Violation
	for _, v := range Violations {
		if f[v] {
			list = append(list, v)
		}
	}
	return list
}

func (g Gate) judge(text string) findings {
	f := findings{}
	if len(text) > MaxBytes {
		f[TooLong] = true
		text = cut(text, MaxBytes)
	}
	if g.MaxLength > 0 && utf8.RuneCountInString(render(text, g.Fields, asDefault)) > g.MaxLength {
		f[TooLong] = true
	}
	c := inspect(text)
	f[InvalidUTF8], f[ControlCharacters], f[Bidi], f[CombiningMarks] = c.invalid, c.control, c.bidi, c.marks
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	f[Empty] = strings.TrimSpace(dropHidden(text)) == ""
	leaks := newLeaks(g.Canary, g.System)
	for _, rendering := range g.renderings(text) {
		leaks.look(rendering, f)
		for _, reading := range readings(withoutAllowedLinks(rendering, g.LinkHosts)) {
			f[LinkHost] = f[LinkHost] || hasLink(reading, true)
			f[LeftoverField] = f[LeftoverField] || hasLeftover(reading)
		}
	}
	return f
}

// renderings are what a text can become when its fields are filled. A text without fields is its own only one.
func (g Gate) renderings(text string) []string {
	byDefault := render(text, g.Fields, asDefault)
	byLetter := render(text, g.Fields, asLetter)
	if byDefault == byLetter {
		return []string{byDefault}
	}
	return []string{byDefault, byLetter}
}
