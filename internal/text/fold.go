package text

import (
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// lookalikes are characters that software, not only people, takes for another one in a link.
var lookalikes = strings.NewReplacer(
	"\u3002", ".", "\uFF61", ".", "\u2024", ".", "\uA4F8", ".", // the dots of internationalised names, and two twins
	"\\", "/", "\u2044", "/", "\u2215", "/", "\u29F8", "/", // browsers take a backslash for a slash
	"\u2236", ":", "\uA789", ":", "\u02D0", ":",
)

// spelled are the ways to write a dot or an at sign that people use so that machines do not see it.
var (
	spelledDot = regexp.MustCompile(`(?i) ?[\[({] ?(?:\.|dot|punkt|punto|point|ponto) ?[\])}] ?`)
	spelledAt  = regexp.MustCompile(`(?i) ?[\[({] ?(?:@|at|arroba) ?[\])}] ?`)
)

// fold brings what looks or works alike into one form: compatibility characters such as full-width and mathematical
// letters become plain, hidden characters and the marks that are left over go.
func fold(text string) string {
	text = norm.NFKC.String(dropHidden(text))
	return lookalikes.Replace(strings.Map(func(r rune) rune {
		if hidden(r) || r > unicode.MaxASCII && unicode.In(r, unicode.Mn, unicode.Me) {
			return -1
		}
		return r
	}, text))
}

// decodings is how many layers of escapes are looked through.
const decodings = 3

// readings are a text as it stands and as those read it who decode HTML entities, percent signs and spelled-out
// dots: a platform may do any of these before it looks for links.
func readings(text string) []string {
	last := fold(text)
	all := []string{last}
	for range decodings {
		next := cut(fold(decodePercent(html.UnescapeString(last))), 4*MaxBytes)
		if next == last {
			break
		}
		all = append(all, next)
		last = next
	}
	if !strings.ContainsAny(last, "])}") {
		return all
	}
	if spelled := spelledAt.ReplaceAllString(spelledDot.ReplaceAllString(last, "."), "@"); spelled != last {
		all = append(all, spelled)
	}
	return all
}

func decodePercent(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	decoded := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			high, low := hexDigit(text[i+1]), hexDigit(text[i+2])
			if high >= 0 && low >= 0 {
				decoded = append(decoded, byte(high<<4|low))
				i += 2
				continue
			}
		}
		decoded = append(decoded, text[i])
	}
	return strings.ToValidUTF8(string(decoded), string(utf8.RuneError))
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// twins are Cyrillic, Greek and Armenian letters that look like Latin ones, in lower case.
var twins = map[rune]rune{
	'а': 'a', 'в': 'b', 'с': 'c', 'ԁ': 'd', 'е': 'e', 'ё': 'e', 'һ': 'h', 'і': 'i', 'ї': 'i', 'ј': 'j', 'к': 'k', 'ӏ': 'l', 'м': 'm',
	'п': 'n', 'о': 'o', 'р': 'p', 'ԛ': 'q', 'г': 'r', 'ѕ': 's', 'т': 't', 'у': 'y', 'ѵ': 'v', 'ԝ': 'w', 'х': 'x', 'з': '3',
	'α': 'a', 'β': 'b', 'ε': 'e', 'η': 'n', 'ι': 'i', 'κ': 'k', 'ν': 'v', 'ο': 'o', 'ρ': 'p', 'σ': 'o', 'τ': 't', 'υ': 'u', 'χ': 'x',
	'ϲ': 'c', 'ϳ': 'j', 'օ': 'o', 'ս': 'u', 'հ': 'h', 'ո': 'n', 'ց': 'g', 'զ': 'q', 'ɡ': 'g', 'ɩ': 'i', 'ı': 'i', 'ɑ': 'a',
}

// latin replaces twins by the letters that they look like.
func latin(text string) string {
	return strings.Map(func(r rune) rune {
		if r <= unicode.MaxASCII {
			return r
		}
		if twin, ok := twins[unicode.ToLower(r)]; ok {
			return twin
		}
		return r
	}, text)
}
