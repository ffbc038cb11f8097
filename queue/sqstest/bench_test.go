package sqstest_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

const (
	benchmarkClients = 8
	benchmarkBody    = 512 // bytes
)

// BenchmarkSend sends batches of ten with the SDK, over HTTP on loopback; the
// client takes its share of the same processors.
func BenchmarkSend(b *testing.B) {
	server := sqstest.StartTB(b, sqstest.Options{})
	client, url := server.Client(), benchmarkQueue(b, server)
	b.ResetTimer()
	sendAll(b, client, url, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkReceiveDelete receives and deletes in batches of ten.
func BenchmarkReceiveDelete(b *testing.B) {
	server := sqstest.StartTB(b, sqstest.Options{})
	client, url := server.Client(), benchmarkQueue(b, server)
	sendAll(b, client, url, b.N)
	b.ResetTimer()
	receiveAll(b, client, url, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkReceiveDeleteFromBacklog does so with 100,000 other messages in the
// queue: the work per message must not depend on them.
func BenchmarkReceiveDeleteFromBacklog(b *testing.B) {
	server := sqstest.StartTB(b, sqstest.Options{})
	client, url := server.Client(), benchmarkQueue(b, server)
	sendAll(b, client, url, b.N+100_000)
	b.ResetTimer()
	receiveAll(b, client, url, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func benchmarkQueue(b *testing.B, server *sqstest.Running) string {
	b.Helper()
	if err := server.CreateQueue("q", map[string]string{"VisibilityTimeout": "300"}); err != nil {
		b.Fatal(err)
	}
	return server.URL + "/000000000000/q"
}

func sendAll(b *testing.B, client *sqs.Client, url string, n int) {
	b.Helper()
	body := strings.Repeat("x", benchmarkBody)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range benchmarkClients {
		wg.Go(func() {
			for {
				left := n - int(next.Add(10)) + 10
				if left <= 0 {
					return
				}
				entries := make([]types.SendMessageBatchRequestEntry, min(left, 10))
				for i := range entries {
					entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(body)}
				}
				if _, err := client.SendMessageBatch(context.Background(), &sqs.SendMessageBatchInput{QueueUrl: aws.String(url), Entries: entries}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func receiveAll(b *testing.B, client *sqs.Client, url string, n int) {
	b.Helper()
	var deleted atomic.Int64
	var wg sync.WaitGroup
	for range benchmarkClients {
		wg.Go(func() {
			for deleted.Load() < int64(n) {
				in := receiveInput(url)
				in.WaitTimeSeconds = 0
				out, err := client.ReceiveMessage(context.Background(), in)
				if err != nil {
					b.Error(err)
					return
				}
				if len(out.Messages) == 0 {
					return
				}
				entries := make([]types.DeleteMessageBatchRequestEntry, len(out.Messages))
				for i, m := range out.Messages {
					entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), ReceiptHandle: m.ReceiptHandle}
				}
				if _, err := client.DeleteMessageBatch(context.Background(), &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(url), Entries: entries}); err != nil {
					b.Error(err)
					return
				}
				deleted.Add(int64(len(entries)))
			}
		})
	}
	wg.Wait()
}
