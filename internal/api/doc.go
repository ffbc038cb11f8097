// Package api is the HTTP API of campaigns: what creators' services and the command line talk to. It decides nothing about
// messages: it reads what was asked, checks that the caller may, and calls one thing below it.
//
// It promises:
//
//   - Every error is a problem document (RFC 9457) that names the field, the reason and, where there is one, the remedy. It
//     never holds a message's text, a recipient's words, a secret, or what the database said.
//   - What belongs to an account that the key may not use looks exactly like what does not exist.
//   - A request with an Idempotency-Key that succeeded is answered the same again for a day, by every process; one that was
//     lost with its process can be repeated, and ends in the same campaign.
//   - A list of recipients of any length is taken in batches: memory does not grow with it.
//   - A shutdown finishes what was begun, and tells streams that they end.
package api
