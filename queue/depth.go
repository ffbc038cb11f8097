package queue

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Depth is about how many messages a queue has: SQS itself only knows it approximately.
type Depth struct {
	Visible  int `json:"visible"`
	InFlight int `json:"inFlight"`
	Delayed  int `json:"delayed"`
}

var depthAttributes = []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages,
	types.QueueAttributeNameApproximateNumberOfMessagesNotVisible, types.QueueAttributeNameApproximateNumberOfMessagesDelayed}

// DepthOf asks SQS for the depth of a queue, given by name or URL.
func DepthOf(ctx context.Context, api API, nameOrURL string) (Depth, error) {
	var d Depth
	url, err := resolveURL(ctx, api, nameOrURL)
	if err != nil {
		return d, err
	}
	out, err := api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(url), AttributeNames: depthAttributes})
	if err != nil {
		return d, err
	}
	for i, into := range []*int{&d.Visible, &d.InFlight, &d.Delayed} {
		if *into, err = strconv.Atoi(out.Attributes[string(depthAttributes[i])]); err != nil {
			return d, fmt.Errorf("attribute %s: %w", depthAttributes[i], err)
		}
	}
	return d, nil
}
