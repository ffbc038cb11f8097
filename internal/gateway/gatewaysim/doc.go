// Package gatewaysim is a message gateway that sends nothing: it keeps the contract of section 4.2, remembers
// every arrival, and fails in every way that a real one can. Tests, `huntaze gateway-sim` and `huntaze dev` use it.
//
// It is the witness of the two promises that can only be seen from the outside, so it is strict where it counts:
// an arrival is stamped when the request's body has been read, and with Options.LogPath its line is in the hands
// of the operating system before any byte of an answer is written, so that a kill -9 loses no accepted message.
// It does not deduplicate unless asked to, so that a double send is seen.
//
// [Server] is an http.Handler. The contract's own paths want the token; /_sim/ is open:
//
//	PUT  /_sim/faults                  set a [Faults]; replaces the one before
//	GET  /_sim/faults                  the current one, counts as they stand
//	GET  /_sim/arrivals?after=SEQ      arrivals after a sequence number, oldest first (&limit=N, 1000)
//	GET  /_sim/stats                   [Stats]
//
// Lost replies and resets need the TCP connection; behind HTTP/2 both become an aborted stream.
package gatewaysim
