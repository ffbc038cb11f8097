package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/huntaze/hybrid-orchestrator/db"
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

func (m *Metrics) transaction(operation string, requests int, begin time.Time, err error) {
	m.durations.WithLabelValues(operation).Observe(time.Since(begin).Seconds())
	result := "committed"
	if err != nil {
		result = "failed"
	}
	m.transactions.WithLabelValues(operation, result).Inc()
	m.grouped.WithLabelValues(operation).Observe(float64(requests))
}

func (m *Metrics) bypass(on bool) {
	value := 0.0
	if on {
		value = 1
	}
	m.bypassed.Set(value)
}
