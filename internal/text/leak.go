package text

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

const (
	// canaryPart is how much of the canary gives it away; canaries that are hardly longer count as a whole.
	canaryPart = 12
	// stretch is how many words in a row are a quotation of the instructions rather than chance.
	stretch = 8
)

// leaks finds the canary and the instructions in texts.
type leaks struct {
	canary map[string]bool // parts, forwards and backwards
	part   int             // length of each
	system map[string]bool // stretches of words
}

func newLeaks(canary, system string) leaks {
	l := leaks{canary: map[string]bool{}, system: map[string]bool{}}
	if plain := squeeze(bare(canary)); plain != "" {
		l.part = len(plain)
		if len(plain) >= canaryPart+4 {
			l.part = canaryPart
		}
		backwards := []byte(plain)
		slices.Reverse(backwards)
		for i := 0; i+l.part <= len(plain); i++ {
			l.canary[plain[i:i+l.part]] = true
			l.canary[string(backwards[i:i+l.part])] = true
		}
	}
	for key := range stretches(bare(system)) {
		l.system[key] = true
	}
	return l
}

func (l leaks) look(text string, f findings) {
	if l.part == 0 && len(l.system) == 0 {
		return
	}
	text = bare(text)
	if l.part > 0 {
		plain := squeeze(text)
		for i := 0; i+l.part <= len(plain) && !f[CanaryLeak]; i++ {
			f[CanaryLeak] = l.canary[plain[i:i+l.part]]
		}
	}
	if len(l.system) > 0 && !f[Instructions] {
		for key := range stretches(text) {
			if l.system[key] {
				f[Instructions] = true
				break
			}
		}
	}
}

// squeeze leaves only the letters and digits of a bare text.
func squeeze(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, text)
}

// bare is a text in lower case without accents, and in Latin where its letters look it.
func bare(text string) string {
	return latin(strings.Map(func(r rune) rune {
		if unicode.IsMark(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFD.String(fold(text))))
}

// stretches yields every run of a bare text's words of the length that counts, whatever stands between the words.
func stretches(text string) func(yield func(string) bool) {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return func(yield func(string) bool) {
		for i := 0; i+stretch <= len(words); i++ {
			if !yield(strings.Join(words[i:i+stretch], " ")) {
				return
			}
		}
	}
}
