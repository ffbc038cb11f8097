package sqstest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// handler calls a server without a network, and without the SDK in between.
type handler struct {
	*sqstest.Server
}

type wireError struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
}

func newHandler(t interface {
	Helper()
	Fatalf(string, ...any)
}, options sqstest.Options) handler {
	t.Helper()
	s, err := sqstest.New(options)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return handler{s}
}

func request(ctx context.Context, action, body string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "http://sqs.test/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "AmazonSQS."+action)
	return r
}

// raw returns the status and the body of a reply.
func (h handler) raw(action, body string) (int, []byte) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(context.Background(), action, body))
	return w.Code, w.Body.Bytes()
}

// call panics on what can't be encoded or decoded; it returns the error type of
// the reply, or "".
func (h handler) call(action string, in, out any) string {
	body, err := json.Marshal(in)
	if err != nil {
		panic(err)
	}
	status, reply := h.raw(action, string(body))
	if status != http.StatusOK {
		var e wireError
		if err := json.Unmarshal(reply, &e); err != nil {
			panic(err)
		}
		return e.Type[strings.IndexByte(e.Type, '#')+1:]
	}
	if out != nil {
		if err := json.Unmarshal(reply, out); err != nil {
			panic(err)
		}
	}
	return ""
}

func TestWireErrors(t *testing.T) {
	t.Parallel()
	h := newHandler(t, sqstest.Options{})
	if err := h.CreateQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		title, action, body, want string
		status                    int
	}{
		{"unknown action", "Fly", "{}", "com.amazon.coral.service#UnknownOperationException", 400},
		{"not JSON", "SendMessage", "{", "com.amazon.coral.service#SerializationException", 400},
		{"not an object", "SendMessage", "null", "com.amazon.coral.service#SerializationException", 400},
		{"wrong type", "SendMessage", `{"QueueUrl":1}`, "com.amazon.coral.service#SerializationException", 400},
		{"not UTF-8", "SendMessage", "{\"MessageBody\":\"\xff\"}", "com.amazon.coral.service#SerializationException", 400},
		{"no queue", "SendMessage", "{}", "com.amazonaws.sqs#QueueDoesNotExist", 400},
		{"no body", "SendMessage", `{"QueueUrl":"http://h/0/q"}`, "com.amazon.coral.service#MissingRequiredParameterException", 400},
		{"no handle", "DeleteMessage", `{"QueueUrl":"http://h/0/q"}`, "com.amazon.coral.service#MissingRequiredParameterException", 400},
		{"garbage handle", "DeleteMessage", `{"QueueUrl":"http://h/0/q","ReceiptHandle":"x"}`, "com.amazonaws.sqs#ReceiptHandleIsInvalid", 404},
		{"no timeout", "ChangeMessageVisibility", `{"QueueUrl":"http://h/0/q","ReceiptHandle":"x"}`, "com.amazon.coral.service#MissingRequiredParameterException", 400},
		{"zero messages", "ReceiveMessage", `{"QueueUrl":"http://h/0/q","MaxNumberOfMessages":0}`, "com.amazon.coral.service#InvalidParameterValueException", 400},
		{"unknown system attribute", "ReceiveMessage", `{"QueueUrl":"http://h/0/q","MessageSystemAttributeNames":["Colour"]}`, "com.amazonaws.sqs#InvalidAttributeName", 400},
		{"permissions", "AddPermission", `{"QueueUrl":"http://h/0/q"}`, "com.amazonaws.sqs#UnsupportedOperation", 400},
		{"page size", "ListQueues", `{"MaxResults":1001}`, "com.amazon.coral.service#InvalidParameterValueException", 400},
		{"page token", "ListQueues", `{"NextToken":"%"}`, "com.amazon.coral.service#InvalidParameterValueException", 400},
		{"empty attributes", "SetQueueAttributes", `{"QueueUrl":"http://h/0/q"}`, "com.amazon.coral.service#MissingRequiredParameterException", 400},
	} {
		status, body := h.raw(c.action, c.body)
		var e wireError
		if err := json.Unmarshal(body, &e); err != nil {
			t.Errorf("%s: %s: %v", c.title, body, err)
			continue
		}
		if status != c.status || e.Type != c.want || e.Message == "" {
			t.Errorf("%s: %d %s, want %d %s", c.title, status, body, c.status, c.want)
		}
	}

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?Action=ListQueues", nil))
	if w.Code != 400 || !json.Valid(w.Body.Bytes()) {
		t.Errorf("a request of the query protocol: %d %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, request(context.Background(), "SendMessage", strings.Repeat("x", 9<<20)))
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a huge request: %d", w.Code)
	}
	h.Close()
	if status, _ := h.raw("ListQueues", "{}"); status != http.StatusServiceUnavailable {
		t.Errorf("after Close: %d", status)
	}
}

func TestQueueURLs(t *testing.T) {
	t.Parallel()
	h := newHandler(t, sqstest.Options{BaseURL: "http://sqs:9324", AccountID: "123456789012", Region: "eu-west-1"})
	var out struct {
		QueueURL string `json:"QueueUrl"`
	}
	h.call("CreateQueue", map[string]string{"QueueName": "q"}, &out)
	if want := "http://sqs:9324/123456789012/q"; out.QueueURL != want {
		t.Errorf("URL is %s, want %s", out.QueueURL, want)
	}
	if want := "arn:aws:sqs:eu-west-1:123456789012:q"; h.QueueARN("q") != want {
		t.Errorf("ARN is %s, want %s", h.QueueARN("q"), want)
	}
	// The same queue by another name of the host, or by its name alone.
	for _, url := range []string{out.QueueURL, "http://127.0.0.1:1/000000000000/q", "q"} {
		if e := h.call("SendMessage", map[string]string{"QueueUrl": url, "MessageBody": "x"}, nil); e != "" {
			t.Errorf("%s: %s", url, e)
		}
	}
}

// A visibility timeout of zero on receive can't be said with the SDK.
func TestReceiveWithoutVisibilityTimeout(t *testing.T) {
	t.Parallel()
	h := newHandler(t, sqstest.Options{Clock: sqstest.NewManualClock(time.Time{})})
	if err := h.CreateQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	h.call("SendMessage", map[string]string{"QueueUrl": "q", "MessageBody": "x"}, nil)
	for range 3 {
		var out receiveReply
		h.call("ReceiveMessage", map[string]any{"QueueUrl": "q", "VisibilityTimeout": 0, "MaxNumberOfMessages": 10}, &out)
		if len(out.Messages) != 1 {
			t.Fatalf("%d messages, want 1", len(out.Messages))
		}
	}
	if got := h.Stats("q"); got.Visible != 1 || got.InFlight != 0 {
		t.Errorf("stats are %+v", got)
	}
}

// brokenWriter is a connection that breaks when the reply is written.
type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestReplyThatCannotBeWrittenGivesTheMessagesBack(t *testing.T) {
	t.Parallel()
	h := newHandler(t, sqstest.Options{Clock: sqstest.NewManualClock(time.Time{})})
	if err := h.CreateQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"a", "b", "c"} {
		h.call("SendMessage", map[string]string{"QueueUrl": "q", "MessageBody": body}, nil)
	}
	before := h.Messages("q")
	h.ServeHTTP(brokenWriter{httptest.NewRecorder()}, request(context.Background(), "ReceiveMessage", `{"QueueUrl":"q","MaxNumberOfMessages":2}`))
	after := h.Messages("q")
	for i := range before {
		if after[i].State != sqstest.Visible || after[i].ReceiveCount != 0 || !after[i].FirstReceived.IsZero() {
			t.Errorf("message is %+v", after[i])
		}
	}
	var out receiveReply
	h.call("ReceiveMessage", map[string]any{"QueueUrl": "q", "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": []string{"All"}}, &out)
	var got bytes.Buffer
	for _, m := range out.Messages {
		got.WriteString(m.Body)
		if m.Attributes["ApproximateReceiveCount"] != "1" {
			t.Errorf("attributes are %v", m.Attributes)
		}
	}
	if got.String() != "abc" {
		t.Errorf("received %q: the order changed", got.String())
	}
}

func TestCancelledRequestReceivesNothing(t *testing.T) {
	t.Parallel()
	h := newHandler(t, sqstest.Options{})
	if err := h.CreateQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	h.call("SendMessage", map[string]string{"QueueUrl": "q", "MessageBody": "x"}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h.ServeHTTP(httptest.NewRecorder(), request(ctx, "ReceiveMessage", `{"QueueUrl":"q"}`))
	if got := h.Stats("q"); got.Visible != 1 || got.Received != 0 {
		t.Errorf("stats are %+v", got)
	}
}

type receiveReply struct {
	Messages []struct {
		MessageID     string `json:"MessageId"`
		ReceiptHandle string
		Body          string
		Attributes    map[string]string
	}
}
