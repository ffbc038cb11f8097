package text

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what is taken in.
const (
	MaxFields     = 64
	MaxFieldBytes = 4096
)

var (
	fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
	// mergeField is {{name}} or {{name|default}}. Spaces inside the brackets are forgiven, since models write them.
	mergeField = regexp.MustCompile(`\{\{ {0,8}([A-Za-z][A-Za-z0-9_]{0,63}) {0,8}(?:(\|)([^{}|\n]{0,200}))?\}\}`)
)

func isFieldName(name string) bool { return fieldName.MatchString(name) }

// FieldError says that a text can't be made personal because a field has no usable value and no default.
type FieldError struct {
	Name string
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("the merge field %s has no usable value: write {{%s|default}} in the text, or give the recipient one", e.Name, e.Name)
}

// Merge fills the merge fields of a text from a recipient's fields. Each value goes through Clean; if there is none
// that can be used, the field's default takes its place, and without a default the text is not made.
//
// The text is gone through once: what a value or a default holds is never taken for a field.
func Merge(text string, fields map[string]string) (string, error) {
	var missing *FieldError
	merged := replaceFields(text, func(f found) string {
		if value, ok := Clean(fields[f.name]); ok {
			return value
		}
		if !f.hasDefault && missing == nil {
			missing = &FieldError{Name: f.name}
		}
		return f.standard
	})
	if missing != nil {
		return "", missing
	}
	return merged, nil
}

// FieldsOf lists the names of a text's merge fields, each once, in the order of their first use.
func FieldsOf(text string) []string {
	var names []string
	seen := map[string]bool{}
	replaceFields(text, func(f found) string {
		if !seen[f.name] {
			seen[f.name] = true
			names = append(names, f.name)
		}
		return ""
	})
	return names
}

// found is a merge field in a text.
type found struct {
	name, standard string
	hasDefault     bool
	source         string // as it stands in the text
}

func replaceFields(text string, with func(found) string) string {
	var out strings.Builder
	end := 0
	for _, at := range mergeField.FindAllStringSubmatchIndex(text, -1) {
		f := found{name: text[at[2]:at[3]], hasDefault: at[4] >= 0, source: text[at[0]:at[1]]}
		if f.hasDefault {
			f.standard = strings.Trim(text[at[6]:at[7]], " ")
		}
		out.WriteString(text[end:at[0]])
		out.WriteString(with(f))
		end = at[1]
	}
	out.WriteString(text[end:])
	return out.String()
}

// The ways to show a field before it is filled.
func asDefault(f found) string { return f.standard }
func asLetter(found) string    { return "x" }
func asNothing(found) string   { return " " }

// render replaces the listed fields and leaves others as they stand.
func render(text string, fields []string, as func(found) string) string {
	listed := make(map[string]bool, len(fields))
	for _, name := range fields {
		listed[name] = true
	}
	return replaceFields(text, func(f found) string {
		if listed[f.name] {
			return as(f)
		}
		return f.source
	})
}

// CheckFields says whether a recipient's fields can be taken in. It names what is wrong, never a value; whether a
// value can be used in a text is found when it is merged.
func CheckFields(fields map[string]string) error {
	if len(fields) > MaxFields {
		return fmt.Errorf("there are %d fields; at most %d are allowed", len(fields), MaxFields)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !isFieldName(name) {
			// The name is not shown: it may be anything that somebody put there.
			return errors.New("a field has no valid name: use letters, digits and _, beginning with a letter, at most 64")
		}
		if size := len(fields[name]); size > MaxFieldBytes {
			return fmt.Errorf("the field %s has %d bytes; at most %d are allowed", name, size, MaxFieldBytes)
		}
	}
	return nil
}

// CheckBrief says whether a brief can be taken in.
func CheckBrief(brief string) error {
	switch {
	case CleanBrief(brief) == "":
		return fmt.Errorf("the brief is empty; say what the message is about")
	case !utf8.ValidString(brief):
		return fmt.Errorf("the brief is not UTF-8")
	case utf8.RuneCountInString(brief) > MaxBrief:
		return fmt.Errorf("the brief has %d characters; at most %d are allowed", utf8.RuneCountInString(brief), MaxBrief)
	}
	return nil
}
