package sqstest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// conformanceEndpoint names another SQS to run the conformance tests against: an
// emulator, or SQS itself ("https://sqs.eu-west-1.amazonaws.com"). Region and
// credentials come from the usual AWS variables.
const conformanceEndpoint = "SQS_CONFORMANCE_ENDPOINT"

// testTimeout bounds every call of a test, so that a poll which never wakes fails
// that test and not the whole run.
const testTimeout = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(conformanceEndpoint) != "" {
		os.Exit(m.Run()) // connections to it stay open
	}
	goleak.VerifyTestMain(m)
}

// env is where a conformance test runs: our server with a clock that stands
// still, or the endpoint that the environment names.
type env struct {
	t      *testing.T
	ctx    context.Context
	client *sqs.Client
	run    string // unique part of queue names

	server *sqstest.Running     // nil for another endpoint
	clock  *sqstest.ManualClock // nil for another endpoint
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	e := &env{t: t, ctx: ctx, run: strconv.FormatUint(rand.Uint64(), 36)}
	if endpoint := os.Getenv(conformanceEndpoint); endpoint != "" {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			t.Fatal(err)
		}
		e.client = sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = aws.String(endpoint) })
		return e
	}
	e.clock = sqstest.NewManualClock(time.Time{})
	e.server = sqstest.StartTB(t, sqstest.Options{Clock: e.clock})
	e.client = e.server.Client()
	return e
}

// ownEnv is for tests that need the clock, the faults or the inspection.
func ownEnv(t *testing.T) *env {
	t.Helper()
	if os.Getenv(conformanceEndpoint) != "" {
		t.Skip("needs the server in process")
	}
	return newEnv(t)
}

// pass lets time pass. Against another endpoint the long poll that follows waits
// for real.
func (e *env) pass(d time.Duration) {
	if e.clock != nil {
		e.clock.Advance(d)
	}
}

// awaitPollers waits until n polls are known to wait, where that can be known.
func (e *env) awaitPollers(url string, n int) {
	e.t.Helper()
	if e.server == nil {
		return
	}
	if err := e.server.AwaitPollers(e.ctx, nameOf(url), n); err != nil {
		e.t.Fatalf("waiting for %d pollers: %v", n, err)
	}
}

func nameOf(url string) string {
	for i := len(url) - 1; i >= 0; i-- {
		if url[i] == '/' {
			return url[i+1:]
		}
	}
	return url
}

// queue makes a queue of a unique name, which is deleted after the test, and
// returns its URL.
func (e *env) queue(name string, attributes map[string]string) string {
	e.t.Helper()
	out, err := e.client.CreateQueue(e.ctx, &sqs.CreateQueueInput{QueueName: aws.String(e.name(name)), Attributes: attributes})
	if err != nil {
		e.t.Fatalf("create queue %s: %v", name, err)
	}
	if e.server == nil {
		e.t.Cleanup(func() {
			// The test's own context may be over.
			ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
			defer cancel()
			if _, err := e.client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl}); err != nil {
				e.t.Logf("delete queue %s: %v", name, err)
			}
		})
	}
	return *out.QueueUrl
}

func (e *env) name(name string) string { return "sqstest-" + e.run + "-" + name }

func (e *env) attributes(url string) map[string]string {
	e.t.Helper()
	out, err := e.client.GetQueueAttributes(e.ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(url), AttributeNames: []types.QueueAttributeName{"All"},
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return out.Attributes
}

func (e *env) arn(url string) string { return e.attributes(url)["QueueArn"] }

func (e *env) send(url, body string, change ...func(*sqs.SendMessageInput)) *sqs.SendMessageOutput {
	e.t.Helper()
	in := &sqs.SendMessageInput{QueueUrl: aws.String(url), MessageBody: aws.String(body)}
	for _, c := range change {
		c(in)
	}
	out, err := e.client.SendMessage(e.ctx, in)
	if err != nil {
		e.t.Fatalf("send: %v", err)
	}
	return out
}

// receiveInput asks for everything and waits, as a real SQS may need a moment.
func receiveInput(url string) *sqs.ReceiveMessageInput {
	return &sqs.ReceiveMessageInput{
		QueueUrl:                    aws.String(url),
		MaxNumberOfMessages:         10,
		WaitTimeSeconds:             10,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		MessageAttributeNames:       []string{"All"},
	}
}

func (e *env) receive(url string, change ...func(*sqs.ReceiveMessageInput)) []types.Message {
	e.t.Helper()
	in := receiveInput(url)
	for _, c := range change {
		c(in)
	}
	out, err := e.client.ReceiveMessage(e.ctx, in)
	if err != nil {
		e.t.Fatalf("receive: %v", err)
	}
	return out.Messages
}

// receiveN receives until it has n messages, in as many calls as that takes.
func (e *env) receiveN(url string, n int) []types.Message {
	e.t.Helper()
	var got []types.Message
	for len(got) < n {
		more := e.receive(url)
		if len(more) == 0 {
			e.t.Fatalf("received %d messages, want %d", len(got), n)
		}
		got = append(got, more...)
	}
	if len(got) != n {
		e.t.Fatalf("received %d messages, want %d", len(got), n)
	}
	return got
}

// receiveOne receives exactly one message.
func (e *env) receiveOne(url string, change ...func(*sqs.ReceiveMessageInput)) types.Message {
	e.t.Helper()
	got := e.receive(url, change...)
	if len(got) != 1 {
		e.t.Fatalf("received %d messages, want 1", len(got))
	}
	return got[0]
}

// wantNone checks that nothing can be received now.
func (e *env) wantNone(url string) {
	e.t.Helper()
	if got := e.receive(url, noWait); len(got) > 0 {
		e.t.Fatalf("received %d messages, want none; the first is %q", len(got), *got[0].Body)
	}
}

func noWait(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = 0 }

func visibleAfter(seconds int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = seconds }
}

func (e *env) delete(url string, m types.Message) {
	e.t.Helper()
	if _, err := e.client.DeleteMessage(e.ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(url), ReceiptHandle: m.ReceiptHandle}); err != nil {
		e.t.Fatalf("delete: %v", err)
	}
}

func (e *env) changeVisibility(url string, m types.Message, seconds int32) error {
	_, err := e.client.ChangeMessageVisibility(e.ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: aws.String(url), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds,
	})
	return err
}

func bodies(ms []types.Message) []string {
	out := make([]string, len(ms))
	for i, m := range ms {
		out[i] = *m.Body
	}
	return out
}

// wantTyped checks for an error type of the SDK.
func wantTyped[E error](t *testing.T, err error) {
	t.Helper()
	var want E
	if !errors.As(err, &want) {
		t.Errorf("error is %v, want %T", err, want)
	}
}

// wantCode checks for the code of an error that has no type of its own. Emulators
// do not agree with SQS on which codes have the service's prefix.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	const prefix = "AWS.SimpleQueueService."
	var api smithy.APIError
	if !errors.As(err, &api) || strings.TrimPrefix(api.ErrorCode(), prefix) != strings.TrimPrefix(code, prefix) {
		t.Errorf("error is %v, want the code %s", err, code)
	}
}

func redrivePolicy(arn string, maxReceives int) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, arn, maxReceives)
}
