package metrics

import "github.com/prometheus/client_golang/prometheus"

// Put tells a value.
type Put func(f Family, value float64, labels ...string)

// Reader is a collector whose values are kept elsewhere and read when they are asked for.
type Reader struct {
	Families []Family
	Read     func(Put)
}

// Describe implements prometheus.Collector.
func (r Reader) Describe(out chan<- *prometheus.Desc) {
	for _, f := range r.Families {
		out <- f.Desc()
	}
}

// Collect implements prometheus.Collector.
func (r Reader) Collect(out chan<- prometheus.Metric) {
	r.Read(func(f Family, value float64, labels ...string) { out <- f.Const(value, labels...) })
}
