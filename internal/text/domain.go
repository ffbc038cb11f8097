package text

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// endsName says whether a label, or what it begins with, is a top-level domain: platforms end a link before a
// hyphen, an emoji or a letter of another script.
func endsName(label string) bool {
	return isTopLevel(label) || isTopLevel(latinStart(label))
}

func latinStart(label string) string {
	end := strings.IndexFunc(label, func(r rune) bool { return !unicode.Is(unicode.Latin, r) })
	if end < 0 {
		return ""
	}
	// A digit goes on with the word ("v.com2" is none); anything else ends it.
	if r, _ := utf8.DecodeRuneInString(label[end:]); unicode.IsDigit(r) {
		return ""
	}
	return label[:end]
}

// isTopLevel knows the domains in the list of public suffixes and the two of hidden networks.
func isTopLevel(label string) bool {
	if len(label) < 2 || len(label) > 64 {
		return false
	}
	ascii, err := idna.Punycode.ToASCII(strings.ToLower(label))
	if err != nil || ascii == "" {
		return false
	}
	if ascii == "onion" || ascii == "i2p" {
		return true
	}
	// The two labels before it are such that no longer suffix of the list has them.
	_, known := publicsuffix.PublicSuffix("q0q0q.q0q0q." + ascii)
	return known
}

var (
	// allowedShape is a link that everybody reads alike. User names, ports, backslashes and a second "//" are
	// where programs disagree about the host, so a link that has them is none that is allowed.
	allowedShape = regexp.MustCompile(`^(?i:https?://)?([A-Za-z0-9.-]+)((?:[/?#][A-Za-z0-9/_.~?=&#+%-]*)?)$`)
	beforeLink   = "([\"'«„“‘"
)

// withoutAllowedLinks replaces by a space each link to an allowed host that stands by itself, between white space
// and punctuation. Everything that looks like a link in what remains is one that is not allowed: so a link passes
// because all of it is understood, not because nothing bad was found.
func withoutAllowedLinks(text string, hosts []string) string {
	if len(hosts) == 0 {
		return text
	}
	var rest strings.Builder
	rest.Grow(len(text))
	start := -1
	take := func(end int) {
		if start >= 0 {
			rest.WriteString(withoutAllowedLink(text[start:end], hosts))
			start = -1
		}
	}
	for i, r := range text {
		if unicode.IsSpace(r) {
			take(i)
			rest.WriteRune(r)
		} else if start < 0 {
			start = i
		}
	}
	take(len(text))
	return rest.String()
}

func withoutAllowedLink(token string, hosts []string) string {
	link := strings.TrimLeft(token, beforeLink)
	before := token[:len(token)-len(link)]
	link = strings.TrimRightFunc(link, func(r rune) bool {
		return r != '/' && (unicode.IsPunct(r) || unicode.IsSymbol(r) || r == emojiStyle)
	})
	after := token[len(before)+len(link):]
	parts := allowedShape.FindStringSubmatch(link)
	if parts == nil || !hostAllowed(parts[1], hosts) || strings.Contains(parts[2], "//") {
		return token
	}
	// A path that reads like a second link would be one to somebody.
	for _, reading := range readings(parts[2]) {
		if hasLink(strings.TrimLeft(reading, "/?#"), false) {
			return token
		}
	}
	return before + " " + after
}

func hostAllowed(host string, hosts []string) bool {
	host = strings.ToLower(host)
	for _, allowed := range hosts {
		allowed = strings.ToLower(allowed)
		if host == allowed {
			return !strings.HasPrefix(allowed, ".")
		}
		if below, ok := strings.CutSuffix(host, allowed); ok && strings.HasPrefix(allowed, ".") && hostPattern.MatchString(host) && below != "" {
			return true
		}
	}
	return false
}
