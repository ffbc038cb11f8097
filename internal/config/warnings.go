package config

import (
	"fmt"
	"slices"
	"strings"
)

const (
	typoDistance = 2 // letters to change, add or leave out
	typoLength   = 7 // shorter names are too easily near to something else (PORT and PATH)
)

// standardNames are near to names of ours, and right.
var standardNames = []string{"AWS_ENDPOINT_URL_"}

// Warnings returns one line for each variable of environ that this program does not read although somebody
// probably meant it to: names that look like one of ours misspelt, and values that another one overrules.
// The lines never show a value. They are sorted.
func Warnings(environ map[string]string) []string {
	var lines []string
	for name := range environ {
		if meant := nearest(name); meant != "" {
			lines = append(lines, fmt.Sprintf("%s is not a variable of this program: did you mean %s?", name, meant))
		}
	}
	if environ["PORT"] != "" && environ["HTTP_ADDR"] != "" {
		lines = append(lines, "PORT is not used, because HTTP_ADDR is set")
	}
	slices.Sort(lines)
	return lines
}

// nearest returns the variable that the name looks like, or nothing when it is one or like none.
func nearest(name string) string {
	if _, known := fieldByName[name]; known || len(name) < typoLength-1 {
		return ""
	}
	for _, standard := range standardNames {
		if strings.HasPrefix(name, standard) {
			return ""
		}
	}
	best, meant := typoDistance+1, ""
	for _, f := range fields {
		if len(f.name) < typoLength {
			continue
		}
		if d := distance(name, f.name); d < best {
			best, meant = d, f.name
		}
	}
	return meant
}

// distance is Levenshtein's: how many letters must be changed, added or left out to make one from the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
