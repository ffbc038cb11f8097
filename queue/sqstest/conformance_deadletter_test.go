package sqstest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
)

// deadLetterPair makes a queue whose messages go to another after maxReceives.
func (e *env) deadLetterPair(maxReceives int, suffix string, attributes map[string]string) (source, dead string) {
	e.t.Helper()
	own := map[string]string{}
	for k, v := range attributes {
		own[k] = v
	}
	dead = e.queue("dead"+suffix, attributes)
	own["RedrivePolicy"] = redrivePolicy(e.arn(dead), maxReceives)
	return e.queue("source"+suffix, own), dead
}

// giveUp receives a message until it is a dead letter.
func (e *env) giveUp(source string, maxReceives int) types.Message {
	e.t.Helper()
	var last types.Message
	for n := 1; n <= maxReceives; n++ {
		last = e.receiveOne(source)
		if got := last.Attributes["ApproximateReceiveCount"]; got != fmt.Sprint(n) {
			e.t.Fatalf("ApproximateReceiveCount is %s, want %d", got, n)
		}
		if err := e.changeVisibility(source, last, 0); err != nil {
			e.t.Fatal(err)
		}
	}
	e.wantNone(source)
	return last
}

func TestDeadLetters(t *testing.T) {
	e := newEnv(t)
	source, dead := e.deadLetterPair(3, "", nil)
	sent := e.send(source, "poison", func(in *sqs.SendMessageInput) {
		in.MessageAttributes = map[string]types.MessageAttributeValue{"userId": text("creator-7")}
	})
	before := e.giveUp(source, 3)
	e.pass(time.Minute)
	m := e.receiveOne(dead)
	if *m.MessageId != *sent.MessageId {
		t.Errorf("MessageId is %s, want %s", *m.MessageId, *sent.MessageId)
	}
	if got, want := m.Attributes["SentTimestamp"], before.Attributes["SentTimestamp"]; got != want {
		t.Errorf("SentTimestamp is %s, want %s", got, want)
	}
	if got, want := m.Attributes["DeadLetterQueueSourceArn"], e.arn(source); got != want {
		t.Errorf("DeadLetterQueueSourceArn is %q, want %q", got, want)
	}
	if got := m.Attributes["ApproximateReceiveCount"]; got != "4" {
		t.Errorf("ApproximateReceiveCount is %s, want 4: it counts over all queues", got)
	}
	if diff := cmp.Diff(map[string]types.MessageAttributeValue{"userId": text("creator-7")}, m.MessageAttributes, ignoreSerde); diff != "" {
		t.Error(diff)
	}
}

func TestDeadLettersWakeAPoll(t *testing.T) {
	e := newEnv(t)
	source, dead := e.deadLetterPair(1, "", nil)
	e.send(source, "poison")
	poll := e.poll(dead)
	e.awaitPollers(dead, 1)
	e.giveUp(source, 1)
	if got := <-poll; got.err != nil || len(got.messages) != 1 {
		t.Errorf("poll returned %v, %v", bodies(got.messages), got.err)
	}
}

func TestListDeadLetterSourceQueues(t *testing.T) {
	e := newEnv(t)
	source, dead := e.deadLetterPair(3, "", nil)
	out, err := e.client.ListDeadLetterSourceQueues(e.ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: aws.String(dead)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{source}, out.QueueUrls); diff != "" {
		t.Error(diff)
	}
	out, err = e.client.ListDeadLetterSourceQueues(e.ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: aws.String(source)})
	if err != nil || len(out.QueueUrls) != 0 {
		t.Errorf("sources of a source: %v, %v", out, err)
	}
}

func TestRedrivePolicyRefused(t *testing.T) {
	e := newEnv(t)
	dead := e.queue("dead", map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"denyAll"}`})
	open := e.queue("open", nil)
	fifo := e.queue("dead.fifo", fifoAttributes())
	arn := e.arn(open)
	missing := arn[:strings.LastIndex(arn, ":")+1] + e.name("missing")
	for title, policy := range map[string]string{
		"unknown queue":      redrivePolicy(missing, 3),
		"not allowed":        redrivePolicy(e.arn(dead), 3),
		"other type":         redrivePolicy(e.arn(fifo), 3),
		"count out of range": redrivePolicy(arn, 1001),
	} {
		_, err := e.client.CreateQueue(e.ctx, &sqs.CreateQueueInput{QueueName: aws.String(e.name("source")), Attributes: map[string]string{"RedrivePolicy": policy}})
		if err == nil {
			t.Errorf("%s: accepted", title)
			continue
		}
		wantCode(t, err, "InvalidParameterValue")
	}
	// The count may also be text, and the policy can be taken away again.
	url := e.queue("source", map[string]string{"RedrivePolicy": fmt.Sprintf(`{"maxReceiveCount":"5","deadLetterTargetArn":%q}`, arn)})
	if got, want := e.attributes(url)["RedrivePolicy"], redrivePolicy(arn, 5); got != want {
		t.Errorf("RedrivePolicy is %s, want %s", got, want)
	}
	_, err := e.client.SetQueueAttributes(e.ctx, &sqs.SetQueueAttributesInput{QueueUrl: aws.String(url), Attributes: map[string]string{"RedrivePolicy": ""}})
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := e.attributes(url)["RedrivePolicy"]; ok {
		t.Errorf("RedrivePolicy is still %s", got)
	}
}

func TestMessageMoveTaskToTheSource(t *testing.T) {
	e := newEnv(t)
	source, dead := e.deadLetterPair(1, "", nil)
	e.send(source, "poison")
	old := e.giveUp(source, 1)
	arn := e.arn(dead)
	started, err := e.client.StartMessageMoveTask(e.ctx, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn)})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(started.TaskHandle) == "" {
		t.Error("no TaskHandle")
	}
	m := e.receiveOne(source)
	if *m.Body != "poison" || *m.MessageId == *old.MessageId {
		t.Errorf("received %q with the id %s; want a new id", *m.Body, *m.MessageId)
	}
	if got := m.Attributes["ApproximateReceiveCount"]; got != "1" {
		t.Errorf("ApproximateReceiveCount is %s, want 1", got)
	}
	var last types.ListMessageMoveTasksResultEntry
	for last.Status == nil || *last.Status == "RUNNING" {
		list, err := e.client.ListMessageMoveTasks(e.ctx, &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(arn)})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Results) != 1 {
			t.Fatalf("%d tasks, want 1", len(list.Results))
		}
		last = list.Results[0]
	}
	if *last.Status != "COMPLETED" || last.ApproximateNumberOfMessagesMoved != 1 || aws.ToInt64(last.ApproximateNumberOfMessagesToMove) != 1 {
		t.Errorf("task is %s, moved %d of %d", *last.Status, last.ApproximateNumberOfMessagesMoved, aws.ToInt64(last.ApproximateNumberOfMessagesToMove))
	}
	if last.TaskHandle != nil || last.DestinationArn != nil {
		t.Error("a task that is done has no handle, and this one no destination of its own")
	}
}

func TestMessageMoveTaskRefused(t *testing.T) {
	e := newEnv(t)
	source, dead := e.deadLetterPair(1, "", nil)
	start := func(source, destination string) error {
		in := &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(source)}
		if destination != "" {
			in.DestinationArn = aws.String(destination)
		}
		_, err := e.client.StartMessageMoveTask(e.ctx, in)
		return err
	}
	wantCode(t, start(e.arn(source), ""), "InvalidParameterValue") // no dead-letter queue
	wantTyped[*types.ResourceNotFoundException](t, start(e.arn(dead)+"-missing", ""))
	wantTyped[*types.ResourceNotFoundException](t, start(e.arn(dead), e.arn(dead)+"-missing"))
	_, err := e.client.ListMessageMoveTasks(e.ctx, &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(e.arn(dead) + "-missing")})
	wantTyped[*types.ResourceNotFoundException](t, err)
	_, err = e.client.CancelMessageMoveTask(e.ctx, &sqs.CancelMessageMoveTaskInput{TaskHandle: aws.String("garbage")})
	if err == nil {
		t.Error("an unknown task was cancelled")
	}
}

func TestMessageMoveTaskRateAndCancel(t *testing.T) {
	e := ownEnv(t)
	source, dead := e.deadLetterPair(1, "", nil)
	other := e.queue("other", nil)
	for range 5 {
		e.send(source, "poison")
	}
	e.receive(source, visibleAfter(1))
	e.clock.Advance(time.Second)
	e.wantNone(source)

	arn := aws.String(e.arn(dead))
	in := &sqs.StartMessageMoveTaskInput{SourceArn: arn, DestinationArn: aws.String(e.arn(other)), MaxNumberOfMessagesPerSecond: aws.Int32(2)}
	task, err := e.client.StartMessageMoveTask(e.ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.server.Stats(nameOf(other)).Visible; got != 2 {
		t.Errorf("%d moved in the first second, want 2", got)
	}
	_, err = e.client.StartMessageMoveTask(e.ctx, in)
	wantCode(t, err, "InvalidParameterValue") // one at a time
	e.clock.Advance(time.Second)
	if got := e.server.Stats(nameOf(other)).Visible; got != 4 {
		t.Errorf("%d moved in two seconds, want 4", got)
	}
	list, err := e.client.ListMessageMoveTasks(e.ctx, &sqs.ListMessageMoveTasksInput{SourceArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	if got := list.Results[0]; *got.Status != "RUNNING" || *got.TaskHandle != *task.TaskHandle || *got.MaxNumberOfMessagesPerSecond != 2 {
		t.Errorf("task is %+v", got)
	}
	cancelled, err := e.client.CancelMessageMoveTask(e.ctx, &sqs.CancelMessageMoveTaskInput{TaskHandle: task.TaskHandle})
	if err != nil {
		t.Fatal(err)
	}
	if cancelled.ApproximateNumberOfMessagesMoved != 4 {
		t.Errorf("moved %d, want 4", cancelled.ApproximateNumberOfMessagesMoved)
	}
	e.clock.Advance(time.Hour)
	if got := e.server.Stats(nameOf(dead)).Visible; got != 1 {
		t.Errorf("%d left, want 1", got)
	}
	_, err = e.client.CancelMessageMoveTask(e.ctx, &sqs.CancelMessageMoveTaskInput{TaskHandle: task.TaskHandle})
	wantCode(t, err, "InvalidParameterValue")
}

func TestMessageMoveTaskFailsWithoutSource(t *testing.T) {
	e := ownEnv(t)
	_, dead := e.deadLetterPair(1, "", nil)
	e.send(dead, "sent here by hand")
	arn := aws.String(e.arn(dead))
	if _, err := e.client.StartMessageMoveTask(e.ctx, &sqs.StartMessageMoveTaskInput{SourceArn: arn}); err != nil {
		t.Fatal(err)
	}
	list, err := e.client.ListMessageMoveTasks(e.ctx, &sqs.ListMessageMoveTasksInput{SourceArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	if got := list.Results[0]; *got.Status != "FAILED" || aws.ToString(got.FailureReason) != "CouldNotDetermineMessageSource" {
		t.Errorf("task is %s: %s", *got.Status, aws.ToString(got.FailureReason))
	}
}

func TestFIFODeadLetters(t *testing.T) {
	e := newEnv(t)
	source, dead := e.deadLetterPair(1, ".fifo", fifoAttributes())
	e.send(source, "poison", inGroup("g", "1"))
	e.send(source, "next", inGroup("g", "2"))
	one := func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 1 }
	first := e.receiveOne(source, one)
	if err := e.changeVisibility(source, first, 0); err != nil {
		t.Fatal(err)
	}
	// The poison no longer holds up its group.
	if m := e.receiveOne(source); *m.Body != "next" {
		t.Errorf("received %q", *m.Body)
	}
	m := e.receiveOne(dead)
	if *m.MessageId != *first.MessageId || m.Attributes["MessageGroupId"] != "g" || m.Attributes["SequenceNumber"] == "" {
		t.Errorf("dead letter is %+v", m.Attributes)
	}
}

func TestFIFOMessageMoveTask(t *testing.T) {
	e := newEnv(t)
	source, dead := e.deadLetterPair(1, ".fifo", fifoAttributes())
	for _, body := range []string{"1", "2", "3"} {
		e.send(source, body, inGroup("g", body))
	}
	for _, m := range e.receive(source) {
		if err := e.changeVisibility(source, m, 0); err != nil {
			t.Fatal(err)
		}
	}
	e.wantNone(source)
	if _, err := e.client.StartMessageMoveTask(e.ctx, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(e.arn(dead))}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1", "2", "3"}, bodies(e.receiveN(source, 3))); diff != "" {
		t.Error(diff)
	}
}

func TestRedriveAllowPolicy(t *testing.T) {
	e := newEnv(t)
	dead := e.queue("dead", nil)
	deadARN := e.arn(dead)
	sourceARN := deadARN[:strings.LastIndex(deadARN, ":")+1] + e.name("source")
	set := func(policy string) error {
		_, err := e.client.SetQueueAttributes(e.ctx, &sqs.SetQueueAttributesInput{
			QueueUrl: aws.String(dead), Attributes: map[string]string{"RedriveAllowPolicy": policy},
		})
		return err
	}
	wantCode(t, set(`{"redrivePermission":"byQueue"}`), "InvalidParameterValue")
	wantCode(t, set(fmt.Sprintf(`{"redrivePermission":"allowAll","sourceQueueArns":[%q]}`, sourceARN)), "InvalidParameterValue")
	wantCode(t, set(`{"redrivePermission":"nobody"}`), "InvalidAttributeValue")
	wantCode(t, set(`{`), "InvalidAttributeValue")
	if err := set(fmt.Sprintf(`{"redrivePermission":"byQueue","sourceQueueArns":[%q]}`, sourceARN)); err != nil {
		t.Fatal(err)
	}
	e.queue("source", map[string]string{"RedrivePolicy": redrivePolicy(deadARN, 3)})
	_, err := e.client.CreateQueue(e.ctx, &sqs.CreateQueueInput{
		QueueName: aws.String(e.name("stranger")), Attributes: map[string]string{"RedrivePolicy": redrivePolicy(deadARN, 3)},
	})
	wantCode(t, err, "InvalidParameterValue")
	if err := set(""); err != nil {
		t.Fatal(err)
	}
	if got, ok := e.attributes(dead)["RedriveAllowPolicy"]; ok {
		t.Errorf("RedriveAllowPolicy is still %s", got)
	}
}
