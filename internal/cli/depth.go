package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// depth is about how many messages a queue has: SQS itself only knows it approximately.
type depth struct {
	Queue    string `json:"queue"`
	Visible  int    `json:"visible"`
	InFlight int    `json:"inFlight"`
	Delayed  int    `json:"delayed"`
	Error    string `json:"error,omitempty"` // why nothing is known
}

func (d depth) inWords() string {
	if d.Error != "" {
		return d.Queue + ": " + d.Error
	}
	return fmt.Sprintf("%s: about %d visible, %d in flight, %d delayed", d.Queue, d.Visible, d.InFlight, d.Delayed)
}

func depthsOf(ctx context.Context, cfg config.Config, names ...string) []depth {
	client, err := queue.NewClient(ctx, cfg.AWSRegion, cfg.SQSEndpoint)
	var depths []depth
	for _, name := range names {
		if name == "" {
			continue
		}
		d, failed := depth{Queue: name}, err
		if failed == nil {
			d, failed = depthOf(ctx, client, name)
		}
		if failed != nil {
			d.Error = "can't be asked: " + oneLine(failed)
		}
		depths = append(depths, d)
	}
	return depths
}

func depthOf(ctx context.Context, api queue.API, name string) (depth, error) {
	d := depth{Queue: name}
	found, err := api.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	if err != nil {
		return d, err
	}
	names := []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible, types.QueueAttributeNameApproximateNumberOfMessagesDelayed}
	out, err := api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: found.QueueUrl, AttributeNames: names})
	if err != nil {
		return d, err
	}
	for i, into := range []*int{&d.Visible, &d.InFlight, &d.Delayed} {
		if *into, err = strconv.Atoi(out.Attributes[string(names[i])]); err != nil {
			return d, fmt.Errorf("attribute %s: %w", names[i], err)
		}
	}
	return d, nil
}
