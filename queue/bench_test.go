package queue_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// nullStore takes everything and keeps nothing.
type nullStore struct {
	taken   atomic.Int64
	batches atomic.Int64
}

func (*nullStore) Ping(context.Context) error { return nil }

func (s *nullStore) Ingest(_ context.Context, batch []workflow.Delivery) ([]workflow.Intake, error) {
	s.taken.Add(int64(len(batch)))
	s.batches.Add(1)
	intakes := make([]workflow.Intake, len(batch))
	for i := range intakes {
		intakes[i].Outcome = workflow.IntakeAccepted
	}
	return intakes, nil
}

// BenchmarkBridge measures the way from a full queue through receive, decode, batch and delete, with SQS in the
// same process and a store that costs nothing: the most that the bridge can do on this machine.
func BenchmarkBridge(b *testing.B) {
	for _, pollers := range []int{4, 8} {
		b.Run(fmt.Sprintf("pollers=%d", pollers), func(b *testing.B) {
			server := sqstest.StartTB(b, sqstest.Options{})
			if err := server.ApplyProductionQueues(mainQueue, "", deadQueue); err != nil {
				b.Fatal(err)
			}
			client, err := queue.NewClient(b.Context(), "us-east-1", server.URL)
			if err != nil {
				b.Fatal(err)
			}
			var input strings.Builder
			for i := range b.N {
				fmt.Fprintf(&input, `{"workflowId":"wf-%d","recipientId":"fan-%d","userId":"creator-%d","content":"%s","campaignId":"spring","priority":3}`+"\n", i, i, i%100, strings.Repeat("Hello ", 40))
			}
			sender := &queue.Sender{API: client, Queue: mainQueue, Senders: 8}
			if result, err := sender.Send(b.Context(), strings.NewReader(input.String())); err != nil || result.Sent != b.N {
				b.Fatal(result, err)
			}
			store := &nullStore{}
			bridge := queue.New(queue.Config{Queue: mainQueue, DeadLetterQueue: deadQueue, Pollers: pollers, WaitTime: time.Second}, client, store, nil)
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			b.ResetTimer()
			go func() { done <- bridge.Run(ctx) }()
			for bridge.Stats().Deleted < int64(b.N) {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(b.N)/float64(store.batches.Load()), "msg/ingest")
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
