package text

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxMarks is how many combining marks may follow each other. Real writing has up to three or four.
const MaxMarks = 4

const (
	zeroWidthNonJoiner = '\u200C'
	zeroWidthJoiner    = '\u200D'
	textStyle          = '\uFE0E'
	emojiStyle         = '\uFE0F'
	blackFlag          = '\U0001F3F4'
	cancelTag          = '\U000E007F'
)

// direction has the characters that change the direction of writing. They are refused even in Arabic and Hebrew,
// which are shown rightly without them: the same marks make a text read differently from what it is.
var direction = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: 0x061C, Hi: 0x061C, Stride: 1}, {Lo: 0x200E, Hi: 0x200F, Stride: 1},
	{Lo: 0x202A, Hi: 0x202E, Stride: 1}, {Lo: 0x2066, Hi: 0x2069, Stride: 1},
}}

// blank has characters of other categories that show nothing, and hence can hide something.
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x034F, Hi: 0x034F, Stride: 1}, {Lo: 0x115F, Hi: 0x1160, Stride: 1}, {Lo: 0x17B4, Hi: 0x17B5, Stride: 1},
		{Lo: 0x180B, Hi: 0x180F, Stride: 1}, {Lo: 0x2800, Hi: 0x2800, Stride: 1}, {Lo: 0x3164, Hi: 0x3164, Stride: 1},
		{Lo: 0xFE00, Hi: 0xFE0F, Stride: 1}, {Lo: 0xFFA0, Hi: 0xFFA0, Stride: 1}, {Lo: 0xFFFC, Hi: 0xFFFC, Stride: 1},
	},
	R32: []unicode.Range32{{Lo: 0x1D159, Hi: 0x1D159, Stride: 1}, {Lo: 0xE0100, Hi: 0xE01EF, Stride: 1}},
}

// joining has the scripts that need the joiners within words.
var joining = []*unicode.RangeTable{unicode.Arabic, unicode.Syriac, unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi,
	unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala,
	unicode.Khmer, unicode.Mongolian}

// hidden says whether a character shows nothing and is no white space: control, format, private use, fillers,
// variation selectors and what is not assigned to be a character at all.
func hidden(r rune) bool {
	if unicode.IsSpace(r) || r > ' ' && r < 0x7F {
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, blank) || r&0xFFFE == 0xFFFE || (r >= 0xFDD0 && r <= 0xFDEF)
}

func dropHidden(text string) string {
	return strings.Map(func(r rune) rune {
		if hidden(r) {
			return -1
		}
		return r
	}, text)
}

type characters struct{ invalid, control, bidi, marks bool }

// inspect looks at the characters of a text, one by one. Hidden ones are accepted only where a script or an emoji
// needs them: the joiners, the two styles of an emoji, and the tags of a flag.
func inspect(text string) characters {
	var found characters
	before, inRow := ' ', 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		after, _ := utf8.DecodeRuneInString(text[i+size:])
		switch {
		case r == utf8.RuneError:
			found.invalid = true
		case r == blackFlag:
			size += flagTags(text[i+size:])
		case unicode.Is(direction, r):
			found.bidi = true
		case r == '\n' || r == emojiStyle && visible(before) || r == textStyle && visible(before):
		case r == zeroWidthJoiner && joinsEmoji(before, after), (r == zeroWidthJoiner || r == zeroWidthNonJoiner) && joinsLetters(before, after):
		case hidden(r), unicode.IsSpace(r) && !unicode.Is(unicode.Zs, r):
			found.control = true
		}
		if unicode.IsMark(r) && r != emojiStyle && r != textStyle {
			inRow++
		} else if !hidden(r) {
			inRow = 0
		}
		found.marks = found.marks || inRow > MaxMarks
		before = r
		i += size
	}
	return found
}

func visible(r rune) bool { return !unicode.IsSpace(r) && !hidden(r) }

func joinsEmoji(before, after rune) bool {
	return (before == emojiStyle || unicode.In(before, unicode.So, unicode.Sk)) && unicode.Is(unicode.So, after)
}

func joinsLetters(before, after rune) bool {
	return unicode.In(before, joining...) && unicode.In(after, joining...)
}

// flagTags measures the tags that make a black flag that of a region, such as Scotland's. Tags elsewhere, or other
// ones, are a way to hide a whole text.
func flagTags(text string) int {
	length, count := 0, 0
	for _, r := range text {
		length += utf8.RuneLen(r)
		switch {
		case r == cancelTag && count > 0:
			return length
		case count < 6 && (r >= 0xE0030 && r <= 0xE0039 || r >= 0xE0061 && r <= 0xE007A):
			count++
		default:
			return 0
		}
	}
	return 0
}
