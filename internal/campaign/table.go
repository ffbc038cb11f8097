package campaign

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// table reads recipients from a CSV: the header names the column with the ids, and every other column is a merge
// field of its name. An empty cell is the same as a missing merge field.
type table struct {
	rows    rowReader
	columns []string // nil before the header was read; columnID is the id
	idAt    int
}

func newTable(in *bufio.Reader, most int) *table {
	return &table{rows: rowReader{in: in, most: most}}
}

func (t *table) next() (Recipient, *Refused, error) {
	if t.columns == nil {
		if err := t.header(); err != nil {
			return Recipient{}, nil, err
		}
	}
	for {
		if err := t.rows.read(); err != nil {
			return Recipient{}, nil, err
		}
		if t.rows.blank() {
			continue
		}
		recipient, refused := t.recipient()
		return recipient, refused, nil
	}
}

func (t *table) recipient() (Recipient, *Refused) {
	row := &t.rows
	refuse := func(field string, f flaw) (Recipient, *Refused) {
		return Recipient{}, &Refused{Line: row.first, Field: field, Reason: f.reason, Remedy: f.remedy}
	}
	if row.flaw != nil {
		f := *row.flaw
		if last := row.lastLine(); last > row.first {
			f.reason += fmt.Sprintf(" (lines %d to %d were left out)", row.first, last)
		}
		return refuse(wholeLine, f)
	}
	// More cells than columns are forgiven if they are empty: spreadsheets write them.
	tooMany := row.cells > len(t.columns) && (row.cells > len(row.ends) || len(row.text) > row.ends[len(t.columns)-1])
	if row.cells < len(t.columns) || tooMany {
		return refuse(wholeLine, flaw{fmt.Sprintf("has %d cells, the header has %d", row.cells, len(t.columns)),
			"give every row as many cells as the header, and put values that contain the separator in quotes"})
	}
	recipient := Recipient{Line: row.first}
	id := row.cell(t.idAt)
	if f := checkID(id); f != nil {
		return refuse(columnID, *f)
	}
	recipient.ID = string(id)
	for i, name := range t.columns {
		value := row.cell(i)
		if i == t.idAt || len(value) == 0 {
			continue
		}
		if f := checkValue(value); f != nil {
			return refuse(name, *f)
		}
		if recipient.Fields == nil {
			recipient.Fields = make(map[string]string)
		}
		recipient.Fields[name] = string(value)
	}
	return recipient, nil
}

// header reads the first row that isn't empty.
func (t *table) header() error {
	row := &t.rows
	for {
		if err := row.separate(); err != nil {
			return err
		}
		err := row.read()
		if err == io.EOF {
			return &FileError{Line: 1, Reason: "is empty", Remedy: "send a CSV with a header that has a column " + columnID}
		}
		if err != nil {
			return err
		}
		if !row.blank() {
			break
		}
	}
	fail := func(reason, remedy string) error {
		return &FileError{Line: row.first, Reason: reason, Remedy: remedy}
	}
	if row.flaw != nil {
		return fail("has a header that "+row.flaw.reason, row.flaw.remedy)
	}
	if row.cells > maxCells {
		return fail(tooManyColumns, tooManyColumnsRemedy)
	}
	names := make([]string, row.cells)
	for i := range names {
		names[i] = string(bytes.TrimSpace(row.cell(i)))
	}
	for len(names) > 1 && names[len(names)-1] == "" {
		names = names[:len(names)-1]
	}
	if reason, remedy := checkColumns(names); reason != "" {
		return fail(reason, remedy)
	}
	t.columns, t.idAt = names, slices.Index(names, columnID)
	return nil
}

const tooManyColumnsRemedy = "leave out those that the text doesn't use"

var tooManyColumns = fmt.Sprintf("has more than %d columns besides %s", MaxFields, columnID)

func checkColumns(names []string) (reason, remedy string) {
	if len(names) > 1+MaxFields {
		return tooManyColumns, tooManyColumnsRemedy
	}
	hasID := slices.Contains(names, columnID)
	for i, name := range names {
		switch {
		case slices.Contains(names[:i], name) && isFieldName([]byte(name)):
			return "has two columns " + name, "give each column a name of its own"
		case name == columnID:
		case !hasID && meant(name) == memberID, strings.EqualFold(name, columnID):
			return "has no column " + columnID, fmt.Sprintf("call the column with the ids %s; column %d seems to be it", columnID, i+1)
		case meant(name) == memberFields && strings.Contains(strings.ToLower(name), "merge"), strings.HasPrefix(name, memberFields):
			return fmt.Sprintf("has merge fields in column %d", i+1), "give each merge field a column of its own, called by its name"
		case name == "":
			return fmt.Sprintf("has no name for column %d", i+1), "name each column"
		case !isFieldName([]byte(name)) && !(len(names) == 1 && !hasID):
			return fmt.Sprintf("has no valid name for column %d", i+1), fieldNameRemedy
		}
	}
	if !hasID {
		return "has no column " + columnID, "begin with a header like recipientId,name"
	}
	return "", ""
}
