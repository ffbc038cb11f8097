package cli

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway"
	"github.com/huntaze/hybrid-orchestrator/queue"
)

// checkQueues looks at the queues as a worker does when it starts.
func (d *doctor) checkQueues(ctx context.Context, cfg config.Config) {
	const part = "queues"
	const remedy = "correct AWS_REGION, AWS_ENDPOINT_URL_SQS or the credentials, or create the queue"
	client, err := queue.NewClient(ctx, cfg.AWSRegion, cfg.SQSEndpoint)
	if err != nil {
		d.fail(part, remedy, "%s", oneLine(err))
		return
	}
	findings, err := queue.CheckQueues(ctx, client, queueConfig(cfg))
	if err != nil {
		d.fail(part, remedy, "%s", oneLine(err))
		return
	}
	level := levelOK
	for _, f := range findings {
		one := finding{levelOK, part, f.Queue + ": " + f.Text, f.Remedy}
		switch f.Severity {
		case queue.SeverityError:
			one.Level = levelFail
		case queue.SeverityWarning:
			one.Level = levelWarn
		}
		if one.Level != levelOK {
			level = one.Level
		}
		d.findings = append(d.findings, one)
	}
	if level == levelOK {
		d.ok(part, "%s are as the contract says", joined(cfg.SQSQueue, cfg.SQSRetryQueue, cfg.SQSDeadLetters))
	}
}

// checkGateway asks the gateway about a message that never was.
func (d *doctor) checkGateway(ctx context.Context, cfg config.Config) {
	const part = "gateway"
	if cfg.GatewayURL == "" {
		d.fail(part, "set GATEWAY_URL to the base of the message gateway", "GATEWAY_URL is not set")
		return
	}
	client, err := gateway.New(gateway.Config{URL: cfg.GatewayURL, Token: cfg.GatewayToken.Reveal(), LookupTimeout: doctorTimeout})
	if err != nil {
		d.fail(part, "correct it", "%s", oneLine(err))
		return
	}
	defer client.Close()
	found, err := client.LookUp(ctx, uuid.NewString())
	switch {
	case err != nil && refusedAs(err, http.StatusUnauthorized, http.StatusForbidden):
		d.fail(part, "correct GATEWAY_TOKEN", "%s refuses the token", cfg.GatewayURL)
	case err != nil:
		d.fail(part, "correct GATEWAY_URL, or ask who runs the gateway", "%s does not answer as the contract says: %s", cfg.GatewayURL, oneLine(err))
	case found.Answer == gateway.Found:
		d.fail(part, "its look-up must answer 404 for what it never accepted: until then lost messages count as sent", "%s says that it has a message which never was", cfg.GatewayURL)
	case found.Answer == gateway.Unsupported:
		d.warn(part, "nothing, or give the gateway a look-up: until then every doubt waits for an operator", "%s answers, and has no look-up", cfg.GatewayURL)
	default:
		d.ok(part, "%s answers, the token is right, the look-up works", cfg.GatewayURL)
	}
}

// refusedAs says whether a look-up failed with one of the statuses. The client keeps only the text of it.
func refusedAs(err error, statuses ...int) bool {
	for _, status := range statuses {
		if strings.HasSuffix(err.Error(), "status "+strconv.Itoa(status)) {
			return true
		}
	}
	return false
}
