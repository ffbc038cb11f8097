package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// LookUpAnswer is what the gateway knows of a client reference.
type LookUpAnswer string

// The answers of a look-up.
const (
	// Found: the gateway accepted the message. It is sent.
	Found LookUpAnswer = "found"
	// NeverAccepted: the gateway does not know it. That is proof only after the settle time (GATEWAY_SETTLE),
	// because a proxy may still hold the request.
	NeverAccepted LookUpAnswer = "never_accepted"
	// Unsupported: this gateway has no look-up; a person has to decide.
	Unsupported LookUpAnswer = "unsupported"
)

// LookUp is the gateway's answer.
type LookUp struct {
	Answer     LookUpAnswer
	MessageID  string    // with Found
	AcceptedAt time.Time // with Found, by the gateway's clock; zero when it did not say
}

// LookUp asks whether the gateway ever accepted a message. It changes nothing and may be repeated. Every answer
// outside the contract is an error whose text is safe to log: the message then stays in doubt.
func (c *Client) LookUp(ctx context.Context, clientRef string) (LookUp, error) {
	if !usableClientRef(clientRef) {
		return LookUp{}, errors.New("gateway look-up: the client reference is empty, too long or not printable ASCII")
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.LookupTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(withWriteDeadline(ctx), http.MethodGet,
		c.endpoint+"?clientRef="+url.QueryEscape(clientRef), nil)
	if err != nil {
		return LookUp{}, errors.New("gateway look-up: the gateway's URL can't be used")
	}
	c.setHeaders(request.Header, workflow.TraceContext{})
	response, err := c.http.Do(request)
	if err != nil {
		return LookUp{}, fmt.Errorf("gateway look-up: %w", safeError(err))
	}
	body, readErr := readReply(response)
	switch response.StatusCode {
	case http.StatusOK:
		found, ok := parseFound(body)
		switch {
		case readErr != nil:
			return LookUp{}, errors.New("gateway look-up: the answer was cut off or too long")
		case !ok:
			return LookUp{}, errors.New("gateway look-up: the answer held no usable messageId")
		}
		return found, nil
	case http.StatusNotFound:
		return LookUp{Answer: NeverAccepted}, nil
	case http.StatusNotImplemented:
		return LookUp{Answer: Unsupported}, nil
	}
	return LookUp{}, fmt.Errorf("gateway look-up: unexpected status %d", response.StatusCode)
}
