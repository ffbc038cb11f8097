package metrics

import "github.com/huntaze/hybrid-orchestrator/internal/picture"

// Waiting are the reasons for which a parked message waits; Idle are those for which a free token of an account with
// parked messages is not used. Of several that hold the widest stands.
var (
	Waiting = []picture.Reason{picture.Frozen, picture.Switch, picture.Campaign, picture.Quiet, picture.Rest, picture.Schedule, picture.Retry, picture.Recipient, picture.Token, picture.Turn}
	Idle    = []picture.Reason{picture.Frozen, picture.Switch, picture.Campaign, picture.Quiet, picture.Rest, picture.Schedule, picture.Retry, picture.Recipient, picture.Turn, picture.NoMessage}
)

func words(reasons []picture.Reason, more ...string) []string {
	var all []string
	for _, r := range reasons {
		all = append(all, string(r))
	}
	return append(all, more...)
}

// What the observer says of the whole fleet.
var (
	FleetObserved    = Family{"huntaze_fleet_observed_timestamp_seconds", Gauge, "When the fleet was observed last. Missing or old: nobody does.", Fleet, groupFleet, nil, nil}
	FleetObservation = Family{"huntaze_fleet_observation_duration_seconds", Gauge, "How long that took.", Fleet, groupFleet, nil, nil}
	FleetMessages    = Family{"huntaze_fleet_messages", Gauge, "Messages that are not over, by stage; exact.", Fleet, groupFleet, []Label{{Name: "stage", Values: stages[:4]}}, nil}
	FleetFinished    = Family{"huntaze_fleet_finished_messages_total", Counter, "Messages that are over, by outcome, since the database was made; exact over crashes.", Fleet, groupFleet, []Label{{Name: "outcome", Values: stages[4:]}}, nil}
	FleetWaiting     = Family{"huntaze_fleet_waiting_messages", Gauge, "Parked messages by why they wait. turn: nothing is in the way, it is being looked at. Of each account and campaign the first 100 are looked at; the others count with the last of them. not_counted: those of more than 2,000 pairs of account and campaign.", Fleet, groupFleet,
		[]Label{{Name: "reason", Values: words(Waiting, "not_counted")}}, nil}
	FleetOldestWaiting = Family{"huntaze_fleet_oldest_waiting_seconds", Gauge, "For how long the oldest parked message has been due; 0 without one.", Fleet, groupFleet, nil, nil}
	FleetLongestTurn   = Family{"huntaze_fleet_longest_turn_seconds", Gauge, "For how long a token has been free that a due message could have taken, at worst. More than a few seconds: the fleet does not keep up, or a wake-up was lost.", Fleet, groupFleet, nil, nil}
	FleetAccounts      = Family{"huntaze_fleet_accounts", Gauge, "Accounts with parked messages, and of all accounts those that rest.", Fleet, groupFleet, []Label{{Name: "state", Values: []string{"waiting", "resting"}}}, nil}
	FleetTokensAllowed = Family{"huntaze_fleet_allowed_tokens", Gauge, "Tokens of the accounts that have parked messages (of each account's scarcest rule).", Fleet, groupFleet, nil, nil}
	FleetTokensUsed    = Family{"huntaze_fleet_used_tokens", Gauge, "Of those, how many are in use. Divided by the allowed ones it is the utilisation.", Fleet, groupFleet, nil, nil}
	FleetTokensIdle    = Family{"huntaze_fleet_idle_tokens", Gauge, "Of those, how many are free, by why no parked message of their account takes them; no_message: there are more of them than messages.", Fleet, groupFleet, []Label{{Name: "reason", Values: words(Idle)}}, nil}
	FleetDoubts        = Family{"huntaze_fleet_in_doubt_messages", Gauge, "Messages in doubt, by who settles it: the look-up, or an operator.", Fleet, groupFleet, []Label{{Name: "settled_by", Values: []string{"look_up", "operator"}}}, nil}
	FleetOldestDoubt   = Family{"huntaze_fleet_oldest_doubt_seconds", Gauge, "Age of the oldest doubt; 0 without one.", Fleet, groupFleet, nil, nil}
	FleetQuarantined   = Family{"huntaze_fleet_quarantined_messages", Gauge, "Messages in quarantine (counted up to 10,000).", Fleet, groupFleet, nil, nil}
	FleetQueue         = Family{"huntaze_fleet_queue_messages", Gauge, "Messages in SQS, about, as SQS says.", Fleet, groupFleet,
		[]Label{{Name: "queue", Values: []string{"main", "retry", "dead_letters"}}, {Name: "state", Values: []string{"visible", "in_flight", "delayed"}}}, nil}
	FleetJobs = Family{"huntaze_fleet_jobs", Gauge, "River's jobs that are not over (counted up to 10,000), by queue and state.", Fleet, groupFleet,
		[]Label{{Name: "queue", Values: []string{"send", "default", "plan"}}, {Name: "state", Values: []string{"available", "running", "retryable", "scheduled"}}}, nil}
	FleetOldestJob = Family{"huntaze_fleet_oldest_job_seconds", Gauge, "For how long the oldest available job of a queue has been due; 0 without one. The number to scale workers by.", Fleet, groupFleet,
		[]Label{{Name: "queue", Values: []string{"send", "default", "plan"}}}, nil}
	FleetBreaker           = Family{"huntaze_fleet_breaker", Gauge, "1 for the state that a provider's breaker is in.", Fleet, groupFleet, []Label{{Name: "provider", Values: providers}, {Name: "state", Values: []string{"closed", "open", "half_open"}}}, nil}
	FleetCostToday         = Family{"huntaze_fleet_provider_cost_today_usd", Gauge, "What the providers' calls of this day (UTC) cost.", Fleet, groupFleet, nil, nil}
	FleetBudget            = Family{"huntaze_fleet_provider_budget_usd", Gauge, "What they may cost in a day (PROVIDER_DAILY_BUDGET_USD); missing without a budget.", Fleet, groupFleet, nil, nil}
	FleetFrozen            = Family{"huntaze_fleet_frozen", Gauge, "1 while the whole fleet sends nothing, because the database failed over or was restored.", Fleet, groupFleet, nil, nil}
	FleetSwitchOff         = Family{"huntaze_fleet_switched_off", Gauge, "1 while a switch is off for all accounts.", Fleet, groupFleet, []Label{{Name: "flag", Values: []string{"sends_enabled", "planning_enabled"}}}, nil}
	FleetOldestTransaction = Family{"huntaze_fleet_oldest_transaction_seconds", Gauge, "Age of the oldest transaction that is open in the database; an old one keeps Postgres from cleaning up.", Fleet, groupFleet, nil, nil}
)
