package gatewaysim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The JSON of a Faults, for PUT /_sim/faults and for files:
//
//	{"rules": [{"kind": "delay", "min": "50ms", "max": "2s"},
//	           {"kind": "lost_reply", "probability": 0.02, "account": "creator-7", "count": 5},
//	           {"kind": "rate_limit", "retryAfter": "30s", "count": 1}],
//	 "limit": {"count": 10, "window": "60s", "overrides": {"creator-9": 3}},
//	 "lookUp": "late", "lookUpAfter": "90s"}

type faultsJSON struct {
	Rules       []ruleJSON `json:"rules"`
	Limit       *limitJSON `json:"limit,omitempty"`
	LookUp      LookUpMode `json:"lookUp,omitempty"`
	LookUpAfter duration   `json:"lookUpAfter,omitzero"`
}

type ruleJSON struct {
	Kind        Kind     `json:"kind"`
	Probability *float64 `json:"probability,omitempty"` // a pointer: an explicit 0 must not turn into "always"
	Account     string   `json:"account,omitempty"`
	Count       int      `json:"count,omitempty"`
	Status      int      `json:"status,omitempty"`
	RetryAfter  duration `json:"retryAfter,omitzero"`
	Min         duration `json:"min,omitzero"`
	Max         duration `json:"max,omitzero"`
	Location    string   `json:"location,omitempty"`
}

type limitJSON struct {
	Count     int            `json:"count"`
	Window    duration       `json:"window"`
	Overrides map[string]int `json:"overrides,omitempty"`
	NoHint    bool           `json:"noHint,omitempty"`
}

// duration is written like "1m30s".
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New(`a duration is written like "250ms" or "1m30s"`)
	}
	*d = duration(parsed)
	return nil
}

// MarshalJSON writes the form above. Rules that are used up are left out.
func (f Faults) MarshalJSON() ([]byte, error) {
	out := faultsJSON{Rules: []ruleJSON{}, LookUp: f.LookUp, LookUpAfter: duration(f.LookUpAfter)}
	for _, rule := range f.Rules {
		if rule.spent() {
			continue
		}
		written := ruleJSON{
			Kind: rule.Kind, Account: rule.Account, Count: rule.Count, Status: rule.Status, Location: rule.Location,
			RetryAfter: duration(rule.RetryAfter), Min: duration(rule.Min), Max: duration(rule.Max),
		}
		if rule.Probability > 0 {
			written.Probability = &rule.Probability
		}
		out.Rules = append(out.Rules, written)
	}
	if f.Limit != nil {
		out.Limit = &limitJSON{f.Limit.Count, duration(f.Limit.Window), f.Limit.Overrides, f.Limit.NoHint}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads the form above and refuses unknown names: a misspelt fault would be a test that tests nothing.
func (f *Faults) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var in faultsJSON
	if err := decoder.Decode(&in); err != nil {
		return fmt.Errorf("faults: %w", err)
	}
	read := Faults{LookUp: in.LookUp, LookUpAfter: time.Duration(in.LookUpAfter)}
	for i, rule := range in.Rules {
		if rule.Probability != nil && *rule.Probability == 0 {
			return fmt.Errorf("faults: rule %d (%s): probability 0 would never strike: leave the rule out, "+
				"or the probability, which means always", i+1, rule.Kind)
		}
		made := Rule{
			Kind: rule.Kind, Account: rule.Account, Count: rule.Count, Status: rule.Status, Location: rule.Location,
			RetryAfter: time.Duration(rule.RetryAfter), Min: time.Duration(rule.Min), Max: time.Duration(rule.Max),
		}
		if rule.Probability != nil {
			made.Probability = *rule.Probability
		}
		read.Rules = append(read.Rules, made)
	}
	if in.Limit != nil {
		read.Limit = &Limit{in.Limit.Count, time.Duration(in.Limit.Window), in.Limit.Overrides, in.Limit.NoHint}
	}
	if err := read.check(); err != nil {
		return fmt.Errorf("faults: %w", err)
	}
	*f = read
	return nil
}
