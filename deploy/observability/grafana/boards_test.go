package grafana_test

// The fleet's own series come from one observer, which moves: max is the fleet, a sum would count it twice while a new
// observer takes over. What each process counts for itself is added up.

func boards() []board { return []board{accounts(), fleet(), providers(), queues()} }

func stat(title, description, unit, expr string, limits ...limit) panel {
	return panel{kind: "stat", title: title, description: description, unit: unit, queries: []query{{expr, title}}, limits: limits}
}

func series(title, description, unit string, queries ...query) panel {
	return panel{kind: "timeseries", title: title, description: description, unit: unit, queries: queries}
}

func (p panel) warn(from float64) panel {
	p.limits = append(p.limits, limit{from, "orange"})
	return p
}

func (p panel) alarm(from float64) panel {
	p.limits = append(p.limits, limit{from, "red"})
	return p
}

func (p panel) without(text string) panel {
	p.none = text
	return p
}

func (p panel) say(value, text, color string) panel {
	p.says = append(p.says, saying{value, text, color})
	return p
}

func (p panel) stack() panel {
	p.stacked = true
	return p
}

// perMinute is the rate of a counter, added up over the processes.
func perMinute(series, by string) string {
	return "60 * sum by (" + by + ") (rate(" + series + "[$__rate_interval]))"
}

// quantile is a quantile of a histogram of all processes. Without observations it would be NaN; the comparison makes it
// nothing.
func quantile(q, series, by string) string {
	if by != "" {
		by = ", " + by
	}
	return "histogram_quantile(" + q + ", sum by (le" + by + ") (rate(" + series + "[$__rate_interval]))) >= 0"
}

func fleet() board {
	return board{
		"fleet", "fleet", "Is it working, what is slow, who is affected; then what the parts do.",
		[]section{
			{"Is it working, what is slow, who is affected", []panel{
				stat("Observed", "Age of the latest observation. Old or missing: no worker observes the fleet, and the other numbers here are old.", "s",
					"time() - max(huntaze_fleet_observed_timestamp_seconds)").warn(45).alarm(120).without("nobody"),
				stat("Sends", "Stopped: the fleet is frozen (failover or restore of the database), or a switch is off for all accounts.", "none",
					"max(huntaze_fleet_frozen or huntaze_fleet_switched_off)").say("0", "on", "green").say("1", "stopped", "red").without("unknown"),
				stat("Sent per minute", "Messages of the whole fleet that the gateway accepted.", "short",
					`60 * max(rate(huntaze_fleet_finished_messages_total{outcome="sent"}[$__rate_interval]))`),
				stat("Processes that can't work", "A part of theirs is not ready; /readyz of the process says why.", "none",
					"sum(min by (instance) (huntaze_ready) == bool 0)").alarm(1).without("no process"),
				stat("Longest turn", "A due message and a free token of its account have been there together for that long. The fleet's own delay, without the limits'.", "s",
					"max(huntaze_fleet_longest_turn_seconds)").warn(5).alarm(30).without("unknown"),
				stat("Oldest job", "For how long the oldest available job has been due. Scale workers by it.", "s",
					"max(huntaze_fleet_oldest_job_seconds)").warn(15).alarm(60).without("unknown"),
				stat("Accounts that wait", "Accounts with parked messages: most wait for their own limit, see the dashboard of accounts.", "short",
					`max(huntaze_fleet_accounts{state="waiting"})`).without("unknown"),
				stat("Accounts that rest", "The gateway or the platform refused them.", "short",
					`max(huntaze_fleet_accounts{state="resting"})`).warn(1).without("unknown"),
				stat("Oldest doubt", "Age of the oldest message of which nobody knows whether it was sent: huntaze doubt list.", "s",
					"max(huntaze_fleet_oldest_doubt_seconds)").warn(300).alarm(600).without("unknown"),
				stat("Dead letters", "Messages on the dead letter queue: huntaze dlq list.", "short",
					`max(huntaze_fleet_queue_messages{queue="dead_letters", state="visible"})`).alarm(1).without("unknown"),
				stat("Audit violations", "Of the latest audit: more was sent than a limit allows, or twice.", "short",
					`sum(huntaze_audit_findings{severity="violation"} and on (job, instance) topk(1, huntaze_audit_last_success_timestamp_seconds))`).
					alarm(1).without("no audit yet"),
				stat("Limiter bypassed by", "Processes that send without the buckets, at a local pace.", "none",
					"sum(huntaze_limiter_bypass)").alarm(1).without("no process"),
			}},
			{"Messages", []panel{
				series("Messages that end, per minute", "By how they end; exact over crashes.", "short",
					query{"60 * max by (outcome) (rate(huntaze_fleet_finished_messages_total[$__rate_interval]))", "{{outcome}}"}).stack(),
				series("Outcomes of attempts, per minute", "What the gateway said.", "short",
					query{perMinute("huntaze_send_outcomes_total", "outcome"), "{{outcome}}"}).stack(),
				series("Messages that are not over", "By stage.", "short", query{"max by (stage) (huntaze_fleet_messages)", "{{stage}}"}).stack(),
				series("Waiting, by reason", "turn: nothing is in the way but the fleet itself.", "short",
					query{"max by (reason) (huntaze_fleet_waiting_messages)", "{{reason}}"}).stack(),
				series("Oldest waiting and longest turn", "Waiting is the limits' doing, a turn is the fleet's.", "s",
					query{"max(huntaze_fleet_oldest_waiting_seconds)", "oldest waiting"}, query{"max(huntaze_fleet_longest_turn_seconds)", "longest turn"}),
				series("From intake to acceptance", "Of messages that were accepted; the wait for their limits included.", "s",
					query{quantile("0.5", "huntaze_message_duration_seconds_bucket", ""), "p50"}, query{quantile("0.99", "huntaze_message_duration_seconds_bucket", ""), "p99"}),
				series("Gateway: duration of requests, p99", "By request and outcome.", "s",
					query{quantile("0.99", "huntaze_gateway_request_duration_seconds_bucket", "request, outcome"), "{{request}} {{outcome}}"}),
				series("Limiter: looks at accounts, per minute", "By what came of them.", "short",
					query{perMinute("huntaze_limiter_decisions_total", "decision"), "{{decision}}"}),
				series("Limiter: refusals and bypasses, per minute", "Should stay 0.", "short",
					query{"60 * sum(rate(huntaze_limiter_refusals_total[$__rate_interval]))", "refused by the ledger"},
					query{"60 * sum(rate(huntaze_limiter_bypasses_total[$__rate_interval]))", "bypasses begun"}),
			}},
			{"Steps and jobs", []panel{
				series("Jobs", "By queue and state; counted up to 10,000.", "short", query{"max by (queue, state) (huntaze_fleet_jobs)", "{{queue}} {{state}}"}),
				series("Oldest available job", "By queue.", "s", query{"max by (queue) (huntaze_fleet_oldest_job_seconds)", "{{queue}}"}).alarm(60),
				series("Delay of steps, p99", "From when a step was due to when a worker began it.", "s",
					query{quantile("0.99", "huntaze_step_delay_seconds_bucket", "step"), "{{step}}"}),
				series("Duration of steps, p50", "By step.", "s", query{quantile("0.5", "huntaze_step_duration_seconds_bucket", "step"), "{{step}}"}),
				series("Duration of steps, p99", "By step.", "s", query{quantile("0.99", "huntaze_step_duration_seconds_bucket", "step"), "{{step}}"}),
				series("Steps that failed, per minute", "River runs them again.", "short",
					query{perMinute(`huntaze_step_duration_seconds_count{result=~"failed|panicked"}`, "step, result"), "{{step}} {{result}}"}),
			}},
			{"Database", []panel{
				series("Transactions per minute", "By operation.", "short", query{perMinute("huntaze_transactions_total", "operation"), "{{operation}}"}),
				series("Transactions that failed, per minute", "By operation.", "short",
					query{perMinute(`huntaze_transactions_total{result="failed"}`, "operation"), "{{operation}}"}),
				series("Duration of transactions, p99", "By operation.", "s",
					query{quantile("0.99", "huntaze_transaction_duration_seconds_bucket", "operation"), "{{operation}}"}),
				series("Requests that share a transaction", "Mean size of a group commit.", "short", query{
					"sum by (operation) (rate(huntaze_transaction_requests_sum[$__rate_interval])) / sum by (operation) (rate(huntaze_transaction_requests_count[$__rate_interval]))",
					"{{operation}}",
				}),
				series("Connections", "Used against allowed, of all processes.", "short",
					query{`sum by (pool) (huntaze_pool_connections{state="used"})`, "{{pool}} used"},
					query{`sum by (pool) (huntaze_pool_connections{state="allowed"})`, "{{pool}} allowed"}),
				series("Waits for a connection", "Seconds waited in each second, of all processes: 1 is one goroutine that always waits.", "short",
					query{"sum by (pool) (rate(huntaze_pool_wait_seconds_total[$__rate_interval]))", "{{pool}}"}),
				series("Oldest open transaction", "An old one keeps Postgres from cleaning up.", "s",
					query{"max(huntaze_fleet_oldest_transaction_seconds)", "oldest"}).alarm(600),
			}},
			{"Checks", []panel{
				series("Put right by the reconciler, per minute", "orphaned, unwoken, unplanned and unexpanded should stay 0.", "short",
					query{perMinute("huntaze_reconciled_total", "kind"), "{{kind}}"}),
				series("Passes of the reconciler that failed, per minute", "In a part at least.", "short",
					query{"60 * sum(rate(huntaze_reconcile_failures_total[$__rate_interval]))", "failed"}),
				series("Findings of the latest audit", "By kind.", "short", query{
					"sum by (kind, severity) (huntaze_audit_findings and on (job, instance) topk(1, huntaze_audit_last_success_timestamp_seconds))",
					"{{severity}} {{kind}}",
				}),
				series("Age of the latest audit", "It runs every hour.", "s",
					query{"time() - max(huntaze_audit_last_success_timestamp_seconds > 0)", "age"}).alarm(10_800),
				series("Time that an observation takes", "Of the fleet, every 15 s.", "s", query{"max(huntaze_fleet_observation_duration_seconds)", "observation"}),
				series("Traces: spans lost per minute", "No collector took them.", "short",
					query{"60 * sum(rate(huntaze_telemetry_dropped_spans_total[$__rate_interval]))", "dropped"}),
			}},
			{"Processes", []panel{
				series("Processes, by version", "And role.", "short", query{"sum by (version, role) (huntaze_build_info)", "{{role}} {{version}}"}).stack(),
				series("Not ready", "Processes of which that part can't work.", "short", query{"sum by (part) (1 - huntaze_ready)", "{{part}}"}),
				series("Processor", "Cores that a process uses.", "short",
					query{"rate(process_cpu_seconds_total[$__rate_interval]) * on (instance) group_left (role) max by (instance, role) (huntaze_build_info)", "{{role}} {{instance}}"}),
				series("Memory", "Resident.", "bytes",
					query{"process_resident_memory_bytes * on (instance) group_left (role) max by (instance, role) (huntaze_build_info)", "{{role}} {{instance}}"}),
				series("Goroutines", "A number that only grows is a leak.", "short",
					query{"go_goroutines * on (instance) group_left (role) max by (instance, role) (huntaze_build_info)", "{{role}} {{instance}}"}),
				series("Pauses of the garbage collector", "Longest of the last ones.", "s",
					query{`go_gc_duration_seconds{quantile="1"} * on (instance) group_left (role) max by (instance, role) (huntaze_build_info)`, "{{role}} {{instance}}"}),
			}},
			{"API", []panel{
				series("Requests per minute", "By class of status; event streams are not in it.", "short",
					query{perMinute("huntaze_http_request_duration_seconds_count", "status"), "{{status}}"}).stack(),
				series("Duration of requests, p99", "By route.", "s",
					query{quantile("0.99", "huntaze_http_request_duration_seconds_bucket", "method, route"), "{{method}} {{route}}"}),
				series("Problems per minute", "By code.", "short", query{perMinute("huntaze_http_problems_total", "code"), "{{code}}"}),
				series("Recipients handed over, per minute", "By what became of them.", "short",
					query{perMinute("huntaze_api_recipients_total", "outcome"), "{{outcome}}"}),
				series("In flight", "Requests and event streams.", "short",
					query{"sum(huntaze_http_requests_in_flight)", "requests"}, query{"sum(huntaze_http_event_streams)", "event streams"}),
			}},
		},
	}
}

func accounts() board {
	return board{
		"accounts", "accounts and limits", "Why messages wait and tokens are idle, over all accounts.",
		[]section{
			{"Is it working, what is slow, who is affected", []panel{
				stat("Utilisation", "Tokens in use of those that accounts with parked messages may use. Low, with messages due: see why tokens are idle.", "percentunit",
					"max(huntaze_fleet_used_tokens) / (max(huntaze_fleet_allowed_tokens) > 0)").without("nothing waits"),
				stat("Idle because of us", "Free tokens that a due message could take at once. More than a few for more than seconds: the fleet does not keep up.", "short",
					`max(huntaze_fleet_idle_tokens{reason="turn"})`).warn(100).without("unknown"),
				stat("Longest turn", "For how long at worst.", "s", "max(huntaze_fleet_longest_turn_seconds)").warn(5).alarm(30).without("unknown"),
				stat("Accounts that wait", "With parked messages.", "short", `max(huntaze_fleet_accounts{state="waiting"})`).without("unknown"),
				stat("Accounts that rest", "The gateway or the platform refused them: huntaze limits rest lists them.", "short",
					`max(huntaze_fleet_accounts{state="resting"})`).warn(1).without("unknown"),
				stat("For an operator", "Messages in doubt that no look-up settles: huntaze doubt list.", "short",
					`max(huntaze_fleet_in_doubt_messages{settled_by="operator"})`).alarm(1).without("unknown"),
			}},
			{"One account, one message", []panel{{
				kind: "text", title: "How to find a single one",
				description: "No label names an account, a recipient or a message: their number has no bound.",
				text: "No metric names an account. For one of them:\n\n" +
					"* `huntaze limits show --user ACCOUNT`: its limits, its tokens, whether it rests and why; `huntaze limits rest` lists all that rest\n" +
					"* `huntaze explain WORKFLOW`: where a message is, why it waits and until when\n" +
					"* the console of `huntaze api`, page *Accounts*; with compose at http://127.0.0.1:8080\n" +
					"* Jaeger, by the trace id that `huntaze explain` shows; with compose at http://127.0.0.1:16686\n",
			}}},
			{"Waiting", []panel{
				series("Waiting, by reason", "Parked messages. token and recipient are the limits at work.", "short",
					query{"max by (reason) (huntaze_fleet_waiting_messages)", "{{reason}}"}).stack(),
				series("Oldest waiting", "For how long the oldest parked message has been due.", "s", query{"max(huntaze_fleet_oldest_waiting_seconds)", "oldest waiting"}),
				series("Accounts", "That have parked messages, and that rest.", "short", query{"max by (state) (huntaze_fleet_accounts)", "{{state}}"}),
			}},
			{"Tokens", []panel{
				series("Tokens", "Of accounts with parked messages.", "short",
					query{"max(huntaze_fleet_allowed_tokens)", "allowed"}, query{"max(huntaze_fleet_used_tokens)", "used"}),
				series("Idle tokens, by reason", "turn is ours; no_message: there are more tokens than messages.", "short",
					query{"max by (reason) (huntaze_fleet_idle_tokens)", "{{reason}}"}).stack(),
				series("Utilisation", "Used of allowed; and of those that a message could take now.", "percentunit",
					query{"max(huntaze_fleet_used_tokens) / (max(huntaze_fleet_allowed_tokens) > 0)", "of all"},
					query{
						`max(huntaze_fleet_used_tokens) / ((max(huntaze_fleet_used_tokens) + (max(huntaze_fleet_idle_tokens{reason="turn"}) or vector(0))) > 0)`,
						"of those within reach",
					}),
				series("Longest turn", "For how long a token has been free that a due message could have taken.", "s",
					query{"max(huntaze_fleet_longest_turn_seconds)", "longest turn"}).alarm(30),
				series("Released per minute", "Messages that got their tokens.", "short", query{"60 * sum(rate(huntaze_released_messages_total[$__rate_interval]))", "released"}),
				series("429 of the gateway, per minute", "Each lets an account rest.", "short",
					query{`60 * sum(rate(huntaze_send_outcomes_total{outcome="rate_limited"}[$__rate_interval]))`, "rate_limited"}),
			}},
			{"Doubts", []panel{
				series("In doubt, by who settles it", "The look-up, or an operator.", "short",
					query{"max by (settled_by) (huntaze_fleet_in_doubt_messages)", "{{settled_by}}"}).stack(),
				series("Oldest doubt", "Age.", "s", query{"max(huntaze_fleet_oldest_doubt_seconds)", "oldest doubt"}).alarm(600),
				series("Look-ups per minute", "By what the gateway said.", "short",
					query{perMinute(`huntaze_gateway_request_duration_seconds_count{request="look_up"}`, "outcome"), "{{outcome}}"}),
			}},
		},
	}
}

func providers() board {
	return board{
		"providers", "providers and cost", "Who writes the texts, how well, and for how much.",
		[]section{
			{"Is it working, what is slow, who is affected", []panel{
				stat("Breakers not closed", "Providers that are not asked, or only probed: huntaze providers says why.", "none",
					`count(max by (provider) (huntaze_fleet_breaker{state!="closed"}) == 1) or 0 * max(huntaze_fleet_breaker)`).alarm(1).without("unknown"),
				stat("Texts per minute", "Messages whose text became ready.", "short",
					`60 * sum(rate(huntaze_plan_messages_total{source!="none"}[$__rate_interval]))`),
				stat("Without a text, per minute", "Messages whose text could not be had: they fail.", "short",
					`60 * sum(rate(huntaze_plan_messages_total{source="none"}[$__rate_interval]))`).alarm(0.01).without("none"),
				stat("Call, p99", "Time that a call to a provider takes.", "s", quantile("0.99", "huntaze_provider_call_duration_seconds_bucket", "")).warn(10).alarm(25).without("no calls"),
				stat("Messages that wait for a text", "Stage planning.", "short", `max(huntaze_fleet_messages{stage="planning"})`).without("unknown"),
				stat("Budget of the day used", "Of PROVIDER_DAILY_BUDGET_USD; at 100 % texts wait for the next day (UTC).", "percentunit",
					"max(huntaze_fleet_provider_cost_today_usd) / max(huntaze_fleet_provider_budget_usd)").warn(0.9).alarm(1).without("no budget"),
			}},
			{"Calls", []panel{
				series("Calls per minute, by class", "How they ended; ok and otherwise.", "short",
					query{perMinute("huntaze_provider_calls_total", "provider, class"), "{{provider}} {{class}}"}).stack(),
				series("Duration of calls", "By provider.", "s",
					query{quantile("0.5", "huntaze_provider_call_duration_seconds_bucket", "provider"), "{{provider}} p50"},
					query{quantile("0.99", "huntaze_provider_call_duration_seconds_bucket", "provider"), "{{provider}} p99"}),
				series("Breakers", "Open 2, half open 1, closed 0.", "none", query{
					`2 * max by (provider) (huntaze_fleet_breaker{state="open"}) + max by (provider) (huntaze_fleet_breaker{state="half_open"})`, "{{provider}}",
				}),
				series("Fallbacks per minute", "By scenario of the matrix and where to.", "short",
					query{perMinute("huntaze_plan_fallbacks_total", "scenario, to"), "{{scenario}} to {{to}}"}),
				series("Answers in an unknown form, per minute", "Should stay 0; they are treated with care, but a class is missing.", "short",
					query{perMinute("huntaze_provider_unclassified_total", "provider"), "{{provider}}"}),
				series("Messages whose text became ready, per minute", "By who wrote it; none: it could not be had.", "short",
					query{perMinute("huntaze_plan_messages_total", "source"), "{{source}}"}).stack(),
			}},
			{"Cost", []panel{
				series("Cost per hour", "At the present rate; estimated: the usage of the call is not known.", "currencyUSD",
					query{"3600 * sum by (provider, kind) (rate(huntaze_provider_cost_usd_total[$__rate_interval]))", "{{provider}} {{kind}}"}).stack(),
				series("Cost of the day and budget", "Since midnight UTC.", "currencyUSD",
					query{"max(huntaze_fleet_provider_cost_today_usd)", "cost"}, query{"max(huntaze_fleet_provider_budget_usd)", "budget"}),
				series("Tokens per minute", "By provider and kind.", "short",
					query{perMinute("huntaze_provider_tokens_total", "provider, kind"), "{{provider}} {{kind}}"}),
			}},
		},
	}
}

func queues() board {
	return board{
		"queues", "queues", "From SQS to the database.",
		[]section{
			{"Is it working, what is slow, who is affected", []panel{
				stat("Polling", "Stopped: the store does not take messages, and they are safe in SQS meanwhile.", "none",
					"max(huntaze_queue_paused)").say("0", "on", "green").say("1", "stopped", "red").without("no process"),
				stat("Accepted per minute", "Messages taken in, without duplicates.", "short",
					`60 * sum(rate(huntaze_intake_messages_total{outcome="accepted"}[$__rate_interval]))`),
				stat("Intake, p99", "From the arrival in SQS to the commit.", "s", quantile("0.99", "huntaze_intake_delay_seconds_bucket", "")).warn(10).alarm(60).without("no messages"),
				stat("In SQS", "Messages that nobody has received yet, about.", "short",
					`max(huntaze_fleet_queue_messages{queue="main", state="visible"})`).without("unknown"),
				stat("Dead letters", "huntaze dlq list, huntaze dlq redrive.", "short",
					`max(huntaze_fleet_queue_messages{queue="dead_letters", state="visible"})`).alarm(1).without("unknown"),
				stat("In quarantine", "Messages that could not be used: huntaze quarantine list.", "short",
					"max(huntaze_fleet_quarantined_messages)").warn(1).without("unknown"),
			}},
			{"Intake", []panel{
				series("Received and deleted, per minute", "Duplicates included. They differ for as long as messages are held.", "short",
					query{"60 * sum(rate(huntaze_queue_received_messages_total[$__rate_interval]))", "received"},
					query{"60 * sum(rate(huntaze_queue_deleted_messages_total[$__rate_interval]))", "deleted"}),
				series("Taken in, per minute", "By what became of them.", "short", query{perMinute("huntaze_intake_messages_total", "outcome"), "{{outcome}}"}).stack(),
				series("Intake delay", "From the arrival in SQS to the commit.", "s",
					query{quantile("0.5", "huntaze_intake_delay_seconds_bucket", ""), "p50"}, query{quantile("0.99", "huntaze_intake_delay_seconds_bucket", ""), "p99"}),
				series("Held", "Received and neither deleted nor given back yet, by process.", "short", query{"sum by (instance) (huntaze_queue_held_messages)", "{{instance}}"}),
				series("Quarantined and given back, per minute", "Given back: they could not be stored.", "short",
					query{"60 * sum(rate(huntaze_queue_quarantined_messages_total[$__rate_interval]))", "quarantined"},
					query{"60 * sum(rate(huntaze_queue_given_back_messages_total[$__rate_interval]))", "given back"}),
				series("Failures per minute", "By operation: receive and ingest count calls, the others messages.", "short",
					query{perMinute("huntaze_queue_failures_total", "operation"), "{{operation}}"}),
				series("Processes that stopped polling", "Because the store does not take messages.", "short",
					query{"sum(huntaze_queue_paused)", "now"}, query{"60 * sum(rate(huntaze_queue_pauses_total[$__rate_interval]))", "pauses begun, per minute"}),
			}},
			{"SQS", []panel{
				series("Main and retry queue", "About, as SQS says.", "short",
					query{`max by (queue, state) (huntaze_fleet_queue_messages{queue!="dead_letters"})`, "{{queue}} {{state}}"}),
				series("Dead letters", "Each is a message that failed three receives, or a copy of one in quarantine.", "short",
					query{`max by (state) (huntaze_fleet_queue_messages{queue="dead_letters"})`, "{{state}}"}).alarm(1),
				series("In quarantine", "Counted up to 10,000.", "short", query{"max(huntaze_fleet_quarantined_messages)", "messages"}),
			}},
		},
	}
}
