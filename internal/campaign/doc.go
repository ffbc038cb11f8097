// Package campaign decides about campaigns: whom they are for, which states they go through, when they may not
// send, whose turn it is, and what will become of them. It is pure: it has no clock, no database and no network,
// and reads nothing but the lists that it is given (and, once for each name, the rules of a time zone, which are
// part of the program).
//
// It promises:
//
//   - A list of recipients of any length is read in constant memory. Each of its lines is a recipient or is
//     refused with the reason and the remedy; one that is refused never spoils its neighbours, and what is said
//     about it never holds a value.
//   - A campaign in a final state stays in it.
//   - Nothing is sent while the clock on the wall of the quiet time's zone shows a quiet time, whatever that clock
//     skips or shows twice.
//   - Campaigns of one priority share an account by their weights, to within one message, and none starves.
//   - A forecast counts every recipient exactly once: sent + expired + suppressed + beyond the horizon = all.
package campaign
