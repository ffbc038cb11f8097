package workflow

import "time"

// Delivery is one message as a queue delivered it: decoded, or with the problem that makes it unusable.
type Delivery struct {
	Source       string // the name of the queue
	MessageID    string // given by SQS; a redrive or a producer's retry gives a new one
	ReceiveCount int
	SentAt       time.Time
	Body         []byte // as received; kept for the quarantine
	Message      Message
	Problem      *Problem // not nil: Message can't be used
}

// Problem says what is wrong with an input: which field, why, and what to do about it. It never holds the
// field's value, which may be a message's content.
type Problem struct {
	Field  string // in the words of the message contract; "body" for the whole
	Reason string
	Remedy string
}

// String is the form for logs, the quarantine and the dead letter's attribute.
func (p Problem) String() string {
	s := p.Field + ": " + p.Reason
	if p.Remedy != "" {
		s += "; " + p.Remedy
	}
	return s
}

// IntakeOutcome is what became of a delivery.
type IntakeOutcome string

// The outcomes of an intake. After each of them the delivery is durable in the database and may be deleted
// from its queue; a quarantined one is copied to the dead-letter queue first.
const (
	IntakeAccepted    IntakeOutcome = "accepted"    // a new workflow
	IntakeDuplicate   IntakeOutcome = "duplicate"   // its workflow exists already
	IntakeQuarantined IntakeOutcome = "quarantined" // unusable; recorded with the reason
)

// Intake is the answer to one delivery.
type Intake struct {
	Outcome IntakeOutcome
	Problem *Problem // set when quarantined: also by what only the database knows, such as an unknown account
}
