package sqstest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

func TestPollWakesWhenAMessageBecomesVisible(t *testing.T) {
	for title, hide := range map[string]func(e *env, url string){
		"undelayed": func(e *env, url string) {
			e.send(url, "x", func(in *sqs.SendMessageInput) { in.DelaySeconds = 10 })
		},
		"visibility timeout": func(e *env, url string) {
			e.send(url, "x")
			e.receiveOne(url, visibleAfter(10))
		},
	} {
		t.Run(title, func(t *testing.T) {
			e := ownEnv(t)
			url := e.queue("q", nil)
			hide(e, url)
			start := e.clock.Now()
			poll := e.poll(url)
			e.awaitPollers(url, 1)
			e.clock.Advance(10*time.Second - time.Millisecond)
			if got := e.server.Stats(nameOf(url)).Pollers; got != 1 {
				t.Fatalf("%d polls wait, want 1", got)
			}
			// It is handed over at its own instant, wherever the clock goes.
			e.clock.Advance(5 * time.Second)
			got := <-poll
			if got.err != nil || len(got.messages) != 1 {
				t.Fatalf("poll returned %v, %v", bodies(got.messages), got.err)
			}
			due := e.server.Messages(nameOf(url))[0].Due
			if want := start.Add(10 * time.Second).Add(30 * time.Second); !due.Equal(want) {
				t.Errorf("visibility timeout ends at %v, want %v", due, want)
			}
		})
	}
}

func TestPollWakesWhenVisibilityIsShortened(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	e.send(url, "x")
	m := e.receiveOne(url)
	poll := e.poll(url)
	e.awaitPollers(url, 1)
	if err := e.changeVisibility(url, m, 5); err != nil {
		t.Fatal(err)
	}
	e.clock.Advance(5 * time.Second)
	if got := <-poll; got.err != nil || len(got.messages) != 1 {
		t.Errorf("poll returned %v, %v", bodies(got.messages), got.err)
	}
}

func TestPollEndsEmpty(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	poll := e.poll(url)
	e.awaitPollers(url, 1)
	e.clock.Advance(20 * time.Second)
	if got := <-poll; got.err != nil || len(got.messages) != 0 {
		t.Errorf("poll returned %v, %v", bodies(got.messages), got.err)
	}
}

func TestPollsAreServedInOrder(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	var polls []<-chan pollResult
	for i := range 3 {
		polls = append(polls, e.poll(url))
		e.awaitPollers(url, i+1)
	}
	for i, poll := range polls {
		body := fmt.Sprint(i)
		e.send(url, body)
		if got := <-poll; got.err != nil || len(got.messages) != 1 || *got.messages[0].Body != body {
			t.Errorf("poll %d returned %v, %v", i, bodies(got.messages), got.err)
		}
	}
}

func TestRetention(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", map[string]string{"MessageRetentionPeriod": "1209600"})
	const day = 24 * time.Hour
	e.send(url, "old")
	e.clock.Advance(13 * day)
	e.send(url, "young")
	held := e.receiveOne(url, func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 1; in.VisibilityTimeout = 43_200 })
	if *held.Body != "old" {
		t.Fatalf("received %q", *held.Body)
	}
	e.clock.Advance(day)
	stats := e.server.Stats(nameOf(url))
	if stats.Visible != 1 || stats.InFlight != 0 || stats.Expired != 1 {
		t.Errorf("stats are %+v: a message in flight expires too", stats)
	}
	e.delete(url, held) // of a message that is gone
}

func TestDeadLetterRetentionCountsFromTheFirstSend(t *testing.T) {
	e := ownEnv(t)
	source, dead := e.deadLetterPair(1, "", map[string]string{"MessageRetentionPeriod": "3600"})
	e.send(source, "x")
	e.clock.Advance(50 * time.Minute)
	e.giveUp(source, 1)
	if got := e.server.Stats(nameOf(dead)); got.Visible != 1 {
		t.Fatalf("stats are %+v", got)
	}
	e.clock.Advance(10 * time.Minute)
	if got := e.server.Stats(nameOf(dead)); got.Visible != 0 || got.Expired != 1 {
		t.Errorf("stats are %+v", got)
	}
}

func TestVisibilityCannotPassTwelveHours(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	e.send(url, "x")
	m := e.receiveOne(url, visibleAfter(43_200))
	e.clock.Advance(time.Hour)
	wantCode(t, e.changeVisibility(url, m, 43_200), "InvalidParameterValue")
	if err := e.changeVisibility(url, m, 11*3600); err != nil {
		t.Error(err)
	}
}

func TestOldHandleDeletesNothing(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", map[string]string{"VisibilityTimeout": "30"})
	e.send(url, "x")
	old := e.receiveOne(url)
	e.clock.Advance(30 * time.Second)
	latest := e.receiveOne(url)
	e.delete(url, old) // succeeds, as in SQS
	if got := e.server.Stats(nameOf(url)).InFlight; got != 1 {
		t.Fatalf("%d in flight, want 1", got)
	}
	e.clock.Advance(30 * time.Second)
	e.delete(url, latest) // visible again, but not received again
	e.wantNone(url)
}

func TestCooldowns(t *testing.T) {
	t.Parallel()
	clock := sqstest.NewManualClock(time.Time{})
	server := sqstest.StartTB(t, sqstest.Options{Clock: clock, Cooldowns: true})
	client := server.Client()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := server.CreateQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	url := aws.String(server.URL + "/000000000000/q")
	if _, err := client.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: url}); err != nil {
		t.Fatal(err)
	}
	_, err := client.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: url})
	wantCode(t, err, "AWS.SimpleQueueService.PurgeQueueInProgress")
	if _, err := client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: url}); err != nil {
		t.Fatal(err)
	}
	_, err = client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
	wantCode(t, err, "AWS.SimpleQueueService.QueueDeletedRecently")
	clock.Advance(time.Minute)
	if _, err = client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")}); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsPolls(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	poll := e.poll(url)
	e.awaitPollers(url, 1)
	e.server.Server.Close()
	if got := <-poll; got.err != nil || len(got.messages) != 0 {
		t.Errorf("poll returned %v, %v", bodies(got.messages), got.err)
	}
}

func TestManualClock(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := sqstest.NewManualClock(start)
	var order []string
	at := func(name string, d time.Duration) sqstest.Timer {
		return clock.AfterFunc(d, func() { order = append(order, fmt.Sprint(name, " ", clock.Now().Sub(start))) })
	}
	at("late", 3*time.Second)
	at("early", time.Second)
	stopped := at("stopped", 2*time.Second)
	clock.AfterFunc(time.Second, func() { at("nested", time.Second) })
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop must report true once")
	}
	clock.Advance(5 * time.Second)
	if diff := cmp.Diff([]string{"early 1s", "nested 2s", "late 3s"}, order); diff != "" {
		t.Error(diff)
	}
	if got := clock.Now().Sub(start); got != 5*time.Second {
		t.Errorf("clock stands at %v", got)
	}
}
