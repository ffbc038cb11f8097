package telemetry

import "go.opentelemetry.io/otel/attribute"

// The names of attributes. Those of OpenTelemetry follow its semantic conventions: 1.43 for messaging, db, http and
// error; 1.41 for gen_ai, which has left the common conventions since.
const (
	UserID     = attribute.Key("huntaze.user_id")     // the account
	WorkflowID = attribute.Key("huntaze.workflow_id") // as the producer calls it
	Outcome    = attribute.Key("huntaze.outcome")     // of a step, a send, an intake or a call
	Reason     = attribute.Key("huntaze.reason")      // a machine word
	Attempt    = attribute.Key("huntaze.attempt")     // of a send or of a call to a provider, from 1
	InDoubt    = attribute.Key("huntaze.in_doubt")    // nobody knows whether the message was accepted
	WaitReason = attribute.Key("huntaze.wait.reason")
	CallCost   = attribute.Key("huntaze.cost.usd")
	CostKind   = attribute.Key("huntaze.cost.kind") // actual, estimated, unpriced, not_billed
	Violations = attribute.Key("huntaze.text.violations")
	From       = attribute.Key("huntaze.fallback.from")
	To         = attribute.Key("huntaze.fallback.to")
	JobID      = attribute.Key("huntaze.job.id")
	JobAttempt = attribute.Key("huntaze.job.attempt")
	JobDelay   = attribute.Key("huntaze.job.delay_seconds") // from when it was due to when it began
	Messages   = attribute.Key("huntaze.messages")          // that a step was about

	ErrorType = attribute.Key("error.type")

	MessagingSystem      = attribute.Key("messaging.system")
	MessagingOperation   = attribute.Key("messaging.operation.name")
	MessagingType        = attribute.Key("messaging.operation.type")
	MessagingDestination = attribute.Key("messaging.destination.name")
	MessagingBatch       = attribute.Key("messaging.batch.message_count")
	MessagingMessageID   = attribute.Key("messaging.message.id")
	MessagingBodySize    = attribute.Key("messaging.message.body.size")
	QueueURL             = attribute.Key("aws.sqs.queue.url")
	RPCSystem            = attribute.Key("rpc.system.name")
	RPCMethod            = attribute.Key("rpc.method")

	DBSystem    = attribute.Key("db.system.name")
	DBOperation = attribute.Key("db.operation.name")
	DBBatch     = attribute.Key("db.operation.batch.size")

	HTTPMethod    = attribute.Key("http.request.method")
	HTTPStatus    = attribute.Key("http.response.status_code")
	HTTPResend    = attribute.Key("http.request.resend_count")
	HTTPRoute     = attribute.Key("http.route")
	URLPath       = attribute.Key("url.path")
	URLTemplate   = attribute.Key("url.template")
	ServerAddress = attribute.Key("server.address")

	GenAIOperation     = attribute.Key("gen_ai.operation.name")
	GenAIProvider      = attribute.Key("gen_ai.provider.name")
	GenAIRequestModel  = attribute.Key("gen_ai.request.model")
	GenAIResponseModel = attribute.Key("gen_ai.response.model")
	GenAIOutputType    = attribute.Key("gen_ai.output.type")
	GenAIInput         = attribute.Key("gen_ai.usage.input_tokens")
	GenAIOutput        = attribute.Key("gen_ai.usage.output_tokens")
	GenAICached        = attribute.Key("gen_ai.usage.cache_read.input_tokens")
	GenAIReasoning     = attribute.Key("gen_ai.usage.reasoning.output_tokens")
)

// The values that the conventions fix.
const (
	SystemSQS   = "aws_sqs"
	SystemRiver = "river"
	SystemAWS   = "aws-api"
	Postgres    = "postgresql"
)

// Names of spans and events that have no convention.
const (
	WaitSpan      = "wait"     // a time in which the workflow waited, with its reason
	FallbackEvent = "fallback" // from one provider to another, or to the queue
)
