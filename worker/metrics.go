package worker

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/audit"
	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Metrics are what the engine of this process counts; internal/metrics says what each means.
type Metrics struct {
	intakes, released, decisions, refusals *prometheus.CounterVec
	outcomes, transactions                 *prometheus.CounterVec
	calls, tokens, unclassified            *prometheus.CounterVec
	fallbacks, texts                       *prometheus.CounterVec
	repairs, failedPasses, bypasses        *prometheus.CounterVec
	intakeDelay, elapsed                   *prometheus.HistogramVec
	grouped, durations                     *prometheus.HistogramVec
	bypassed, findings, lastAudit          *prometheus.GaugeVec
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		intakes: metrics.Intakes.NewCounter(r), intakeDelay: metrics.IntakeDelay.NewHistogram(r),
		released: metrics.Released.NewCounter(r), decisions: metrics.LimiterDecisions.NewCounter(r), refusals: metrics.LimiterRefusals.NewCounter(r),
		bypassed: metrics.LimiterBypass.NewGauge(r), outcomes: metrics.SendOutcomes.NewCounter(r), elapsed: metrics.MessageDuration.NewHistogram(r),
		transactions: metrics.Transactions.NewCounter(r), grouped: metrics.TransactionRequests.NewHistogram(r), durations: metrics.TransactionDuration.NewHistogram(r),
		calls: metrics.ProviderCalls.NewCounter(r), tokens: metrics.ProviderTokens.NewCounter(r), unclassified: metrics.ProviderUnclassified.NewCounter(r),
		repairs: metrics.Reconciled.NewCounter(r), failedPasses: metrics.ReconcileFailures.NewCounter(r), bypasses: metrics.LimiterBypasses.NewCounter(r),
		fallbacks: metrics.Fallbacks.NewCounter(r), texts: metrics.TextMessages.NewCounter(r),
		// Without a value until this process has run an audit: most never do, and a 0 would look like one from long ago.
		findings: metrics.AuditFindings.NewGauge(r), lastAudit: metrics.AuditLastSuccess.NewGauge(r),
	}
	// What alerts look at for an increase has to be there before it happens.
	m.released.WithLabelValues()
	m.refusals.WithLabelValues()
	m.bypasses.WithLabelValues()
	m.bypass(false)
	m.reconciled(db.Reconciled{}, nil)
	m.failedPasses.WithLabelValues()
	for _, outcome := range metrics.SendOutcomes.Labels[0].Values {
		m.outcomes.WithLabelValues(outcome)
	}
	for _, outcome := range metrics.Intakes.Labels[0].Values {
		m.intakes.WithLabelValues(outcome)
	}
	for _, provider := range metrics.ProviderUnclassified.Labels[0].Values {
		m.unclassified.WithLabelValues(provider)
	}
	return m
}

// intake counts a delivery. Only new messages have a delay that says something: a duplicate's first delivery was in time.
func (m *Metrics) intake(d workflow.Delivery, o workflow.IntakeOutcome) {
	m.intakes.WithLabelValues(string(o)).Inc()
	if o == workflow.IntakeAccepted && !d.SentAt.IsZero() {
		m.intakeDelay.WithLabelValues().Observe(max(0, time.Since(d.SentAt).Seconds()))
	}
}

// looked counts what came of a look at an account.
func (m *Metrics) looked(r db.Released) {
	m.released.WithLabelValues().Add(float64(r.Count))
	decision := "nothing"
	switch {
	case r.Count > 0:
		decision = "released"
	case r.Waiting && r.NextToken >= 0:
		decision = "wait_token"
	case r.Waiting:
		decision = "wait_other"
	}
	m.decisions.WithLabelValues(decision).Inc()
}

// refused counts a transaction in which the ledger refused what the buckets had given.
func (m *Metrics) refused(all []db.Released) {
	if slices.ContainsFunc(all, func(r db.Released) bool { return r.Refused }) {
		m.refusals.WithLabelValues().Inc()
	}
}

func (m *Metrics) outcome(kind workflow.EventKind, done db.Finished) {
	m.outcomes.WithLabelValues(string(kind)).Inc()
	if kind == workflow.EventAccepted {
		m.elapsed.WithLabelValues().Observe(done.Elapsed.Seconds())
	}
}

// reconciled counts what a pass of the reconciler put right, and the outcomes of attempts whose own process was gone.
func (m *Metrics) reconciled(done db.Reconciled, err error) {
	for kind, n := range map[string]int{"expired": done.Expired, "abandoned": done.Abandoned, "unasked": done.Unasked, "orphaned": done.Orphaned, "unwoken": done.Unwoken,
		"unplanned": done.Unplanned, "unexpanded": done.Unexpanded, "outdated": done.Outdated, "cancelled": done.Cancelled, "pruned": done.Pruned} {
		m.repairs.WithLabelValues(kind).Add(float64(n))
	}
	if err != nil {
		m.failedPasses.WithLabelValues().Inc()
	}
	m.outcomes.WithLabelValues(string(workflow.EventWithdrawn)).Add(float64(done.Expired))
	m.outcomes.WithLabelValues(string(workflow.EventUnknown)).Add(float64(done.Abandoned))
}

func (m *Metrics) transaction(operation string, requests int, begin time.Time, err error) {
	m.durations.WithLabelValues(operation).Observe(time.Since(begin).Seconds())
	result := "committed"
	if err != nil {
		result = "failed"
	}
	m.transactions.WithLabelValues(operation, result).Inc()
	m.grouped.WithLabelValues(operation).Observe(float64(requests))
}

// plan counts a step of a text: the call that it reported, and what it decided.
func (m *Metrics) plan(step db.PlanStep, next db.PlanNext) {
	if e := step.Ended; e != nil {
		class := string(e.Result.Class)
		if len(e.Violations) > 0 {
			class = string(fallback.GateFailed)
		}
		m.calls.WithLabelValues(string(e.Provider), class).Inc()
		if e.Result.Unclassified {
			m.unclassified.WithLabelValues(string(e.Provider)).Inc()
		}
		if e.Result.Usage.Known {
			m.tokens.WithLabelValues(string(e.Provider), "input").Add(float64(e.Result.Usage.Input))
			m.tokens.WithLabelValues(string(e.Provider), "output").Add(float64(e.Result.Usage.Output))
		}
	}
	for _, f := range next.Fallbacks {
		m.fallbacks.WithLabelValues(f.Reason, f.To).Inc()
	}
	if next.Moved > 0 {
		m.texts.WithLabelValues(cmp.Or(next.Source, "none")).Add(float64(next.Moved))
	}
}

// audited shows what an audit found.
func (m *Metrics) audited(report *audit.Report) {
	for kind, n := range report.Totals {
		m.findings.WithLabelValues(string(kind), string(kind.Severity())).Set(float64(n))
	}
	m.lastAudit.WithLabelValues().Set(float64(report.At.UnixMilli()) / 1000)
}

func (m *Metrics) bypass(on bool) {
	value := 0.0
	if on {
		value = 1
	}
	m.bypassed.WithLabelValues().Set(value)
}
