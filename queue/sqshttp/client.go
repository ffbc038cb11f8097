// Package sqshttp repairs how the AWS SDK hands requests to net/http. Every SQS client of this project uses it.
package sqshttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// WholeBodies returns a client that hands the bodies of requests to net/http in a form that it recognises as being in memory.
//
// The SDK's own form makes net/http write headers and body apart, and then ask the body for its end while the
// server may answer already. The SDK closes the body as soon as an answer begins, its closed body reports an
// error, and net/http drops the connection while the answer is being read: "deserialization failed, use of
// closed network connection" (aws/aws-sdk-go-v2#1825, #2737). The SDK repeats the call then, which is no help
// for a ReceiveMessage: the messages of the lost answer stay hidden for the whole visibility timeout. With a
// local server it happens about once in a hundred large answers, and costs a connection far more often.
func WholeBodies(next sqs.HTTPClient) sqs.HTTPClient { return wholeBodies{next} }

type wholeBodies struct{ next sqs.HTTPClient }

// Do implements sqs.HTTPClient.
func (c wholeBodies) Do(request *http.Request) (*http.Response, error) {
	if request.Body == nil || request.Body == http.NoBody {
		return c.next.Do(request)
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, fmt.Errorf("read the request's body: %w", err)
	}
	whole := request.WithContext(request.Context())
	whole.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	whole.Body, _ = whole.GetBody()
	return c.next.Do(whole)
}
