package flags

import (
	"fmt"
	"slices"
)

// Origin says where a value comes from.
type Origin string

// The origins, the strongest first.
const (
	FromEnvironment Origin = "environment"
	FromAccount     Origin = "account"
	FromAll         Origin = "all" // the value for all that have none of their own
	FromDefault     Origin = "default"
)

// Answer is what a flag is for an account, and why.
type Answer struct {
	On     bool   `json:"on"`
	Value  Value  `json:"value"`
	Origin Origin `json:"from"`
}

// Snapshot is the state of all flags at one moment, as one process sees it. It is never changed and safe for
// concurrent use.
type Snapshot struct {
	table    Table
	loaded   bool
	settings [len(definitions)]setting
	problems []error
}

// setting is the state of one flag.
type setting struct {
	name   Name
	value  Value // without one of the account's own
	origin Origin
	own    map[string]Value // of accounts; nil where the environment says it for all
}

// New makes a snapshot of a state. What is not in it has its default, which depends on whether there is an
// orchestrator before this one. Rows that this binary does not understand are left out, see Problems: the value that
// they would replace holds.
func New(table Table, overrides Overrides, legacy bool) *Snapshot {
	s := unloaded(overrides, legacy)
	s.table, s.loaded = Table{Version: table.Version, Rows: slices.Clone(table.Rows)}, true
	for _, row := range table.Rows {
		i := index(row.Name)
		if i < 0 {
			s.problems = append(s.problems, fmt.Errorf("flag %q is not known to this version of the program", row.Name))
			continue
		}
		value, err := ParseValue(row.Name, row.UserID, row.Value)
		if err != nil {
			s.problems = append(s.problems, err)
			continue
		}
		setting := &s.settings[i]
		switch {
		case setting.origin == FromEnvironment:
		case row.UserID == "":
			setting.value, setting.origin = value, FromAll
		default:
			if setting.own == nil {
				setting.own = map[string]Value{}
			}
			setting.own[row.UserID] = value
		}
	}
	return s
}

// unloaded is what holds before the database was ever read.
func unloaded(overrides Overrides, legacy bool) *Snapshot {
	s := &Snapshot{}
	for i, d := range definitions {
		s.settings[i] = setting{name: d.name, value: d.withOther(legacy), origin: FromDefault}
		if value, ok := overrides[d.name]; ok {
			s.settings[i].value, s.settings[i].origin = value, FromEnvironment
		}
	}
	return s
}

// Ask says what a flag is for an account; an empty name means one that is not known.
func (s *Snapshot) Ask(name Name, userID string) Answer {
	i := index(name)
	if i < 0 {
		return Answer{Origin: FromDefault}
	}
	setting := &s.settings[i]
	value, origin := setting.value, setting.origin
	if own, ok := setting.own[userID]; ok {
		value, origin = own, FromAccount
	}
	return Answer{On: value.holds(name, userID), Value: value, Origin: origin}
}

// OrchestratorEnabled says whether new workflows of the account are handled here.
func (s *Snapshot) OrchestratorEnabled(userID string) bool {
	return s.Ask(OrchestratorEnabled, userID).On
}

// SendsEnabled says whether messages of the account may be sent, as far as this process knows. See the package's
// documentation: it is no substitute for asking the database.
func (s *Snapshot) SendsEnabled(userID string) bool { return s.Ask(SendsEnabled, userID).On }

// PlanningEnabled says whether texts of the account may be written.
func (s *Snapshot) PlanningEnabled(userID string) bool { return s.Ask(PlanningEnabled, userID).On }

// Decided says whether the flag is known: it was read from the database, or the environment says it. Otherwise Ask
// answers with the default, and what must not be taken back should wait.
func (s *Snapshot) Decided(name Name) bool {
	i := index(name)
	return s.loaded || i >= 0 && s.settings[i].origin == FromEnvironment
}

// Loaded says whether the snapshot was read from the database.
func (s *Snapshot) Loaded() bool { return s.loaded }

// Version is that of the state it was made of.
func (s *Snapshot) Version() Version { return s.table.Version }

// Rows lists what was set, also what the environment overrides.
func (s *Snapshot) Rows() []Row { return slices.Clone(s.table.Rows) }

// Problems says which rows this binary does not understand.
func (s *Snapshot) Problems() []error { return slices.Clone(s.problems) }
