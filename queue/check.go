package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // messages would be lost or not be read
	SeverityWarning Severity = "warning" // a promise is weaker than it should be
	SeverityInfo    Severity = "info"    // differs from what the contract says, harmless by itself
)

// Finding is something about a queue that should be different.
type Finding struct {
	Severity Severity
	Queue    string
	Text     string // what was found
	Remedy   string // what to do about it
}

func (f Finding) log(logger *slog.Logger) {
	level := slog.LevelInfo
	switch f.Severity {
	case SeverityError:
		level = slog.LevelError
	case SeverityWarning:
		level = slog.LevelWarn
	}
	logger.Log(context.Background(), level, "queue check: "+f.Text, "queue", f.Queue, "remedy", f.Remedy)
}

// What the queues should be set to (the message contract).
const (
	wantVisibility   = 300 * time.Second
	leastVisibility  = 60 * time.Second
	leastMaxReceives = 3

	unknownVisibility = 30 * time.Second // what SQS gives a queue that asks for nothing
)

var errMisconfigured = errors.New("the queues are misconfigured")

// CheckQueues compares the queues with what the bridge needs. It returns an error if the source can't be read
// at all; whatever else is wrong is a finding.
func CheckQueues(ctx context.Context, api API, config Config) ([]Finding, error) {
	report, err := inspect(ctx, api, config.withDefaults())
	if err != nil {
		return nil, err
	}
	return report.findings, nil
}

// inspection is what a look at the queues found.
type inspection struct {
	sources  []*source
	findings []Finding
}

func (i *inspection) add(severity Severity, queue, text, remedy string) {
	i.findings = append(i.findings, Finding{Severity: severity, Queue: queue, Text: text, Remedy: remedy})
}

func inspect(ctx context.Context, api API, config Config) (*inspection, error) {
	report := &inspection{}
	if config.Queue == "" {
		return nil, fmt.Errorf("%w: no queue is named; set SQS_QUEUE", errMisconfigured)
	}
	dead := queueName(config.DeadLetterQueue)
	for _, name := range []string{queueName(config.Queue), queueName(config.RetryQueue)} {
		if name == dead && dead != "" {
			return nil, fmt.Errorf("%w: %s is both read and the dead-letter queue; set SQS_DLQ to another queue", errMisconfigured, name)
		}
	}
	dlq := report.deadLetters(ctx, api, config)

	main, err := report.source(ctx, api, config, config.Queue, dlq)
	if isMissingQueue(err) {
		return nil, fmt.Errorf("queue %s does not exist in this region and account; create it, or correct SQS_QUEUE, AWS_REGION or AWS_ENDPOINT_URL_SQS: %w", queueName(config.Queue), err)
	}
	if err != nil {
		return nil, err
	}
	report.sources = append(report.sources, main)

	switch {
	case config.RetryQueue == "":
	case queueName(config.RetryQueue) == main.name:
		report.add(SeverityWarning, main.name, "is also the retry queue", "set SQS_RETRY_QUEUE to another queue, or leave it out")
	default:
		retry, err := report.source(ctx, api, config, config.RetryQueue, dlq)
		switch {
		case isMissingQueue(err):
			report.add(SeverityError, queueName(config.RetryQueue), "the retry queue does not exist and is not read", "create it, or unset SQS_RETRY_QUEUE")
		case err != nil:
			return nil, err
		default:
			report.sources = append(report.sources, retry)
		}
	}
	return report, nil
}

// deadLetter is what is known of the dead-letter queue; nil if there is none.
type deadLetter struct {
	name      string
	arn       string
	retention time.Duration
}

func (i *inspection) deadLetters(ctx context.Context, api API, config Config) *deadLetter {
	if config.DeadLetterQueue == "" {
		i.add(SeverityWarning, queueName(config.Queue), "no dead-letter queue is named: unusable messages are only recorded in the database", "set SQS_DLQ")
		return nil
	}
	name := queueName(config.DeadLetterQueue)
	attributes, _, err := queueAttributes(ctx, api, config.DeadLetterQueue)
	switch {
	case isMissingQueue(err):
		i.add(SeverityError, name, "the dead-letter queue does not exist: unusable messages can't be copied, so they stay in their queue", "create it, or correct SQS_DLQ")
		return nil
	case err != nil:
		i.add(SeverityError, name, "the dead-letter queue can't be looked at: "+err.Error(), "allow sqs:GetQueueUrl and sqs:GetQueueAttributes on it")
		return nil
	}
	if isFIFO(config.Queue) != isFIFO(name) {
		i.add(SeverityWarning, name, "one of queue and dead-letter queue is FIFO, the other is not: SQS can't move messages between them", "make both FIFO or neither")
	}
	return &deadLetter{name: name, arn: attributes[string(types.QueueAttributeNameQueueArn)], retention: seconds(attributes, types.QueueAttributeNameMessageRetentionPeriod)}
}

func (i *inspection) source(ctx context.Context, api API, config Config, nameOrURL string, dlq *deadLetter) (*source, error) {
	attributes, url, err := queueAttributes(ctx, api, nameOrURL)
	s := &source{name: queueName(nameOrURL), url: url}
	s.fifo = isFIFO(s.name)
	if url != "" && isRefusal(err) && !isMissingQueue(err) {
		i.add(SeverityWarning, s.name, "the queue's settings can't be read: "+err.Error(), "allow sqs:GetQueueAttributes on it")
		s.hold = min(config.HoldFor, unknownVisibility/2)
		return s, nil
	}
	if err != nil {
		return nil, err
	}

	visibility := seconds(attributes, types.QueueAttributeNameVisibilityTimeout)
	switch {
	case visibility < leastVisibility:
		i.add(SeverityError, s.name, fmt.Sprintf("the visibility timeout is %s: messages may come again while they are being stored, and use up their receives", visibility), "set VisibilityTimeout to 300")
	case visibility != wantVisibility:
		i.add(SeverityInfo, s.name, fmt.Sprintf("the visibility timeout is %s, the contract says %s", visibility, wantVisibility), "set VisibilityTimeout to 300")
	}
	s.hold = min(config.HoldFor, visibility/2)

	var redrive struct {
		DeadLetterTargetArn string          `json:"deadLetterTargetArn"`
		MaxReceiveCount     json.RawMessage `json:"maxReceiveCount"` // a number or a string of one
	}
	policy := attributes[string(types.QueueAttributeNameRedrivePolicy)]
	if policy == "" || json.Unmarshal([]byte(policy), &redrive) != nil || redrive.DeadLetterTargetArn == "" {
		i.add(SeverityError, s.name, "there is no redrive policy: a message that can't be stored comes again until it expires, and is then lost", "set RedrivePolicy with the dead-letter queue and maxReceiveCount 3")
		return s, nil
	}
	receives, err := strconv.Atoi(string(trimQuotes(redrive.MaxReceiveCount)))
	if err != nil || receives < leastMaxReceives {
		i.add(SeverityWarning, s.name, fmt.Sprintf("maxReceiveCount is %d: a restart or two at the wrong moment brings a good message to the dead-letter queue", receives), "set maxReceiveCount to 3 or more")
	}
	if dlq == nil {
		return s, nil
	}
	if dlq.arn != "" && redrive.DeadLetterTargetArn != dlq.arn {
		i.add(SeverityWarning, s.name, "the redrive policy names another dead-letter queue than SQS_DLQ: "+redrive.DeadLetterTargetArn, "make both the same, or look into both")
	}
	if retention := seconds(attributes, types.QueueAttributeNameMessageRetentionPeriod); dlq.retention < retention {
		i.add(SeverityWarning, dlq.name, fmt.Sprintf("keeps messages for %s, %s does so for %s: the time counts from the first sending, so a message that SQS moves may expire at once", dlq.retention, s.name, retention), "set MessageRetentionPeriod of the dead-letter queue to 1209600")
	}
	return s, nil
}

// queueAttributes reads the settings of a queue. The URL is returned also if only that could be found out.
func queueAttributes(ctx context.Context, api API, nameOrURL string) (attributes map[string]string, url string, err error) {
	if url, err = resolveURL(ctx, api, nameOrURL); err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl:       aws.String(url),
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return nil, url, fmt.Errorf("read the attributes of queue %s: %w", queueName(nameOrURL), err)
	}
	return out.Attributes, url, nil
}

func seconds(attributes map[string]string, name types.QueueAttributeName) time.Duration {
	number, err := strconv.ParseInt(attributes[string(name)], 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(number) * time.Second
}

func trimQuotes(raw []byte) []byte {
	if len(raw) >= 2 && raw[0] == '"' {
		return raw[1 : len(raw)-1]
	}
	return raw
}
