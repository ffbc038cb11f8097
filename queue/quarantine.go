package queue

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/internal/trace"
)

// The attributes of a copy in the dead-letter queue.
const (
	AttributeError           = "error"           // why the message can't be used
	AttributeSourceMessageID = "sourceMessageId" // its id in the queue it came from
	AttributeSourceQueue     = "sourceQueue"     // the name of that queue
)

// maxErrorBytes bounds the attribute error.
const maxErrorBytes = 1024

// Reference stands in the dead-letter queue for a message whose body can't be put there; the body is in the
// database's quarantine.
type Reference struct {
	Quarantined bool   `json:"quarantined"` // always true
	MessageID   string `json:"messageId"`
	Queue       string `json:"queue"`
	Error       string `json:"error"`
	Bytes       int    `json:"bytes"` // length of the body
}

// copyToDeadLetters returns the items that may be deleted now. Without a dead-letter queue those are all: the
// quarantine in the database holds them.
func (b *Bridge) copyToDeadLetters(items []*item) (copied []*item) {
	if len(items) == 0 || b.config.DeadLetterQueue == "" {
		return items
	}
	url, err := b.deadLetterURL()
	if err != nil {
		b.copyFailed(items, err)
		return nil
	}
	for _, batch := range b.copies(items) {
		b.calls <- struct{}{}
		copied = append(copied, b.sendCopies(url, batch)...)
		<-b.calls
	}
	return copied
}

// copies makes the entries, in batches that SQS accepts.
func (b *Bridge) copies(items []*item) (batches [][]copyEntry) {
	var batch []copyEntry
	size := 0
	for _, it := range items {
		entry := b.newCopy(it)
		if len(batch) == maxBatchEntries || size+entry.size > maxRequestBytes {
			batches, batch, size = append(batches, batch), nil, 0
		}
		batch, size = append(batch, entry), size+entry.size
	}
	return append(batches, batch)
}

// copyEntry is a message to the dead-letter queue.
type copyEntry struct {
	item  *item
	entry types.SendMessageBatchRequestEntry
	size  int
}

func (b *Bridge) newCopy(it *item) copyEntry {
	attributes := copyAttributes(it)
	body := aws.ToString(it.message.Body)
	size := messageSize(body, attributes)
	if size > maxRequestBytes || !sendable(body) {
		return b.newReference(it)
	}
	return b.entry(it, body, attributes, size)
}

// newReference makes an entry for a message that SQS does not take as it is.
func (b *Bridge) newReference(it *item) copyEntry {
	body, _ := json.Marshal(Reference{ // strings, a bool and an int: can't fail
		Quarantined: true, MessageID: it.delivery.MessageID, Queue: it.source.name,
		Error: it.problem(), Bytes: len(it.delivery.Body),
	})
	attributes := ownAttributes(it)
	return b.entry(it, string(body), attributes, messageSize(string(body), attributes))
}

func (b *Bridge) entry(it *item, body string, attributes map[string]types.MessageAttributeValue, size int) copyEntry {
	entry := types.SendMessageBatchRequestEntry{MessageBody: aws.String(body), MessageAttributes: attributes}
	if header := it.message.Attributes[trace.HeaderXRay]; header != "" {
		entry.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			trace.HeaderXRay: {DataType: aws.String("String"), StringValue: aws.String(header)},
		}
	}
	if isFIFO(queueName(b.config.DeadLetterQueue)) {
		group := it.group()
		if group == "" {
			group = "quarantine"
		}
		entry.MessageGroupId = aws.String(group)
		entry.MessageDeduplicationId = aws.String(it.delivery.MessageID)
	}
	return copyEntry{item: it, entry: entry, size: size}
}

// sendCopies returns the items whose copy is in the dead-letter queue.
func (b *Bridge) sendCopies(url string, batch []copyEntry) (copied []*item) {
	send := func(ctx context.Context, tens []copyEntry) (failures, error) {
		input := &sqs.SendMessageBatchInput{QueueUrl: aws.String(url)}
		for i, c := range tens {
			c.entry.Id = entryID(i)
			input.Entries = append(input.Entries, c.entry)
		}
		out, err := b.api.SendMessageBatch(ctx, input)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	}
	left := inBatch(context.Background(), b.config.Clock, batch, send)
	// What the queue does not take as it is (its own size limit may be lower) goes as a reference.
	var references []copyEntry
	var failed []unsettled[copyEntry]
	for _, u := range left {
		if refused(u.err) {
			references = append(references, b.newReference(u.entry.item))
		} else {
			failed = append(failed, u)
		}
	}
	failed = append(failed, inBatch(context.Background(), b.config.Clock, references, send)...)

	var items []*item
	for _, u := range failed {
		items = append(items, u.entry.item)
	}
	if len(items) > 0 {
		b.copyFailed(items, failed[0].err)
	}
	for _, c := range batch {
		if !slices.Contains(items, c.item) {
			copied = append(copied, c.item)
		}
	}
	b.count.copied.Add(int64(len(copied)))
	return copied
}

func (b *Bridge) copyFailed(items []*item, err error) {
	name := queueName(b.config.DeadLetterQueue)
	b.count.copyFailures.Add(int64(len(items)))
	b.config.Observer.Failed(name, "SendMessageBatch", len(items))
	b.logger.Error("quarantined messages could not be copied to the dead-letter queue; they stay in their queue", "queue", name,
		"messages", len(items), "first_message_id", items[0].delivery.MessageID, "error", err)
}

// deadLetterURL is looked up when it is first needed, and again until it is found: the queue may be made later.
func (b *Bridge) deadLetterURL() (string, error) {
	b.mu.Lock()
	url := b.dlqURL
	b.mu.Unlock()
	if url != "" {
		return url, nil
	}
	url, err := resolveURL(context.Background(), b.api, b.config.DeadLetterQueue)
	if err == nil && url == "" {
		err = errors.New("SQS returned no URL for the dead-letter queue")
	}
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	b.dlqURL = url
	b.mu.Unlock()
	return url, nil
}

// problem is the reason of the quarantine: the store's, which may know more, or the decoder's.
func (i *item) problem() string {
	text := "unusable"
	switch {
	case i.intake.Problem != nil:
		text = i.intake.Problem.String()
	case i.delivery.Problem != nil:
		text = i.delivery.Problem.String()
	}
	return sendableText(text, maxErrorBytes)
}

func ownAttributes(it *item) map[string]types.MessageAttributeValue {
	return map[string]types.MessageAttributeValue{
		AttributeError:           stringAttribute(it.problem()),
		AttributeSourceMessageID: stringAttribute(it.delivery.MessageID),
		AttributeSourceQueue:     stringAttribute(it.source.name),
	}
}

// copyAttributes are the message's own attributes and ours. If that is more than SQS takes, the last of the
// message's own by name are left out, but never those that the contract gives a meaning.
func copyAttributes(it *item) map[string]types.MessageAttributeValue {
	attributes := ownAttributes(it)
	var names []string
	for name := range it.message.MessageAttributes {
		if _, ours := attributes[name]; !ours {
			names = append(names, name)
		}
	}
	meaning := []string{AttributeUserID, trace.HeaderTraceparent, trace.HeaderTracestate}
	slices.SortFunc(names, func(a, b string) int {
		if known, other := slices.Contains(meaning, a), slices.Contains(meaning, b); known != other {
			if known {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, name := range names[:min(len(names), maxAttributes-len(attributes))] {
		value := it.message.MessageAttributes[name]
		attributes[name] = types.MessageAttributeValue{DataType: value.DataType, StringValue: value.StringValue, BinaryValue: value.BinaryValue}
	}
	return attributes
}

func stringAttribute(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
}

// messageSize is what SQS counts against its limit: body, and names, types and values of attributes.
func messageSize(body string, attributes map[string]types.MessageAttributeValue) int {
	size := len(body)
	for name, value := range attributes {
		size += len(name) + len(aws.ToString(value.DataType)) + len(aws.ToString(value.StringValue)) + len(value.BinaryValue)
	}
	return size
}

// sendable says whether SQS takes the text: not empty, UTF-8, and of the characters that XML 1.0 allows
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html).
func sendable(text string) bool {
	return text != "" && utf8.ValidString(text) && !strings.ContainsFunc(text, unsendable)
}

func unsendable(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r':
		return false
	default:
		return r < 0x20 || r == 0xFFFE || r == 0xFFFF
	}
}

// sendableText makes a text fit for an attribute of at most that many bytes.
func sendableText(text string, bytes int) string {
	text = strings.Map(func(r rune) rune {
		if unsendable(r) {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > bytes {
		text = strings.ToValidUTF8(text[:bytes], "")
	}
	if text == "" {
		return "unusable"
	}
	return text
}
