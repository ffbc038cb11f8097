package text

import (
	"net/netip"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// schemes are those that programs open without "//". Words that prose puts before a colon without a space, such as
// "Instagram:", are not among them.
var schemes = regexp.MustCompile(`(?i)(?:^|[^\pL\pN])(?:https?|ftps?|sftp|wss?|ssh|file|blob|data|javascript|vbscript|livescript|` +
	`mailto|tel|sms|smsto|mmsto|callto|sips?|xmpp|ircs?|tg|whatsapp|skype|magnet|bitcoin|ethereum|intent|market|itms-apps?|` +
	`ms-[a-z-]{1,30}|android-app|view-source|feed|geo):[^\s]`)

var (
	address6 = regexp.MustCompile(`[0-9A-Fa-f:]{2,39}(?:\.[0-9.]{1,12})?`)
	number   = regexp.MustCompile(`^(?:[0-9]{1,10}|0[xX][0-9A-Fa-f]{1,8})$`)
)

// hasLink says whether a folded text holds anything that a platform could turn into a link. Prose allows the
// exception of sentenceEnds; a recipient's field has none.
//
// It takes for a link: "://" and the schemes above; a name with a dot before a top-level domain that exists, wherever
// in the name it stands; "www."; four numbers with dots; an IPv6 address; anything punycode; a@b; a name with a dot,
// or "localhost", before a slash or a port. It does not take for one: abbreviations ("e.g.", "z.B.", "p.s."),
// numbers, times and dates, dots in a row ("wait...so"), "@name", and a dot with a space beside it, which no
// platform links. Where a sentence begins without a space and with a word that is a top-level domain ("ok.So"), the
// text is refused: platforms do make links of these, as they do of the French "ami.es" and of "will.i.am".
func hasLink(text string, prose bool) bool {
	if strings.Contains(text, ":") && (strings.Contains(text, "://") || schemes.MatchString(text) || hasAddress6(text)) {
		return true
	}
	s := scanner{prose: prose}
	before := ' '
	for i, r := range text {
		switch {
		case r == '.':
			if i == s.start { // two dots in a row, or one at the beginning: no name goes on here
				if s.isLink(text[i:]) {
					return true
				}
				s.labels = s.labels[:0]
			} else {
				s.labels = append(s.labels, text[s.start:i])
			}
			s.start = i + 1
		case isHostRune(r):
		default:
			if i > s.start {
				s.labels = append(s.labels, text[s.start:i])
			}
			if s.isLink(text[i:]) || r == '@' && isAddress(before, text[i+1:]) {
				return true
			}
			s.labels, s.start = s.labels[:0], i+utf8.RuneLen(r)
		}
		before = r
	}
	if len(text) > s.start {
		s.labels = append(s.labels, text[s.start:])
	}
	return s.isLink("")
}

// scanner collects the labels of one name with dots.
type scanner struct {
	prose  bool
	labels []string
	start  int // of the label that is being read
}

// isHostRune: symbols belong here because names of emoji exist.
func isHostRune(r rune) bool {
	return r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.In(r, unicode.Mc, unicode.So, unicode.Sk)
}

// isAddress says whether an at sign stands within an address; "@name" after a space is a mention.
func isAddress(before rune, rest string) bool {
	after, _ := utf8.DecodeRuneInString(rest)
	return (unicode.IsLetter(before) || unicode.IsDigit(before) || strings.ContainsRune("-_+", before)) && (unicode.IsLetter(after) || after == '[')
}

// isLink judges the labels that were read; rest is what follows them.
func (s *scanner) isLink(rest string) bool {
	n := len(s.labels)
	if n == 0 {
		return false
	}
	onwards := strings.HasPrefix(rest, "/") || len(rest) > 1 && rest[0] == ':' && rest[1] >= '0' && rest[1] <= '9'
	last := s.labels[n-1]
	if n == 1 {
		return onwards && strings.EqualFold(last, "localhost")
	}
	if onwards && len(last) > 1 && strings.IndexFunc(last, func(r rune) bool { return !unicode.IsLetter(r) }) < 0 {
		return true
	}
	if n == 4 && isAddress4(s.labels) {
		return true
	}
	mixed := isMixed(s.labels)
	for i, label := range s.labels {
		if len(label) >= 4 && strings.EqualFold(label[:4], "xn--") || i < n-1 && strings.EqualFold(label, "www") {
			return true
		}
		if i > 0 && (endsName(label) || mixed && endsName(latin(label))) && !(s.prose && n == 2 && sentenceEnds(s.labels, rest)) {
			return true
		}
	}
	return false
}

func isAddress4(labels []string) bool {
	for _, label := range labels {
		if !number.MatchString(label) || len(label) > 3 && label[0] != '0' || len(label) == 3 && label > "255" {
			return false
		}
	}
	return true
}

func hasAddress6(text string) bool {
	if strings.Count(text, ":") < 3 {
		return false
	}
	for _, candidate := range address6.FindAllString(text, -1) {
		if strings.Count(candidate, ":") < 3 {
			continue
		}
		if _, err := netip.ParseAddr(candidate); err == nil {
			return true
		}
	}
	return false
}

// isMixed says whether a name has letters of Latin and of a script with twins: then it is meant to be mistaken.
func isMixed(labels []string) bool {
	var latinLetters, others bool
	for _, label := range labels {
		for _, r := range label {
			latinLetters = latinLetters || unicode.Is(unicode.Latin, r)
			others = others || unicode.In(r, unicode.Cyrillic, unicode.Greek, unicode.Armenian)
		}
	}
	return latinLetters && others
}

// openers begin sentences and are top-level domains as well. Most of these domains sell no names; the two-letter
// ones and those that do, such as .so, .it, .now and .love, are left out on purpose.
var openers = map[string]bool{"How": true, "You": true, "Here": true, "Like": true, "Call": true, "Read": true, "Save": true, "Got": true}

// sentenceEnds says whether a dot ends a sentence whose space was forgotten, as in "hello.How are you".
func sentenceEnds(labels []string, rest string) bool {
	if !openers[labels[1]] || strings.IndexFunc(labels[0], func(r rune) bool { return !unicode.IsLower(r) }) >= 0 {
		return false
	}
	after, ok := strings.CutPrefix(rest, " ")
	next, _ := utf8.DecodeRuneInString(after)
	return ok && unicode.IsLower(next)
}
