package providersim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind names a way in which a connection breaks.
type Kind string

// The kinds. Those that have an answer break off the one of the fixture, or a good one.
const (
	Hang       Kind = "hang"         // no answer until the caller gives up
	HangInBody Kind = "hang_in_body" // half an answer, then nothing
	Reset      Kind = "reset"        // TCP reset
	Close      Kind = "close"        // the connection is closed without an answer
	Cut        Kind = "cut"          // the connection is closed in the middle of the answer
	NotHTTP    Kind = "not_http"     // the answer is not HTTP
	Endless    Kind = "endless"      // a 200 whose body has no end
)

// Kinds lists them.
var Kinds = []Kind{Hang, HangInBody, Reset, Close, Cut, NotHTTP, Endless}

// Fault is what becomes of one call: one of Fixture, Kind and Text, after a Delay. A Delay alone is a good answer
// that comes late.
type Fault struct {
	Fixture string        // name of a recorded shape
	Kind    Kind          // of a broken connection
	Text    string        // a good answer with this text, so that a test can choose what is checked
	Delay   time.Duration // before the answer
}

// Chance is a fault that strikes by chance.
type Chance struct {
	Probability float64 // 0 < p <= 1
	Fault       Fault
}

// Script says how a provider fails. A call takes the first of the queue; if that is empty, the first chance that
// strikes; else the default. The zero value has no faults.
type Script struct {
	Queue   []Fault // each used once
	Chances []Chance
	Default *Fault // until it is cleared
}

func (f Fault) check(provider Provider) error {
	named := 0
	for _, set := range []bool{f.Fixture != "", f.Kind != "", f.Text != ""} {
		if set {
			named++
		}
	}
	switch {
	case named > 1:
		return errors.New("a fault is one of fixture, kind and text")
	case named == 0 && f.Delay <= 0:
		return errors.New("a fault without fixture, kind, text and delay would do nothing")
	case f.Delay < 0:
		return errors.New("the delay is negative")
	case f.Kind != "" && !slices.Contains(Kinds, f.Kind):
		return fmt.Errorf("kind %q: no such kind; they are %s", f.Kind, join(Kinds))
	}
	if f.Fixture == "" {
		return nil
	}
	found, known := fixture(f.Fixture)
	if !known {
		return fmt.Errorf("fixture %q: no such fixture; GET /sim/fixtures lists them", f.Fixture)
	}
	if !found.of(provider) {
		return fmt.Errorf("fixture %q is not of %s", f.Fixture, provider)
	}
	return nil
}

func (s Script) check(provider Provider) error {
	if !slices.Contains(Providers, provider) {
		return fmt.Errorf("provider %q: it must be one of %s", provider, join(Providers))
	}
	for i, f := range s.Queue {
		if err := f.check(provider); err != nil {
			return fmt.Errorf("%s, queue, fault %d: %w", provider, i+1, err)
		}
	}
	for i, c := range s.Chances {
		if !(c.Probability > 0 && c.Probability <= 1) { // not NaN either
			return fmt.Errorf("%s, chance %d: the probability must be over 0 and at most 1", provider, i+1)
		}
		if err := c.Fault.check(provider); err != nil {
			return fmt.Errorf("%s, chance %d: %w", provider, i+1, err)
		}
	}
	if s.Default != nil {
		if err := s.Default.check(provider); err != nil {
			return fmt.Errorf("%s, default: %w", provider, err)
		}
	}
	return nil
}

func (s Script) clone() Script {
	s.Queue, s.Chances = slices.Clone(s.Queue), slices.Clone(s.Chances)
	if s.Default != nil {
		fault := *s.Default
		s.Default = &fault
	}
	return s
}

// take returns the fault of the next call. Every chance draws once for each call that gets to it, so that a seed
// repeats a run.
func (s *Script) take(random *rand.Rand) Fault {
	if len(s.Queue) > 0 {
		fault := s.Queue[0]
		s.Queue = s.Queue[1:]
		return fault
	}
	for _, c := range s.Chances {
		if random.Float64() < c.Probability {
			return c.Fault
		}
	}
	if s.Default != nil {
		return *s.Default
	}
	return Fault{}
}

func join[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	return strings.Join(texts, ", ")
}

// ParseFault reads a fault as people type it: the name of a fixture, a kind, "slow:2s" or "text:…".
func ParseFault(typed string) (Fault, error) {
	if rest, is := strings.CutPrefix(typed, "slow:"); is {
		delay, err := time.ParseDuration(rest)
		if err != nil || delay <= 0 {
			return Fault{}, fmt.Errorf(`%q: a delay is written like "slow:250ms"`, typed)
		}
		return Fault{Delay: delay}, nil
	}
	if rest, is := strings.CutPrefix(typed, "text:"); is {
		return Fault{Text: rest}, nil
	}
	if slices.Contains(Kinds, Kind(typed)) {
		return Fault{Kind: Kind(typed)}, nil
	}
	if _, known := fixture(typed); !known {
		return Fault{}, fmt.Errorf("%q is neither a fixture nor one of %s, slow:DURATION, text:TEXT", typed, join(Kinds))
	}
	return Fault{Fixture: typed}, nil
}

// The JSON of a Script, for PUT /sim/faults:
//
//	{"queue": [{"fixture": "azure_429_quota"}, {"kind": "hang"}],
//	 "chances": [{"probability": 0.05, "kind": "reset"}],
//	 "default": {"delay": "250ms"}}

type faultJSON struct {
	Probability float64  `json:"probability,omitempty"` // of a chance
	Fixture     string   `json:"fixture,omitempty"`
	Kind        Kind     `json:"kind,omitempty"`
	Text        string   `json:"text,omitempty"`
	Delay       duration `json:"delay,omitzero"`
}

type scriptJSON struct {
	Queue   []faultJSON `json:"queue,omitempty"`
	Chances []faultJSON `json:"chances,omitempty"`
	Default *faultJSON  `json:"default,omitempty"`
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

func (f faultJSON) fault() Fault { return Fault{f.Fixture, f.Kind, f.Text, time.Duration(f.Delay)} }

func (f Fault) json(probability float64) faultJSON {
	return faultJSON{probability, f.Fixture, f.Kind, f.Text, duration(f.Delay)}
}

// MarshalJSON writes the form above.
func (s Script) MarshalJSON() ([]byte, error) {
	var out scriptJSON
	for _, f := range s.Queue {
		out.Queue = append(out.Queue, f.json(0))
	}
	for _, c := range s.Chances {
		out.Chances = append(out.Chances, c.Fault.json(c.Probability))
	}
	if s.Default != nil {
		written := s.Default.json(0)
		out.Default = &written
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads the form above and refuses unknown names: a misspelt fault would be a test that tests nothing.
func (s *Script) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var in scriptJSON
	if err := decoder.Decode(&in); err != nil {
		return fmt.Errorf("faults: %w", err)
	}
	read := Script{}
	for _, f := range in.Queue {
		read.Queue = append(read.Queue, f.fault())
	}
	for _, f := range in.Chances {
		read.Chances = append(read.Chances, Chance{f.Probability, f.fault()})
	}
	if in.Default != nil {
		fault := in.Default.fault()
		read.Default = &fault
	}
	*s = read
	return nil
}
