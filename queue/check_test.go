package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/huntaze/hybrid-orchestrator/queue"
)

func TestCheckQueues(t *testing.T) {
	t.Parallel()
	policy := func(w *world, target string, receives any) string {
		return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%v}`, w.server.QueueARN(target), receives)
	}
	tests := []struct {
		name   string
		change func(*world)
		want   []string // "severity queue: part of the text"
	}{
		{"production", func(*world) {}, nil},
		{"short visibility", func(w *world) {
			w.setAttributes(mainQueue, map[string]string{"VisibilityTimeout": "30"})
		}, []string{"error messages: visibility timeout is 30s"}},
		{"another visibility", func(w *world) {
			w.setAttributes(retryQueue, map[string]string{"VisibilityTimeout": "120"})
		}, []string{"info retry: the contract says 5m0s"}},
		{"no redrive policy", func(w *world) {
			w.setAttributes(mainQueue, map[string]string{"RedrivePolicy": ""})
		}, []string{"error messages: no redrive policy"}},
		{"few receives", func(w *world) {
			w.setAttributes(mainQueue, map[string]string{"RedrivePolicy": policy(w, deadQueue, 2)})
		}, []string{"warning messages: maxReceiveCount is 2"}},
		{"receives as text", func(w *world) {
			w.setAttributes(mainQueue, map[string]string{"RedrivePolicy": policy(w, deadQueue, `"5"`)})
		}, nil},
		{"another dead-letter queue", func(w *world) {
			if err := w.server.CreateQueue("elsewhere", nil); err != nil {
				w.t.Fatal(err)
			}
			w.setAttributes(mainQueue, map[string]string{"RedrivePolicy": policy(w, "elsewhere", 3)})
		}, []string{"warning messages: another dead-letter queue"}},
		{"short retention", func(w *world) {
			w.setAttributes(deadQueue, map[string]string{"MessageRetentionPeriod": "345600"})
		}, []string{"warning dead: messages does so for 336h0m0s", "warning dead: retry does so"}},
		{"dead-letter queue missing", func(w *world) { w.config.DeadLetterQueue = "nowhere" }, []string{"error nowhere: does not exist"}},
		{"no dead-letter queue", func(w *world) { w.config.DeadLetterQueue = "" }, []string{"warning messages: no dead-letter queue is named"}},
		{"retry queue missing", func(w *world) { w.config.RetryQueue = "nowhere" }, []string{"error nowhere: retry queue does not exist"}},
		{"retry queue is the queue", func(w *world) { w.config.RetryQueue = mainQueue }, []string{"warning messages: is also the retry queue"}},
		{"FIFO dead letters of a standard queue", func(w *world) {
			if err := w.server.CreateQueue("dead.fifo", map[string]string{"FifoQueue": "true", "MessageRetentionPeriod": "1209600"}); err != nil {
				w.t.Fatal(err)
			}
			w.config.DeadLetterQueue, w.config.RetryQueue = "dead.fifo", ""
		}, []string{"warning dead.fifo: is FIFO", "warning messages: another dead-letter queue"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.config.RetryQueue = retryQueue
			test.change(w)
			findings, err := queue.CheckQueues(t.Context(), w.api, w.config)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range findings {
				if f.Remedy == "" {
					t.Errorf("no remedy: %+v", f)
				}
				got = append(got, fmt.Sprintf("%s %s: %s", f.Severity, f.Queue, f.Text))
			}
			if len(got) != len(test.want) {
				t.Fatalf("findings %q, want %q", got, test.want)
			}
			for _, want := range test.want {
				head, part, _ := strings.Cut(want, ": ")
				if !slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, head+": ") && strings.Contains(g, part) }) {
					t.Errorf("findings %q, want %q", got, want)
				}
			}
		})
	}
}

func TestCheckQueuesByURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.Queue, w.config.DeadLetterQueue = w.url(mainQueue), w.url(deadQueue)
	if findings, err := queue.CheckQueues(t.Context(), w.api, w.config); err != nil || len(findings) > 0 {
		t.Errorf("%v, %v", findings, err)
	}
}

// A role that may read messages but not settings can still work.
func TestSettingsThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.DeadLetterQueue = ""
	api := &hooks{API: w.api, attributes: func(context.Context, *sqs.GetQueueAttributesInput) (*sqs.GetQueueAttributesOutput, error) {
		return nil, &smithy.GenericAPIError{Code: "AccessDenied", Message: "not allowed"}
	}}
	findings, err := queue.CheckQueues(t.Context(), api, w.config)
	if err != nil || len(findings) != 2 || !strings.Contains(findings[1].Text, "can't be read") {
		t.Errorf("%v, %v", findings, err)
	}
	api.attributes = func(context.Context, *sqs.GetQueueAttributesInput) (*sqs.GetQueueAttributesOutput, error) {
		return nil, errors.New("connection refused")
	}
	if _, err := queue.CheckQueues(t.Context(), api, w.config); err == nil {
		t.Error("an endpoint that can't be reached is no error")
	}
}
