package sqstest_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var ignoreSerde = cmpopts.IgnoreUnexported(types.MessageAttributeValue{})

func text(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(s)}
}

type pollResult struct {
	messages []types.Message
	err      error
}

// poll starts a long poll.
func (e *env) poll(url string) <-chan pollResult {
	return e.pollWith(e.ctx, url)
}

func (e *env) pollWith(ctx context.Context, url string) <-chan pollResult {
	result := make(chan pollResult, 1)
	go func() {
		in := receiveInput(url)
		in.WaitTimeSeconds = 20
		out, err := e.client.ReceiveMessage(ctx, in)
		if err != nil {
			result <- pollResult{err: err}
			return
		}
		result <- pollResult{messages: out.Messages}
	}()
	return result
}

func TestSendAndReceiveWithAttributes(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	attributes := map[string]types.MessageAttributeValue{
		"userId":      text("creator-7"),
		"traceparent": text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
		"count":       {DataType: aws.String("Number"), StringValue: aws.String("-1.5e3")},
		"blob":        {DataType: aws.String("Binary.png"), BinaryValue: []byte{0, 1, 2, 255}},
	}
	const trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
	body := "Hello \"wörld\" \U0001F600 <&> \\ \t\r\n"
	sent := e.send(url, body, func(in *sqs.SendMessageInput) {
		in.MessageAttributes = attributes
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String(trace)},
		}
		in.MessageGroupId = aws.String("tenant-1") // fair queues
	})
	if want := md5Hex(body); aws.ToString(sent.MD5OfMessageBody) != want {
		t.Errorf("MD5OfMessageBody is %s, want %s", aws.ToString(sent.MD5OfMessageBody), want)
	}
	if aws.ToString(sent.MD5OfMessageAttributes) == "" || aws.ToString(sent.MD5OfMessageSystemAttributes) == "" {
		t.Errorf("digests of attributes are missing: %+v", sent)
	}

	m := e.receiveOne(url)
	if *m.Body != body || *m.MessageId != *sent.MessageId {
		t.Errorf("received %q %q", *m.MessageId, *m.Body)
	}
	if diff := cmp.Diff(attributes, m.MessageAttributes, ignoreSerde); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if aws.ToString(m.MD5OfMessageAttributes) != *sent.MD5OfMessageAttributes {
		t.Errorf("MD5OfMessageAttributes is %s, want %s", aws.ToString(m.MD5OfMessageAttributes), *sent.MD5OfMessageAttributes)
	}
	if got := m.Attributes["AWSTraceHeader"]; got != trace {
		t.Errorf("AWSTraceHeader is %q", got)
	}
	if got := m.Attributes["MessageGroupId"]; got != "tenant-1" {
		t.Errorf("MessageGroupId is %q", got)
	}
	if got := m.Attributes["ApproximateReceiveCount"]; got != "1" {
		t.Errorf("ApproximateReceiveCount is %q", got)
	}
	for _, name := range []string{"SentTimestamp", "ApproximateFirstReceiveTimestamp", "SenderId"} {
		if m.Attributes[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestAttributeSelection(t *testing.T) {
	e := newEnv(t)
	for _, c := range []struct {
		title  string
		system []types.MessageSystemAttributeName
		old    []types.QueueAttributeName
		names  []string

		wantSystem, want []string
	}{
		{title: "nothing"},
		{title: "names", names: []string{"a.one", "missing"}, want: []string{"a.one"}},
		{title: "prefix", names: []string{"a.*"}, want: []string{"a.one", "a.two"}},
		{title: "all by .*", names: []string{".*"}, want: []string{"a.one", "a.two", "b"}},
		{title: "modern system name", system: []types.MessageSystemAttributeName{"SentTimestamp", "ApproximateReceiveCount"}, wantSystem: []string{"ApproximateReceiveCount", "SentTimestamp"}},
		{title: "old system name", old: []types.QueueAttributeName{"SentTimestamp"}, wantSystem: []string{"SentTimestamp"}},
		{title: "old All", old: []types.QueueAttributeName{"All"}, wantSystem: []string{"ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount", "SenderId", "SentTimestamp"}},
	} {
		t.Run(c.title, func(t *testing.T) {
			url := e.queue("q-"+strings.NewReplacer(" ", "-", ".", "", "*", "").Replace(c.title), nil)
			e.send(url, "x", func(in *sqs.SendMessageInput) {
				in.MessageAttributes = map[string]types.MessageAttributeValue{"a.one": text("1"), "a.two": text("2"), "b": text("3")}
			})
			m := e.receiveOne(url, func(in *sqs.ReceiveMessageInput) {
				in.MessageSystemAttributeNames, in.AttributeNames, in.MessageAttributeNames = c.system, c.old, c.names
			})
			var system, names []string
			for name := range m.Attributes {
				system = append(system, name)
			}
			for name := range m.MessageAttributes {
				names = append(names, name)
			}
			slices.Sort(system)
			slices.Sort(names)
			if diff := cmp.Diff(c.wantSystem, system); diff != "" {
				t.Errorf("system attributes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.want, names); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			if (len(names) > 0) != (m.MD5OfMessageAttributes != nil) {
				t.Errorf("MD5OfMessageAttributes is %q with %d attributes", aws.ToString(m.MD5OfMessageAttributes), len(names))
			}
		})
	}
}

func TestSendMessageBatchOfTen(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	var in []types.SendMessageBatchRequestEntry
	want := map[string]bool{}
	for i := range 10 {
		body := fmt.Sprintf("message %d", i)
		want[body] = true
		in = append(in, types.SendMessageBatchRequestEntry{
			Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(body),
			MessageAttributes: map[string]types.MessageAttributeValue{"n": text(fmt.Sprint(i))},
		})
	}
	out, err := e.client.SendMessageBatch(e.ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(url), Entries: in})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 10 || len(out.Failed) != 0 {
		t.Fatalf("%d successful, %d failed", len(out.Successful), len(out.Failed))
	}
	got := map[string]bool{}
	for _, m := range e.receiveN(url, 10) {
		got[*m.Body] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBatchErrors(t *testing.T) {
	e := newEnv(t)
	url := aws.String(e.queue("q", nil))
	entries := func(ids ...string) []types.SendMessageBatchRequestEntry {
		var out []types.SendMessageBatchRequestEntry
		for _, id := range ids {
			out = append(out, types.SendMessageBatchRequestEntry{Id: aws.String(id), MessageBody: aws.String("x")})
		}
		return out
	}
	send := func(entries []types.SendMessageBatchRequestEntry) error {
		_, err := e.client.SendMessageBatch(e.ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries})
		return err
	}
	wantTyped[*types.EmptyBatchRequest](t, send([]types.SendMessageBatchRequestEntry{}))
	wantTyped[*types.TooManyEntriesInBatchRequest](t, send(entries(strings.Split("abcdefghijk", "")...)))
	wantTyped[*types.BatchEntryIdsNotDistinct](t, send(entries("a", "a")))
	wantTyped[*types.InvalidBatchEntryId](t, send(entries("a b")))

	big := entries("a", "b")
	big[0].MessageBody = aws.String(strings.Repeat("x", 524_288))
	big[1].MessageBody = aws.String(strings.Repeat("x", 524_289))
	wantTyped[*types.BatchRequestTooLong](t, send(big))

	_, err := e.client.DeleteMessageBatch(e.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("a"), ReceiptHandle: aws.String("x")}, {Id: aws.String("a"), ReceiptHandle: aws.String("x")},
	}})
	wantTyped[*types.BatchEntryIdsNotDistinct](t, err)
}

func TestSendMessageBatchPartialFailure(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	out, err := e.client.SendMessageBatch(e.ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(url), Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("good"), MessageBody: aws.String("x")},
		{Id: aws.String("bad"), MessageBody: aws.String("\x01")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 1 || *out.Successful[0].Id != "good" {
		t.Errorf("successful: %+v", out.Successful)
	}
	if len(out.Failed) != 1 || *out.Failed[0].Id != "bad" || *out.Failed[0].Code != "InvalidMessageContents" || !out.Failed[0].SenderFault {
		t.Errorf("failed: %+v", out.Failed)
	}
}

func TestMessageSizeLimit(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	full := strings.Repeat("x", 1_048_576)
	e.send(url, full)
	if m := e.receiveOne(url); *m.Body != full {
		t.Error("the body changed")
	}
	_, err := e.client.SendMessage(e.ctx, &sqs.SendMessageInput{QueueUrl: aws.String(url), MessageBody: aws.String(full + "x")})
	wantCode(t, err, "InvalidParameterValue")
	// Names, types and values of attributes count.
	_, err = e.client.SendMessage(e.ctx, &sqs.SendMessageInput{
		QueueUrl: aws.String(url), MessageBody: aws.String(full[8:]),
		MessageAttributes: map[string]types.MessageAttributeValue{"ab": text("v")},
	})
	wantCode(t, err, "InvalidParameterValue")
	e.send(url, full[9:], func(in *sqs.SendMessageInput) {
		in.MessageAttributes = map[string]types.MessageAttributeValue{"ab": text("v")}
	})
}

func TestQueueSizeLimit(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", map[string]string{"MaximumMessageSize": "1024"})
	e.send(url, strings.Repeat("x", 1024))
	_, err := e.client.SendMessage(e.ctx, &sqs.SendMessageInput{QueueUrl: aws.String(url), MessageBody: aws.String(strings.Repeat("x", 1025))})
	wantCode(t, err, "InvalidParameterValue")
}

func TestMessageRefused(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	attribute := func(name string, v types.MessageAttributeValue) func(*sqs.SendMessageInput) {
		return func(in *sqs.SendMessageInput) {
			in.MessageAttributes = map[string]types.MessageAttributeValue{name: v}
		}
	}
	number := func(s string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("Number"), StringValue: aws.String(s)}
	}
	for _, c := range []struct {
		title, body, code string
		change            func(*sqs.SendMessageInput)
	}{
		{"empty body", "", "MissingParameter", nil},
		{"control character", "a\x00b", "InvalidMessageContents", nil},
		{"noncharacter", "a\uFFFF", "InvalidMessageContents", nil},
		{"delay", "x", "InvalidParameterValue", func(in *sqs.SendMessageInput) { in.DelaySeconds = 901 }},
		{"deduplication id on a standard queue", "x", "InvalidParameterValue", func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = aws.String("d") }},
		{"group id with a space", "x", "InvalidParameterValue", func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String("a b") }},
		{"attribute type", "x", "InvalidParameterValue", attribute("a", types.MessageAttributeValue{DataType: aws.String("Text"), StringValue: aws.String("x")})},
		{"attribute name", "x", "InvalidParameterValue", attribute("a b", text("x"))},
		{"reserved attribute name", "x", "InvalidParameterValue", attribute("AWS.a", text("x"))},
		{"attribute name with periods", "x", "InvalidParameterValue", attribute("a..b", text("x"))},
		{"empty attribute", "x", "InvalidParameterValue", attribute("a", text(""))},
		{"attribute number", "x", "InvalidParameterValue", attribute("a", number("many"))},
		{"attribute number in hexadecimal", "x", "InvalidParameterValue", attribute("a", number("0x10"))},
		{"list attribute", "x", "AWS.SimpleQueueService.UnsupportedOperation", attribute("a", types.MessageAttributeValue{DataType: aws.String("String"), StringListValues: []string{"x"}})},
		{"eleven attributes", "x", "InvalidParameterValue", func(in *sqs.SendMessageInput) {
			in.MessageAttributes = map[string]types.MessageAttributeValue{}
			for i := range 11 {
				in.MessageAttributes[fmt.Sprint("a", i)] = text("x")
			}
		}},
		{"unknown system attribute", "x", "InvalidParameterValue", func(in *sqs.SendMessageInput) {
			in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{"Colour": {DataType: aws.String("String"), StringValue: aws.String("red")}}
		}},
	} {
		t.Run(c.title, func(t *testing.T) {
			in := &sqs.SendMessageInput{QueueUrl: aws.String(url), MessageBody: aws.String(c.body)}
			if c.change != nil {
				c.change(in)
			}
			_, err := e.client.SendMessage(e.ctx, in)
			wantCode(t, err, c.code)
		})
	}
	_, err := e.client.SendMessage(e.ctx, &sqs.SendMessageInput{QueueUrl: aws.String(url), MessageBody: aws.String("\x02")})
	wantTyped[*types.InvalidMessageContents](t, err)
}

func TestReceiveRefuses(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	for title, change := range map[string]func(*sqs.ReceiveMessageInput){
		"eleven messages":       func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 11 },
		"no messages":           func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = -1 },
		"a long wait":           func(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = 21 },
		"a long visibility":     func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = 43_201 },
		"a negative visibility": func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = -1 },
	} {
		t.Run(title, func(t *testing.T) {
			in := &sqs.ReceiveMessageInput{QueueUrl: aws.String(url)}
			change(in)
			_, err := e.client.ReceiveMessage(e.ctx, in)
			wantCode(t, err, "InvalidParameterValue")
		})
	}
}

func TestLongPollWakesOnArrival(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	poll := e.poll(url)
	e.awaitPollers(url, 1)
	e.send(url, "hello")
	got := <-poll
	if got.err != nil || len(got.messages) != 1 || *got.messages[0].Body != "hello" {
		t.Errorf("poll returned %v, %v", bodies(got.messages), got.err)
	}
}

func TestQueueWaitTimeIsTheDefault(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", map[string]string{"ReceiveMessageWaitTimeSeconds": "20"})
	result := make(chan pollResult, 1)
	go func() {
		out, err := e.client.ReceiveMessage(e.ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(url)})
		if err != nil {
			result <- pollResult{err: err}
			return
		}
		result <- pollResult{messages: out.Messages}
	}()
	e.awaitPollers(url, 1)
	e.send(url, "hello")
	if got := <-result; got.err != nil || len(got.messages) != 1 {
		t.Errorf("poll returned %v, %v", bodies(got.messages), got.err)
	}
}

func TestCancelledLongPollSwallowsNothing(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	for i := range 20 {
		ctx, cancel := context.WithCancel(e.ctx)
		poll := e.pollWith(ctx, url)
		e.awaitPollers(url, 1)
		cancel()
		if got := <-poll; !errors.Is(got.err, context.Canceled) {
			t.Fatalf("cancelled poll returned %v, %v", bodies(got.messages), got.err)
		}
		// No wait for the server to notice: the next message must not go to the
		// poll that nobody reads any more.
		e.send(url, fmt.Sprint(i))
		m := e.receiveOne(url)
		if got := m.Attributes["ApproximateReceiveCount"]; got != "1" {
			t.Fatalf("ApproximateReceiveCount is %s, want 1", got)
		}
		e.delete(url, m)
	}
}

func TestVisibilityTimeout(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", map[string]string{"VisibilityTimeout": "2"})
	e.send(url, "x")
	first := e.receiveOne(url)
	e.wantNone(url)
	e.pass(2 * time.Second)
	second := e.receiveOne(url)
	if got := second.Attributes["ApproximateReceiveCount"]; got != "2" {
		t.Errorf("ApproximateReceiveCount is %s, want 2", got)
	}
	if first.Attributes["ApproximateFirstReceiveTimestamp"] != second.Attributes["ApproximateFirstReceiveTimestamp"] {
		t.Error("ApproximateFirstReceiveTimestamp changed")
	}
	if *first.MessageId != *second.MessageId || *first.ReceiptHandle == *second.ReceiptHandle {
		t.Error("want the same message with another receipt handle")
	}
	e.delete(url, second)
	e.pass(2 * time.Second)
	e.wantNone(url)
}

func TestChangeMessageVisibility(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	e.send(url, "x")
	m := e.receiveOne(url)
	if err := e.changeVisibility(url, m, 0); err != nil {
		t.Fatal(err)
	}
	again := e.receiveOne(url)
	if *again.MessageId != *m.MessageId {
		t.Error("another message came back")
	}
	if err := e.changeVisibility(url, again, 43_201); err == nil {
		t.Error("more than 12 hours were accepted")
	}
	e.delete(url, again)
	wantCode(t, e.changeVisibility(url, again, 10), "InvalidParameterValue")
}

func TestChangeMessageVisibilityOfVisibleMessage(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	e.send(url, "x")
	m := e.receiveOne(url, visibleAfter(1))
	e.pass(time.Second)
	wantTyped[*types.MessageNotInflight](t, e.changeVisibility(url, m, 10))
	if latest := e.receiveOne(url); *latest.MessageId != *m.MessageId {
		t.Error("another message came")
	}
	wantCode(t, e.changeVisibility(url, m, 10), "InvalidParameterValue") // an older handle
}

func TestChangeMessageVisibilityBatchPartialFailure(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", nil)
	e.send(url, "x")
	m := e.receiveOne(url)
	out, err := e.client.ChangeMessageVisibilityBatch(e.ctx, &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: aws.String(url),
		Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
			{Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0},
			{Id: aws.String("bad"), ReceiptHandle: aws.String("garbage"), VisibilityTimeout: 5},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 1 || *out.Successful[0].Id != "good" {
		t.Errorf("successful: %+v", out.Successful)
	}
	if len(out.Failed) != 1 || *out.Failed[0].Id != "bad" || *out.Failed[0].Code != "ReceiptHandleIsInvalid" || !out.Failed[0].SenderFault {
		t.Errorf("failed: %+v", out.Failed)
	}
	e.receiveOne(url)
}

func TestReceiptHandles(t *testing.T) {
	e := newEnv(t)
	url, other := e.queue("q", nil), e.queue("other", nil)
	e.send(url, "x")
	m := e.receiveOne(url)
	del := func(url, handle string) error {
		_, err := e.client.DeleteMessage(e.ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(url), ReceiptHandle: aws.String(handle)})
		return err
	}
	wantTyped[*types.ReceiptHandleIsInvalid](t, del(url, "garbage"))
	wantTyped[*types.ReceiptHandleIsInvalid](t, del(other, *m.ReceiptHandle))
	garbage := m
	garbage.ReceiptHandle = aws.String("garbage")
	wantTyped[*types.ReceiptHandleIsInvalid](t, e.changeVisibility(url, garbage, 1))

	out, err := e.client.DeleteMessageBatch(e.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(url), Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle},
		{Id: aws.String("bad"), ReceiptHandle: aws.String("garbage")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 1 || *out.Successful[0].Id != "good" {
		t.Errorf("successful: %+v", out.Successful)
	}
	if len(out.Failed) != 1 || *out.Failed[0].Id != "bad" || *out.Failed[0].Code != "ReceiptHandleIsInvalid" {
		t.Errorf("failed: %+v", out.Failed)
	}
	if err := del(url, *m.ReceiptHandle); err != nil {
		t.Errorf("deleting twice: %v", err)
	}
}

func TestDelay(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q", map[string]string{"DelaySeconds": "1"})
	e.send(url, "queue's delay")
	e.send(url, "own delay", func(in *sqs.SendMessageInput) { in.DelaySeconds = 3 })
	e.wantNone(url)
	e.pass(time.Second)
	if m := e.receiveOne(url); *m.Body != "queue's delay" {
		t.Errorf("received %q", *m.Body)
	}
	e.pass(2 * time.Second)
	if m := e.receiveOne(url); *m.Body != "own delay" {
		t.Errorf("received %q", *m.Body)
	}
}
