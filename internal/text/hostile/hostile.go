// Package hostile has values and briefs as attackers write them, for the tests of every part that handles what
// others wrote. It promises nothing about what they do, only that they are many and of every kind: whoever takes
// text from outside shows that none of these gets anywhere. It has no harmless values.
package hostile

import "slices"

// Values lists all of them.
func Values() []string {
	return slices.Concat(Injections(), Links(), Leftovers(), Hidden(), Directions(), Stacked(), Broken(), Huge(), Breakers(), LineBreaks())
}

// Injections are instructions to a model where data should be. They have no other fault, so that a text which
// repeats one may be sent.
func Injections() []string { return slices.Clone(injections) }

// Links become a link, or pass for one, in some program.
func Links() []string { return slices.Clone(links) }

// Leftovers have the syntax of templates or markup.
func Leftovers() []string { return slices.Clone(leftovers) }

// Hidden have control characters, or characters that show nothing.
func Hidden() []string { return slices.Clone(hidden) }

// Directions change the direction of writing.
func Directions() []string { return slices.Clone(directions) }

// Stacked have marks upon marks.
func Stacked() []string { return slices.Clone(stacked) }

// Broken are not UTF-8, or tell that they were not.
func Broken() []string { return slices.Clone(broken) }

// LineBreaks try to begin a line, a header or a record of their own.
func LineBreaks() []string { return slices.Clone(lineBreaks) }

// Breakers try to end the string, statement or document that they are put into.
func Breakers() []string { return slices.Clone(breakers) }
