package screen

import "strings"

// Look says what the terminal can show.
type Look struct {
	Colour  bool
	Unicode bool
}

// style is how a piece of text looks.
type style string

// The styles, as parameters of SGR (ECMA-48). Plain is the terminal's own.
const (
	plain style = ""
	bold  style = "1"
	dim   style = "2"
	good  style = "32"
	bad   style = "1;31"
)

// line is a line of styled pieces.
type line []piece

type piece struct {
	style style
	text  string
}

func styled(s style, text string) line { return line{{s, text}} }

// add appends text in a style.
func (l line) add(s style, text string) line { return append(l, piece{s, text}) }

func (l line) width() (columns int) {
	for _, p := range l {
		columns += textWidth(p.text)
	}
	return columns
}

// render makes a string of at most that many columns.
func (l line) render(columns int, look Look) string {
	if l.width() > columns {
		l = l.cut(columns, look.ellipsis())
	}
	var text strings.Builder
	for _, p := range l {
		if !look.Colour || p.style == plain || p.text == "" {
			text.WriteString(p.text)
			continue
		}
		text.WriteString("\x1b[" + string(p.style) + "m" + p.text + "\x1b[0m")
	}
	if look.Colour {
		return text.String()
	}
	return strings.TrimRight(text.String(), " ")
}

func (l line) cut(columns int, mark string) (short line) {
	for _, p := range l {
		w := textWidth(p.text)
		if w >= columns {
			// Even if this piece fits, there is more that does not.
			return short.add(p.style, cut(p.text+" ", columns, mark))
		}
		short, columns = append(short, p), columns-w
	}
	return short
}

func render(lines []line, columns int, look Look) []string {
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.render(columns, look)
	}
	return texts
}

func (k Look) ellipsis() string {
	if k.Unicode {
		return "…"
	}
	return "..."
}

func (k Look) dot() string {
	if k.Unicode {
		return " · "
	}
	return " - "
}

// The glyphs of a token.
func (k Look) free() string    { return k.either("●", "o") }
func (k Look) cooling() string { return k.either("◐", "-") }
func (k Look) inUse() string   { return k.either("○", "*") }

func (k Look) either(unicode, ascii string) string {
	if k.Unicode {
		return unicode
	}
	return ascii
}
