// Package queue is the way between SQS and the fleet: in (the [Bridge], which workers run), out (the [Sender],
// for "huntaze send") and back (the [DeadLetters], for "huntaze dlq").
//
// The bridge promises:
//
//   - A message is deleted from its queue only after the transaction that holds it has committed. A crash in
//     between brings the message again, and the store knows it by its key.
//   - A running ReceiveMessage is never cancelled: SQS may hand over messages to a caller who has gone, and
//     would then hide them for the whole visibility timeout. Stopping means to start no further poll.
//   - While the store is down nothing is received, so that an outage does not use up the receives after
//     which SQS moves a message to the dead-letter queue.
//   - A body that can't be used is recorded by the store with a reason that names the field, copied to the
//     dead-letter queue and deleted. Neither that nor a message that the store refuses holds up its neighbours.
//   - What is held in memory is bounded, whatever the length of the queue.
//
// [Decode] is the contract for a message's body, as a pure function.
package queue
