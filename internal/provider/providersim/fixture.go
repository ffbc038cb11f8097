package providersim

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Provider is one of the two that are simulated. An empty one means both.
type Provider string

// The providers.
const (
	Azure  Provider = "azure"
	OpenAI Provider = "openai"
)

// Providers lists them.
var Providers = []Provider{Azure, OpenAI}

// Fixture is one recorded shape of an answer, with what a client has to make of it.
type Fixture struct {
	Name     string
	Provider Provider // that answers so; empty: both
	Status   int
	Header   map[string]string // Content-Type is application/json unless it is here
	Body     string            // {{prompt}} in it becomes the user's message: providers do echo it
	Kind     Kind              // a fault of the connection, instead of or on top of the answer
	Want     Want
}

// Want is the classification that a client must reach, in the words of package provider. The simulator shares no
// code with what it tests.
type Want struct {
	Class        string
	Code         string
	RetryAfter   time.Duration
	Billed       string // usage, maybe or not
	Input        int64  // tokens; 0 with Output 0: the answer does not tell
	Output       int64
	Unclassified bool
	Veto         bool
	FilterDown   bool
}

var all = sync.OnceValue(func() []Fixture {
	return slices.Concat(openAILimits, openAIRefusals, azureLimits, azureRefusals, commonFailures, commonTexts, brokenConnections)
})

// Fixtures returns every recorded shape.
func Fixtures() []Fixture { return slices.Clone(all()) }

// Names lists the shapes that a provider can answer with; an empty provider means all.
func Names(provider Provider) []string {
	var names []string
	for _, f := range all() {
		if provider == "" || f.of(provider) {
			names = append(names, f.Name)
		}
	}
	return names
}

func (f Fixture) of(provider Provider) bool { return f.Provider == "" || f.Provider == provider }

func fixture(name string) (Fixture, bool) {
	i := slices.IndexFunc(all(), func(f Fixture) bool { return f.Name == name })
	if i < 0 {
		return Fixture{}, false
	}
	return all()[i], true
}

// body is what goes over the wire to somebody who sent that prompt.
func (f Fixture) body(prompt string) string {
	if !strings.Contains(f.Body, "{{prompt}}") {
		return f.Body
	}
	quoted := quote(prompt)
	return strings.ReplaceAll(f.Body, "{{prompt}}", quoted[1:len(quoted)-1])
}
