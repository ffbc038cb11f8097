package queue

import (
	"crypto/md5"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/internal/trace"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// item is a delivery on its way through the bridge, with what SQS needs to settle it.
type item struct {
	delivery   workflow.Delivery
	intake     workflow.Intake
	source     *source
	message    types.Message
	receivedAt time.Time
}

func (i *item) group() string {
	return i.message.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]
}

// newItem decodes a message as it came from a queue.
func newItem(from *source, message types.Message, limits Limits, now time.Time) *item {
	delivery := workflow.Delivery{
		Source:       from.name,
		MessageID:    aws.ToString(message.MessageId),
		ReceiveCount: receiveCount(message),
		SentAt:       sentAt(message, now),
		Body:         []byte(aws.ToString(message.Body)),
	}
	attributes := stringAttributes(message)
	delivery.Message, delivery.Problem = Decode(delivery.Body, attributes, limits)
	if delivery.Problem == nil {
		tc := trace.FromHeaders(attributes, now)
		tc.UserID, tc.WorkflowID = delivery.Message.UserID, delivery.Message.WorkflowID
		delivery.Message.Trace = tc
	}
	return &item{delivery: delivery, source: from, message: message, receivedAt: now}
}

// intact compares the body with the checksum that came with it. The SDK does so too, but gives up a whole
// receive for one bad message; that check is switched off in poll.
func intact(message types.Message) bool {
	if message.Body == nil || message.MD5OfBody == nil {
		return true
	}
	sum := md5.Sum([]byte(*message.Body))
	return hex.EncodeToString(sum[:]) == *message.MD5OfBody
}

func stringAttributes(message types.Message) Attributes {
	attributes := make(Attributes, len(message.MessageAttributes)+1)
	for name, value := range message.MessageAttributes {
		if value.StringValue != nil {
			attributes[name] = *value.StringValue
		}
	}
	const header = string(types.MessageSystemAttributeNameAWSTraceHeader)
	if value, ok := message.Attributes[header]; ok {
		attributes[header] = value
	}
	return attributes
}

func receiveCount(message types.Message) int {
	count, err := strconv.Atoi(message.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	if err != nil {
		return 1
	}
	return count
}

func sentAt(message types.Message, now time.Time) time.Time {
	milliseconds, err := strconv.ParseInt(message.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
	if err != nil {
		return now
	}
	return time.UnixMilli(milliseconds).UTC()
}
