package sqstest_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

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
				//lint:ignore SA1019 older consumers still use the old member
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
