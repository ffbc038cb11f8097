package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
)

// stepMetrics are what this process counts of steps and of the calls that they make.
type stepMetrics struct {
	durations, delays *prometheus.HistogramVec
	gateway, provider *prometheus.HistogramVec
	costs             *prometheus.CounterVec
}

func newStepMetrics(r prometheus.Registerer) *stepMetrics {
	m := &stepMetrics{
		durations: metrics.StepDuration.NewHistogram(r), delays: metrics.StepDelay.NewHistogram(r),
		gateway: metrics.GatewayDuration.NewHistogram(r), provider: metrics.ProviderDuration.NewHistogram(r), costs: metrics.ProviderCost.NewCounter(r),
	}
	for _, step := range metrics.StepDuration.Labels[0].Values {
		m.durations.WithLabelValues(step, resultFailed) // there before it happens, so that its first increase is one
	}
	return m
}

func (m *stepMetrics) ran(step, result string, delay, took time.Duration) {
	m.durations.WithLabelValues(step, result).Observe(took.Seconds())
	m.delays.WithLabelValues(step).Observe(delay.Seconds())
}

func (m *stepMetrics) called(request, outcome string, took time.Duration) {
	m.gateway.WithLabelValues(request, outcome).Observe(took.Seconds())
}

// wrote counts a call to a provider. What it cost is known, estimated, or not in the sum.
func (m *stepMetrics) wrote(end db.PlanEnd, took time.Duration) {
	m.provider.WithLabelValues(string(end.Provider)).Observe(took.Seconds())
	if end.Cost.PicoUSD != nil && (end.Cost.Kind == costActual || end.Cost.Kind == costEstimated) {
		m.costs.WithLabelValues(string(end.Provider), end.Cost.Kind).Add(float64(*end.Cost.PicoUSD) / picoPerUSD)
	}
}

// The kinds of cost that have an amount.
const (
	costActual    = "actual"
	costEstimated = "estimated"
)
