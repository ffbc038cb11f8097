package text

import (
	"regexp"
	"strings"
)

// leftovers match what is left of a template when nobody filled it, in a folded text:
// doubled brackets and the marks of template languages; anything in curly brackets; anything with a letter in square
// brackets ("[NAME]", "[link]", but not "[1]" or "[...]"); "<" at once before a letter, "/", "!" or "?", which is also
// where markup begins (but "<3" is a heart); %NAME%. Asides such as "[laughs]" are refused with them: in a message
// they are rarer than a forgotten "[your name]".
var leftovers = regexp.MustCompile(`\{\{|\}\}|\[\[|\]\]|\{%|%\}|<%|%>|[$#@]\{|\*\||\|\*` +
	`|\{[^{}\n]{0,100}\}` +
	`|\[[^\[\]\n\pL]{0,100}\pL[^\[\]\n]{0,100}\]` +
	`|<[\pL/!?]` +
	`|%[A-Za-z][A-Za-z0-9_]*%`)

func hasLeftover(text string) bool {
	return strings.ContainsAny(text, "{}[]<>%|") && leftovers.MatchString(text)
}
