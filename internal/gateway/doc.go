// Package gateway is the client of the message gateway: the one place from which a message leaves the fleet.
//
// It promises three things.
//
// One call is one request. Nothing below [Client.Send] sends a request a second time: no retry, no redirect,
// no replay on a second connection, no HTTP/2. net/http re-sends a POST on its own when the request can be
// rewound (GetBody) and carries an idempotency key, and it repeats the body on a 307; both are switched off.
//
// The outcome is decided by evidence, and every doubt is reported as one. [NotSent] is only said when no byte of
// the request was handed to the operating system; from the first byte on only an answer of the gateway can say
// what happened, and without a clear one the class is [Unknown]. The whole decision is two pure functions,
// [ClassifyStatus] and the table of transport failures beside it.
//
// Nothing secret gets out. Content, token and the gateway's own words never appear in an [Outcome] or an error.
//
// The contract (section 4.2 of the design): POST {URL}/v1/messages, GET {URL}/v1/messages?clientRef=…
// Proxies named in the environment are not used: a proxy may hold or repeat a request, and the settle time of
// the look-up would not know of it.
package gateway
