package text

import (
	"strings"
	"unicode"

	"github.com/abadojack/whatlanggo"
	"golang.org/x/text/language"
)

const (
	// minLetters is how long a text must be for its language to be told. Shorter ones are often taken for another.
	minLetters = 80
	// maxLetters is how much of it is looked at.
	maxLetters = 4000
)

// alike are languages that the detection can't tell apart in a message of some sentences.
var alike = [][]string{
	{"no", "nb", "nn", "da", "sv"}, {"hr", "sr", "bs", "sl"}, {"cs", "sk"}, {"id", "ms", "jv"}, {"ru", "uk", "be", "bg", "mk"},
	{"es", "pt", "gl", "ca"}, {"nl", "af"}, {"hi", "ne", "mr"}, {"az", "tr"},
}

// wrongLanguage says whether a text is certainly in another language than the one that is asked for. What can't be
// told, because the text is short, the detection unsure or the language not known to it, passes.
func wrongLanguage(text, wanted string) bool {
	if wanted == "" {
		return false
	}
	tag, err := language.Parse(wanted)
	if err != nil {
		return false
	}
	base, confidence := tag.Base()
	if confidence == language.No || !detectable(base.String()) {
		return false
	}
	text = letters(text)
	if len([]rune(strings.ReplaceAll(text, " ", ""))) < minLetters {
		return false
	}
	info := whatlanggo.Detect(text)
	if info.Script == nil || !info.IsReliable() {
		return false
	}
	return !sameLanguage(base.String(), info.Lang.Iso6391())
}

func detectable(code string) bool {
	for lang := range whatlanggo.Langs {
		if sameLanguage(code, lang.Iso6391()) {
			return true
		}
	}
	return false
}

func sameLanguage(a, b string) bool {
	if a == b {
		return true
	}
	for _, group := range alike {
		var hasA, hasB bool
		for _, code := range group {
			hasA, hasB = hasA || code == a, hasB || code == b
		}
		if hasA && hasB {
			return true
		}
	}
	return false
}

// letters leaves the words of a text's beginning, with one space between them.
func letters(text string) string {
	var plain strings.Builder
	count, space := 0, false
	for _, r := range text {
		if !unicode.IsLetter(r) && !unicode.IsMark(r) && r != '\'' && r != '’' {
			space = true
			continue
		}
		if count++; count > maxLetters {
			break
		}
		if space && plain.Len() > 0 {
			plain.WriteByte(' ')
		}
		space = false
		plain.WriteRune(r)
	}
	return plain.String()
}
