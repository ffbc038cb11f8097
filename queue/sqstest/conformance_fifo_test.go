package sqstest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
)

func fifoAttributes(more ...string) map[string]string {
	out := map[string]string{"FifoQueue": "true"}
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

func inGroup(group, deduplication string) func(*sqs.SendMessageInput) {
	return func(in *sqs.SendMessageInput) {
		in.MessageGroupId = aws.String(group)
		if deduplication != "" {
			in.MessageDeduplicationId = aws.String(deduplication)
		}
	}
}

func TestFIFOAttributes(t *testing.T) {
	e := newEnv(t)
	got := e.attributes(e.queue("q.fifo", fifoAttributes("DeduplicationScope", "messageGroup", "FifoThroughputLimit", "perMessageGroupId")))
	for name, want := range map[string]string{
		"FifoQueue": "true", "ContentBasedDeduplication": "false", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	for _, attributes := range []map[string]string{
		fifoAttributes("FifoThroughputLimit", "perMessageGroupId"),
		fifoAttributes("DeduplicationScope", "world"),
	} {
		_, err := e.client.CreateQueue(e.ctx, &sqs.CreateQueueInput{QueueName: aws.String(e.name("x.fifo")), Attributes: attributes})
		if err == nil {
			t.Errorf("%v was accepted", attributes)
		}
	}
}

func TestFIFORefuses(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q.fifo", fifoAttributes())
	send := func(change func(*sqs.SendMessageInput)) error {
		in := &sqs.SendMessageInput{QueueUrl: aws.String(url), MessageBody: aws.String("x")}
		change(in)
		_, err := e.client.SendMessage(e.ctx, in)
		return err
	}
	wantCode(t, send(func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = aws.String("d") }), "MissingParameter")
	wantCode(t, send(inGroup("g", "")), "InvalidParameterValue")
	wantCode(t, send(func(in *sqs.SendMessageInput) {
		inGroup("g", "d")(in)
		in.DelaySeconds = 5
	}), "InvalidParameterValue")
}

func TestFIFOOrderWithinOneBatch(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q.fifo", fifoAttributes())
	var want []string
	var sequence string
	for i := range 5 {
		body := fmt.Sprint("m", i)
		want = append(want, body)
		sent := e.send(url, body, inGroup("g", body))
		if got := aws.ToString(sent.SequenceNumber); len(got) != 20 || got <= sequence {
			t.Errorf("SequenceNumber %q after %q", got, sequence)
		}
		sequence = aws.ToString(sent.SequenceNumber)
	}
	got := e.receive(url)
	if diff := cmp.Diff(want, bodies(got)); diff != "" {
		t.Error(diff)
	}
	last := got[len(got)-1].Attributes
	if last["SequenceNumber"] != sequence || last["MessageGroupId"] != "g" || last["MessageDeduplicationId"] != "m4" {
		t.Errorf("attributes are %v", last)
	}
}

func TestFIFOGroupLock(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q.fifo", fifoAttributes("VisibilityTimeout", "3"))
	for _, m := range [][2]string{{"a", "a1"}, {"a", "a2"}, {"b", "b1"}} {
		e.send(url, m[1], inGroup(m[0], m[1]))
	}
	one := func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 1 }
	a1 := e.receiveOne(url, one)
	if *a1.Body != "a1" {
		t.Fatalf("received %q", *a1.Body)
	}
	b1 := e.receiveOne(url)
	if *b1.Body != "b1" {
		t.Fatalf("received %q while group a is locked", *b1.Body)
	}
	e.delete(url, b1)
	e.wantNone(url)
	e.delete(url, a1)
	if a2 := e.receiveOne(url); *a2.Body != "a2" {
		t.Fatalf("received %q", *a2.Body)
	}
}

func TestFIFOReturnsToItsPlace(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q.fifo", fifoAttributes("VisibilityTimeout", "2"))
	for _, body := range []string{"1", "2", "3"} {
		e.send(url, body, inGroup("g", body))
	}
	first := e.receiveOne(url, func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 1 })
	e.wantNone(url)
	e.pass(2 * time.Second)
	if diff := cmp.Diff([]string{"1", "2", "3"}, bodies(e.receive(url))); diff != "" {
		t.Error(diff)
	}
	// Its handle has expired, which a FIFO queue does not overlook.
	_, err := e.client.DeleteMessage(e.ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(url), ReceiptHandle: first.ReceiptHandle})
	wantCode(t, err, "InvalidParameterValue")
}

func TestFIFODeduplication(t *testing.T) {
	e := newEnv(t)
	for _, c := range []struct {
		title      string
		attributes map[string]string
		sends      [][3]string // body, group, deduplication id
		want       []string
	}{
		{"by id", fifoAttributes(), [][3]string{{"first", "g", "d"}, {"second", "h", "d"}, {"third", "i", "e"}}, []string{"first", "third"}},
		{"by content", fifoAttributes("ContentBasedDeduplication", "true"), [][3]string{{"x", "g", ""}, {"x", "h", ""}, {"y", "i", ""}}, []string{"x", "y"}},
		{"id before content", fifoAttributes("ContentBasedDeduplication", "true"), [][3]string{{"x", "g", "1"}, {"x", "h", "2"}}, []string{"x", "x"}},
		{"per group", fifoAttributes("DeduplicationScope", "messageGroup"), [][3]string{{"x", "g", "d"}, {"y", "h", "d"}, {"z", "h", "d"}}, []string{"x", "y"}},
	} {
		t.Run(c.title, func(t *testing.T) {
			url := e.queue(md5Hex(c.title)+".fifo", c.attributes)
			for _, s := range c.sends {
				e.send(url, s[0], inGroup(s[1], s[2]))
			}
			got := bodies(e.receiveN(url, len(c.want)))
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			e.wantNone(url)
		})
	}
}

func TestFIFODuplicateGetsTheFirstReply(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q.fifo", fifoAttributes())
	first := e.send(url, "x", inGroup("g", "d"))
	m := e.receiveOne(url)
	e.delete(url, m) // remembered although it is gone
	second := e.send(url, "x", inGroup("g", "d"))
	if *first.MessageId != *second.MessageId || *first.SequenceNumber != *second.SequenceNumber {
		t.Errorf("replies differ: %s %s, %s %s", *first.MessageId, *first.SequenceNumber, *second.MessageId, *second.SequenceNumber)
	}
	e.wantNone(url)
}

func TestFIFODeduplicationEnds(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q.fifo", fifoAttributes())
	e.send(url, "x", inGroup("g", "d"))
	e.delete(url, e.receiveOne(url))
	e.clock.Advance(5*time.Minute - time.Second)
	e.send(url, "x", inGroup("g", "d"))
	e.wantNone(url)
	e.clock.Advance(time.Second)
	e.send(url, "x", inGroup("g", "d"))
	e.receiveOne(url)
}

func TestFIFODelayIsRetroactive(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q.fifo", fifoAttributes("DelaySeconds", "900"))
	e.send(url, "x", inGroup("g", "d"))
	e.wantNone(url)
	_, err := e.client.SetQueueAttributes(e.ctx, &sqs.SetQueueAttributesInput{QueueUrl: aws.String(url), Attributes: map[string]string{"DelaySeconds": "5"}})
	if err != nil {
		t.Fatal(err)
	}
	e.wantNone(url)
	e.clock.Advance(5 * time.Second)
	e.receiveOne(url)
}

func TestFIFOBatchKeepsOrder(t *testing.T) {
	e := newEnv(t)
	url := e.queue("q.fifo", fifoAttributes())
	var entries []types.SendMessageBatchRequestEntry
	var want []string
	for i := range 10 {
		body := fmt.Sprint(i)
		want = append(want, body)
		entries = append(entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(body), MessageBody: aws.String(body), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String(body),
		})
	}
	out, err := e.client.SendMessageBatch(e.ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(url), Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 10 || out.Successful[0].SequenceNumber == nil {
		t.Fatalf("reply is %+v", out)
	}
	var got []string
	for len(got) < len(want) {
		for _, m := range e.receive(url) {
			got = append(got, *m.Body)
			e.delete(url, m)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
