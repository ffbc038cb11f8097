package workflow

import (
	"encoding/json"
	"time"
)

// Stage is where a workflow is.
type Stage string

// The stages. A workflow ends in exactly one of the last four; everything before them is live.
const (
	StagePlanning  Stage = "planning"  // its text is still to be written
	StageQueued    Stage = "queued"    // parked: waits for its turn without any job
	StageSending   Stage = "sending"   // an attempt is open in the send ledger
	StageInDoubt   Stage = "in_doubt"  // an attempt's outcome is unknown; the resolver or an operator settles it
	StageSent      Stage = "sent"      // the gateway accepted it
	StageFailed    Stage = "failed"    // given up, with the reason in LastError
	StageCancelled Stage = "cancelled" // its campaign was cancelled before it was sent
	StageExpired   Stage = "expired"   // its time ran out before it was sent
)

// Stages lists every stage, in the order of a life.
var Stages = []Stage{StagePlanning, StageQueued, StageSending, StageInDoubt, StageSent, StageFailed, StageCancelled, StageExpired}

// Final says that nothing more will be done for a workflow in this stage.
func (s Stage) Final() bool {
	switch s {
	case StageSent, StageFailed, StageCancelled, StageExpired:
		return true
	}
	return false
}

// Provider names who writes the text; hybrid means that each stands in for the other.
type Provider string

// The values of currentProvider.
const (
	ProviderAzure  Provider = "azure"
	ProviderOpenAI Provider = "openai"
	ProviderHybrid Provider = "hybrid"
)

// ProviderState is the progress of one provider. Which values a provider uses is part of the API contract.
type ProviderState string

// The values: azure and openai use pending, executing, completed, failed, timeout; rateLimiter uses
// pending, checking, throttled, approved, rejected; onlyFans uses pending, sending, sent, failed,
// rate_limited.
const (
	ProviderPending     ProviderState = "pending"
	ProviderExecuting   ProviderState = "executing"
	ProviderCompleted   ProviderState = "completed"
	ProviderFailed      ProviderState = "failed"
	ProviderTimeout     ProviderState = "timeout"
	ProviderChecking    ProviderState = "checking"
	ProviderThrottled   ProviderState = "throttled"
	ProviderApproved    ProviderState = "approved"
	ProviderRejected    ProviderState = "rejected"
	ProviderSending     ProviderState = "sending"
	ProviderSent        ProviderState = "sent"
	ProviderRateLimited ProviderState = "rate_limited"
)

// ProviderStates has the four members of the API contract.
type ProviderStates struct {
	Azure       ProviderState `json:"azure"`
	OpenAI      ProviderState `json:"openai"`
	RateLimiter ProviderState `json:"rateLimiter"`
	OnlyFans    ProviderState `json:"onlyFans"`
}

// RetryAttempts counts the further tries per provider.
type RetryAttempts struct {
	Azure    int `json:"azure"`
	OpenAI   int `json:"openai"`
	OnlyFans int `json:"onlyFans"`
}

// Fallback is one entry of fallbackHistory.
type Fallback struct {
	From      string    `json:"from"`
	To        string    `json:"to"`
	Reason    string    `json:"reason"`
	Timestamp time.Time `json:"timestamp"`
}

// WaitReason says why a live workflow is not moving by itself. Waits that hold for a whole account or
// campaign (no token free, paused, resting) are not stored with each message; they are derived when asked.
type WaitReason string

// The reasons that are stored with a workflow.
const (
	WaitNone      WaitReason = ""
	WaitSchedule  WaitReason = "schedule"  // not before its time
	WaitRecipient WaitReason = "recipient" // the recipient's own limit
	WaitRetry     WaitReason = "retry"     // the last try was not sent; waits before the next
	WaitProvider  WaitReason = "provider"  // no provider can write the text now
)

// State is everything that a transition may look at or change.
type State struct {
	Stage           Stage
	CurrentProvider Provider
	ProviderStates  ProviderStates
	RetryAttempts   RetryAttempts
	FallbackHistory []Fallback
	Attempts        int // tries known not to have been sent, including those made before it came here
	MaxRetries      int
	NotBefore       time.Time
	WaitReason      WaitReason
	LastError       string
	CheckpointData  json.RawMessage
}

// Begin returns the state of a message that was just taken in at the given time.
func Begin(m Message, at time.Time) State {
	s := State{
		CurrentProvider: ProviderHybrid,
		ProviderStates:  ProviderStates{Azure: ProviderPending, OpenAI: ProviderPending, RateLimiter: ProviderPending, OnlyFans: ProviderPending},
		Attempts:        m.Attempts,
		MaxRetries:      m.MaxRetries,
		NotBefore:       m.NotBefore,
		LastError:       m.LastError,
		Stage:           StageQueued,
	}
	if s.NotBefore.Before(at) {
		s.NotBefore = at
	} else if s.NotBefore.After(at) {
		s.WaitReason = WaitSchedule
	}
	switch {
	case m.Unusable != "":
		s.Stage, s.WaitReason, s.LastError = StageFailed, WaitNone, m.Unusable
	case m.Attempts > 0 && m.Attempts >= m.MaxRetries:
		s.Stage = StageFailed
		s.WaitReason = WaitNone
		s.LastError = retriesUsedUp
	case m.Content == "":
		s.Stage = StagePlanning
		s.WaitReason = WaitProvider
	}
	return s
}

const retriesUsedUp = "attempts: all retries were used before the message came here"
