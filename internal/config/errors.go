package config

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one variable that can't be used.
type Problem struct {
	Name     string // of the variable
	Value    string // the text that it has; empty when Hidden
	Hidden   bool   // the value is not shown, because it is a secret or may contain one
	Missing  bool   // it has no value, and the command needs one
	Reason   string // what is wrong, where more is known than what is expected; may be empty
	Expected string // what a value must look like
	Example  string // a value that is right
}

const shownCharacters = 80 // of a wrong value, so that an accident does not fill the terminal

func (p Problem) Error() string {
	var b strings.Builder
	switch {
	case p.Missing:
		fmt.Fprintf(&b, "%s is not set", p.Name)
	case p.Hidden:
		fmt.Fprintf(&b, "%s has a value (hidden) that can't be used", p.Name)
	default:
		value := []rune(p.Value)
		if len(value) > shownCharacters {
			value = append(value[:shownCharacters], '…')
		}
		fmt.Fprintf(&b, "%s=%q", p.Name, string(value))
	}
	if p.Reason != "" {
		fmt.Fprintf(&b, ": %s", p.Reason)
	}
	fmt.Fprintf(&b, ": expected %s; for example %s=%s", p.Expected, p.Name, p.Example)
	return b.String()
}

// Errors is every variable that can't be used.
type Errors []Problem

func (e Errors) Error() string {
	if len(e) == 1 {
		return "environment: " + e[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "environment: %d variables can't be used:", len(e))
	for _, p := range e {
		b.WriteString("\n  ")
		b.WriteString(p.Error())
	}
	return b.String()
}

// Unwrap returns the problems one by one, for errors.As.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, p := range e {
		list[i] = p
	}
	return list
}

// sorted returns the problems in the order in which the variables are described.
func sorted(problems Errors) Errors {
	position := make(map[string]int, len(fields))
	for i, f := range fields {
		position[f.name] = i
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return position[a.Name] - position[b.Name] })
	return problems
}
