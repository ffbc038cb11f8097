package metrics

import (
	"fmt"
	"slices"
	"strings"
)

// Table is the documentation's table of all families, in Markdown.
func Table() string {
	var b strings.Builder
	var groups []string
	for _, f := range Catalogue() {
		if !slices.Contains(groups, f.Group) {
			groups = append(groups, f.Group)
		}
	}
	for _, group := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n| metric | kind | of | labels | meaning |\n|---|---|---|---|---|\n", group)
		for _, f := range Catalogue() {
			if f.Group != group {
				continue
			}
			var labels []string
			for _, l := range f.Labels {
				text := "`" + l.Name + "`: " + l.Of
				if l.Values != nil {
					text = "`" + l.Name + "`: " + strings.Join(l.Values, ", ")
				}
				labels = append(labels, text)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.Kind, f.Source, strings.Join(labels, "; "), f.Help)
		}
	}
	return b.String()
}
