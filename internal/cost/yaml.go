package cost

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The limits of a text. The parser's time and memory grow with the square of how deep a text is nested, and a line
// of brackets is as deep as it is long.
const (
	maxSize = 64 << 10 // bytes
	maxLine = 1 << 10
)

// The text is read node by node, not into structs: a decoder turns 0.1 into a floating point number before anybody
// sees it, and its errors don't know to which entry a field belongs.

// document returns the fields of the only document of a text.
func document(text []byte) (*fields, error) {
	if len(text) > maxSize {
		return nil, fmt.Errorf("the table has %d bytes: leave out prices of long ago, or models that are not in use, to keep it within %d", len(text), maxSize)
	}
	number := 0
	for line := range bytes.Lines(text) {
		if number++; len(line) > maxLine {
			return nil, fmt.Errorf("the table: line %d has %d bytes: break it, to keep it within %d", number, len(line), maxLine)
		}
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("the table is not YAML: %w", err)
	}
	if len(file.Docs) != 1 {
		return nil, fmt.Errorf("the table has %d documents: write one, without lines of ---", len(file.Docs))
	}
	return fieldsOf("the table", file.Docs[0].Body)
}

// fields are the fields of one mapping. Whoever reads it takes each field that it knows, then calls done; the first
// thing that is wrong is kept and everything after it yields nothing.
type fields struct {
	where string // in errors
	nodes map[string]ast.Node
	names []string // in the text's order
	taken []string
	err   error
}

func fieldsOf(where string, node ast.Node) (*fields, error) {
	f := &fields{where: where, nodes: map[string]ast.Node{}}
	mapping, ok := node.(*ast.MappingNode)
	if !ok {
		return nil, fmt.Errorf("%s: has no fields; write them one to a line, as in the built-in prices.yaml", where)
	}
	for _, value := range mapping.Values {
		name, ok := value.Key.(*ast.StringNode)
		if !ok {
			return nil, fmt.Errorf("%s: the field %s has no plain name; write it as in the built-in prices.yaml", where, value.Key.String())
		}
		if _, twice := f.nodes[name.Value]; twice {
			return nil, fmt.Errorf("%s: the field %s is there twice; remove one", where, name.Value)
		}
		f.nodes[name.Value] = value.Value
		f.names = append(f.names, name.Value)
	}
	return f, nil
}

// fail keeps what is wrong with a field.
func (f *fields) fail(name, format string, arguments ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%s: %s %s", f.where, name, fmt.Sprintf(format, arguments...))
	}
}

func (f *fields) take(name string, required bool) ast.Node {
	f.taken = append(f.taken, name)
	node, there := f.nodes[name]
	if !there && required {
		f.fail(name, "is missing; add it")
	}
	if !there || f.err != nil {
		return nil
	}
	return node
}

// text takes a field that is a text without line breaks; an optional one that is not there is empty.
func (f *fields) text(name string, required bool) string {
	node := f.take(name, required)
	if node == nil {
		return ""
	}
	text, ok := node.(*ast.StringNode)
	switch {
	case !ok:
		f.fail(name, "is not a text; write it in quotes")
		return ""
	case strings.TrimSpace(text.Value) == "" || strings.ContainsFunc(text.Value, control):
		f.fail(name, "is empty or holds control characters; write one line of text")
		return ""
	}
	return text.Value
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// word takes a text that is one of a list.
func (f *fields) word(name string, required bool, words []string) string {
	text := f.text(name, required)
	if text != "" && !slices.Contains(words, text) {
		f.fail(name, "%q is unknown; write one of %s", text, strings.Join(words, ", "))
	}
	return text
}

// count takes a whole number above 0.
func (f *fields) count(name string) uint64 {
	node := f.take(name, true)
	if node == nil {
		return 0
	}
	if _, ok := node.(*ast.IntegerNode); !ok {
		f.fail(name, "is not a whole number; write one such as 272000")
		return 0
	}
	n, err := strconv.ParseUint(node.GetToken().Value, 10, 63)
	if err != nil || n == 0 {
		f.fail(name, "%q is not a whole number above 0; write one such as 272000, with digits only", node.GetToken().Value)
	}
	return n
}

// fields takes a mapping.
func (f *fields) fields(name string) *fields {
	node := f.take(name, true)
	if node == nil {
		return nil
	}
	inner, err := fieldsOf(f.where+": "+name, node)
	if err != nil {
		f.err = err
		return nil
	}
	return inner
}

// list takes a list; [] is one.
func (f *fields) list(name string, required bool) []ast.Node {
	node := f.take(name, required)
	if node == nil {
		return nil
	}
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		f.fail(name, "is not a list; write its items in lines that begin with a dash, or [] for none")
		return nil
	}
	return list.Values
}

// done returns the first error; a field that nobody took is one.
func (f *fields) done() error {
	if f.err != nil {
		return f.err
	}
	for _, name := range f.names {
		if !slices.Contains(f.taken, name) {
			return fmt.Errorf("%s: the field %s is unknown; write one of %s, or remove it", f.where, name, strings.Join(f.taken, ", "))
		}
	}
	return nil
}
