package sqstest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options configure a [Server]. The zero value is good.
type Options struct {
	// Clock defaults to the real one.
	Clock Clock
	// Region and AccountID appear in ARNs and URLs. They default to us-east-1 and
	// 000000000000.
	Region, AccountID string
	// Addr is where [Start] listens. It defaults to a free port of 127.0.0.1.
	Addr string
	// BaseURL is the start of queue URLs, such as "http://sqs:9324". It defaults
	// to the host that the client asked for.
	BaseURL string
	// Cooldowns makes the server refuse, like SQS, to create a queue within 60 s
	// of deleting one of that name, and to purge one twice within 60 s.
	Cooldowns bool
	// Faults are in force from the start.
	Faults Faults
	// Logger receives one line per request at debug level, without contents. It
	// defaults to none.
	Logger *slog.Logger
}

// Server is an SQS server; it is an [http.Handler]. Use [Start] to have it
// listen. All methods are safe for concurrent use.
type Server struct {
	options Options
	clock   Clock
	logger  *slog.Logger

	requests sync.WaitGroup // requests being served
	served   atomic.Uint64  // number of the latest request

	mu       sync.Mutex
	queues   map[string]*queue
	dropped  map[string]time.Time // deleted queues, for Options.Cooldowns
	faults   *faultState
	moves    []*moveTask // oldest first
	touched  []*queue
	seq      uint64
	sequence uint64
	closed   bool
	watchers map[chan struct{}]struct{} // of AwaitPollers
}

// New returns a server without queues. It fails only for impossible faults.
func New(options Options) (*Server, error) {
	if options.Clock == nil {
		options.Clock = realClock{}
	}
	if options.Region == "" {
		options.Region = "us-east-1"
	}
	if options.AccountID == "" {
		options.AccountID = "000000000000"
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	faults, err := newFaultState(options.Faults)
	if err != nil {
		return nil, err
	}
	return &Server{
		options:  options,
		clock:    options.Clock,
		logger:   options.Logger,
		queues:   map[string]*queue{},
		dropped:  map[string]time.Time{},
		faults:   faults,
		watchers: map[chan struct{}]struct{}{},
	}, nil
}

// Close ends the long polls with empty replies and waits for the requests being
// served. Later requests are answered with 503. It may be called twice.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		for _, q := range s.queues {
			for e := q.waiters.Front(); e != nil; e = q.waiters.Front() {
				q.finish(e.Value.(*waiter))
			}
			q.rearm(s.clock.Now())
		}
		for _, t := range s.moves {
			t.stop()
		}
	}
	s.mu.Unlock()
	s.requests.Wait()
}

// enter counts a request, unless the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.requests.Add(1)
	return true
}

// flush serves the receivers of every queue that changed. Every operation ends
// with it, still under the lock.
func (s *Server) flush(now time.Time) {
	for len(s.touched) > 0 {
		q := s.touched[len(s.touched)-1]
		s.touched = s.touched[:len(s.touched)-1]
		q.touched = false
		q.handOver(now)
		q.rearm(now)
	}
}

func (s *Server) nextSeq() uint64 {
	s.seq++
	return s.seq
}

// nextSequence returns a SequenceNumber: 20 digits that only grow, with gaps.
func (s *Server) nextSequence() string {
	s.sequence++
	return fmt.Sprintf("18850%015d", 256*s.sequence)
}

func (s *Server) arn(name string) string {
	return "arn:aws:sqs:" + s.options.Region + ":" + s.options.AccountID + ":" + name
}

// maxRequestBody leaves room for a full batch whose characters are all escaped.
const maxRequestBody = 8 * MaxMessageSize

// ServeHTTP implements [http.Handler]: the SQS API, GET /health, and the
// administration below /_sqstest/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := fmt.Sprintf("00000000-0000-4000-8000-%012x", s.served.Add(1)&0xFFFF_FFFF_FFFF)
	w.Header().Set("X-Amzn-Requestid", id)
	// The body is read before the request counts, so that a client which stops
	// in the middle of it can't hold up Close.
	body, err := readBody(w, r)
	if err == nil && !s.enter() {
		err = newError("ServiceUnavailable", "The server is closed.")
	}
	if err != nil {
		writeError(w, err)
		return
	}
	defer s.requests.Done()
	if !s.serveAdmin(w, r, body) {
		s.serveAction(w, r, body)
	}
}

func (s *Server) serveAction(w http.ResponseWriter, r *http.Request, body []byte) {
	call := &call{ctx: r.Context(), baseURL: s.baseURL(r)}
	name, run, err := actionOf(r)
	var out reply
	if err == nil {
		if err = s.requestFault(name, body); err == nil {
			out, err = run(s, call, body)
		}
	}
	status := http.StatusOK
	if err != nil {
		status = err.status
	}
	s.logger.DebugContext(r.Context(), "sqstest request", "action", name, "status", status)

	if name != "" && s.replyFault(name, body) {
		panic(http.ErrAbortHandler) // net/http cuts the connection
	}
	if err != nil {
		writeError(w, err)
		return
	}
	if failed := writeReply(w, out); failed != nil && call.undo != nil {
		call.undo()
	}
}

// call is a request beyond its body. An action sets undo if its effect must not
// outlive a reply that can't be written.
type call struct {
	ctx     context.Context
	baseURL string
	undo    func()
}

func (s *Server) baseURL(r *http.Request) string {
	if s.options.BaseURL != "" {
		return strings.TrimRight(s.options.BaseURL, "/")
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *apiError) {
	reader := http.MaxBytesReader(w, r.Body, maxRequestBody)
	var body []byte
	var err error
	if n := r.ContentLength; n > 0 && n <= maxRequestBody {
		body = make([]byte, n)
		_, err = io.ReadFull(reader, body)
	} else {
		body, err = io.ReadAll(reader)
	}
	if err != nil {
		return nil, newError("RequestEntityTooLargeException", "The request could not be read, or is longer than %d bytes.", maxRequestBody)
	}
	return body, nil
}

// reply is the body of a reply, ready to be written.
type reply []byte

func writeReply(w http.ResponseWriter, body reply) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if _, err := w.Write(body); err != nil {
		return err
	}
	// Without the flush a broken connection would only be noticed after the
	// handler has returned.
	return http.NewResponseController(w).Flush()
}

func writeError(w http.ResponseWriter, e *apiError) {
	fault := "Sender"
	if !e.senderFault() {
		fault = "Receiver"
	}
	body := []byte(`{"__type":`)
	body = appendString(body, e.typeName)
	body = append(body, `,"message":`...)
	body = appendString(body, e.message)
	body = append(body, '}')
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("X-Amzn-Query-Error", e.code+";"+fault)
	w.WriteHeader(e.status)
	// A client that is gone needs no error.
	_, _ = w.Write(body)
}
