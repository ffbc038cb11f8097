// Package devstack is what `huntaze dev` starts: the whole fleet on one machine, in one process, and a sample of
// messages that go through it, shown live.
//
// # What it promises
//
//   - Nothing has to be configured. What the configuration names is used; what it does not name is started here:
//     a Postgres of its own (package localpg), an SQS server (package sqstest), a simulated gateway (package gatewaysim).
//     What is simulated says so.
//   - The workers are the real ones, and reach everything the way they do in production: Postgres, SQS' protocol, HTTP.
//   - What is real is not mixed with what is simulated: messages of a real queue or of a database that others use never go
//     to a gateway that sends nothing, and the sample never goes to a real queue or gateway.
//   - The state is kept in one data folder, which belongs to one process at a time. A stop drains the workers, saves the
//     queues and stops Postgres; a kill loses at most what is in the simulated queues.
//   - A port that is taken is not an error: another one is chosen, and everything is told by stack.env in the data folder,
//     which other commands read.
package devstack
