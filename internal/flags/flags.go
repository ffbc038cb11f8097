// Package flags decides what is switched on, for whom. The flags are a closed list with types; their values are rows
// of the database, so that a change holds for the whole fleet, with who made it, when and why.
//
// A flag has one value for all accounts, and an account may have one of its own. What holds for an account is the
// first of these that exists:
//
//  1. the value in the environment of the process (FLAG_ORCHESTRATOR_ENABLED=25%), which is always shown as such
//  2. the account's own value
//  3. the value for all, which may be a percentage of the accounts
//  4. the flag's default
//
// Promises:
//   - A [Snapshot] never changes and is read without locks: a decision takes nanoseconds.
//   - An account that is within a percentage stays within every higher one: raising it takes nobody out.
//   - A [Client] sees a change within 5 s, and as a rule within 100 ms. Without the database it goes on with what it
//     knew last, and an older state never replaces a newer one.
//
// The kill switch, sends_enabled, is not obeyed through a snapshot: the transaction that starts a send reads it in the
// database. The snapshot's copy is for what may be a moment behind, such as a screen or an early refusal.
package flags

import (
	"fmt"
	"strings"
	"time"
)

// Name is a flag's name, as it is in the database and on the command line.
type Name string

// The flags.
const (
	// OrchestratorEnabled says which accounts' workflows are handled here; the others' go to the orchestrator before
	// this one. Its life ends with that orchestrator.
	OrchestratorEnabled Name = "orchestrator_enabled"
	// SendsEnabled is the kill switch: off means that no further message is sent.
	SendsEnabled Name = "sends_enabled"
	// PlanningEnabled says whether texts are written: off means that no further call to a provider begins.
	PlanningEnabled Name = "planning_enabled"
)

// kind is the type of a flag's value.
type kind int

const (
	onOff      kind = iota
	percentage      // on, off or a percentage of the accounts
)

// definition is all that is to know about a flag.
type definition struct {
	name      Name
	kind      kind
	meaning   string
	isSwitch  bool // a kill switch: the environment can only make it stricter
	withOther func(legacy bool) Value
}

var definitions = [...]definition{
	{name: OrchestratorEnabled, kind: percentage, meaning: "which accounts are handled here and not by the orchestrator before this one",
		withOther: func(legacy bool) Value {
			if legacy {
				return Off
			}
			return On
		}},
	{name: SendsEnabled, kind: onOff, meaning: "whether messages are sent", isSwitch: true, withOther: func(bool) Value { return On }},
	{name: PlanningEnabled, kind: onOff, meaning: "whether texts are written", withOther: func(bool) Value { return On }},
}

// Names lists the flags.
func Names() []Name {
	names := make([]Name, len(definitions))
	for i, d := range definitions {
		names[i] = d.name
	}
	return names
}

// Parse finds a flag by its name.
func Parse(name string) (Name, error) {
	if i := index(Name(name)); i >= 0 {
		return definitions[i].name, nil
	}
	all := make([]string, len(definitions))
	for i, d := range definitions {
		all[i] = string(d.name)
	}
	return "", fmt.Errorf("there is no flag %q: use one of %s", name, strings.Join(all, ", "))
}

// Meaning says in a few words what the flag decides.
func (n Name) Meaning() string {
	if i := index(n); i >= 0 {
		return definitions[i].meaning
	}
	return ""
}

// Default is the flag's value where nobody set one. With an orchestrator before this one everything is left to it.
func (n Name) Default(legacy bool) Value {
	if i := index(n); i >= 0 {
		return definitions[i].withOther(legacy)
	}
	return Off
}

func index(name Name) int {
	for i := range definitions {
		if definitions[i].name == name {
			return i
		}
	}
	return -1
}

// Row is a value that somebody set.
type Row struct {
	Name      Name
	UserID    string // whose; empty: of all that have none of their own
	Value     string // as it is written; a newer binary may know more values than this one
	Version   int64  // of all flags, at that change
	ChangedAt time.Time
	ChangedBy string
	Reason    string
}

// Version orders the states of the flags. Number grows with each change; a failover or a restore, which may have
// forgotten the latest of them, begins another timeline or is another system.
type Version struct {
	System   int64
	Timeline int32
	Number   int64
}

// replaces says whether a state of this version may take the place of one of the other.
func (v Version) replaces(other Version) bool {
	switch {
	case v.System != other.System:
		return true // the connection leads to another database: what the old one said is no longer of interest
	case v.Timeline != other.Timeline:
		return v.Timeline > other.Timeline
	}
	return v.Number >= other.Number
}

// Table is the state of all flags at one moment.
type Table struct {
	Version Version
	Rows    []Row
}
