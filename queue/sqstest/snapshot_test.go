package sqstest_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// restart saves the server and loads what it saved into another one.
func (e *env) restart() *env {
	e.t.Helper()
	var saved bytes.Buffer
	if err := e.server.Save(&saved); err != nil {
		e.t.Fatal(err)
	}
	again := *e
	again.server = sqstest.StartTB(e.t, sqstest.Options{Clock: e.clock})
	if err := again.server.Load(&saved); err != nil {
		e.t.Fatal(err)
	}
	again.client = again.server.Client()
	return &again
}

func TestSaveAndLoad(t *testing.T) {
	e := ownEnv(t)
	source, dead := e.deadLetterPair(2, "", map[string]string{"VisibilityTimeout": "300"})
	fifo := e.queue("q.fifo", fifoAttributes("ContentBasedDeduplication", "true"))
	attributes := map[string]types.MessageAttributeValue{
		"userId": text("creator-7"), "blob": {DataType: aws.String("Binary"), BinaryValue: []byte{1, 2}},
	}
	e.send(source, "in flight", func(in *sqs.SendMessageInput) { in.MessageAttributes = attributes })
	held := e.receiveOne(source)
	e.send(source, "visible")
	e.send(source, "delayed", func(in *sqs.SendMessageInput) { in.DelaySeconds = 60 })
	for _, body := range []string{"1", "2"} {
		e.send(fifo, body, inGroup("g", ""))
	}
	if _, err := e.client.TagQueue(e.ctx, &sqs.TagQueueInput{QueueUrl: aws.String(source), Tags: map[string]string{"a": "b"}}); err != nil {
		t.Fatal(err)
	}
	want := e.attributes(dead)
	wantMessages := e.server.Messages(nameOf(source))

	e.clock.Advance(10 * time.Second)
	e = e.restart()
	if diff := cmp.Diff(want, e.attributes(dead)); diff != "" {
		t.Errorf("queue (-want +got):\n%s", diff)
	}
	// What was in flight comes back visible, still received once.
	wantMessages[0].State, wantMessages[0].Due = sqstest.Visible, time.Time{}
	if diff := cmp.Diff(wantMessages, e.server.Messages(nameOf(source))); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	got := e.receive(source)
	if diff := cmp.Diff([]string{"in flight", "visible"}, bodies(got)); diff != "" {
		t.Fatal(diff)
	}
	if got[0].Attributes["ApproximateReceiveCount"] != "2" || *got[0].MessageId != *held.MessageId {
		t.Errorf("attributes are %v", got[0].Attributes)
	}
	if diff := cmp.Diff(attributes, got[0].MessageAttributes, ignoreSerde); diff != "" {
		t.Error(diff)
	}
	if *got[0].ReceiptHandle == *held.ReceiptHandle {
		t.Error("a receipt handle was given out twice")
	}
	e.delete(source, held) // its handle is known, and no longer the latest
	if stats := e.server.Stats(nameOf(source)); stats.InFlight != 2 {
		t.Errorf("stats are %+v", stats)
	}
	// Its second receive was its last one.
	if err := e.changeVisibility(source, got[0], 0); err != nil {
		t.Fatal(err)
	}
	e.wantNone(source)
	e.receiveOne(dead)
	e.clock.Advance(50 * time.Second)
	if m := e.receiveOne(source); *m.Body != "delayed" {
		t.Errorf("received %q", *m.Body)
	}
	if diff := cmp.Diff([]string{"1", "2"}, bodies(e.receive(fifo))); diff != "" {
		t.Error(diff)
	}
	e.send(fifo, "1", inGroup("g", "")) // a duplicate over the restart
	if stats := e.server.Stats(nameOf(fifo)); stats.Visible != 0 || stats.InFlight != 2 {
		t.Errorf("stats are %+v", stats)
	}
}

func TestLoadIsAllOrNothing(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	e.send(url, "x")
	e.send(url, "y")
	var buffer bytes.Buffer
	if err := e.server.Save(&buffer); err != nil {
		t.Fatal(err)
	}
	saved := buffer.String()
	lines := strings.SplitAfter(saved, "\n")
	for title, broken := range map[string]string{
		"empty":           "",
		"cut short":       lines[0] + lines[1],
		"in the middle":   saved[:len(saved)/2],
		"without message": lines[0] + lines[1] + lines[3],
		"twice the same":  lines[0] + lines[1] + lines[1] + lines[3],
		"other format":    strings.Replace(saved, "sqstest/1", "sqstest/9", 1),
	} {
		server, err := sqstest.New(sqstest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Load(strings.NewReader(broken)); err == nil {
			t.Errorf("%s: accepted", title)
		}
		if got := server.Queues(); len(got) != 0 {
			t.Errorf("%s: left queues %v", title, got)
		}
	}
	if err := e.server.Load(strings.NewReader(saved)); !errors.Is(err, sqstest.ErrNotEmpty) {
		t.Errorf("error is %v", err)
	}
}

func TestApplyProductionQueues(t *testing.T) {
	e := ownEnv(t)
	for range 2 { // the second time changes nothing
		if err := e.server.ApplyProductionQueues("messages", "retry", "dead"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"dead", "messages", "retry"}, e.server.Queues()); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"messages", "retry", "dead"} {
		got := e.attributes(e.server.URL + "/000000000000/" + name)
		if got["VisibilityTimeout"] != "300" || got["MessageRetentionPeriod"] != "1209600" {
			t.Errorf("%s has %v", name, got)
		}
		want := ""
		if name != "dead" {
			want = redrivePolicy(e.server.QueueARN("dead"), 3)
		}
		if got["RedrivePolicy"] != want {
			t.Errorf("RedrivePolicy of %s is %s, want %s", name, got["RedrivePolicy"], want)
		}
	}
	if err := e.server.CreateQueue("other", map[string]string{"VisibilityTimeout": "7"}); err != nil {
		t.Fatal(err)
	}
	if err := e.server.ApplyProductionQueues("other", "", "dead"); err != nil {
		t.Fatal(err)
	}
	if got := e.attributes(e.server.URL + "/000000000000/other")["VisibilityTimeout"]; got != "300" {
		t.Errorf("VisibilityTimeout is %s", got)
	}
	if err := e.server.CreateQueue("other", map[string]string{"VisibilityTimeout": "7"}); err == nil {
		t.Error("a queue with other attributes was accepted")
	}
}
