package metrics

import "github.com/prometheus/client_golang/prometheus"

// The groups, in the order of the documentation.
const (
	groupProcess  = "Process"
	groupIntake   = "Intake"
	groupLimiter  = "Limiter"
	groupSends    = "Sends"
	groupTexts    = "Texts and providers"
	groupSteps    = "Steps"
	groupDatabase = "Database"
	groupChecks   = "Checks"
	groupFleet    = "The fleet as a whole"
	groupAPI      = "API"
)

var (
	seconds = prometheus.ExponentialBuckets(0.001, 2, 16) // 1 ms to 33 s
	waits   = prometheus.ExponentialBuckets(0.01, 4, 12)  // 10 ms to 12 h
	sizes   = prometheus.ExponentialBuckets(1, 2, 9)
)

// Lists of labels' values that several families have.
var (
	steps      = []string{"plan", "release", "send", "resolve", "expand", "reconcile", "audit"}
	outcomes   = []string{"accepted", "rejected", "not_sent", "rate_limited", "unknown", "withdrawn"}
	operations = []string{"ingest", "release", "begin", "finish", "apply", "plan", "expand"}
	providers  = []string{"azure", "openai"}
	stages     = []string{"planning", "queued", "sending", "in_doubt", "sent", "failed", "cancelled", "expired"}
)

// What every process has.
var (
	Build = Family{"huntaze_build_info", Gauge, "1; the labels say which version runs in which role.", Both, groupProcess,
		[]Label{{Name: "version", Of: "versions that run"}, {Name: "role", Values: []string{"worker", "api"}}}, nil}
	Ready = Family{"huntaze_ready", Gauge, "1 while this part of the process can work, 0 while it can not (/readyz says why).", Both, groupProcess,
		[]Label{{Name: "part", Values: []string{"process", "database", "schema", "queue", "flags"}}}, nil}
	PoolConnections = Family{"huntaze_pool_connections", Gauge, "Connections of a pool to Postgres, by state.", Both, groupDatabase,
		[]Label{{Name: "pool", Values: []string{"huntaze", "river"}}, {Name: "state", Values: []string{"idle", "used", "opening", "allowed"}}}, nil}
	PoolAcquires = Family{"huntaze_pool_acquires_total", Counter, "Connections that were taken from a pool.", Both, groupDatabase,
		[]Label{{Name: "pool", Values: []string{"huntaze", "river"}}}, nil}
	PoolWaits = Family{"huntaze_pool_waits_total", Counter, "Of those, how many had to wait because none was free.", Both, groupDatabase,
		[]Label{{Name: "pool", Values: []string{"huntaze", "river"}}}, nil}
	PoolWaited = Family{"huntaze_pool_wait_seconds_total", Counter, "Time that was waited for a connection of a pool.", Both, groupDatabase,
		[]Label{{Name: "pool", Values: []string{"huntaze", "river"}}}, nil}
)

// What every worker counts.
var (
	QueueReceived    = Family{"huntaze_queue_received_messages_total", Counter, "Messages received from SQS, duplicates included.", Worker, groupIntake, nil, nil}
	QueueDeleted     = Family{"huntaze_queue_deleted_messages_total", Counter, "Messages deleted from SQS after their transaction was committed.", Worker, groupIntake, nil, nil}
	QueueQuarantined = Family{"huntaze_queue_quarantined_messages_total", Counter, "Messages that could not be used and were put into quarantine.", Worker, groupIntake, nil, nil}
	QueueGivenBack   = Family{"huntaze_queue_given_back_messages_total", Counter, "Messages made visible again because they could not be stored.", Worker, groupIntake, nil, nil}
	QueueFailures    = Family{"huntaze_queue_failures_total", Counter, "What failed at SQS or in the store, by operation: receive and ingest count calls, the others messages.", Worker, groupIntake,
		[]Label{{Name: "operation", Values: []string{"receive", "ingest", "delete", "copy", "visibility"}}}, nil}
	QueuePauses = Family{"huntaze_queue_pauses_total", Counter, "Times that polling stopped because the store did not take messages.", Worker, groupIntake, nil, nil}
	QueuePaused = Family{"huntaze_queue_paused", Gauge, "1 while polling is stopped because the store does not take messages.", Worker, groupIntake, nil, nil}
	QueueHeld   = Family{"huntaze_queue_held_messages", Gauge, "Messages received and neither deleted nor given back yet.", Worker, groupIntake, nil, nil}

	Intakes     = Family{"huntaze_intake_messages_total", Counter, "Deliveries taken in, by what became of them.", Worker, groupIntake, []Label{{Name: "outcome", Values: []string{"accepted", "duplicate", "quarantined"}}}, nil}
	IntakeDelay = Family{"huntaze_intake_delay_seconds", Histogram, "Time from a message's arrival in SQS to the commit of its intake.", Worker, groupIntake, nil, waits}

	Released         = Family{"huntaze_released_messages_total", Counter, "Messages that got their tokens.", Worker, groupLimiter, nil, nil}
	LimiterDecisions = Family{"huntaze_limiter_decisions_total", Counter,
		"Looks at an account, by what came of them: messages were released, or parked ones wait for a token, or for something else, or there are none. How long a look takes is huntaze_transaction_duration_seconds of release.", Worker, groupLimiter,
		[]Label{{Name: "decision", Values: []string{"released", "wait_token", "wait_other", "nothing"}}}, nil}
	LimiterRefusals = Family{"huntaze_limiter_refusals_total", Counter, "Releases in which the ledger's constraint refused what the buckets had allowed; should stay 0 but after a bypass.", Worker, groupLimiter, nil, nil}
	LimiterBypass   = Family{"huntaze_limiter_bypass", Gauge, "1 while this process sends without the buckets, at a local pace.", Worker, groupLimiter, nil, nil}
	LimiterBypasses = Family{"huntaze_limiter_bypasses_total", Counter, "Times that this process began to send without the buckets.", Worker, groupLimiter, nil, nil}

	SendOutcomes    = Family{"huntaze_send_outcomes_total", Counter, "Outcomes of attempts that became durable through this process, each once: of its calls, of its look-ups, and those that its reconciler wrote for processes that were gone. One that was unknown counts again when a look-up settles it; what an operator settles is in the ledger alone (resolved_by).", Worker, groupSends, []Label{{Name: "outcome", Values: outcomes}}, nil}
	MessageDuration = Family{"huntaze_message_duration_seconds", Histogram, "Time from a message's intake to its acceptance by the gateway.", Worker, groupSends, nil, waits}
	GatewayDuration = Family{"huntaze_gateway_request_duration_seconds", Histogram, "Time that a request to the gateway took, by what it was and how it ended.", Worker, groupSends,
		[]Label{{Name: "request", Values: []string{"send", "look_up"}}, {Name: "outcome", Values: []string{"accepted", "rejected", "not_sent", "rate_limited", "unknown", "found", "never_accepted", "unsupported", "failed"}}}, seconds}

	Transactions        = Family{"huntaze_transactions_total", Counter, "Transactions of the engine, by operation and result.", Worker, groupDatabase, []Label{{Name: "operation", Values: operations}, {Name: "result", Values: []string{"committed", "failed"}}}, nil}
	TransactionRequests = Family{"huntaze_transaction_requests", Histogram, "Requests that shared a transaction (group commit), by operation.", Worker, groupDatabase, []Label{{Name: "operation", Values: operations}}, sizes}
	TransactionDuration = Family{"huntaze_transaction_duration_seconds", Histogram, "Time that a transaction of the engine took, by operation.", Worker, groupDatabase, []Label{{Name: "operation", Values: operations}}, seconds}

	StepDuration = Family{"huntaze_step_duration_seconds", Histogram, "Time that a run of a step took, by step and how River saw it end.", Worker, groupSteps,
		[]Label{{Name: "step", Values: steps}, {Name: "result", Values: []string{"completed", "failed", "snoozed", "cancelled", "panicked"}}}, seconds}
	StepDelay = Family{"huntaze_step_delay_seconds", Histogram, "Time from when a step was due to when a worker began it, by step.", Worker, groupSteps, []Label{{Name: "step", Values: steps}}, waits}

	ProviderCalls    = Family{"huntaze_provider_calls_total", Counter, "Calls to providers, by how they ended.", Worker, groupTexts, []Label{{Name: "provider", Values: providers}, {Name: "class", Of: "classes of internal/provider, gate_failed and lost"}}, nil}
	ProviderDuration = Family{"huntaze_provider_call_duration_seconds", Histogram, "Time that a call to a provider took.", Worker, groupTexts, []Label{{Name: "provider", Values: providers}},
		prometheus.ExponentialBuckets(0.05, 2, 12)}
	ProviderTokens       = Family{"huntaze_provider_tokens_total", Counter, "Tokens of calls, as far as their usage is known.", Worker, groupTexts, []Label{{Name: "provider", Values: providers}, {Name: "kind", Values: []string{"input", "output"}}}, nil}
	ProviderCost         = Family{"huntaze_provider_cost_usd_total", Counter, "What calls cost by the price list, as far as it is known.", Worker, groupTexts, []Label{{Name: "provider", Values: providers}, {Name: "kind", Values: []string{"actual", "estimated"}}}, nil}
	ProviderUnclassified = Family{"huntaze_provider_unclassified_total", Counter, "Answers of providers in a form that is on no list; should stay 0.", Worker, groupTexts, []Label{{Name: "provider", Values: providers}}, nil}
	Fallbacks            = Family{"huntaze_plan_fallbacks_total", Counter, "Fallbacks of texts, by scenario of the matrix and where to.", Worker, groupTexts, []Label{{Name: "scenario", Of: "rows of the fallback matrix"}, {Name: "to", Of: "azure, openai and the matrix' other targets"}}, nil}
	TextMessages         = Family{"huntaze_plan_messages_total", Counter, "Messages whose text became ready, by who wrote it, or could not be had (none).", Worker, groupTexts, []Label{{Name: "source", Values: []string{"azure", "openai", "fallback_text", "none"}}}, nil}

	Reconciled = Family{"huntaze_reconciled_total", Counter, "What the reconciler put right, by kind. orphaned, unwoken, unplanned and unexpanded should stay 0.", Worker, groupChecks,
		[]Label{{Name: "kind", Values: []string{"expired", "abandoned", "unasked", "orphaned", "unwoken", "unplanned", "unexpanded", "outdated", "cancelled", "pruned"}}}, nil}
	ReconcileFailures = Family{"huntaze_reconcile_failures_total", Counter, "Passes of the reconciler in which a part failed.", Worker, groupChecks, nil, nil}
	AuditFindings     = Family{"huntaze_audit_findings", Gauge, "Findings of the latest audit that this process ran, by kind. Without a value until it has run one; the fleet's are those with the latest huntaze_audit_last_success_timestamp_seconds.", Worker, groupChecks,
		[]Label{{Name: "kind", Of: "kinds of internal/audit"}, {Name: "severity", Values: []string{"violation", "inconsistent", "possible"}}}, nil}
	AuditLastSuccess = Family{"huntaze_audit_last_success_timestamp_seconds", Gauge, "When the latest audit that this process ran looked at the ledger.", Worker, groupChecks, nil, nil}
	SpansDropped     = Family{"huntaze_telemetry_dropped_spans_total", Counter, "Spans that no collector took.", Both, groupProcess, nil, nil}
)

// What every process of the API counts.
var (
	HTTPDuration = Family{"huntaze_http_request_duration_seconds", Histogram, "Time that a request to the API or the console took, by route and class of status; event streams are not in it.", API, groupAPI,
		[]Label{{Name: "route", Of: "routes of the API; beside (the console and River UI); unknown"}, {Name: "method", Values: []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "other"}}, {Name: "status", Values: []string{"2xx", "3xx", "4xx", "5xx"}}}, seconds}
	HTTPInFlight = Family{"huntaze_http_requests_in_flight", Gauge, "Requests that are being answered, event streams included.", API, groupAPI, nil, nil}
	HTTPStreams  = Family{"huntaze_http_event_streams", Gauge, "Event streams that are open.", API, groupAPI, nil, nil}
	HTTPProblems = Family{"huntaze_http_problems_total", Counter, "Answers that were a problem, by its code.", API, groupAPI, []Label{{Name: "code", Of: "codes of docs/api.md"}}, nil}
	Recipients   = Family{"huntaze_api_recipients_total", Counter, "Recipients that were handed over, by what became of them.", API, groupAPI, []Label{{Name: "outcome", Values: []string{"added", "duplicate", "refused"}}}, nil}
)
