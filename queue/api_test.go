package queue_test

import (
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/huntaze/hybrid-orchestrator/queue"
)

// The SDK's way to write a request makes net/http drop connections, and with them answers that hold messages.
func TestClientKeepsItsConnections(t *testing.T) {
	t.Parallel()
	w := realWorld(t)
	var failed atomic.Int32
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
		if info.Err != nil {
			failed.Add(1)
		}
	}})
	for range 1000 {
		if _, err := w.api.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(mainQueue)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := failed.Load(); n > 0 {
		t.Errorf("the writing of %d of 1000 requests failed", n)
	}
}

func TestNewClient(t *testing.T) {
	w := realWorld(t)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	client, err := queue.NewClient(t.Context(), "", w.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(mainQueue)}); err != nil {
		t.Errorf("without credentials: %v", err)
	}
	if _, err := queue.NewClient(t.Context(), "", ""); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("no region: %v", err)
	}
	if _, err := queue.NewClient(t.Context(), "eu-west-1", ""); err != nil {
		t.Errorf("AWS itself: %v", err)
	}
}
