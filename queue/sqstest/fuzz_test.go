package sqstest_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// impatientClock lets every wait end at once, so that no input blocks.
type impatientClock struct{}

func (impatientClock) Now() time.Time { return time.Now() }
func (impatientClock) AfterFunc(_ time.Duration, f func()) sqstest.Timer {
	return time.AfterFunc(0, f)
}

var fuzzActions = []string{
	"CreateQueue", "DeleteQueue", "PurgeQueue", "GetQueueUrl", "ListQueues", "ListDeadLetterSourceQueues", "GetQueueAttributes",
	"SetQueueAttributes", "TagQueue", "UntagQueue", "ListQueueTags", "SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage",
	"DeleteMessageBatch", "ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "StartMessageMoveTask", "CancelMessageMoveTask",
	"ListMessageMoveTasks", "AddPermission", "RemovePermission", "Nothing",
}

// FuzzRequest checks that no request makes the server panic, hang, or answer with
// something else than JSON, and that an error always has a type.
func FuzzRequest(f *testing.F) {
	for i, body := range []string{
		`{"QueueName":"new","Attributes":{"VisibilityTimeout":"5"},"tags":{"a":"b"}}`,
		`{"QueueUrl":"http://h/000000000000/q"}`,
		`{"QueueUrl":"q"}`,
		`{"QueueName":"q"}`,
		`{"QueueNamePrefix":"q","MaxResults":1,"NextToken":"cQ=="}`,
		`{"QueueUrl":"q","MaxResults":1}`,
		`{"QueueUrl":"q","AttributeNames":["All"]}`,
		`{"QueueUrl":"q","Attributes":{"RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:q.fifo\",\"maxReceiveCount\":\"3\"}"}}`,
		`{"QueueUrl":"q","Tags":{"a":"b"}}`,
		`{"QueueUrl":"q","TagKeys":["a"]}`,
		`{"QueueUrl":"q"}`,
		`{"QueueUrl":"q.fifo","MessageBody":"x","MessageGroupId":"g","MessageDeduplicationId":"d","MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AQI="}}}`,
		`{"QueueUrl":"q","Entries":[{"Id":"1","MessageBody":"\u0000","DelaySeconds":5,"MessageSystemAttributes":{"AWSTraceHeader":{"DataType":"String","StringValue":"Root=1"}}}]}`,
		`{"QueueUrl":"q","MaxNumberOfMessages":10,"WaitTimeSeconds":20,"VisibilityTimeout":0,"MessageAttributeNames":["a.*"],"AttributeNames":["All"]}`,
		`{"QueueUrl":"q","ReceiptHandle":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`,
		`{"QueueUrl":"q","Entries":[{"Id":"1","ReceiptHandle":"x"},{"Id":"1","ReceiptHandle":""}]}`,
		`{"QueueUrl":"q","ReceiptHandle":"x","VisibilityTimeout":-1}`,
		`{"QueueUrl":"q","Entries":[{"Id":"1","ReceiptHandle":"x","VisibilityTimeout":99999999999999999999}]}`,
		`{"SourceArn":"arn:aws:sqs:us-east-1:000000000000:q","DestinationArn":"","MaxNumberOfMessagesPerSecond":501}`,
		`{"TaskHandle":"x"}`,
		`{"SourceArn":"arn:aws:sqs:us-east-1:000000000000:q","MaxResults":11}`,
		`[]`, `{`, `{"QueueUrl":"\ud800"}`,
	} {
		f.Add(uint8(i), body)
	}
	f.Fuzz(func(t *testing.T, action uint8, body string) {
		h := newHandler(t, sqstest.Options{Clock: impatientClock{}})
		defer h.Close()
		for name, attributes := range map[string]map[string]string{"q": nil, "q.fifo": {"FifoQueue": "true"}} {
			if err := h.CreateQueue(name, attributes); err != nil {
				t.Fatal(err)
			}
		}
		h.call("SendMessage", map[string]string{"QueueUrl": "q", "MessageBody": "x"}, nil)

		status, reply := h.raw(fuzzActions[int(action)%len(fuzzActions)], body)
		if !json.Valid(reply) {
			t.Fatalf("reply %d is not JSON: %q", status, reply)
		}
		if status == 200 {
			return
		}
		var e wireError
		if err := json.Unmarshal(reply, &e); err != nil || e.Type == "" || status < 400 || status >= 500 {
			t.Fatalf("reply %d is not an error of the sender: %s", status, reply)
		}
	})
}
