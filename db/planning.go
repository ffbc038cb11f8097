package db

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Planning says how texts are written. Its parts are pure.
type Planning struct {
	Plan        fallback.Plan
	Guard       guard.Settings
	Targets     map[provider.Name]provider.Target
	CallTimeout time.Duration // the longest call to a provider
	Texts       Texts
	DailyBudget int64 // pico-USD that the fleet may spend on a day (UTC); 0: no limit
	// Estimate is what a call costs whose usage nobody knows.
	Estimate func(target provider.Name, call PlanCall) PlanCost
}

// Texts fills in templates.
type Texts interface {
	// Template names the prompt template, with its version, that new texts are written by.
	Template() string
	// FallbackText is the text that a template has ready; empty: none.
	FallbackText(template string) string
	// Fill puts a recipient's own words into a text. The reason, a machine word with the name of a field at most,
	// says why that is not possible.
	Fill(template, body string, fields map[string]string) (content, reason string)
}

// PlanStep asks what is to be done for a text.
type PlanStep struct {
	Text   uuid.UUID
	Step   int                             // that the job is of
	Ended  *PlanEnd                        // the call that this process was told to make, and made
	Delays map[provider.Name]time.Duration // how long this process' own pace keeps it from a target
	NoCall bool                            // leave the next call to another job
	Trace  workflow.TraceContext           // that its job carries; the next job of the text gets it
}

// PlanEnd says how a call ended.
type PlanEnd struct {
	Attempt    uuid.UUID
	Provider   provider.Name
	Result     provider.Result // its text is what is stored
	Violations []string        // of the gate; not empty: the text can't be used
	Cost       PlanCost
}

// PlanCost is what a call cost.
type PlanCost struct {
	Tier    string
	Usage   provider.Usage
	Kind    string // actual, estimated, unpriced, not_billed
	PicoUSD *int64 // nil: unpriced
	PriceID string
	Anomaly string
}

// PlanDo is what the caller has to do.
type PlanDo string

// What it may be.
const (
	PlanMakeCall PlanDo = "call"  // make the call, and report it with another PlanStep
	PlanPause    PlanDo = "pause" // wait that moment, and ask again
	PlanGoOn     PlanDo = "go_on" // more messages wait for the text: ask again
	PlanDone     PlanDo = "done"  // nothing more by this job
)

// PlanNext is the answer to a PlanStep.
type PlanNext struct {
	Do        PlanDo
	Call      PlanCall                 // call
	Pause     time.Duration            // pause
	Wakes     map[string]time.Duration // accounts to be looked at, and how long from now
	Moved     int                      // messages that got the text, or failed with it
	Fallbacks []workflow.Fallback      // that this step decided
	Source    string                   // of a text that became ready
	Reason    string                   // of a text that failed, or why it waits
}

// PlanCall is a call that has been written down, and is now to be made.
type PlanCall struct {
	Attempt    uuid.UUID
	Sequence   int
	Target     provider.Name
	Template   string
	Brief      string
	Fields     []string
	Recipient  map[string]string // of a text for one recipient
	Violations []string          // that the last text had
}

// SeeTargets notes that a process is there that may call the targets.
func (s *Store) SeeTargets(ctx context.Context) error {
	if s.config.Planning == nil {
		return nil
	}
	var keys, providers []string
	for _, name := range slices.Sorted(maps.Keys(s.config.Planning.Targets)) {
		keys, providers = append(keys, s.config.Planning.Targets[name].Key()), append(providers, string(name))
	}
	_, err := s.pool.Exec(ctx, `INSERT INTO provider_targets (target, provider, seen_at, updated_at)
		SELECT t.target, t.provider, hybrid_clock(), hybrid_clock() FROM unnest($1::text[], $2::text[]) AS t(target, provider) ORDER BY 1
		ON CONFLICT (target) DO UPDATE SET seen_at = excluded.seen_at`, keys, providers)
	if err != nil {
		return fmt.Errorf("provider targets: %w", err)
	}
	return nil
}
