package queue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Account and trace come with the message, in each of the ways of the contract.
func TestAttributesReachTheStore(t *testing.T) {
	t.Parallel()
	const traceID, spanID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	w := newWorld(t)
	message := func(i int, change func(*types.SendMessageBatchRequestEntry)) types.SendMessageBatchRequestEntry {
		e := entry(fmt.Sprintf(`{"workflowId":"wf-%d","recipientId":"fan","content":"Hello"}`, i))
		change(&e)
		return e
	}
	w.send(mainQueue,
		message(0, func(e *types.SendMessageBatchRequestEntry) {
			e.MessageAttributes = map[string]types.MessageAttributeValue{"userId": text("creator-7"), "traceparent": text("00-" + traceID + "-" + spanID + "-01"), "tracestate": text("a=b")}
		}),
		message(1, func(e *types.SendMessageBatchRequestEntry) {
			e.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=" + spanID + ";Sampled=1")}}
			e.MessageGroupId = aws.String("creator-7") // a fair queue
		}),
		message(2, func(*types.SendMessageBatchRequestEntry) {}),
	)
	w.start(nil)
	w.eventually(0, "the queue to be empty", w.drained)
	first := w.store.workflows[workflow.Key{UserID: "creator-7", WorkflowID: "wf-0", RecipientID: "fan"}]
	if tc := first.Message.Trace; tc.TraceID != traceID || tc.ParentSpanID != spanID || tc.TraceState != "a=b" || tc.UserID != "creator-7" || tc.WorkflowID != "wf-0" || tc.SpanID == spanID {
		t.Errorf("trace by attribute: %+v", tc)
	}
	second := w.store.workflows[workflow.Key{WorkflowID: "wf-1", RecipientID: "fan"}]
	if tc := second.Message.Trace; tc.TraceID != traceID || tc.ParentSpanID != spanID {
		t.Errorf("trace by X-Ray: %+v", tc)
	}
	third := w.store.workflows[workflow.Key{WorkflowID: "wf-2", RecipientID: "fan"}]
	if tc := third.Message.Trace; len(tc.TraceID) != 32 || len(tc.SpanID) != 16 || tc.ParentSpanID != "" {
		t.Errorf("new trace: %+v", tc)
	}
	if first.Source != mainQueue || first.MessageID == "" || first.ReceiveCount != 1 || !first.SentAt.Equal(w.clock.Now().UTC().Truncate(time.Millisecond)) {
		t.Errorf("delivery %+v", first)
	}
}
