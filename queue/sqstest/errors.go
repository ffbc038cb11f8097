package sqstest

import "fmt"

// Namespaces of error types: errors of the service model, and errors of the
// framework in front of the service, which the SDK knows only by their code.
const (
	serviceNamespace   = "com.amazonaws.sqs#"
	frameworkNamespace = "com.amazon.coral.service#"
)

// apiError is an error reply: __type for SDKs that speak JSON, the older query
// code for the header x-amzn-query-error (it is what ErrorCode() returns) and
// for the entries of a batch.
type apiError struct {
	typeName string // with its namespace
	code     string
	status   int
	message  string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// senderFault says whether the same request would fail again.
func (e *apiError) senderFault() bool { return e.status < 500 }

type errorShape struct {
	namespace string
	code      string
	status    int
}

// errorShapes are the errors that the server can answer with, by the name that
// follows the namespace. Codes and statuses are those of the service model.
var errorShapes = map[string]errorShape{
	"BatchEntryIdsNotDistinct":     {serviceNamespace, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", 400},
	"BatchRequestTooLong":          {serviceNamespace, "AWS.SimpleQueueService.BatchRequestTooLong", 400},
	"EmptyBatchRequest":            {serviceNamespace, "AWS.SimpleQueueService.EmptyBatchRequest", 400},
	"InvalidAddress":               {serviceNamespace, "InvalidAddress", 404},
	"InvalidAttributeName":         {serviceNamespace, "InvalidAttributeName", 400},
	"InvalidAttributeValue":        {serviceNamespace, "InvalidAttributeValue", 400},
	"InvalidBatchEntryId":          {serviceNamespace, "AWS.SimpleQueueService.InvalidBatchEntryId", 400},
	"InvalidMessageContents":       {serviceNamespace, "InvalidMessageContents", 400},
	"InvalidSecurity":              {serviceNamespace, "InvalidSecurity", 403},
	"KmsAccessDenied":              {serviceNamespace, "KMS.AccessDeniedException", 400},
	"KmsThrottled":                 {serviceNamespace, "KMS.ThrottlingException", 400},
	"MessageNotInflight":           {serviceNamespace, "AWS.SimpleQueueService.MessageNotInflight", 400},
	"OverLimit":                    {serviceNamespace, "OverLimit", 403},
	"PurgeQueueInProgress":         {serviceNamespace, "AWS.SimpleQueueService.PurgeQueueInProgress", 403},
	"QueueDeletedRecently":         {serviceNamespace, "AWS.SimpleQueueService.QueueDeletedRecently", 400},
	"QueueDoesNotExist":            {serviceNamespace, "AWS.SimpleQueueService.NonExistentQueue", 400},
	"QueueNameExists":              {serviceNamespace, "QueueAlreadyExists", 400},
	"ReceiptHandleIsInvalid":       {serviceNamespace, "ReceiptHandleIsInvalid", 404},
	"RequestThrottled":             {serviceNamespace, "RequestThrottled", 403},
	"ResourceNotFoundException":    {serviceNamespace, "ResourceNotFoundException", 404},
	"TooManyEntriesInBatchRequest": {serviceNamespace, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", 400},
	"UnsupportedOperation":         {serviceNamespace, "AWS.SimpleQueueService.UnsupportedOperation", 400},

	"AccessDeniedException":             {frameworkNamespace, "AccessDenied", 403},
	"InternalFailure":                   {frameworkNamespace, "InternalFailure", 500},
	"InvalidParameterValueException":    {frameworkNamespace, "InvalidParameterValue", 400},
	"MissingRequiredParameterException": {frameworkNamespace, "MissingParameter", 400},
	"RequestEntityTooLargeException":    {frameworkNamespace, "RequestEntityTooLarge", 413},
	"SerializationException":            {frameworkNamespace, "MalformedInput", 400},
	"ServiceUnavailable":                {frameworkNamespace, "ServiceUnavailable", 503},
	"ThrottlingException":               {frameworkNamespace, "ThrottlingException", 400},
	"UnknownOperationException":         {frameworkNamespace, "InvalidAction", 400},
}

// newError makes an error of errorShapes.
func newError(name, format string, args ...any) *apiError {
	shape := errorShapes[name]
	return &apiError{
		typeName: shape.namespace + name,
		code:     shape.code,
		status:   shape.status,
		message:  fmt.Sprintf(format, args...),
	}
}

func invalidParameter(format string, args ...any) *apiError {
	return newError("InvalidParameterValueException", format, args...)
}

func missingParameter(name string) *apiError {
	return newError("MissingRequiredParameterException", "The request must contain the parameter %s.", name)
}

func queueDoesNotExist() *apiError {
	return newError("QueueDoesNotExist", "The specified queue does not exist.")
}

func receiptHandleInvalid() *apiError {
	return newError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
}
