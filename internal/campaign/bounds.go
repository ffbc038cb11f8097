package campaign

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a recipient. They are those of a message that comes through SQS (packages queue and text), so
// that a recipient who is taken in here is not refused there.
const (
	MaxIDBytes        = 256 // queue.MaxIDBytes: three ids are the unique key of a workflow, in one B-tree entry
	MaxFields         = 64  // text.MaxFields
	MaxFieldNameBytes = 64  // the pattern of text's merge fields: a letter, then up to 63 letters, digits and _
	MaxFieldBytes     = 4096
)

const (
	// DefaultMaxLineBytes holds the largest recipient there can be (MaxFields values of MaxFieldBytes) nearly four
	// times over, which leaves room for the escapes of JSON.
	DefaultMaxLineBytes = 1 << 20

	// DefaultMaxRecipients is the most that a campaign takes in by one call.
	DefaultMaxRecipients = 1_000_000
)

// Limits are the bounds of a list that an operator may move; 0 means the default.
type Limits struct {
	MaxLineBytes  int // of a line of NDJSON, or of the values of a CSV record
	MaxRecipients int // lines that are neither empty nor the header; those that are refused count
}

func (l Limits) maxLineBytes() int {
	if l.MaxLineBytes > 0 {
		return l.MaxLineBytes
	}
	return DefaultMaxLineBytes
}

func (l Limits) maxRecipients() int {
	if l.MaxRecipients > 0 {
		return l.MaxRecipients
	}
	return DefaultMaxRecipients
}

// flaw is why a value can't be used, without its place.
type flaw struct{ reason, remedy string }

// checkID refuses what queue refuses as an id: what two systems could take for the same or for different ones,
// and what doesn't fit in an index.
func checkID(id []byte) *flaw {
	plain := len(id) > 0 && len(id) <= MaxIDBytes
	for i := 0; plain && i < len(id); i++ {
		plain = id[i] > ' ' && id[i] < 0x7f
	}
	if plain {
		return nil
	}
	text := string(id)
	switch {
	case !utf8.ValidString(text):
		return &flaw{"is not valid UTF-8", "encode the list as UTF-8"}
	case strings.TrimSpace(text) == "":
		return &flaw{"is empty", "give each recipient an id"}
	case len(text) > MaxIDBytes:
		return &flaw{fmt.Sprintf("has %d bytes, the most is %d", len(text), MaxIDBytes), "use a shorter id"}
	case strings.ContainsFunc(text, unprintable):
		return &flaw{"contains control characters", "remove them from the id"}
	case strings.TrimSpace(text) != text:
		return &flaw{"begins or ends with white space", "remove it from the id"}
	}
	return nil
}

// unprintable is true for control characters and for line separators, which break a line in some tools.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

// checkValue says whether a merge field's value can be stored. Whether it can be used in a text is found when it
// is merged.
func checkValue(value []byte) *flaw {
	if len(value) > MaxFieldBytes {
		return &flaw{fmt.Sprintf("has %d bytes, the most is %d", len(value), MaxFieldBytes), "shorten the value"}
	}
	ascii := true
	for _, c := range value {
		if c == 0 {
			return &flaw{"contains a NUL character", "remove it: Postgres can't store it"}
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && !utf8.Valid(value) {
		return &flaw{"is not valid UTF-8", "encode the list as UTF-8"}
	}
	return nil
}

// isFieldName is true for what can stand in {{name}}.
func isFieldName(name []byte) bool {
	if len(name) == 0 || len(name) > MaxFieldNameBytes || !isLetter(name[0]) {
		return false
	}
	for _, c := range name {
		if !isLetter(c) && !isDigit(c) && c != '_' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
