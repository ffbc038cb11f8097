package worker

import (
	"cmp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/audit"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// Metrics are what this process counts. Labels are closed lists: never an account or a message.
type Metrics struct {
	intakes      *prometheus.CounterVec
	releases     prometheus.Counter
	outcomes     *prometheus.CounterVec
	elapsed      prometheus.Histogram
	transactions *prometheus.CounterVec
	grouped      *prometheus.HistogramVec
	durations    *prometheus.HistogramVec
	bypassed     prometheus.Gauge
	calls        *prometheus.CounterVec
	tokens       *prometheus.CounterVec
	unclassified *prometheus.CounterVec
	fallbacks    *prometheus.CounterVec
	texts        *prometheus.CounterVec
	findings     *prometheus.GaugeVec
	lastAudit    *prometheus.GaugeVec
}

// NewMetrics registers the worker's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		intakes:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "huntaze_intake_messages_total", Help: "Messages taken in, by what became of them."}, []string{"outcome"}),
		releases:     prometheus.NewCounter(prometheus.CounterOpts{Name: "huntaze_released_messages_total", Help: "Messages that got their tokens."}),
		outcomes:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "huntaze_send_outcomes_total", Help: "Outcomes of attempts that became durable, by event."}, []string{"outcome"}),
		elapsed:      prometheus.NewHistogram(prometheus.HistogramOpts{Name: "huntaze_message_duration_seconds", Help: "Time from intake to acceptance by the gateway.", Buckets: prometheus.ExponentialBuckets(0.01, 4, 12)}),
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "huntaze_transactions_total", Help: "Transactions of the engine, by operation and result."}, []string{"operation", "result"}),
		grouped:      prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "huntaze_transaction_requests", Help: "Requests that shared a transaction, by operation.", Buckets: prometheus.ExponentialBuckets(1, 2, 9)}, []string{"operation"}),
		durations:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "huntaze_transaction_duration_seconds", Help: "Time that a transaction of the engine took, by operation.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"operation"}),
		bypassed:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "huntaze_limiter_bypass", Help: "1 while this process sends without the rate limiter."}),
	}
	m.calls = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "huntaze_provider_calls_total", Help: "Calls to providers, by how they ended."}, []string{"provider", "class"})
	m.tokens = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "huntaze_provider_tokens_total", Help: "Tokens of calls, as far as their usage is known."}, []string{"provider", "kind"})
	m.unclassified = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "huntaze_provider_unclassified_total", Help: "Answers of providers in a form that is on no list; should stay 0."}, []string{"provider"})
	m.fallbacks = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "huntaze_plan_fallbacks_total", Help: "Fallbacks of texts, by scenario and where to."}, []string{"scenario", "to"})
	m.texts = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "huntaze_plan_messages_total", Help: "Messages whose text became ready, by who wrote it, or could not be had (none)."}, []string{"source"})
	// Without a value until this process has run an audit: most never do, and a 0 would look like one from long ago.
	m.findings = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "huntaze_audit_findings", Help: "Findings of the latest audit that this process ran, by kind. That of the fleet is the one with the latest huntaze_audit_last_success_timestamp_seconds."}, []string{"kind"})
	m.lastAudit = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "huntaze_audit_last_success_timestamp_seconds", Help: "When the latest audit that this process ran looked at the ledger."}, nil)
	r.MustRegister(m.findings, m.lastAudit)
	r.MustRegister(m.calls, m.tokens, m.unclassified, m.fallbacks, m.texts)
	r.MustRegister(m.intakes, m.releases, m.outcomes, m.elapsed, m.transactions, m.grouped, m.durations, m.bypassed)
	return m
}

func (m *Metrics) intake(o workflow.IntakeOutcome) { m.intakes.WithLabelValues(string(o)).Inc() }

func (m *Metrics) released(n int) { m.releases.Add(float64(n)) }

func (m *Metrics) outcome(kind workflow.EventKind, done db.Finished) {
	m.outcomes.WithLabelValues(string(kind)).Inc()
	if kind == workflow.EventAccepted {
		m.elapsed.Observe(done.Elapsed.Seconds())
	}
}

// reconciled counts the outcomes of attempts whose own process was gone.
func (m *Metrics) reconciled(done db.Reconciled) {
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
		m.findings.WithLabelValues(string(kind)).Set(float64(n))
	}
	m.lastAudit.WithLabelValues().Set(float64(report.At.UnixMilli()) / 1000)
}

func (m *Metrics) bypass(on bool) {
	value := 0.0
	if on {
		value = 1
	}
	m.bypassed.Set(value)
}
