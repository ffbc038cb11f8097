package worker

import (
	"context"
	"path"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/huntaze/hybrid-orchestrator/internal/telemetry"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// tracedQueue makes a span of each call to SQS that has to do with messages. A poll that brought none is not worth one.
type tracedQueue struct {
	queue.API
	telemetry *telemetry.Telemetry
}

func tracedSQS(t *telemetry.Telemetry, api queue.API) queue.API {
	if !t.On() {
		return api
	}
	return tracedQueue{api, t}
}

func queueAttributes(operation, kind string, url *string, messages int) []attribute.KeyValue {
	return []attribute.KeyValue{
		telemetry.MessagingSystem.String(telemetry.SystemSQS), telemetry.MessagingOperation.String(operation), telemetry.MessagingType.String(kind),
		telemetry.MessagingDestination.String(path.Base(aws.ToString(url))), telemetry.MessagingBatch.Int(messages), telemetry.QueueURL.String(aws.ToString(url)),
		telemetry.RPCSystem.String(telemetry.SystemAWS), telemetry.RPCMethod.String("SQS/" + operation),
	}
}

// ReceiveMessage is bound to the producers of what it brought.
func (q tracedQueue) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, options ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	began := q.telemetry.Now()
	out, err := q.API.ReceiveMessage(ctx, in, options...)
	if err == nil && len(out.Messages) == 0 {
		return out, nil
	}
	var producers []trace.SpanContext
	messages := 0
	if out != nil {
		messages = len(out.Messages)
		for _, message := range out.Messages {
			producers = append(producers, producerOf(message))
		}
	}
	q.telemetry.Past("ReceiveMessage "+path.Base(aws.ToString(in.QueueUrl)), trace.SpanKindClient, began, producers, err, queueAttributes("ReceiveMessage", "receive", in.QueueUrl, messages)...)
	return out, err
}

// producerOf is the span in which a message was put on the queue; not valid: it says nothing of one.
func producerOf(message types.Message) trace.SpanContext {
	headers := telemetry.Headers{}
	if parent, ok := message.MessageAttributes["traceparent"]; ok {
		headers["traceparent"] = aws.ToString(parent.StringValue)
	}
	headers[telemetry.XRayHeader] = message.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)]
	return headers.Producer()
}

// DeleteMessageBatch implements queue.API.
func (q tracedQueue) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, options ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	ctx, span := q.start(ctx, "DeleteMessageBatch", "settle", in.QueueUrl, len(in.Entries))
	out, err := q.API.DeleteMessageBatch(ctx, in, options...)
	if out != nil && len(out.Failed) > 0 {
		span.Fail("partial_failure")
	}
	span.End(err)
	return out, err
}

// ChangeMessageVisibilityBatch implements queue.API.
func (q tracedQueue) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, options ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	ctx, span := q.start(ctx, "ChangeMessageVisibilityBatch", "settle", in.QueueUrl, len(in.Entries))
	out, err := q.API.ChangeMessageVisibilityBatch(ctx, in, options...)
	span.End(err)
	return out, err
}

// SendMessageBatch implements queue.API: the copies of what is quarantined.
func (q tracedQueue) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, options ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	ctx, span := q.start(ctx, "SendMessageBatch", "send", in.QueueUrl, len(in.Entries))
	out, err := q.API.SendMessageBatch(ctx, in, options...)
	span.End(err)
	return out, err
}

func (q tracedQueue) start(ctx context.Context, operation, kind string, url *string, messages int) (context.Context, *telemetry.Span) {
	return q.telemetry.Start(ctx, operation+" "+path.Base(aws.ToString(url)), trace.SpanKindClient, queueAttributes(operation, kind, url, messages)...)
}
