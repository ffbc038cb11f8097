package cost

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// The words of the table. The standard tier is written by leaving the tier out.
const (
	global   = "global"
	standard = ""
)

var (
	providers     = []string{"azure", "openai"}
	zones         = []string{global, "datazone", "regional"}
	tiers         = []string{"flex", "batch", "priority", "fast"}
	standardTiers = []string{standard, "auto", "default", "standard"} // as a call may name it
)

// StaleAfter is how long a price is trusted after somebody compared it with its source.
const StaleAfter = 30 * 24 * time.Hour

// Table holds what tokens cost. It does not change after it was read; the zero table prices nothing.
type Table struct {
	entries     []*entry
	byKey       map[key][]*entry
	longContext []longContext
	tiers       []tierFactor
	zones       []zoneFactor
}

// entry is a price of one model for some time.
type entry struct {
	id string
	key
	from, to  time.Time // the first moment, and the first moment after; zero: it still holds
	prices    [parts]price
	checkedAt time.Time
}

// scope says which calls a factor is for; what is empty matches all.
type scope struct {
	provider string
	models   []string
	zone     string
}

type longContext struct {
	scope
	above   uint64
	factors [parts]factor
}

type tierFactor struct {
	scope
	tier   string
	factor factor
}

type zoneFactor struct {
	scope  // its zone is the one that the factor leads to
	factor factor
}

func (s scope) matches(c Call) bool {
	return (s.provider == "" || s.provider == c.Provider) && (s.zone == "" || s.zone == c.Zone) &&
		(len(s.models) == 0 || slices.Contains(s.models, c.Model))
}

// overlaps says whether there may be a call that both are for.
func (s scope) overlaps(other scope) bool {
	return (s.provider == "" || other.provider == "" || s.provider == other.provider) &&
		(s.zone == "" || other.zone == "" || s.zone == other.zone) &&
		(len(s.models) == 0 || len(other.models) == 0 ||
			slices.ContainsFunc(s.models, func(model string) bool { return slices.Contains(other.models, model) }))
}

//go:embed prices.yaml
var builtIn []byte

var parseBuiltIn = sync.OnceValue(func() Table {
	t, err := Parse(builtIn)
	if err != nil {
		panic("the built-in prices: " + err.Error()) // a test reads them
	}
	return t
})

// Default is the table that is built in.
func Default() Table { return parseBuiltIn() }

// Load reads a table from a file. It takes the place of the built-in one as a whole.
func Load(path string) (Table, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Table{}, fmt.Errorf("the prices can't be read: %w; name a file like the built-in prices.yaml", err)
	}
	t, err := Parse(text)
	if err != nil {
		return Table{}, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Stale lists the entries, by id in the table's order, that nobody has compared with their source for longer than
// StaleAfter, or for which a day is given that is yet to come. Entries that no longer hold are history and are left
// out.
func (t Table) Stale(now time.Time) []string {
	var ids []string
	for _, e := range t.entries {
		if !e.to.IsZero() && !now.Before(e.to) {
			continue
		}
		if now.Sub(e.checkedAt) > StaleAfter || e.checkedAt.After(now.Add(24*time.Hour)) { // a day: the file knows no time zone
			ids = append(ids, e.id)
		}
	}
	return ids
}
