package flags

// Side says which orchestrator has a workflow.
type Side string

// The sides.
const (
	Here   Side = "here"   // this one
	Legacy Side = "legacy" // the one before it, at LEGACY_ORCHESTRATOR_URL
)

// Side is where new workflows of the account belong.
func (s *Snapshot) Side(userID string) Side {
	if s.OrchestratorEnabled(userID) {
		return Here
	}
	return Legacy
}

// Claim asks for a workflow to be on a side. Whoever claims it first decides, for all of its later steps.
type Claim struct {
	UserID     string // empty: not known
	WorkflowID string
	Wanted     Side
	Request    string // what brought it: for people who ask why
}
