package screen

import "time"

// Snapshot is everything that a picture shows, at one moment.
type Snapshot struct {
	Now          time.Time
	Since        time.Time // of the start
	Workers      int
	Limit        Limit // of an account
	Accounts     []Account
	MoreAccounts bool    // there are others that there is no look at
	All          Account // the sum of all accounts
	LastMinute   int     // messages that the gateway took within a minute
	Intake       Intake
	Gateway      Gateway
	Arrivals     []Arrival // the newest last
	Sample       Sample
	Trouble      string // what keeps the stack from working now
	Warnings     int
	LastWarning  string
	LogFile      string
}

// Limit is how many messages an account may send in a window. Zero: no limit.
type Limit struct {
	Capacity int
	Window   time.Duration
}

// Account is how one account does.
type Account struct {
	Name       string
	Sent       int
	Queued     int
	Writing    int // without a text yet
	Sending    int
	InDoubt    int
	Failed     int  // or cancelled or expired: ended without being sent
	More       bool // there are more messages than were counted
	Tokens     Tokens
	NextFree   time.Time // when a token is free; not after Now: now
	Waits      []Wait
	RestUntil  time.Time // nothing is sent before; zero: it does not rest
	RestReason string
}

// Tokens counts those of an account. What is neither in use nor cooling is free.
type Tokens struct {
	Capacity int // 0: no limit
	InUse    int
	Cooling  int
}

func (t Tokens) free() int { return max(0, t.Capacity-t.InUse-t.Cooling) }

// Reason is why messages wait.
type Reason string

// The reasons.
const (
	ForToken     Reason = "token"
	ForTime      Reason = "time"
	ForRecipient Reason = "recipient"
	ForRetry     Reason = "retry"
	ForText      Reason = "text"
	ForCampaign  Reason = "campaign"
)

// Wait is a reason to wait, and for how many messages it holds.
type Wait struct {
	Reason Reason
	Count  int
	Until  time.Time // of the first of them; zero: not known
}

// Intake counts messages that came from the queue since the start.
type Intake struct {
	Received    int
	Accepted    int
	Duplicates  int
	Quarantined int
	Problems    []Problem // the latest last
}

// Problem is a message that could not be used.
type Problem struct {
	Message string // what is known of it: its workflow id, or nothing
	Reason  string
}

// Gateway is where messages arrive.
type Gateway struct {
	Simulated bool
	Address   string
}

// Arrival is a message at the simulated gateway.
type Arrival struct {
	At        time.Time
	Account   string
	Recipient string
	Took      time.Duration // of the call; negative: its reply is not out yet
	Outcome   string        // empty: taken and answered
	Content   string        // only because the simulated gateway keeps it
}

// Sample is how far the sample is.
type Sample struct {
	Total   int // messages put on the queue; 0: there is no sample
	Done    int
	Expect  time.Time // of the last one
	Ended   bool
	SendHow string // the command that adds more
}
