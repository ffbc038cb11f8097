package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

const off = "off" // the word that switches something off

// field is one variable: a field of Config and what its tags say.
type field struct {
	reflect.StructField
	name string // of the variable
}

var (
	fields      = listFields()
	fieldByName = indexFields()

	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[Secret]()
)

func listFields() []field {
	var list []field
	for f := range reflect.TypeFor[Config]().Fields() {
		list = append(list, field{StructField: f, name: f.Tag.Get("env")})
	}
	return list
}

func indexFields() map[string]field {
	index := make(map[string]field, len(fields))
	for _, f := range fields {
		index[f.name] = f
	}
	return index
}

// mustField returns the variable of that name. The name is written in the program, so a wrong one is a
// fault of the program.
func mustField(name string) field {
	f, ok := fieldByName[name]
	if !ok {
		panic("config: no variable " + name)
	}
	return f
}

func (f field) secret() bool { return f.Type == secretType }

func (f field) of(c Config) reflect.Value { return reflect.ValueOf(c).FieldByIndex(f.Index) }

// raw returns the text that the variable has in environ, or its default.
func (f field) raw(environ map[string]string) string {
	value, set := environ[f.name]
	if value != "" {
		if f.Tag.Get("oneof") != "" {
			return strings.ToLower(value)
		}
		return value
	}
	if empty, has := f.Tag.Lookup("empty"); set && has {
		return empty
	}
	return f.Tag.Get("envDefault")
}

// expected says what a value must look like.
func (f field) expected() string {
	if oneof := f.Tag.Get("oneof"); oneof != "" {
		words := strings.Split(oneof, "|")
		last := len(words) - 1
		return strings.Join(words[:last], ", ") + " or " + words[last]
	}
	bounds := ""
	if lowest, has := f.Tag.Lookup("min"); has {
		bounds = " from " + lowest + " to " + f.Tag.Get("max")
	}
	switch {
	case f.Type == durationType:
		return "a time with its unit (ms, s, m or h)" + bounds
	case f.Type.Kind() == reflect.Int:
		return "a whole number" + bounds
	default:
		return f.Tag.Get("expect")
	}
}

func (f field) example() string {
	if example := f.Tag.Get("example"); example != "" {
		return example
	}
	return f.Tag.Get("envDefault")
}

func (f field) problem(value, reason string) Problem {
	p := Problem{Name: f.name, Value: value, Hidden: f.secret(), Reason: reason, Expected: f.expected(), Example: f.example()}
	if p.Hidden || strings.ContainsAny(value, "@?") { // an address may carry a password where none belongs
		p.Value, p.Reason, p.Hidden = "", "", true
	}
	return p
}

// outside says whether the text is not one of the values that min, max and oneof allow.
func (f field) outside(value string) bool {
	if oneof := f.Tag.Get("oneof"); oneof != "" {
		return !strings.Contains("|"+oneof+"|", "|"+value+"|") || strings.Contains(value, "|")
	}
	lowest, has := f.Tag.Lookup("min")
	if !has {
		return false
	}
	v, errValue := f.number(value)
	low, errLow := f.number(lowest)
	high, errHigh := f.number(f.Tag.Get("max"))
	return errors.Join(errValue, errLow, errHigh) != nil || v < low || v > high
}

func (f field) number(text string) (int64, error) {
	if f.Type == durationType {
		d, err := time.ParseDuration(text)
		return int64(d), err
	}
	return strconv.ParseInt(text, 10, 64)
}

// parse fills cfg from environ and returns the variables whose text does not fit their type or range.
func parse(cfg *Config, environ map[string]string) Errors {
	values := make(map[string]string, len(fields))
	var problems Errors
	for _, f := range fields {
		value := f.raw(environ)
		if value == "" {
			continue
		}
		if f.outside(value) {
			problems = append(problems, f.problem(environ[f.name], ""))
			continue
		}
		values[f.name] = value
	}
	err := env.ParseWithOptions(cfg, env.Options{Environment: values})
	if err == nil {
		return problems
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		panic(fmt.Sprintf("config: %v", err)) // the struct's tags are wrong: a fault of the program
	}
	for _, one := range all.Errors {
		var wrong env.ParseError
		if !errors.As(one, &wrong) {
			panic(fmt.Sprintf("config: %v", one))
		}
		f, _ := reflect.TypeFor[Config]().FieldByName(wrong.Name)
		known := mustField(f.Tag.Get("env"))
		problems = append(problems, known.problem(values[known.name], ""))
	}
	return problems
}
