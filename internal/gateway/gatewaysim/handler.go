package gatewaysim

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	maxBody     = 1 << 20
	defaultPage = 1000
)

func (s *Server) newRoutes() *http.ServeMux {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /v1/messages", s.post)
	routes.HandleFunc("GET /v1/messages", s.lookUp)
	routes.HandleFunc("GET /_sim/faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Faults()) })
	routes.HandleFunc("PUT /_sim/faults", s.putFaults)
	routes.HandleFunc("GET /_sim/arrivals", s.listArrivals)
	routes.HandleFunc("GET /_sim/stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Stats()) })
	return routes
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.routes.ServeHTTP(w, r) }

// answer is what a request gets, after its arrival was recorded.
type answer struct {
	kind       Kind // empty: a plain one
	status     int
	body       any
	retryAfter time.Duration
	location   string
	delay      time.Duration
}

type problem struct {
	Code string `json:"code"`
}

func (s *Server) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.mu.Lock()
		s.stats.Incomplete++
		s.mu.Unlock()
		var long *http.MaxBytesError
		if errors.As(err, &long) {
			writeJSON(w, http.StatusRequestEntityTooLarge, problem{"too_large"})
		}
		return
	}
	a, refused := s.readArrival(r, body)
	if !s.hold(a.UserID) {
		abort(w)
		return
	}
	given, ticket, err := s.arrive(&a, refused)
	if err == nil && s.log != nil {
		err = s.log.wait(ticket)
	}
	if errors.Is(err, errClosed) {
		writeJSON(w, http.StatusServiceUnavailable, problem{"closed"})
		return
	}
	if err != nil {
		// Not written means not taken. The log stays broken, so nothing else is taken or found either.
		writeJSON(w, http.StatusServiceUnavailable, problem{"log_failed"})
		return
	}
	s.reply(w, r, given)
}

// readArrival makes an arrival of a request, and the answer when the request itself is no good.
func (s *Server) readArrival(r *http.Request, body []byte) (a Arrival, refused *answer) {
	a.Traceparent = r.Header.Get("Traceparent")
	a.Attempt, _ = strconv.Atoi(r.Header.Get("X-Attempt"))
	var message struct {
		ClientRef   string `json:"clientRef"`
		UserID      string `json:"userId"`
		RecipientID string `json:"recipientId"`
		Content     string `json:"content"`
	}
	parseErr := json.Unmarshal(body, &message)
	a.ClientRef, a.UserID, a.RecipientID = message.ClientRef, message.UserID, message.RecipientID
	hash := sha256.Sum256([]byte(message.Content))
	a.ContentHash = hex.EncodeToString(hash[:])
	if s.options.KeepContent {
		a.Content = message.Content
	}
	switch {
	case !s.authorised(r):
		return a, &answer{status: http.StatusUnauthorized, body: problem{"bad_token"}}
	case parseErr != nil:
		return a, &answer{status: http.StatusBadRequest, body: problem{"not_json"}}
	case a.ClientRef == "" || a.UserID == "" || a.RecipientID == "" || message.Content == "":
		return a, &answer{status: http.StatusUnprocessableEntity, body: problem{"missing_field"}}
	case r.Header.Get("X-Client-Ref") != "" && r.Header.Get("X-Client-Ref") != a.ClientRef:
		return a, &answer{status: http.StatusBadRequest, body: problem{"client_ref_differs"}}
	}
	return a, nil
}

func (s *Server) authorised(r *http.Request) bool {
	return s.options.Token == "" ||
		subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+s.options.Token)) == 1
}

// hold keeps a request back before it arrives, whether its caller still waits or not. False: the server was closed.
func (s *Server) hold(account string) bool {
	var wait time.Duration
	s.mu.Lock()
	for i := range s.faults.Rules {
		if rule := &s.faults.Rules[i]; rule.Kind == Hold && rule.strikes(account, s.random) {
			wait += rule.duration(s.random)
			s.stats.Faults[Hold]++
		}
	}
	s.mu.Unlock()
	return wait == 0 || s.pause(wait, nil)
}

// pause waits; it ends early, and says false, when the caller has gone (with a done channel) or at Close.
func (s *Server) pause(wait time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	case <-s.stop:
		return false
	}
}

// arrive stamps an arrival, decides what becomes of it, and records it, all under one lock: the log's order is
// the order of the decisions.
func (s *Server) arrive(a *Arrival, refused *answer) (answer, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return answer{}, 0, errClosed
	}
	now := s.options.Clock()
	given := s.decide(a, refused, s.since(now))
	a.Status, a.Fault = given.status, given.kind
	ticket, err := s.record(a, now)
	if err != nil {
		return answer{}, 0, err
	}
	if given.body == nil && (a.Outcome == Accepted || a.Outcome == Duplicate) {
		given.body = struct {
			MessageID string `json:"messageId"`
		}{a.MessageID}
	}
	return given, ticket, nil
}

func (s *Server) decide(a *Arrival, refused *answer, now time.Duration) answer {
	if refused != nil {
		a.Outcome = Refused
		return *refused
	}
	var delay time.Duration
	if over, wait := s.overLimit(a.UserID, now); over {
		a.Outcome = RateLimited
		if s.faults.Limit.NoHint {
			wait = 0
		}
		return answer{status: http.StatusTooManyRequests, retryAfter: wait, body: problem{"account_limit"}}
	}
	for i := range s.faults.Rules {
		rule := &s.faults.Rules[i]
		if rule.Kind == Hold || !rule.strikes(a.UserID, s.random) {
			continue
		}
		s.stats.Faults[rule.Kind]++
		kind := kinds[rule.Kind]
		if !kind.decides {
			delay += rule.duration(s.random)
			continue
		}
		given := answer{kind: rule.Kind, status: rule.status(), retryAfter: rule.RetryAfter, location: rule.Location, delay: delay}
		switch {
		case kind.takes:
			s.take(a)
		case given.status == http.StatusTooManyRequests:
			a.Outcome = RateLimited
		default:
			a.Outcome = Refused
		}
		if given.status >= http.StatusMultipleChoices {
			given.body = problem{"simulated_fault"}
		}
		return given
	}
	s.take(a)
	return answer{status: http.StatusOK, delay: delay}
}

func (s *Server) take(a *Arrival) {
	a.Outcome = Accepted
	if first, again := s.taken[a.ClientRef]; again && s.options.Deduplicate {
		a.Outcome, a.MessageID = Duplicate, first.messageID
	}
}

func (s *Server) lookUp(w http.ResponseWriter, r *http.Request) {
	ref := r.URL.Query().Get("clientRef")
	s.mu.Lock()
	s.stats.LookUps++
	mode, after := s.faults.LookUp, s.faults.LookUpAfter
	first, found := s.taken[ref]
	age := s.since(s.options.Clock()) - first.since
	s.mu.Unlock()
	switch {
	case !s.authorised(r):
		writeJSON(w, http.StatusUnauthorized, problem{"bad_token"})
		return
	case ref == "":
		writeJSON(w, http.StatusBadRequest, problem{"no_client_ref"})
		return
	case mode == LookUpAbsent:
		writeJSON(w, http.StatusNotImplemented, problem{"no_look_up"})
		return
	case mode == LookUpFailing:
		writeJSON(w, http.StatusInternalServerError, problem{"simulated_fault"})
		return
	case !found, mode == LookUpLate && age < after:
		writeJSON(w, http.StatusNotFound, problem{"never_accepted"})
		return
	}
	if s.log != nil { // what it says must be true after a crash as well
		if err := s.log.wait(s.log.last()); err != nil {
			writeJSON(w, http.StatusServiceUnavailable, problem{"log_failed"})
			return
		}
	}
	writeJSON(w, http.StatusOK, struct {
		MessageID  string    `json:"messageId"`
		AcceptedAt time.Time `json:"acceptedAt"`
	}{first.messageID, first.at})
}

func (s *Server) putFaults(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var faults Faults
	if err == nil {
		err = json.Unmarshal(body, &faults)
	}
	if err == nil {
		err = s.SetFaults(faults)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusOK, s.Faults())
}

func (s *Server) listArrivals(w http.ResponseWriter, r *http.Request) {
	after, err := number(r, "after", 0)
	limit, err2 := number(r, "limit", defaultPage)
	if errors.Join(err, err2) != nil || after < 0 || limit < 1 {
		http.Error(w, "after and limit are whole numbers", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	page := s.arrivals[s.position(after):]
	page = append([]Arrival{}, page[:min(int64(len(page)), limit)]...)
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, struct {
		Arrivals []Arrival `json:"arrivals"`
	}{page})
}

func number(r *http.Request, name string, missing int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return missing, nil
	}
	return strconv.ParseInt(text, 10, 64)
}
