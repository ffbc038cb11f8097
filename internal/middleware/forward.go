package middleware

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/huntaze/hybrid-orchestrator/internal/trace"
)

// The headers of a message that is handed over. The body is the message's own.
const (
	headerSource       = "X-Huntaze-Source"    // sqs
	headerUserID       = "X-Huntaze-User-Id"   // the account, where it is known: the body need not name it
	headerMessageID    = "X-SQS-Message-Id"    // the same whenever the message comes again
	headerReceiveCount = "X-SQS-Receive-Count" // how often it came
)

// forward hands messages over: those of an account one after the other in their order, those of different accounts
// at once. When the legacy orchestrator can't be reached or is overloaded, the rest is left for later.
func (s *Messages) forward(ctx context.Context, away []*letter) {
	var order []string
	byAccount := map[string][]*letter{}
	for _, l := range away {
		if byAccount[l.userID] == nil {
			order = append(order, l.userID)
		}
		byAccount[l.userID] = append(byAccount[l.userID], l)
	}
	var stop atomic.Pointer[error]
	places := make(chan struct{}, s.m.config.MessagesAtOnce)
	var all sync.WaitGroup
	for _, account := range order {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			for _, l := range byAccount[account] {
				s.handOver(ctx, l, &stop)
			}
		})
	}
	all.Wait()
}

func (s *Messages) handOver(ctx context.Context, l *letter, stop *atomic.Pointer[error]) {
	key := l.delivery.Source + "\x00" + l.delivery.MessageID
	if s.handed.has(key) {
		return
	}
	if down := stop.Load(); down != nil {
		l.err = fmt.Errorf("not tried: %w", *down)
		return
	}
	goOn, err := s.m.post(ctx, l)
	if l.err = err; err == nil {
		s.handed.add(key)
	} else if !goOn {
		stop.CompareAndSwap(nil, &err)
	}
}

// post hands one message over. With an error, goOn says whether the next may fare better.
func (m *Middleware) post(ctx context.Context, l *letter) (goOn bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.messages, bytes.NewReader(l.delivery.Body))
	if err != nil {
		return false, errors.New("the address of the legacy orchestrator can't be used")
	}
	request.GetBody = nil // net/http must not write a request anew that it began to write
	tc := l.delivery.Message.Trace
	if tc.TraceID == "" {
		tc = trace.New(m.now())
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", headerSource: "sqs", headerUserID: l.userID,
		headerMessageID: l.delivery.MessageID, headerReceiveCount: strconv.Itoa(l.delivery.ReceiveCount),
		trace.HeaderTraceparent: trace.Traceparent(tc), trace.HeaderTracestate: tc.TraceState,
	} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	answer, err := m.client.Do(request)
	if err != nil {
		return false, fmt.Errorf("the legacy orchestrator did not take the message: %s", cause(err))
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection can be used again
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return true, nil
	}
	switch answer.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		goOn = false
	default:
		goOn = true
	}
	return goOn, fmt.Errorf("the legacy orchestrator answered %d to the message", answer.StatusCode)
}

// cause is an error of the transport without the address that was asked. Of what it quotes from an answer only the
// kind is kept.
func cause(err error) string {
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	text := err.Error()
	if i := strings.IndexByte(text, '"'); i >= 0 {
		text = strings.TrimSpace(text[:i])
	}
	return text
}

// memoryHalf is how many messages one half of the memory keeps.
const memoryHalf = 10_000

// memory remembers the latest 10,000 to 20,000 keys.
type memory struct {
	mu         sync.Mutex
	young, old map[string]bool
}

func newMemory() *memory { return &memory{young: map[string]bool{}} }

func (m *memory) has(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.young[key] || m.old[key]
}

func (m *memory) add(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.young[key] = true; len(m.young) >= memoryHalf {
		m.young, m.old = map[string]bool{}, m.young
	}
}
