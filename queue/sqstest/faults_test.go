package sqstest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

func (e *env) setFaults(f sqstest.Faults) {
	e.t.Helper()
	if err := e.server.SetFaults(f); err != nil {
		e.t.Fatal(err)
	}
}

// patient is a client that does not retry, so that faults can be counted.
func (e *env) patient() *sqs.Client {
	return e.server.Client(func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
}

func TestFaultDuplicate(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	e.setFaults(sqstest.Faults{Seed: 1, Duplicate: sqstest.Rate{Every: 1}})
	for i := range 20 {
		e.send(url, fmt.Sprint(i))
	}
	deliveries := map[string]int{}
	handles := map[string][]types.Message{}
	for {
		got := e.receive(url, noWait)
		if len(got) == 0 {
			break
		}
		for _, m := range got {
			deliveries[*m.Body]++
			handles[*m.Body] = append(handles[*m.Body], m)
		}
	}
	for i := range 20 {
		body := fmt.Sprint(i)
		if deliveries[body] != 2 {
			t.Errorf("message %s was delivered %d times, want 2", body, deliveries[body])
			continue
		}
		if *handles[body][0].ReceiptHandle == *handles[body][1].ReceiptHandle {
			t.Errorf("message %s came twice with one handle", body)
		}
		e.delete(url, handles[body][i%2]) // either handle deletes it
	}
	if stats := e.server.Stats(nameOf(url)); stats.InFlight != 0 || stats.Deleted != 20 {
		t.Errorf("stats are %+v", stats)
	}
	if _, counts := e.server.Faults(); counts.Duplicate != 20 {
		t.Errorf("counts are %+v", counts)
	}
}

func TestFaultDuplicateDoesNotMakeDeadLetters(t *testing.T) {
	e := ownEnv(t)
	source, dead := e.deadLetterPair(2, "", nil)
	e.setFaults(sqstest.Faults{Duplicate: sqstest.Rate{Every: 1}})
	e.send(source, "x")
	for range 2 {
		var last types.Message
		for got := e.receive(source, noWait); len(got) > 0; got = e.receive(source, noWait) {
			last = got[len(got)-1]
		}
		if err := e.changeVisibility(source, last, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := e.server.Stats(nameOf(dead)).Visible; got != 0 {
		t.Error("a duplicate counted as a receive")
	}
	e.wantNone(source)
	if got := e.server.Stats(nameOf(dead)).Visible; got != 1 {
		t.Errorf("%d dead letters, want 1", got)
	}
}

func TestFaultReorder(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	e.setFaults(sqstest.Faults{Seed: 7, Reorder: sqstest.Rate{Probability: 1}})
	var sent, got []string
	for i := range 30 {
		sent = append(sent, fmt.Sprintf("%02d", i))
		e.send(url, sent[i])
	}
	for len(got) < len(sent) {
		got = append(got, bodies(e.receive(url))...)
	}
	if slices.Equal(sent, got) {
		t.Error("the order did not change")
	}
	slices.Sort(got)
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Error(diff)
	}
}

func TestFaultRedeliverAfterDelete(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	e.setFaults(sqstest.Faults{RedeliverAfterDelete: sqstest.Rate{Every: 1}})
	e.send(url, "x")
	first := e.receiveOne(url)
	e.delete(url, first)
	again := e.receiveOne(url)
	if *again.MessageId != *first.MessageId || *again.ReceiptHandle == *first.ReceiptHandle {
		t.Error("want the same message with another handle")
	}
	e.delete(url, again)
	e.wantNone(url)
}

func TestFaultFail(t *testing.T) {
	e := ownEnv(t)
	url, other := e.queue("q", nil), e.queue("other", nil)
	client := e.patient()
	receive := func(url string) error {
		_, err := client.ReceiveMessage(e.ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(url)})
		return err
	}
	e.setFaults(sqstest.Faults{
		Queues: []string{nameOf(url)},
		Fail:   []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 2}, Actions: []string{"ReceiveMessage"}, Error: "RequestThrottled"}},
	})
	if err := receive(url); err != nil {
		t.Fatal(err)
	}
	wantTyped[*types.RequestThrottled](t, receive(url))
	for range 4 {
		if err := receive(other); err != nil {
			t.Errorf("another queue: %v", err)
		}
	}
	e.send(url, "another action")

	e.setFaults(sqstest.Faults{Fail: []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 1, Times: 1}}}})
	err := receive(url)
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "InternalFailure" || api.ErrorFault() != smithy.FaultServer {
		t.Errorf("error is %v", err)
	}
	if err := receive(url); err != nil {
		t.Errorf("after the only time: %v", err)
	}

	// The SDK's own retries overcome it.
	e.setFaults(sqstest.Faults{Fail: []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 1, Times: 1}, Error: "ServiceUnavailable"}}})
	e.send(url, "x")
}

func TestFaultPartialBatch(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	e.setFaults(sqstest.Faults{PartialBatch: []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 2}, Actions: []string{"SendMessageBatch"}}}})
	out, err := e.client.SendMessageBatch(e.ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(url), Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("a"), MessageBody: aws.String("a")}, {Id: aws.String("b"), MessageBody: aws.String("b")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Failed) != 1 || *out.Failed[0].Id != "b" || out.Failed[0].SenderFault {
		t.Errorf("failed: %+v", out.Failed)
	}
	if got := e.server.Stats(nameOf(url)).Visible; got != 1 {
		t.Errorf("%d messages, want 1", got)
	}
}

func TestFaultDropReply(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	e.setFaults(sqstest.Faults{DropReply: []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 1, Times: 1}, Actions: []string{"SendMessage"}}}})
	_, err := e.patient().SendMessage(e.ctx, &sqs.SendMessageInput{QueueUrl: aws.String(url), MessageBody: aws.String("x")})
	if err == nil {
		t.Fatal("the reply arrived")
	}
	if got := e.server.Stats(nameOf(url)).Visible; got != 1 {
		t.Errorf("%d messages, want 1: the send was done", got)
	}
}

func TestFaultsAreChecked(t *testing.T) {
	t.Parallel()
	for title, f := range map[string]sqstest.Faults{
		"action":      {Fail: []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 1}, Actions: []string{"Receive"}}}},
		"error":       {Fail: []sqstest.ActionFault{{Rate: sqstest.Rate{Every: 1}, Error: "Oops"}}},
		"probability": {Reorder: sqstest.Rate{Probability: 1.5}},
	} {
		if _, err := sqstest.New(sqstest.Options{Faults: f}); err == nil {
			t.Errorf("unknown %s was accepted", title)
		}
	}
}

func TestAdministrationOverHTTP(t *testing.T) {
	e := ownEnv(t)
	url := e.queue("q", nil)
	e.send(url, "hello")
	do := func(method, path, body string, into any) int {
		t.Helper()
		req, err := http.NewRequestWithContext(e.ctx, method, e.server.URL+path, bytes.NewBufferString(body))
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if into != nil {
			if err := json.Unmarshal(b, into); err != nil {
				t.Fatalf("%s: %v", b, err)
			}
		}
		return resp.StatusCode
	}
	if got := do("GET", "/health", "", nil); got != http.StatusOK {
		t.Errorf("health is %d", got)
	}
	var faults struct {
		Faults sqstest.Faults
		Counts sqstest.FaultCounts
	}
	if got := do("PUT", "/_sqstest/faults", `{"seed":3,"fail":[{"actions":["ReceiveMessage"],"every":1,"error":"ServiceUnavailable"}]}`, &faults); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	_, err := e.patient().ReceiveMessage(e.ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(url)})
	wantCode(t, err, "ServiceUnavailable")
	do("GET", "/_sqstest/faults", "", &faults)
	if faults.Counts.Fail != 1 || faults.Faults.Seed != 3 || faults.Faults.Fail[0].Every != 1 {
		t.Errorf("faults are %+v", faults)
	}
	if got := do("DELETE", "/_sqstest/faults", "", nil); got != http.StatusOK {
		t.Errorf("status %d", got)
	}
	for _, body := range []string{"{", `{"sead":1}`, `{"fail":[{"every":1,"error":"Oops"}]}`} {
		if got := do("PUT", "/_sqstest/faults", body, nil); got != http.StatusBadRequest {
			t.Errorf("%s: status %d", body, got)
		}
	}

	var stats sqstest.Stats
	do("GET", "/_sqstest/stats?queue="+nameOf(url), "", &stats)
	if diff := cmp.Diff(sqstest.Stats{Visible: 1, Sent: 1}, stats); diff != "" {
		t.Error(diff)
	}
	var all map[string]sqstest.Stats
	do("GET", "/_sqstest/stats", "", &all)
	if all[nameOf(url)] != stats {
		t.Errorf("all stats are %+v", all)
	}
	var messages []sqstest.Message
	do("GET", "/_sqstest/messages?queue="+nameOf(url), "", &messages)
	if len(messages) != 1 || messages[0].Body != "hello" || messages[0].State != sqstest.Visible || messages[0].ReceiveCount != 0 {
		t.Errorf("messages are %+v", messages)
	}
	if got := do("GET", "/_sqstest/other", "", nil); got != http.StatusNotFound {
		t.Errorf("status %d", got)
	}
	e.receiveOne(url)
	if got := e.server.Messages(nameOf(url))[0]; got.State != sqstest.InFlight || !got.Due.Equal(e.clock.Now().Add(30*time.Second)) {
		t.Errorf("message is %+v", got)
	}
}
