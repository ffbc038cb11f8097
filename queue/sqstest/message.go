package sqstest

import (
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of messages, from "Amazon SQS message quotas".
const (
	// MaxMessageSize is the limit in bytes of one message with its attributes,
	// and of all the messages of a batch together.
	MaxMessageSize = 1_048_576

	maxAttributes    = 10
	maxAttributeName = 256
	maxDelay         = 900 * time.Second
)

// State says where a message of a queue is.
type State string

// The states of a message.
const (
	Visible  State = "visible"
	InFlight State = "inFlight"
	Delayed  State = "delayed"
)

// Attribute is a message attribute. DataType is String, Number or Binary, with
// an optional label after a period; only Binary uses BinaryValue.
type Attribute struct {
	DataType    string `json:"dataType"`
	StringValue string `json:"stringValue,omitempty"`
	BinaryValue []byte `json:"binaryValue,omitempty"`
}

// content is the part of a message that never changes once it is sent; replies
// are written from it without the server's lock.
type content struct {
	id            string
	body          string
	md5           string
	attributes    map[string]Attribute
	md5Attributes string
	traceHeader   string
	groupID       string // MessageGroupId
	deduplication string // MessageDeduplicationId
	sequence      string // SequenceNumber, of FIFO queues
	deadLetterOf  string // ARN of the queue that gave it up
	sent          time.Time
}

type message struct {
	content
	seq   uint64 // order of arrival over the whole server, and its name in receipts
	state State
	due   time.Time // end of the delay or of the visibility timeout

	// receives is ApproximateReceiveCount, which goes on counting in a
	// dead-letter queue; attempts counts in this queue and decides redrive.
	receives, attempts int
	firstReceived      time.Time
	received           time.Time // start of the current visibility timeout
	delivery           uint64    // number of the latest delivery
	deliveryValid      uint64    // oldest delivery whose handle still deletes

	group      *group
	prev, next *message
	dueIndex   int
	sentIndex  int
}

// size is what counts against the limits: the body and its attributes' names,
// types and values, but not system attributes.
func (c *content) size() int {
	n := len(c.body)
	for name, a := range c.attributes {
		n += len(name) + len(a.DataType) + len(a.StringValue) + len(a.BinaryValue)
	}
	return n
}

// validCharacters reports whether SQS accepts the text:
// #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.
func validCharacters(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		switch {
		case r == '\t', r == '\n', r == '\r':
		case r < 0x20, r == 0xFFFE, r == 0xFFFF:
			return false
		}
	}
	return true
}

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	attributeType = regexp.MustCompile(`^(String|Number|Binary)(\.[^\x00-\x1F]+)?$`)
	// identifier is the rule for MessageGroupId and MessageDeduplicationId.
	identifier = regexp.MustCompile("^[A-Za-z0-9!\"#$%&'()*+,./:;<=>?@\\[\\\\\\]^_`{|}~-]{1,128}$")
)

// attributes checks message attributes as they came in.
func attributes(in map[string]wireAttribute) (map[string]Attribute, *apiError) {
	if len(in) == 0 {
		return nil, nil
	}
	if len(in) > maxAttributes {
		return nil, invalidParameter("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(in), maxAttributes)
	}
	out := make(map[string]Attribute, len(in))
	for name, w := range in {
		if err := checkAttributeName(name); err != nil {
			return nil, err
		}
		a, err := w.attribute(name)
		if err != nil {
			return nil, err
		}
		out[name] = a
	}
	return out, nil
}

func checkAttributeName(name string) *apiError {
	lower := strings.ToLower(name)
	switch {
	case name == "" || len(name) > maxAttributeName:
		return invalidParameter("Length of message attribute name must be between 1 and %d.", maxAttributeName)
	case !attributeName.MatchString(name):
		return invalidParameter("Invalid non-alphanumeric character was found in the message attribute name. Can only include alphanumeric characters, hyphens, underscores, or periods.")
	case strings.HasPrefix(name, "."), strings.HasSuffix(name, "."), strings.Contains(name, ".."):
		return invalidParameter("You cannot use message attribute names that begin or end with a period or have periods in succession.")
	case strings.HasPrefix(lower, "aws."), strings.HasPrefix(lower, "amazon."):
		return invalidParameter("You cannot use message attribute names beginning with 'AWS.' or 'Amazon.' because these strings are reserved for internal use.")
	}
	return nil
}

func (w wireAttribute) attribute(name string) (Attribute, *apiError) {
	if len(w.StringListValues) > 0 || len(w.BinaryListValues) > 0 {
		return Attribute{}, newError("UnsupportedOperation", "Message attribute list values in SendMessage operation are not supported.")
	}
	if !attributeType.MatchString(w.DataType) || len(w.DataType) > maxAttributeName {
		return Attribute{}, invalidParameter("The type of message (user) attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", name)
	}
	a := Attribute{DataType: w.DataType}
	if a.binary() {
		if len(w.BinaryValue) == 0 || w.StringValue != nil {
			return Attribute{}, invalidParameter("The message (user) attribute '%s' must contain a non-empty value of type 'Binary'.", name)
		}
		a.BinaryValue = w.BinaryValue
		return a, nil
	}
	if w.StringValue == nil || *w.StringValue == "" || w.BinaryValue != nil {
		return Attribute{}, invalidParameter("The message (user) attribute '%s' must contain a non-empty value of type 'String'.", name)
	}
	a.StringValue = *w.StringValue
	if !validCharacters(a.StringValue) {
		return Attribute{}, invalidParameter("The message (user) attribute '%s' has an invalid character in its value.", name)
	}
	if a.DataType == "Number" || strings.HasPrefix(a.DataType, "Number.") {
		if !decimal(a.StringValue) {
			return Attribute{}, invalidParameter("Can't cast the value of message (user) attribute '%s' to a number.", name)
		}
	}
	return a, nil
}

// decimal accepts what SQS calls a number, which excludes the hexadecimal,
// infinite and underscored forms that strconv knows.
func decimal(s string) bool {
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return false
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}
