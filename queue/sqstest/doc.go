// Package sqstest is an SQS server in process, for SQS what net/http/httptest
// is for HTTP: no container, no second runtime, safe under the race detector.
//
// It speaks the AWS JSON 1.0 protocol (the only one that aws-sdk-go-v2 and
// current command line tools use) and serves three kinds of users: tests, which
// inject a clock and faults; `huntaze dev`, for which it is the queue of the
// machine, kept over restarts with [Server.Save] and [Server.Load]; and
// `huntaze sqs-sim`, where it stands alone on a port.
//
// What it promises:
//
//   - A message is marked received only for a receiver that is still there: a
//     long poll that was cancelled never swallows a message, and a reply that
//     could not be written puts its messages back.
//   - Time is the injected [Clock] only. With a [ManualClock] nothing happens
//     until the test advances it, and polls wake at the exact instant at which a
//     message becomes visible.
//   - Without [Faults] no message is lost, and none is delivered twice before
//     its visibility timeout ends. Real SQS promises less (at least once, in any
//     order); the faults make it as unpleasant as the real one may be.
//   - Work per message is O(log n) in the number of messages of its queue.
//
// What it leaves out: signatures, IAM and KMS are not checked (policies and keys
// are stored and returned), the tenant fairness of MessageGroupId on standard
// queues is not modelled (the group is stored and returned), throughput quotas
// are not enforced, and AddPermission and RemovePermission are refused.
//
// The conformance tests run against this server, and against any other one that
// SQS_CONFORMANCE_ENDPOINT names (region and credentials come from the usual AWS
// variables): a second opinion on both.
//
// Rules, limits and error names come from the public Amazon SQS API reference
// and developer guide; where those are silent, from the service model in
// aws-sdk-go-v2 (HTTP codes, query error codes).
package sqstest
