// Package telemetry says what happens to a message as OpenTelemetry traces: one trace for each message, from its
// intake to its send, over restarts and days.
//
// It promises that no message ever waits for it or is lost by it. A nil Telemetry is one that is off: every method of
// it does nothing. One that is on never blocks: spans go into a queue of a bounded length, and what does not fit is
// dropped; a collector that is dead or slow costs the spans, a log line a minute, and nothing else. It also promises
// that a span holds ids, numbers and words of closed lists only: never a text, a brief, a prompt, a recipient or what
// somebody else's error says.
//
// How the spans of a message find each other: the trace context that is stored with its workflow names a span, the
// message's own. Intake makes that span, under exactly that id; every step of the workflow, in whatever process and
// after however many days, opens its span as a child of it, and so do the calls that a step makes, so that nothing that a
// killed process left behind is an orphan. What belongs to several messages (a transaction, a batch
// that was received) has a trace of its own and is bound to theirs by links.
//
// Sampling is decided by the trace id alone, so that all processes decide alike. What is not sampled is recorded all
// the same, in memory and for a short while: when a span of it ends in an error, such as a send in doubt, the whole of
// what this process has of the trace is kept. That is as far as a process can go by itself. Spans that another process
// has dropped by then are gone, so that such a trace may lack its beginning; a collector with a tail sampler sees all.
package telemetry
