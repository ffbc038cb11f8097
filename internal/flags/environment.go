package flags

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Overrides are values in the environment of a process, which go before those in the database.
type Overrides map[Name]Value

// variablePrefix is how the names of the variables begin.
const variablePrefix = "FLAG_"

// Variable is the environment variable that overrides the flag in one process.
func (n Name) Variable() string { return variablePrefix + strings.ToUpper(string(n)) }

// ReadOverrides reads the overrides out of an environment. A variable that is empty is none. It reports all that is
// wrong at once, also variables that begin with FLAG_ and are no flag: a kill switch with a misspelt name would
// otherwise be believed to be off.
//
// A kill switch can be overridden to off only. FLAG_SENDS_ENABLED=on would make a process that goes on after everybody
// was told to stop.
func ReadOverrides(environ map[string]string) (Overrides, error) {
	overrides := Overrides{}
	var problems []error
	for variable, text := range environ {
		upper, is := strings.CutPrefix(variable, variablePrefix)
		if !is || text == "" {
			continue
		}
		i := slices.IndexFunc(definitions[:], func(d definition) bool { return d.name.Variable() == variable })
		if i < 0 {
			_, err := Parse(strings.ToLower(upper))
			problems = append(problems, fmt.Errorf("%s: %w", variable, err))
			continue
		}
		value, err := ParseValue(definitions[i].name, "", text)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("%s: %w", variable, err))
		case definitions[i].isSwitch && value != Off:
			problems = append(problems, fmt.Errorf("%s: the environment can only switch it off; with on, huntaze flags set %s off would not stop this process", variable, definitions[i].name))
		default:
			overrides[definitions[i].name] = value
		}
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return overrides, nil
}
