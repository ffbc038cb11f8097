// Command go puts messages on the queue with the AWS SDK: up to ten in a call, and again those alone that failed.
// Copy it; it uses nothing of this repository.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	perCall = 10 // the most that SQS takes in one call; their bodies and attributes together may have 1 MiB
	tries   = 4
)

// message is the body. WorkflowID, RecipientID and one of Content, Brief are required.
type message struct {
	WorkflowID   string            `json:"workflowId"`
	RecipientID  string            `json:"recipientId"`
	CampaignID   string            `json:"campaignId,omitempty"`
	Content      string            `json:"content,omitempty"`     // the text to send
	Brief        string            `json:"brief,omitempty"`       // or what the text is to be about
	MergeFields  map[string]string `json:"mergeFields,omitempty"` // for {{name}} in a text that is written
	ScheduledFor time.Time         `json:"scheduledFor,omitzero"` // not before; left out means now
	Priority     int               `json:"priority,omitempty"`    // 1 (most urgent) to 4; left out means 3
	MaxRetries   *int              `json:"maxRetries,omitempty"`  // nil means 3; 0 is a number of its own
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	// The SDK itself reads AWS_REGION, the credentials and AWS_ENDPOINT_URL_SQS, the address of a server other than AWS.
	loaded, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("load the AWS configuration: %w", err)
	}
	client := sqs.NewFromConfig(loaded)
	name := cmp.Or(os.Getenv("SQS_QUEUE"), "huntaze-hybrid-messages-production")
	found, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		return fmt.Errorf("find the queue %s: %w", name, err)
	}
	messages := sample()
	if err := send(ctx, client, aws.ToString(found.QueueUrl), "creator-7", messages); err != nil {
		return err
	}
	fmt.Printf("%d messages are on the queue\n", len(messages))
	return nil
}

// sample makes twelve messages, which is more than fit in one call. The workflow ids come from the campaign and the
// recipient, not from chance: whoever runs this twice sends nothing twice.
func sample() (messages []message) {
	for i := range 12 {
		recipient := "fan-" + strconv.Itoa(i+1)
		messages = append(messages, message{
			WorkflowID: "spring-" + recipient, RecipientID: recipient, CampaignID: "spring",
			Content: "Spring is here 🌷\n\"Half price\" until Sunday.",
		})
	}
	messages[10].ScheduledFor = time.Now().Add(time.Minute)
	messages[11].Content, messages[11].Brief = "", "Thank people who stayed for a year."
	messages[11].MergeFields, messages[11].Priority = map[string]string{"name": "Ann"}, 1
	return messages
}

// send puts the messages of an account on the queue. The error names each message that was not taken, and the others
// are on the queue. Sending all of them again is harmless: the same account, workflow and recipient is one message.
func send(ctx context.Context, client *sqs.Client, queueURL, account string, messages []message) error {
	var problems []error
	for batch := range slices.Chunk(messages, perCall) {
		var entries []types.SendMessageBatchRequestEntry
		for i, m := range batch {
			body, err := json.Marshal(m)
			if err != nil {
				return fmt.Errorf("%s: %w", m.WorkflowID, err)
			}
			entries = append(entries, types.SendMessageBatchRequestEntry{
				Id:          aws.String(strconv.Itoa(i)), // of this call only: the answer names failed entries by it
				MessageBody: aws.String(string(body)),
				MessageAttributes: map[string]types.MessageAttributeValue{
					"userId":      text(account),
					"traceparent": text(traceparent()),
				},
			})
		}
		failed, err := sendBatch(ctx, client, queueURL, entries)
		if err != nil {
			return errors.Join(append(problems, err)...)
		}
		for _, f := range failed {
			i, _ := strconv.Atoi(aws.ToString(f.Id))
			problems = append(problems, fmt.Errorf("%s was not taken: %s: %s", batch[i].WorkflowID, aws.ToString(f.Code), aws.ToString(f.Message)))
		}
	}
	return errors.Join(problems...)
}

// sendBatch makes one call, and another for the entries that failed. A call that succeeds says nothing yet: each of
// its entries may have failed. It returns those that failed for good.
func sendBatch(ctx context.Context, client *sqs.Client, queueURL string, entries []types.SendMessageBatchRequestEntry) (refused []types.BatchResultErrorEntry, _ error) {
	for try := 1; ; try++ {
		callCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
		out, err := client.SendMessageBatch(callCtx, &sqs.SendMessageBatchInput{QueueUrl: &queueURL, Entries: entries})
		cancel()
		if err != nil { // the SDK has repeated the call already
			return refused, fmt.Errorf("send a batch: %w", err)
		}
		failed := make(map[string]bool)
		for _, f := range out.Failed {
			if f.SenderFault || try == tries { // SenderFault: the same entry would fail again
				refused = append(refused, f)
			} else {
				failed[aws.ToString(f.Id)] = true
			}
		}
		entries = slices.DeleteFunc(entries, func(e types.SendMessageBatchRequestEntry) bool { return !failed[aws.ToString(e.Id)] })
		if len(entries) == 0 {
			return refused, nil
		}
		select {
		case <-time.After(100 * time.Millisecond << try):
		case <-ctx.Done():
			return refused, ctx.Err()
		}
	}
}

func text(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
}

// traceparent begins a trace (W3C Trace Context). Whoever has one already passes it on instead: the fleet continues it
// up to the gateway.
func traceparent() string {
	var id [24]byte
	_, _ = rand.Read(id[:]) // documented never to fail
	return fmt.Sprintf("00-%x-%x-01", id[:16], id[16:])
}
