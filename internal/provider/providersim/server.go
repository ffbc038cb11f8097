package providersim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options configure a Server. The zero value takes any key, knows every model, answers at once and has no faults.
type Options struct {
	AzureKey    string           // api-key that Azure wants; empty with no AzureToken: any, or none
	AzureToken  string           // bearer token that Azure takes as well
	OpenAIKey   string           // bearer token that OpenAI wants; empty: any, or none
	Deployments []string         // that Azure has; empty: any
	Models      []string         // that OpenAI has; empty: any
	Latency     time.Duration    // of every answer
	Jitter      time.Duration    // on top of it, uniform
	Seed        uint64           // of everything random; the same seed gives the same draws
	KeepPrompts bool             // keep what was asked and show it
	KeepCalls   int              // how many calls stay in memory; 0: all
	Clock       func() time.Time // stamps calls; nil: time.Now
	// Sleep waits for latencies and delays, and says whether it waited to the end; nil: real time.
	Sleep func(ctx context.Context, wait time.Duration) bool
}

// Call is one request for a text: one line of the journal.
type Call struct {
	Seq         int64     `json:"seq"` // 1 for the first
	At          time.Time `json:"at"`
	Provider    Provider  `json:"provider"`
	Surface     string    `json:"surface"`    // openai, azure-v1 or azure-classic
	Deployment  string    `json:"deployment"` // OpenAI: the model
	AttemptID   string    `json:"attemptId"`  // X-Client-Request-Id
	Traceparent string    `json:"traceparent,omitempty"`
	Answer      string    `json:"answer"` // completed, truncated, text, or the name of the fixture or fault; see also the constants
	Status      int       `json:"status"` // 0: none
	Input       int64     `json:"input"`  // tokens of a good answer
	Output      int64     `json:"output"`
	System      string    `json:"system,omitempty"` // Options.KeepPrompts
	User        string    `json:"user,omitempty"`
}

// The answers that are no fault.
const (
	Completed    = "completed"
	Truncated    = "truncated"    // max_completion_tokens was too small
	CustomText   = "text"         // of a fault
	Unauthorised = "unauthorised" // the key is wrong
	Missing      = "missing"      // no such deployment or model
	Invalid      = "invalid"      // the request itself is no good; `huntaze doctor` asks so
)

// Counts are of one provider since the start.
type Counts struct {
	Calls   int64            `json:"calls"`
	Texts   int64            `json:"texts"` // good answers
	Answers map[string]int64 `json:"answers"`
}

// State is how things stand.
type State struct {
	Faults map[Provider]Script `json:"faults"`
	Counts map[Provider]Counts `json:"counts"`
}

// Server is both providers, an http.Handler. It is safe for concurrent use.
type Server struct {
	options Options
	routes  *http.ServeMux
	stop    chan struct{} // closed by Close: ends hangs and delays

	mu      sync.Mutex
	closed  bool
	random  *rand.Rand
	scripts map[Provider]Script
	counts  map[Provider]Counts
	calls   []Call
	seq     int64
	changed chan struct{} // closed at the next call; nil while nobody waits
	http    *http.Server  // of Start
	served  chan struct{}
	url     string
}

// New makes a server without a port: it is a handler. See Start.
func New(options Options) *Server {
	if options.Clock == nil {
		options.Clock = time.Now
	}
	s := &Server{
		options: options,
		stop:    make(chan struct{}),
		random:  rand.New(rand.NewPCG(options.Seed, options.Seed)),
		scripts: map[Provider]Script{},
		counts:  map[Provider]Counts{},
	}
	for _, p := range Providers {
		s.counts[p] = Counts{Answers: map[string]int64{}}
	}
	s.routes = s.newRoutes()
	return s
}

// Handler returns the server itself, for httptest.
func (s *Server) Handler() http.Handler { return s }

// Start listens on a free port of this machine.
func (s *Server) Start() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("providersim: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.http != nil {
		_ = listener.Close()
		return errors.New("providersim: closed, or started before")
	}
	s.url = "http://" + listener.Addr().String()
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.served = make(chan struct{})
	go func(server *http.Server) {
		defer close(s.served)
		_ = server.Serve(listener) // ends by Close
	}(s.http)
	return nil
}

// URL is where a started server is: Azure's endpoint. Without Start it is empty.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// OpenAIBaseURL is OpenAI's base URL of a started server.
func (s *Server) OpenAIBaseURL() string { return s.URL() + "/v1" }

// Close ends everything that hangs, and the port of Start. Calls after it are answered with 503.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stop)
	server := s.http
	s.mu.Unlock()
	if server == nil {
		return nil
	}
	err := server.Close()
	<-s.served
	return err
}

// Enqueue adds faults to the end of a provider's queue; each is used once.
func (s *Server) Enqueue(provider Provider, faults ...Fault) error {
	return s.change(provider, func(script *Script) { script.Queue = append(script.Queue, faults...) })
}

// SetDefault sets the fault of every call that no other strikes; nil ends it.
func (s *Server) SetDefault(provider Provider, fault *Fault) error {
	return s.change(provider, func(script *Script) { script.Default = fault })
}

// SetChances replaces the faults that strike by chance.
func (s *Server) SetChances(provider Provider, chances ...Chance) error {
	return s.change(provider, func(script *Script) { script.Chances = chances })
}

// SetScript replaces all faults of a provider.
func (s *Server) SetScript(provider Provider, script Script) error {
	return s.change(provider, func(now *Script) { *now = script })
}

func (s *Server) change(provider Provider, how func(*Script)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	script := s.scripts[provider].clone()
	how(&script)
	if err := script.check(provider); err != nil {
		return fmt.Errorf("providersim: %w", err)
	}
	s.scripts[provider] = script.clone()
	return nil
}

// Clear ends all faults of the providers, or of both if none is named. What hangs already goes on hanging.
func (s *Server) Clear(providers ...Provider) {
	if len(providers) == 0 {
		providers = Providers
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range providers {
		delete(s.scripts, p)
	}
}

// State returns the faults as they stand, and the counts.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := State{map[Provider]Script{}, map[Provider]Counts{}}
	for _, p := range Providers {
		state.Faults[p] = s.scripts[p].clone()
		counts := s.counts[p]
		counts.Answers = maps.Clone(counts.Answers)
		state.Counts[p] = counts
	}
	return state
}

// Counts returns the counts of one provider.
func (s *Server) Counts(provider Provider) Counts { return s.State().Counts[provider] }

// Calls returns the calls in memory whose sequence number is over after, oldest first.
func (s *Server) Calls(after int64) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := slices.BinarySearchFunc(s.calls, after, func(c Call, seq int64) int { return int(c.Seq - seq) })
	if found {
		i++
	}
	return slices.Clone(s.calls[i:])
}

// Wait returns when a condition on the state holds; it looks at every call. It fails when the context or the
// server ends first.
func (s *Server) Wait(ctx context.Context, until func(State) bool) error {
	for {
		s.mu.Lock()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if until(s.State()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("providersim: waiting for calls: %w", ctx.Err())
		case <-s.stop:
			return errors.New("providersim: closed while waiting for calls")
		}
	}
}
