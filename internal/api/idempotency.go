package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/db"
)

const (
	headerIdempotencyKey = "Idempotency-Key"
	headerReplayed       = "Idempotency-Replayed"
	longestKey           = 255
	lease                = 30 * time.Second // after it a request whose process ended can be repeated
	underWayRetry        = time.Second
)

// idempotent answers a POST with an Idempotency-Key once, and from then on with the same answer. What was refused or
// failed is not kept: it changed nothing, or is safe to do again.
func (s *Server) idempotent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys := r.Header.Values(headerIdempotencyKey)
		if r.Method != http.MethodPost || len(keys) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		i := infoOf(r.Context())
		i.key = keys[0]
		if len(keys) > 1 || !visible(i.key) || len(i.key) > longestKey {
			writeProblem(w, r, invalid("header", headerIdempotencyKey, "is not a key", "send one of 1 to 255 visible ASCII characters, such as a UUID"))
			return
		}
		sum := sha256.New()
		_, _ = io.WriteString(sum, r.Method+" "+r.URL.RequestURI()+"\n")
		try := db.Request{APIKey: i.caller.key.ID, Key: i.key, Owner: uuid.New(), Route: sum.Sum(nil), Lease: lease}
		claimed, err := s.store.ClaimRequest(r.Context(), try)
		switch {
		case err != nil:
			writeProblem(w, r, s.storeProblem(err))
		case claimed.Mine:
			i.since = claimed.Since
			s.answerOnce(w, r, next, try, sum)
		case claimed.Answer != nil:
			s.replay(w, r, *claimed.Answer, sum)
		case claimed.Other:
			writeProblem(w, r, keyReused())
		default:
			writeProblem(w, r, retry(problem(http.StatusConflict, codeUnderWay, "the same request is being answered",
				FieldError{In: "header", Field: headerIdempotencyKey, Reason: "is that of a request under way", Remedy: "repeat it a little later"}), underWayRetry))
		}
	})
}

func keyReused() *Problem {
	return problem(http.StatusUnprocessableEntity, codeKeyReused, "another request had this Idempotency-Key",
		FieldError{"header", headerIdempotencyKey, "was used for another request", "give each request a key of its own"})
}

// answerOnce runs the request, stores its answer and gives it. Whoever loses the answer on the way repeats the request
// and gets it from the store.
func (s *Server) answerOnce(w http.ResponseWriter, r *http.Request, next http.Handler, try db.Request, sum hash.Hash) {
	alive := s.keepAlive(r.Context(), try)
	defer alive()
	settled := false
	defer func() {
		if !settled { // an error, or a panic
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.config.RequestTimeout)
			defer cancel()
			if err := s.store.ForgetRequest(ctx, try); err != nil {
				s.logger.Warn("an idempotency key blocks until its lease ends", "error", err)
			}
		}
	}()
	body := r.Body
	r.Body = &hashed{ReadCloser: body, sum: sum}
	recorded := &recorder{ResponseWriter: w, header: http.Header{}}
	next.ServeHTTP(recorded, r)
	if recorded.status < 300 {
		_, _ = io.Copy(io.Discard, r.Body) // what the handler left unread belongs to the request, too
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.config.RequestTimeout)
		defer cancel()
		answer := db.Answer{Hash: sum.Sum(nil), Status: recorded.status, Headers: recorded.header, Body: recorded.body.Bytes()}
		if err := s.store.AnswerRequest(ctx, try, answer); err != nil {
			s.logger.Warn("an answer could not be stored: the request will be run again if it is repeated", "error", err)
		}
		settled = true
	}
	give(w, recorded.header, recorded.status, recorded.body.Bytes())
}

// replay gives the stored answer if the body is the same, which is read for it as it comes.
func (s *Server) replay(w http.ResponseWriter, r *http.Request, stored db.Answer, sum hash.Hash) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.config.UploadTimeout))
	if _, err := io.Copy(sum, http.MaxBytesReader(w, r.Body, s.config.MaxUploadBytes)); err != nil {
		writeProblem(w, r, caused(problem(http.StatusBadRequest, codeInvalid, "the body ended too early", FieldError{In: "body", Field: "body", Reason: "can't be read"}), err))
		return
	}
	if !bytes.Equal(sum.Sum(nil), stored.Hash) {
		writeProblem(w, r, keyReused())
		return
	}
	w.Header().Set(headerReplayed, "true")
	s.patience(w)
	give(w, stored.Headers, stored.Status, stored.Body)
}

func give(w http.ResponseWriter, header http.Header, status int, body []byte) {
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// keepAlive says from time to time that the request is still being answered, until the returned function is called.
func (s *Server) keepAlive(ctx context.Context, try db.Request) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(lease / 3)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if _, err := s.store.KeepRequest(ctx, try); err != nil && ctx.Err() == nil {
					s.logger.Warn("could not say that a request is alive", "error", err)
				}
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// hashed hashes what is read.
type hashed struct {
	io.ReadCloser
	sum hash.Hash
}

func (h *hashed) Read(b []byte) (int, error) {
	n, err := h.ReadCloser.Read(b)
	_, _ = h.sum.Write(b[:n])
	return n, err
}

// recorder keeps an answer until it is stored. Answers to a POST are bounded.
type recorder struct {
	http.ResponseWriter
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

// Unwrap lets deadlines reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// visible says whether a text consists of visible ASCII characters, and of one at least.
func visible(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' })
}
