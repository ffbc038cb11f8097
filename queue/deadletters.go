package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// DeadLetters looks into a dead-letter queue and moves its messages back.
type DeadLetters struct {
	api   API
	name  string
	url   string
	arn   string
	clock Clock
}

// DeadLetter is a message in a dead-letter queue.
type DeadLetter struct {
	MessageID       string
	SourceMessageID string // its id before it was copied here; "" if SQS itself moved it, which keeps the id
	SourceQueue     string // "" if it is not known
	Error           string // why it was quarantined; "" if SQS moved it, after too many receives
	WorkflowID      string // "" if it can't be read
	UserID          string // "" if it can't be read
	SentAt          time.Time
	ReceiveCount    int // a look at it counts
	Bytes           int
	Reference       bool   // stands for a body that is only in the database's quarantine
	Body            string // may hold what a creator writes to a fan: not for logs
	receipt         *string
	message         types.Message
}

// lookFor is how long messages are hidden from others while they are being looked at.
const lookFor = 30 * time.Second

// OpenDeadLetters finds the dead-letter queue, given by name or URL.
func OpenDeadLetters(ctx context.Context, api API, nameOrURL string) (*DeadLetters, error) {
	attributes, url, err := queueAttributes(ctx, api, nameOrURL)
	if err != nil {
		return nil, err
	}
	return &DeadLetters{
		api: api, name: queueName(nameOrURL), url: url,
		arn: attributes[string(types.QueueAttributeNameQueueArn)], clock: realClock{},
	}, nil
}

// List returns up to limit messages, in the order in which SQS hands them out, which is only roughly that of
// their age. They are received for it and given back at once; what another reader holds at the moment is not seen.
func (d *DeadLetters) List(ctx context.Context, limit int) ([]DeadLetter, error) {
	var found []DeadLetter
	err := d.look(ctx, func(letter DeadLetter) bool {
		if len(found) < limit {
			found = append(found, letter)
		}
		return len(found) < limit
	})
	return found, err
}

// ErrNoSuchDeadLetter is returned by Show.
var ErrNoSuchDeadLetter = errors.New("no such message in the dead-letter queue")

// Show returns the message with that id, its own or the one it had in its source queue.
func (d *DeadLetters) Show(ctx context.Context, messageID string) (DeadLetter, error) {
	var found *DeadLetter
	err := d.look(ctx, func(letter DeadLetter) bool {
		if letter.MessageID == messageID || letter.SourceMessageID == messageID {
			found = &letter
		}
		return found == nil
	})
	if err != nil {
		return DeadLetter{}, err
	}
	if found == nil {
		return DeadLetter{}, fmt.Errorf("%s: %w", messageID, ErrNoSuchDeadLetter)
	}
	return *found, nil
}

// look calls see for each message until see returns false or there are no more, then gives all back.
func (d *DeadLetters) look(ctx context.Context, see func(DeadLetter) bool) (err error) {
	var held []DeadLetter
	defer func() { err = errors.Join(err, d.giveBack(held)) }()
	known := map[string]bool{}
	started := d.clock.Now()
	for {
		letters, err := d.receive(ctx, lookFor)
		if err != nil {
			return err
		}
		held = append(held, letters...)
		again := 0
		for _, letter := range letters {
			if known[letter.MessageID] {
				again++
				continue
			}
			known[letter.MessageID] = true
			if !see(letter) {
				return nil
			}
		}
		if again == len(letters) || d.clock.Now().Sub(started) > lookFor*9/10 {
			return nil // nothing new; or the first ones are about to be seen again
		}
	}
}

// receive takes up to ten messages. Not cancelled with ctx for the reason that poll gives; it waits a second.
func (d *DeadLetters) receive(ctx context.Context, visibility time.Duration) ([]DeadLetter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	out, err := d.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    aws.String(d.url),
		MaxNumberOfMessages:         maxBatchEntries,
		WaitTimeSeconds:             1, // a long poll asks all of SQS' servers, a short one only some
		VisibilityTimeout:           int32(visibility / time.Second),
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	}, func(o *sqs.Options) { o.DisableMessageChecksumValidation = true })
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w", d.name, err)
	}
	letters := make([]DeadLetter, len(out.Messages))
	for i, message := range out.Messages {
		letters[i] = newDeadLetter(message, d.clock.Now())
	}
	return letters, nil
}

func newDeadLetter(message types.Message, now time.Time) DeadLetter {
	attributes := stringAttributes(message)
	body := aws.ToString(message.Body)
	letter := DeadLetter{
		MessageID:       aws.ToString(message.MessageId),
		SourceMessageID: attributes[AttributeSourceMessageID],
		SourceQueue:     attributes[AttributeSourceQueue],
		Error:           attributes[AttributeError],
		UserID:          attributes[AttributeUserID],
		SentAt:          sentAt(message, now),
		ReceiveCount:    receiveCount(message),
		Bytes:           len(body),
		Body:            body,
		receipt:         message.ReceiptHandle,
		message:         message,
	}
	if letter.SourceQueue == "" {
		arn := message.Attributes[string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)]
		letter.SourceQueue = arnName(arn)
	}
	var reference Reference
	if json.Unmarshal([]byte(body), &reference) == nil && reference.Quarantined && reference.MessageID != "" {
		letter.Reference, letter.Bytes = true, reference.Bytes
	}
	// What is quarantined may still say whose it is.
	var whose struct{ WorkflowID, UserID any }
	if json.Unmarshal([]byte(body), &whose) == nil {
		if id, ok := whose.WorkflowID.(string); ok {
			letter.WorkflowID = id
		}
		if id, ok := whose.UserID.(string); ok && id != "" {
			letter.UserID = id
		}
	}
	return letter
}

func (d *DeadLetters) giveBack(letters []DeadLetter) error {
	var failed int
	var last error
	for len(letters) > 0 {
		tens := letters[:min(maxBatchEntries, len(letters))]
		letters = letters[len(tens):]
		left := inBatch(context.Background(), d.clock, tens, func(ctx context.Context, tens []DeadLetter) (failures, error) {
			input := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aws.String(d.url)}
			for i, letter := range tens {
				input.Entries = append(input.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
					Id: entryID(i), ReceiptHandle: letter.receipt, VisibilityTimeout: 0,
				})
			}
			out, err := d.api.ChangeMessageVisibilityBatch(ctx, input)
			if err != nil {
				return nil, err
			}
			return out.Failed, nil
		})
		for _, u := range left {
			failed, last = failed+1, u.err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d messages of %s stay hidden for up to %s: %w", failed, d.name, lookFor, last)
	}
	return nil
}

// arnName is the last part of a queue's ARN: its name.
func arnName(arn string) string {
	for i := len(arn) - 1; i >= 0; i-- {
		if arn[i] == ':' {
			return arn[i+1:]
		}
	}
	return arn
}

// depth is about how many messages are in the queue; -1 if it is not known.
func (d *DeadLetters) depth(ctx context.Context) int {
	attributes, _, err := queueAttributes(ctx, d.api, d.url)
	if err != nil {
		return -1
	}
	visible, err := strconv.Atoi(attributes[string(types.QueueAttributeNameApproximateNumberOfMessages)])
	if err != nil {
		return -1
	}
	return visible
}
