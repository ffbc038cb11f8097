// Package metrics is the catalogue of what the fleet measures: each family once, with its meaning, its unit and the
// closed list of its labels' values. Processes take their instruments from it, docs/metrics.md is made from it, and the
// tests hold dashboards and alerts against it.
//
// It promises that names end in their unit, that labels are bounded (never an account, a recipient, a message), and
// that what is about the whole fleet (huntaze_fleet_…) comes from one process at a time: the one that observes it.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Kind is how a family is to be read.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"   // since the process began; look at its rate or increase
	Gauge     Kind = "gauge"     // now
	Histogram Kind = "histogram" // of single values, in buckets
)

// Source says which processes have a family.
type Source string

// The sources.
const (
	Worker Source = "worker"   // every worker counts its own
	Fleet  Source = "observer" // the one worker that observes the fleet at the time; others have no such series
	API    Source = "api"      // every process of the API counts its own
	Both   Source = "every"    // every process
)

// Label is a dimension of a family.
type Label struct {
	Name   string
	Values []string // the closed list; nil: Of says what bounds it
	Of     string
}

// Family is a metric with all its series.
type Family struct {
	Name    string
	Kind    Kind
	Help    string
	Source  Source
	Group   string
	Labels  []Label
	Buckets []float64 // upper bounds, of a histogram
}

func (f Family) labels() []string {
	var names []string
	for _, l := range f.Labels {
		names = append(names, l.Name)
	}
	return names
}

// NewCounter registers the family as a counter.
func (f Family) NewCounter(r prometheus.Registerer) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.Name, Help: f.Help}, f.labels())
	r.MustRegister(v)
	return v
}

// NewGauge registers the family as a gauge.
func (f Family) NewGauge(r prometheus.Registerer) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.Name, Help: f.Help}, f.labels())
	r.MustRegister(v)
	return v
}

// NewHistogram registers the family as a histogram.
func (f Family) NewHistogram(r prometheus.Registerer) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: f.Name, Help: f.Help, Buckets: f.Buckets}, f.labels())
	r.MustRegister(v)
	return v
}

// Desc describes the family to a collector that reads its values elsewhere.
func (f Family) Desc() *prometheus.Desc { return prometheus.NewDesc(f.Name, f.Help, f.labels(), nil) }

// Const is a value that was read elsewhere, for such a collector.
func (f Family) Const(value float64, labels ...string) prometheus.Metric {
	kind := prometheus.GaugeValue
	if f.Kind == Counter {
		kind = prometheus.CounterValue
	}
	return prometheus.MustNewConstMetric(f.Desc(), kind, value, labels...)
}
