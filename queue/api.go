package queue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/huntaze/hybrid-orchestrator/queue/sqshttp"
)

// API is the part of *sqs.Client that this package uses.
type API interface {
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
	StartMessageMoveTask(context.Context, *sqs.StartMessageMoveTaskInput, ...func(*sqs.Options)) (*sqs.StartMessageMoveTaskOutput, error)
	ListMessageMoveTasks(context.Context, *sqs.ListMessageMoveTasksInput, ...func(*sqs.Options)) (*sqs.ListMessageMoveTasksOutput, error)
}

var _ API = (*sqs.Client)(nil)

// Bounds of SQS itself.
const (
	maxBatchEntries   = 10
	maxRequestBytes   = 1 << 20 // one message, and all messages of a batch together
	maxAttributes     = 10
	maxWaitTime       = 20 * time.Second
	callTimeout       = 15 * time.Second // of every call but ReceiveMessage
	receiveAllowance  = 10 * time.Second // how much longer than its wait a ReceiveMessage may take
	clientMaxAttempts = 3
)

// NewClient makes the one client that a process shares. Region and endpoint may be empty, and then come from
// the usual places of the AWS SDK (AWS_REGION, AWS_ENDPOINT_URL_SQS, the profile). Credentials come from the
// SDK's default chain; an endpoint that is not AWS's own gets dummy ones if the chain has none, because
// emulators want a signature but don't check it.
func NewClient(ctx context.Context, region, endpoint string) (*sqs.Client, error) {
	transport := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		// Every poller keeps a connection busy for 20 s; the SDK's 10 idle ones would be opened anew all the time.
		t.MaxIdleConns = 256
		t.MaxIdleConnsPerHost = 128
		t.ResponseHeaderTimeout = maxWaitTime + receiveAllowance + 5*time.Second // a long poll answers late by design
	})
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(transport),
		config.WithRetryMaxAttempts(clientMaxAttempts), // the callers here repeat what matters, with a view of the whole
	}
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	emulator := endpoint != "" && !isAWS(endpoint)
	if emulator {
		options = append(options,
			config.WithDefaultRegion("us-east-1"),
			config.WithEC2IMDSClientEnableState(imds.ClientDisabled)) // it would take seconds to find out that this is no EC2 machine
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if loaded.Region == "" {
		return nil, fmt.Errorf("no AWS region is set: set AWS_REGION")
	}
	if emulator && !hasCredentials(ctx, loaded) {
		loaded.Credentials = credentials.NewStaticCredentialsProvider("local", "local", "")
	}
	return sqs.NewFromConfig(loaded, func(o *sqs.Options) {
		o.HTTPClient = sqshttp.WholeBodies(o.HTTPClient)
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
	}), nil
}

func isAWS(endpoint string) bool {
	parsed, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	host := parsed.Hostname()
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn") || strings.HasSuffix(host, ".api.aws")
}

func hasCredentials(ctx context.Context, loaded aws.Config) bool {
	if loaded.Credentials == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	found, err := loaded.Credentials.Retrieve(ctx)
	return err == nil && found.HasKeys()
}

// queueName is the last part of a queue's URL, or what it was given if that is a name already.
func queueName(nameOrURL string) string {
	return nameOrURL[strings.LastIndexByte(nameOrURL, '/')+1:]
}

// resolveURL finds the URL of a queue that is given by name or URL.
func resolveURL(ctx context.Context, api API, nameOrURL string) (string, error) {
	if strings.Contains(nameOrURL, "://") {
		return nameOrURL, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := api.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(nameOrURL)})
	if err != nil {
		return "", fmt.Errorf("find queue %s: %w", nameOrURL, err)
	}
	return aws.ToString(out.QueueUrl), nil
}

// isRefusal is true for an error that SQS answered because of the request itself, so that the same request again
// would fail again.
func isRefusal(err error) bool {
	var refusal smithy.APIError
	if !errors.As(err, &refusal) || refusal.ErrorFault() == smithy.FaultServer {
		return false
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() >= 500 {
		return false
	}
	_, throttled := retry.DefaultThrottleErrorCodes[refusal.ErrorCode()]
	return !throttled && refusal.ErrorCode() != "OverLimit"
}

func isFIFO(name string) bool { return strings.HasSuffix(name, ".fifo") }
