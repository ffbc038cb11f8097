package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Variable describes one environment variable, for a person.
type Variable struct {
	Group   string // the heading it belongs under; variables of a group follow each other
	Name    string // ends in * for a family of variables that a library reads by itself
	Default string // empty: none
	Meaning string
	Set     bool   // the environment has a value
	Secret  bool   // the value is not shown
	Value   string // the value in use; of a secret [hidden], or an address without its password
}

// Describe returns every variable with the value that cfg has and whether environ set it, in groups, then
// the families of standard variables that are passed through to libraries.
func Describe(cfg Config, environ map[string]string) []Variable {
	list := make([]Variable, 0, len(fields)+len(passedThrough))
	for _, f := range fields {
		_, set := environ[f.name]
		list = append(list, Variable{
			Group:   f.Tag.Get("group"),
			Name:    f.name,
			Default: f.Tag.Get("envDefault"),
			Meaning: f.Tag.Get("desc"),
			Set:     set && (environ[f.name] != "" || f.Tag.Get("empty") != ""),
			Secret:  f.secret(),
			Value:   f.shown(cfg, environ),
		})
	}
	for _, v := range passedThrough {
		for name, value := range environ {
			if _, ours := fieldByName[name]; !ours && value != "" && strings.HasPrefix(name, strings.TrimSuffix(v.Name, "*")) {
				v.Set, v.Secret, v.Value = true, true, hidden
			}
		}
		list = append(list, v)
	}
	return list
}

// Names returns the names of all variables, in the order in which they are described.
func Names() []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

// shown is the value in use, in the words in which it was written where that is possible: 120s, not 2m0s.
func (f field) shown(cfg Config, environ map[string]string) string {
	value := f.of(cfg)
	switch {
	case f.secret():
		return value.Interface().(Secret).Address()
	case value.Kind() == reflect.String:
		if value.String() == "" {
			return f.Tag.Get("empty")
		}
		return value.String()
	case value.Kind() == reflect.Bool: // of which 1 and 0 are other words
		return strconv.FormatBool(value.Bool())
	}
	raw := f.raw(environ)
	if raw == "" && value.IsZero() {
		return ""
	}
	if n, err := f.number(raw); err == nil && n == value.Int() {
		return raw
	}
	return strings.ToLower(fmt.Sprint(value.Interface()))
}
