package queue

import "time"

// The bounds of the message contract. Each is here because something further on would otherwise fail late, in
// a transaction that other messages share, or at a person's phone.
const (
	// DefaultMaxMessageBytes is the largest body that is read (MAX_MESSAGE_BYTES). SQS itself allows 1 MiB
	// since 2025; 256 KiB was its limit before and holds the longest text many times over.
	DefaultMaxMessageBytes = 262_144

	// MaxIDBytes bounds workflowId, recipientId, userId and campaignId, in bytes of UTF-8. Three of them are
	// the unique key of a workflow, and Postgres refuses a B-tree entry over 2,704 bytes: 256 leaves room.
	MaxIDBytes = 256

	// MaxTextCharacters bounds content and brief, in characters. The platform's composer takes less; what is
	// longer is not a message to a person, and would cost a provider's whole context.
	MaxTextCharacters = 20_000

	// MaxErrorCharacters bounds lastError, in characters: it is a note for people. A longer one is cut, not
	// refused, because it says nothing about whether the message can be sent.
	MaxErrorCharacters = 2_000

	// MaxCount bounds attempts and maxRetries. Far more than anybody retries, and far below what a 32-bit
	// column holds.
	MaxCount = 1_000_000

	// MaxDepth bounds how deep objects and arrays may be nested.
	MaxDepth = 64

	// MaxNumberLength and MaxExponent bound the numbers in unknown fields, which are kept exactly: jsonb
	// keeps at most 131,072 digits before the point and 16,383 after it, and refuses the rest.
	MaxNumberLength = 400
	MaxExponent     = 1_000
)

// The range of scheduledFor, from the first moment to before the second. What lies outside is a mistake of
// unit (milliseconds read as seconds) or an empty date of some language.
var (
	EarliestSchedule = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	LatestSchedule   = time.Date(2100, time.January, 1, 0, 0, 0, 0, time.UTC)
)

// Limits are the bounds that an operator may move.
type Limits struct {
	MaxMessageBytes int // of the body; 0 means DefaultMaxMessageBytes
}

func (l Limits) maxMessageBytes() int {
	if l.MaxMessageBytes > 0 {
		return l.MaxMessageBytes
	}
	return DefaultMaxMessageBytes
}
