package queue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"golang.org/x/time/rate"
)

// RedriveOptions say where messages go and how fast.
type RedriveOptions struct {
	To        string // name or URL of the queue
	PerSecond int    // messages; 50, SQS allows up to 500
	Progress  func(RedriveResult)
}

// RedriveResult says how far a redrive is.
type RedriveResult struct {
	Moved   int
	ToMove  int  // about; -1 if it is not known
	Skipped int  // references, whose body is only in the database; they stay where they are
	ByCopy  bool // the endpoint has no move tasks: messages were copied and deleted from here
}

// moveEvery is how often a move task is asked how far it is.
const moveEvery = 2 * time.Second

// Redrive moves the messages of the dead-letter queue to another queue, where they are new messages to SQS;
// the store knows them by their key. It lets SQS do it, and does it itself where the endpoint can't. When ctx
// ends, a task of SQS goes on; the error says so.
func (d *DeadLetters) Redrive(ctx context.Context, options RedriveOptions) (RedriveResult, error) {
	if options.PerSecond <= 0 {
		options.PerSecond = 50
	}
	options.PerSecond = min(options.PerSecond, 500)
	if options.Progress == nil {
		options.Progress = func(RedriveResult) {}
	}
	attributes, url, err := queueAttributes(ctx, d.api, options.To)
	if err != nil {
		return RedriveResult{}, err
	}
	if url == d.url || queueName(url) == d.name {
		return RedriveResult{}, fmt.Errorf("%s is the dead-letter queue itself; name the queue that its messages go to", d.name)
	}
	_, err = d.api.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{
		SourceArn: aws.String(d.arn),
		// Always named: SQS knows the source only of messages that it moved here itself, not of quarantined ones.
		DestinationArn:               aws.String(attributes[string(types.QueueAttributeNameQueueArn)]),
		MaxNumberOfMessagesPerSecond: aws.Int32(int32(options.PerSecond)),
	})
	switch {
	case err == nil:
		return d.watch(ctx, options)
	case lacksOperation(err):
		return d.copyBack(ctx, url, options)
	default:
		return RedriveResult{}, fmt.Errorf("start a move task for %s: %w", d.name, err)
	}
}

// watch follows the move task until it ends.
func (d *DeadLetters) watch(ctx context.Context, options RedriveOptions) (RedriveResult, error) {
	result := RedriveResult{ToMove: -1}
	for {
		out, err := d.api.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(d.arn), MaxResults: aws.Int32(1)})
		if err != nil {
			return result, fmt.Errorf("the move task was started and goes on, but can't be followed: %w", err)
		}
		if len(out.Results) > 0 {
			task := out.Results[0] // the newest
			result.Moved = int(task.ApproximateNumberOfMessagesMoved)
			if task.ApproximateNumberOfMessagesToMove != nil {
				result.ToMove = int(*task.ApproximateNumberOfMessagesToMove)
			}
			options.Progress(result)
			switch status := aws.ToString(task.Status); status {
			case "RUNNING", "CANCELLING":
			case "COMPLETED":
				return result, nil
			default:
				return result, fmt.Errorf("the move task ended as %s after %d messages: %s", status, result.Moved, aws.ToString(task.FailureReason))
			}
		}
		select {
		case <-d.clock.After(moveEvery):
		case <-ctx.Done():
			return result, fmt.Errorf("the move task goes on in SQS: %w", ctx.Err())
		}
	}
}

// copyBack sends the messages to the queue and deletes them here, each only after it was sent.
func (d *DeadLetters) copyBack(ctx context.Context, url string, options RedriveOptions) (result RedriveResult, err error) {
	result = RedriveResult{ToMove: d.depth(ctx), ByCopy: true}
	pace := rate.NewLimiter(rate.Limit(options.PerSecond), maxBatchEntries)
	var stay []DeadLetter
	defer func() { err = errors.Join(err, d.giveBack(stay)) }()
	for {
		letters, err := d.receive(ctx, lookFor)
		if err != nil {
			return result, err
		}
		var move []DeadLetter
		for _, letter := range letters {
			if letter.Reference {
				stay = append(stay, letter)
				result.Skipped++
			} else {
				move = append(move, letter)
			}
		}
		if len(move) == 0 {
			return result, nil // nothing there, or nothing but what was seen before or can't be moved
		}
		if err := pace.WaitN(ctx, len(move)); err != nil {
			stay = append(stay, move...)
			return result, err
		}
		moved, failed := d.copyOut(url, queueName(options.To), move)
		result.Moved += moved
		options.Progress(result)
		for _, u := range failed {
			stay = append(stay, u.entry)
		}
		if len(failed) > 0 {
			return result, fmt.Errorf("%d messages could not be moved: %w", len(failed), failed[0].err)
		}
	}
}

// copyOut moves up to ten messages.
func (d *DeadLetters) copyOut(url, name string, move []DeadLetter) (moved int, failed []unsettled[DeadLetter]) {
	for _, letter := range move { // one by one: ten of them may be larger than a batch may be
		one := []DeadLetter{letter}
		left := inBatch(context.Background(), d.clock, one, func(ctx context.Context, one []DeadLetter) (failures, error) {
			out, err := d.api.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{
				QueueUrl: aws.String(url),
				Entries:  []types.SendMessageBatchRequestEntry{redriveEntry(one[0], isFIFO(name))},
			})
			if err != nil {
				return nil, err
			}
			return out.Failed, nil
		})
		if len(left) > 0 {
			failed = append(failed, left...)
			continue
		}
		moved++
		// A failed delete leaves it here; it was sent, and the store will know it when it is sent again.
		failed = append(failed, inBatch(context.Background(), d.clock, one, func(ctx context.Context, one []DeadLetter) (failures, error) {
			out, err := d.api.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{
				QueueUrl: aws.String(d.url),
				Entries:  []types.DeleteMessageBatchRequestEntry{{Id: entryID(0), ReceiptHandle: one[0].receipt}},
			})
			if err != nil {
				return nil, err
			}
			return out.Failed, nil
		})...)
	}
	return moved, failed
}

// redriveEntry is the message as it was, without what the quarantine added.
func redriveEntry(letter DeadLetter, fifo bool) types.SendMessageBatchRequestEntry {
	entry := types.SendMessageBatchRequestEntry{
		Id:                entryID(0),
		MessageBody:       letter.message.Body,
		MessageAttributes: map[string]types.MessageAttributeValue{},
	}
	for name, value := range letter.message.MessageAttributes {
		switch name {
		case AttributeError, AttributeSourceMessageID, AttributeSourceQueue:
		default:
			entry.MessageAttributes[name] = types.MessageAttributeValue{DataType: value.DataType, StringValue: value.StringValue, BinaryValue: value.BinaryValue}
		}
	}
	group := letter.message.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]
	if group == "" && fifo {
		group = "redrive"
	}
	if group != "" {
		entry.MessageGroupId = aws.String(group)
	}
	if fifo {
		entry.MessageDeduplicationId = aws.String("redrive-" + letter.MessageID)
	}
	return entry
}

// lacksOperation is true for the answers of endpoints that have no move tasks.
func lacksOperation(err error) bool {
	var refusal smithy.APIError
	if errors.As(err, &refusal) {
		for _, code := range []string{"InvalidAction", "UnknownOperation", "UnsupportedOperation", "NotImplemented"} {
			if strings.Contains(refusal.ErrorCode(), code) {
				return true
			}
		}
	}
	var response *awshttp.ResponseError
	return errors.As(err, &response) && response.HTTPStatusCode() == http.StatusNotImplemented
}
