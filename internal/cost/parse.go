package cost

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Parse reads a table. Errors name the entry, the field and what to do.
func Parse(text []byte) (Table, error) {
	top, err := document(text)
	if err != nil {
		return Table{}, err
	}
	entries := top.list("entries", true)
	factors := top.fields("factors")
	if err := top.done(); err != nil {
		return Table{}, err
	}
	t := Table{byKey: map[key][]*entry{}}
	for i, node := range entries {
		e, err := parseEntry(i, node)
		if err != nil {
			return Table{}, err
		}
		if err := t.add(e); err != nil {
			return Table{}, err
		}
	}
	if len(t.entries) == 0 {
		return Table{}, errors.New("the table: entries is empty; add the prices of the models in use")
	}
	if err := t.addFactors(factors); err != nil {
		return Table{}, err
	}
	return t, nil
}

// add takes an entry in, unless the table would say two things about one time.
func (t *Table) add(e *entry) error {
	for _, other := range t.entries {
		if other.id == e.id {
			return fmt.Errorf("entry %s: id is used twice; give each entry its own", e.id)
		}
	}
	for _, other := range t.byKey[e.key] {
		if (other.to.IsZero() || e.from.Before(other.to)) && (e.to.IsZero() || other.from.Before(e.to)) {
			return fmt.Errorf("entry %s: effectiveFrom and effectiveTo overlap with those of entry %s for the same provider, model, zone and tier; "+
				"end the earlier one with an effectiveTo that is the later one's effectiveFrom", e.id, other.id)
		}
	}
	t.entries = append(t.entries, e)
	t.byKey[e.key] = append(t.byKey[e.key], e)
	return nil
}

func parseEntry(index int, node ast.Node) (*entry, error) {
	f, err := fieldsOf(fmt.Sprintf("entry number %d", index+1), node)
	if err != nil {
		return nil, err
	}
	e := &entry{id: f.text("id", true)}
	if e.id != "" {
		f.where = "entry " + e.id
	}
	f.oneWord("id", e.id)
	e.provider = f.word("provider", true, providers)
	e.model = f.text("model", true)
	f.oneWord("model", e.model)
	if e.zone = f.word("zone", false, zones); e.zone == "" {
		e.zone = global
	}
	e.tier = f.word("tier", false, tiers)
	e.from, e.to = f.day("effectiveFrom", true), f.day("effectiveTo", false)
	if f.err == nil && !e.to.IsZero() && !e.from.Before(e.to) {
		f.fail("effectiveTo", "is not after effectiveFrom; it is the first day on which the price no longer holds")
	}
	components := f.fields("components")
	f.text("source", true) // for whoever compares the price with it
	e.checkedAt = f.day("checkedAt", true)
	if err := f.done(); err != nil {
		return nil, err
	}
	for p, name := range partNames {
		e.prices[p] = components.price(name, part(p) == input || part(p) == output)
	}
	return e, components.done()
}

// oneWord refuses what could not be told apart in a log, or looks like a name and is none.
func (f *fields) oneWord(name, text string) {
	if len(text) > 200 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		f.fail(name, "%q is not one word; write at most 200 letters, digits and signs of ASCII, without spaces", text)
	}
}

// day takes a date, as the first moment of that day in UTC; an optional one that is not there is zero.
func (f *fields) day(name string, required bool) time.Time {
	text := f.text(name, required)
	if text == "" {
		return time.Time{}
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil || day.Year() < 2000 { // a year that short is a slip, and the zero time has a meaning of its own
		f.fail(name, "%q is not a day; write it as in 2026-10-03", text)
		return time.Time{}
	}
	return day
}

// price takes a price; an optional one that is not there is unknown.
func (f *fields) price(name string, required bool) price {
	text := f.number(name, required)
	if text == "" {
		return price{}
	}
	pico, err := parseDecimal(text, pricePlaces, maxPrice)
	if err != nil {
		f.fail(name, "%q %v; write USD per million tokens, 0 to %d with at most %d places, such as \"2.50\"", text, err, maxPrice, pricePlaces)
	}
	return price{pico: pico, known: err == nil}
}

// factor takes a factor from a least one on.
func (f *fields) factor(name string, least factor) factor {
	text := f.number(name, true)
	if text == "" {
		return one
	}
	n, err := parseDecimal(text, factorPlaces, maxFactor)
	if err == nil && factor(n) < least {
		err = errTooSmall
	}
	if err != nil {
		f.fail(name, "%q %v; write a number from %d.%02d to %d with at most %d places, such as \"1.1\"",
			text, err, least/factorUnit, least%factorUnit, maxFactor, factorPlaces)
		return one
	}
	return factor(n)
}

// number takes a number that stands in quotes: without them YAML makes it a floating point number.
func (f *fields) number(name string, required bool) string {
	node := f.take(name, required)
	if node == nil {
		return ""
	}
	switch node.(type) {
	case *ast.StringNode:
		return f.text(name, required)
	case *ast.IntegerNode, *ast.FloatNode:
		f.fail(name, "is a number without quotes; write it in quotes, so that it is read exactly")
	default:
		f.fail(name, "is not a number; write one in quotes, such as \"2.50\"")
	}
	return ""
}

func (f *fields) scope() scope {
	s := scope{provider: f.word("provider", false, providers), zone: f.word("zone", false, zones)}
	for _, node := range f.list("models", false) {
		model, ok := node.(*ast.StringNode)
		if !ok {
			f.fail("models", "holds something that is not a text; write each model in quotes")
			return s
		}
		f.oneWord("models", model.Value)
		s.models = append(s.models, model.Value)
	}
	if _, there := f.nodes["models"]; there && len(s.models) == 0 {
		f.fail("models", "is empty; leave it out for all models")
	}
	return s
}

// addFactors reads the factors. All three lists must be there: a table that forgot one would price too low.
func (t *Table) addFactors(f *fields) error {
	long, tierNodes, zoneNodes := f.list("longContext", true), f.list("tiers", true), f.list("zones", true)
	if err := f.done(); err != nil {
		return err
	}
	var err error
	t.longContext, err = parseFactors("longContext", long, func(f *fields) longContext {
		l := longContext{scope: f.scope(), above: f.count("above")}
		for p, name := range partNames {
			l.factors[p] = f.factor(name, one) // a longer prompt never costs less
		}
		return l
	}, func(a, b longContext) bool { return a.overlaps(b.scope) })
	if err != nil {
		return err
	}
	t.tiers, err = parseFactors("tiers", tierNodes, func(f *fields) tierFactor {
		return tierFactor{tier: f.word("tier", true, tiers), scope: f.scope(), factor: f.factor("factor", 1)}
	}, func(a, b tierFactor) bool { return a.tier == b.tier && a.overlaps(b.scope) })
	if err != nil {
		return err
	}
	t.zones, err = parseFactors("zones", zoneNodes, func(f *fields) zoneFactor {
		z := zoneFactor{scope: f.scope(), factor: f.factor("factor", 1)}
		if z.zone == "" || z.zone == global {
			f.fail("zone", "is missing or %s; write the zone that the factor leads to, one of %s", global, strings.Join(zones[1:], ", "))
		}
		return z
	}, func(a, b zoneFactor) bool { return a.overlaps(b.scope) })
	return err
}

// parseFactors reads one list of factors, no two of which may be for the same call.
func parseFactors[F any](name string, nodes []ast.Node, parse func(*fields) F, overlap func(a, b F) bool) ([]F, error) {
	var all []F
	for i, node := range nodes {
		where := fmt.Sprintf("factors: %s number %d", name, i+1)
		f, err := fieldsOf(where, node)
		if err != nil {
			return nil, err
		}
		one := parse(f)
		if err := f.done(); err != nil {
			return nil, err
		}
		if other := slices.IndexFunc(all, func(o F) bool { return overlap(one, o) }); other >= 0 {
			return nil, fmt.Errorf("%s: is for some of the same calls as number %d; narrow one by provider, models or zone", where, other+1)
		}
		all = append(all, one)
	}
	return all, nil
}
