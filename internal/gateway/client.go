package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"syscall"
	"time"
)

// maxReply is how much of an answer's headers and of its body is read, in bytes.
const maxReply = 64 << 10

// Client sends messages and looks them up. It is safe for concurrent use; make one per process.
type Client struct {
	config    Config
	endpoint  string
	http      *http.Client
	transport *http.Transport
	close     context.CancelFunc
	now       func() time.Time // for a Retry-After that is a date; durations use the monotonic clock
}

// New makes a client. An error names the environment variable that is wrong and what to do about it.
func New(config Config) (*Client, error) {
	config, endpoint, err := config.normalise()
	if err != nil {
		return nil, err
	}
	alive, cancel := context.WithCancel(context.Background())
	transport := newTransport(config, alive)
	return &Client{
		config:    config,
		endpoint:  endpoint.String(),
		transport: transport,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		close: cancel,
		now:   time.Now,
	}, nil
}

// Close drops idle connections and stops dialling; a send begun later ends as NotSent. Sends in flight finish.
func (c *Client) Close() {
	c.close()
	c.transport.CloseIdleConnections()
}

// Send makes one request for one attempt and says what became of it. It never tries twice and never returns
// without a class. It ends within Config.Timeout of Message.Since, and no byte is written after that; a caller that
// must not lose the outcome passes a context that a shutdown does not cancel.
func (c *Client) Send(ctx context.Context, m Message) Outcome {
	since := m.Since
	if since.IsZero() {
		since = time.Now()
	}
	ctx, cancel := context.WithDeadline(ctx, since.Add(c.config.Timeout))
	defer cancel()
	return c.send(withWriteDeadline(ctx), m)
}

func (c *Client) send(ctx context.Context, m Message) Outcome {
	seen := newObserver()
	request, err := c.newRequest(httptrace.WithClientTrace(ctx, seen.trace()), m)
	if err != nil {
		evidence, _ := seen.evidence()
		return Outcome{Class: NotSent, Reason: InvalidRequest, Evidence: evidence,
			Detail: details[InvalidRequest] + ": " + err.Error()}
	}
	response, err := c.http.Do(request)
	if err != nil {
		evidence, counted := seen.evidence()
		class, reason := classifyFailure(err, evidence, counted)
		return Outcome{Class: class, Reason: reason, Detail: describeFailure(reason, err), Evidence: evidence}
	}
	body, _ := readReply(response) // a cut answer is judged by what came: the status stands
	outcome := c.judge(response, body, m)
	outcome.Evidence, _ = seen.evidence()
	outcome.Evidence.Status = response.StatusCode
	return outcome
}

// judge classifies an answer: by its status alone, the body only adds to it.
func (c *Client) judge(response *http.Response, body []byte, m Message) Outcome {
	outcome := Outcome{Status: response.StatusCode}
	outcome.Class, outcome.Reason = ClassifyStatus(response.StatusCode)
	switch outcome.Class {
	case Accepted:
		if id, ok := parseAccepted(body); ok {
			outcome.MessageID = id
			return outcome
		}
		outcome.Reason = BadReply
	case RateLimited:
		outcome.RetryAfter = parseRetryAfter(response.Header, c.now())
	}
	outcome.Detail = fmt.Sprintf("status %d: %s", outcome.Status, details[outcome.Reason])
	if word := parseRefusal(body); word != "" && outcome.Class != Accepted && !m.holds(word) && word != c.config.Token {
		outcome.Detail += fmt.Sprintf(" (gateway says %s)", word)
	}
	return outcome
}

// readReply reads at most maxReply bytes; a longer body is an error, and its connection is dropped.
func readReply(response *http.Response) ([]byte, error) {
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReply+1))
	if len(body) > maxReply {
		return nil, errors.New("the answer is longer than 64 KiB")
	}
	return body, err
}

// describeFailure adds the operating system's word for an error, which holds nothing of the request or the answer.
func describeFailure(reason Reason, err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return details[reason] + ": " + errno.Error()
	}
	return details[reason]
}

// safeError strips what a transport error may repeat of an answer or a URL.
func safeError(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case isTimeout(err):
		return context.DeadlineExceeded
	}
	reason := reasonNotConnected(err)
	if reason == ConnectFailed {
		reason = reasonInDoubt(err, Evidence{})
	}
	return errors.New(describeFailure(reason, err))
}
