package gatewaysim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Options configure a Server. The zero value takes any token, keeps everything in memory and has no faults.
type Options struct {
	Token        string           // the bearer token that it wants; empty: any, or none
	LogPath      string           // the arrival log (JSON lines, appended); empty: memory only
	Sync         bool             // fsync the log before every answer, to survive the machine's crash too
	Seed         uint64           // of everything random; the same seed gives the same draws
	Clock        func() time.Time // stamps arrivals; nil: time.Now. Delays use real timers
	Deduplicate  bool             // answer a client reference that was taken before with the first message id
	KeepContent  bool             // keep contents in memory and show them; never in the log
	KeepArrivals int              // how many arrivals stay in memory; 0: all
	Faults       Faults           // to begin with
}

// Stats counts since the log was begun (over restarts), except LookUps, Incomplete and Faults: since this start.
type Stats struct {
	Arrivals   int64             `json:"arrivals"`
	Accepted   int64             `json:"accepted"`
	Repeated   int64             `json:"repeated"` // sends beyond the first of a client reference: double sends
	Accounts   int               `json:"accounts"`
	Incomplete int64             `json:"incomplete"` // requests whose body did not come to its end: no arrivals
	LookUps    int64             `json:"lookUps"`
	Outcomes   map[Outcome]int64 `json:"outcomes"`
	Faults     map[Kind]int64    `json:"faults"`
}

// Server is the simulated gateway, an http.Handler. It is safe for concurrent use.
type Server struct {
	options Options
	log     *arrivalLog // nil: memory only
	routes  *http.ServeMux
	stop    chan struct{} // closed by Close: ends hangs, holds and delays

	mu       sync.Mutex
	closed   bool
	random   *rand.Rand
	faults   Faults
	begun    time.Time     // when this process started it
	offset   time.Duration // since the log was begun, at begun
	seq      int64
	arrivals []Arrival
	taken    map[string]taken
	recent   map[string][]time.Duration // per account: sends within the limit's window
	accounts map[string]struct{}
	stats    Stats
	changed  chan struct{} // closed at the next arrival; nil while nobody waits
}

// taken is the first acceptance of a client reference.
type taken struct {
	messageID string
	at        time.Time
	since     time.Duration
}

// New starts a simulated gateway. With an existing log it continues it: what was accepted is found again.
func New(options Options) (*Server, error) {
	if err := options.Faults.check(); err != nil {
		return nil, fmt.Errorf("gatewaysim: %w", err)
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	s := &Server{
		options:  options,
		stop:     make(chan struct{}),
		random:   rand.New(rand.NewPCG(options.Seed, options.Seed)),
		faults:   options.Faults.clone(),
		begun:    options.Clock(),
		taken:    map[string]taken{},
		recent:   map[string][]time.Duration{},
		accounts: map[string]struct{}{},
		stats:    Stats{Outcomes: map[Outcome]int64{}, Faults: map[Kind]int64{}},
	}
	s.routes = s.newRoutes()
	if options.LogPath == "" {
		return s, nil
	}
	log, before, err := openLog(options.LogPath, options.Sync)
	if err != nil {
		return nil, fmt.Errorf("gatewaysim: %w", err)
	}
	s.log = log
	for _, a := range before {
		s.remember(a)
	}
	if n := len(before); n > 0 {
		s.offset = before[n-1].Since + max(0, s.begun.Round(0).Sub(before[n-1].At))
	}
	return s, nil
}

// Close ends everything that hangs and closes the log. Requests after it are answered with 503. Call it before
// closing the HTTP server, which waits for requests that hang.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.stop)
	if s.log != nil {
		return s.log.close()
	}
	return nil
}

// SetFaults replaces the faults. What hangs or waits already is not touched.
func (s *Server) SetFaults(faults Faults) error {
	if err := faults.check(); err != nil {
		return fmt.Errorf("gatewaysim: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults.clone()
	clear(s.recent)
	if s.faults.Limit != nil { // what was sent before counts too
		for _, a := range s.arrivals {
			if a.Outcome == Accepted {
				s.recent[a.UserID] = append(s.recent[a.UserID], a.Since)
			}
		}
	}
	return nil
}

// Faults returns the faults as they stand: counts are what is left of them.
func (s *Server) Faults() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.faults.clone()
	now.Rules = slices.DeleteFunc(now.Rules, func(r Rule) bool { return r.spent() })
	return now
}

// clone copies what is counted down or could be changed by the caller.
func (f Faults) clone() Faults {
	f.Rules = slices.Clone(f.Rules)
	if f.Limit != nil {
		limit := *f.Limit
		limit.Overrides = maps.Clone(limit.Overrides)
		f.Limit = &limit
	}
	return f
}

// Arrivals returns the arrivals in memory whose sequence number is over after, oldest first.
func (s *Server) Arrivals(after int64) []Arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.arrivals[s.position(after):])
}

// position of the first arrival in memory with a sequence number over after.
func (s *Server) position(after int64) int {
	i, found := slices.BinarySearchFunc(s.arrivals, after, func(a Arrival, seq int64) int { return cmp.Compare(a.Seq, seq) })
	if found {
		i++
	}
	return i
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statsLocked()
}

func (s *Server) statsLocked() Stats {
	stats := s.stats
	stats.Accounts = len(s.accounts)
	stats.Outcomes = maps.Clone(stats.Outcomes)
	stats.Faults = maps.Clone(stats.Faults)
	return stats
}

// Wait returns when a condition on the counters holds; it looks at every arrival. It fails when the context or
// the server ends first.
func (s *Server) Wait(ctx context.Context, until func(Stats) bool) error {
	for {
		s.mu.Lock()
		if until(s.statsLocked()) {
			s.mu.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("gatewaysim: waiting for arrivals: %w", ctx.Err())
		case <-s.stop:
			return errors.New("gatewaysim: closed while waiting for arrivals")
		}
	}
}

// record stamps an arrival and queues its line. Called with the lock held.
func (s *Server) record(a *Arrival, now time.Time) (ticket int64, err error) {
	a.Seq = s.seq + 1
	a.At = now.Round(0)
	a.Since = s.since(now)
	if a.Outcome == Accepted {
		a.MessageID = "sim-" + strconv.FormatInt(a.Seq, 10)
	}
	if s.log != nil {
		line := *a
		line.Content = ""
		if ticket, err = s.log.append(line); err != nil {
			return 0, err
		}
	}
	s.remember(*a)
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return ticket, nil
}

// since is the time since the log was begun. It never runs backwards.
func (s *Server) since(now time.Time) time.Duration { return s.offset + now.Sub(s.begun) }

// remember takes an arrival into memory, a new one or one of an earlier life.
func (s *Server) remember(a Arrival) {
	s.seq = a.Seq
	s.arrivals = append(s.arrivals, a)
	if keep := s.options.KeepArrivals; keep > 0 && len(s.arrivals) >= 2*keep {
		s.arrivals = slices.Clone(s.arrivals[len(s.arrivals)-keep:])
	}
	s.stats.Arrivals++
	s.stats.Outcomes[a.Outcome]++
	s.accounts[a.UserID] = struct{}{}
	if a.Outcome != Accepted {
		return
	}
	s.stats.Accepted++
	if _, again := s.taken[a.ClientRef]; again {
		s.stats.Repeated++
	} else {
		s.taken[a.ClientRef] = taken{a.MessageID, a.At, a.Since}
	}
	if s.faults.Limit != nil {
		s.recent[a.UserID] = append(s.recent[a.UserID], a.Since)
	}
}

// overLimit says whether the account has used up the gateway's own limit, and how long until there is room.
func (s *Server) overLimit(account string, now time.Duration) (over bool, wait time.Duration) {
	limit := s.faults.Limit
	if limit == nil {
		return false, 0
	}
	sends := s.recent[account]
	for len(sends) > 0 && now-sends[0] >= limit.Window {
		sends = sends[1:]
	}
	s.recent[account] = sends
	count, own := limit.Overrides[account]
	if !own {
		count = limit.Count
	}
	switch {
	case own && count == 0, len(sends) < count:
		return false, 0
	case count == 0:
		return true, limit.Window
	default:
		return true, limit.Window - (now - sends[len(sends)-count])
	}
}
