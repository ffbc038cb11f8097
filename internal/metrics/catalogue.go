package metrics

// Catalogue lists all families, in the order of the documentation.
func Catalogue() []Family {
	return []Family{
		FleetObserved, FleetObservation, FleetMessages, FleetFinished, FleetWaiting, FleetOldestWaiting, FleetLongestTurn, FleetAccounts,
		FleetTokensAllowed, FleetTokensUsed, FleetTokensIdle, FleetDoubts, FleetOldestDoubt, FleetQuarantined, FleetQueue, FleetJobs, FleetOldestJob,
		FleetBreaker, FleetCostToday, FleetBudget, FleetFrozen, FleetSwitchOff, FleetOldestTransaction,
		QueueReceived, QueueDeleted, QueueQuarantined, QueueGivenBack, QueueFailures, QueuePauses, QueuePaused, QueueHeld, Intakes, IntakeDelay,
		Released, LimiterDecisions, LimiterRefusals, LimiterBypass, LimiterBypasses,
		SendOutcomes, MessageDuration, GatewayDuration,
		ProviderCalls, ProviderDuration, ProviderTokens, ProviderCost, ProviderUnclassified, Fallbacks, TextMessages,
		StepDuration, StepDelay,
		Transactions, TransactionRequests, TransactionDuration, PoolConnections, PoolAcquires, PoolWaits, PoolWaited,
		Reconciled, ReconcileFailures, AuditFindings, AuditLastSuccess,
		Build, Ready, SpansDropped,
		HTTPDuration, HTTPInFlight, HTTPStreams, HTTPProblems, Recipients,
	}
}
