package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
)

// Metrics are what the API of this process counts; internal/metrics says what each means. Nil counts nothing.
type Metrics struct {
	durations            *prometheus.HistogramVec
	problems, recipients *prometheus.CounterVec
	inFlight, streams    prometheus.Gauge
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		durations: metrics.HTTPDuration.NewHistogram(r), problems: metrics.HTTPProblems.NewCounter(r), recipients: metrics.Recipients.NewCounter(r),
		inFlight: metrics.HTTPInFlight.NewGauge(r).WithLabelValues(), streams: metrics.HTTPStreams.NewGauge(r).WithLabelValues(),
	}
	for _, outcome := range metrics.Recipients.Labels[0].Values {
		m.recipients.WithLabelValues(outcome)
	}
	return m
}

const (
	streamRoute  = "/v1/campaigns/{id}/events"
	unknownRoute = "unknown"
)

var methods = metrics.HTTPDuration.Labels[1].Values

// answered counts a request that was answered. How long a stream was open says nothing about this process.
func (m *Metrics) answered(r *http.Request, i *info, status int, took time.Duration) {
	if m == nil {
		return
	}
	if i.problem != nil {
		m.problems.WithLabelValues(i.problem.Code).Inc()
	}
	if strings.HasSuffix(i.route, streamRoute) && status < 400 {
		return
	}
	route, method := i.route[strings.IndexByte(i.route, ' ')+1:], r.Method
	if route == "" {
		route = unknownRoute
	}
	if !slices.Contains(methods, method) {
		method = "other"
	}
	m.durations.WithLabelValues(route, method, classOf(status)).Observe(took.Seconds())
}

func classOf(status int) string {
	switch {
	case status < 300:
		return "2xx"
	case status < 400:
		return "3xx"
	case status < 500:
		return "4xx"
	}
	return "5xx"
}

func (m *Metrics) begun(gauge func(*Metrics) prometheus.Gauge) (ended func()) {
	if m == nil {
		return func() {}
	}
	gauge(m).Inc()
	return gauge(m).Dec
}

func requestsInFlight(m *Metrics) prometheus.Gauge { return m.inFlight }
func openStreams(m *Metrics) prometheus.Gauge      { return m.streams }

func (m *Metrics) handedOver(added, duplicates, refused int64) {
	if m == nil {
		return
	}
	m.recipients.WithLabelValues("added").Add(float64(added))
	m.recipients.WithLabelValues("duplicate").Add(float64(duplicates))
	m.recipients.WithLabelValues("refused").Add(float64(refused))
}
