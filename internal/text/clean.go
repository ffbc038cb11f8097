package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxValue is how many characters a field's value may have in a text.
const MaxValue = 100

// nameMarks are the punctuation of names. What could begin a markup, a link or a template is not among it.
const nameMarks = " '’‘ʼ-‐‑–.,()!?·・ªº"

// pictographs are the ranges that emoji come from. Letters in boxes are left out: they spell words that no filter sees.
var pictographs = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x231A, Hi: 0x231B, Stride: 1}, {Lo: 0x23E9, Hi: 0x23FA, Stride: 1}, {Lo: 0x25AA, Hi: 0x25FE, Stride: 1},
		{Lo: 0x2600, Hi: 0x27BF, Stride: 1}, {Lo: 0x2B05, Hi: 0x2B07, Stride: 1}, {Lo: 0x2B1B, Hi: 0x2B55, Stride: 1},
	},
	R32: []unicode.Range32{{Lo: 0x1F1E6, Hi: 0x1F1FF, Stride: 1}, {Lo: 0x1F300, Hi: 0x1FAFF, Stride: 1}},
}

// Clean makes a recipient's field fit for a text and says whether it can be used at all; if not, the value is
// empty. The value is brought into NFC, loses its hidden characters (also the joiners within an emoji or a Persian
// word, which then stand apart) and has single spaces in place of white space.
//
// It can't be used if it is not UTF-8, has no letter, digit or emoji, has more than MaxValue characters or more than
// MaxMarks combining marks in a row, begins with a mark or with a dot before a word, holds a character that names
// don't have, or anything like a link.
func Clean(value string) (string, bool) {
	if len(value) > MaxFieldBytes || !utf8.ValidString(value) {
		return "", false
	}
	value = norm.NFC.String(dropUnseen(norm.NFC.String(value)))
	value = strings.Join(strings.Fields(value), " ")
	if value == "" || utf8.RuneCountInString(value) > MaxValue || !namelike(value) {
		return "", false
	}
	for _, reading := range readings(value) {
		if hasLink(reading, false) {
			return "", false
		}
	}
	return value, true
}

// dropUnseen is dropHidden, except that an emoji keeps its style.
func dropUnseen(value string) string {
	before := ' '
	return strings.Map(func(r rune) rune {
		if r == emojiStyle && unicode.Is(pictographs, before) {
			before = r
			return r
		}
		if hidden(r) {
			return -1
		}
		before = r
		return r
	}, value)
}

func namelike(value string) bool {
	content, marks := false, 0
	for i, r := range value {
		mark := unicode.IsMark(r) && r != emojiStyle
		switch {
		case unicode.IsLetter(r), unicode.Is(unicode.Nd, r), unicode.Is(pictographs, r):
			content = true
		case mark && i == 0:
			return false
		case mark, r == emojiStyle, strings.ContainsRune(nameMarks, r):
		default:
			return false
		}
		if marks++; !mark {
			marks = 0
		}
		if marks > MaxMarks {
			return false
		}
	}
	if after, ok := strings.CutPrefix(value, "."); ok {
		r, _ := utf8.DecodeRuneInString(after)
		content = content && !isHostRune(r)
	}
	return content
}
