package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/huntaze/hybrid-orchestrator/internal/emf"
	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// emfEvery is how often the lines for CloudWatch are written: its own resolution.
const emfEvery = time.Minute

// emitter writes the few metrics that autoscaling and alarms of CloudWatch need. Those of the fleet come from the
// observer alone, the others from every worker.
type emitter struct {
	out      *emf.Writer
	gatherer prometheus.Gatherer
	observer *observer
	version  string
	logger   *slog.Logger

	failures, delays, delayed float64 // as of the line before
}

func newEmitter(out *emf.Writer, gatherer prometheus.Gatherer, o *observer, version string, logger *slog.Logger) *emitter {
	return &emitter{out: out, gatherer: gatherer, observer: o, version: version, logger: logger}
}

func (e *emitter) run(ctx context.Context, ticks <-chan time.Time) {
	for {
		select {
		case at := <-ticks:
			e.emit(at)
		case <-ctx.Done():
			return
		}
	}
}

// emit writes one line for each metric. What this process has nothing to say about is left out, not written as 0.
func (e *emitter) emit(at time.Time) {
	families, err := e.gatherer.Gather()
	if err != nil {
		e.logger.Warn("some metrics could not be gathered", "error", err)
	}
	var failed error
	write := func(name string, unit emf.Unit, value float64, more ...emf.Dimension) {
		dimensions := append([]emf.Dimension{{Name: "Service", Value: "huntaze"}}, more...)
		if err := e.out.Write(at, emf.Metric{Name: name, Unit: unit, Value: value, Dimensions: dimensions}); err != nil {
			failed = err
		}
	}
	e.own(families, write)
	if seen := e.observer.latest(); seen != nil {
		seen.emit(write)
	}
	// Whoever ran the latest audit says what it found, until the next one must have run elsewhere.
	if ran, _ := total(families, metrics.AuditLastSuccess, nil); at.Sub(time.Unix(int64(ran), 0)) < jobs.AuditEvery {
		findings, _ := total(families, metrics.AuditFindings, map[string]string{"severity": "violation"})
		write("AuditViolations", emf.Count, findings)
	}
	if failed != nil {
		e.logger.Warn("lines for CloudWatch could not be written", "error", failed)
	}
}

type writeMetric func(name string, unit emf.Unit, value float64, more ...emf.Dimension)

// own are the metrics of this process, by its version: a canary is compared with the others by them.
func (e *emitter) own(families []*dto.MetricFamily, write writeMetric) {
	version := emf.Dimension{Name: "Version", Value: e.version}
	failed, _ := total(families, metrics.StepDuration, map[string]string{"result": "failed"})
	panicked, _ := total(families, metrics.StepDuration, map[string]string{"result": "panicked"})
	write("StepFailures", emf.Count, failed+panicked-e.failures, version)
	e.failures = failed + panicked
	bypass, _ := total(families, metrics.LimiterBypass, nil)
	write("LimiterBypass", emf.Count, bypass, version)
	sum, count := histogram(families, metrics.IntakeDelay)
	if count > e.delayed {
		write("IntakeDelaySeconds", emf.Seconds, (sum-e.delays)/(count-e.delayed), version)
	}
	e.delays, e.delayed = sum, count
}

// emit are the metrics of the whole fleet.
func (o *observation) emit(write writeMetric) {
	oldest, available := 0.0, 0.0
	for name, age := range o.OldestJobs {
		write("BacklogAgeSeconds", emf.Seconds, age.Seconds(), emf.Dimension{Name: "Queue", Value: name})
		oldest = max(oldest, age.Seconds())
	}
	for _, j := range o.Jobs {
		if j.State == "available" {
			available += float64(j.Count.Number)
		}
	}
	write("BacklogAgeSeconds", emf.Seconds, oldest)
	write("BacklogJobs", emf.Count, available)
	write("OldestDoubtSeconds", emf.Seconds, o.since(o.OldestDoubt))
	write("LongestTurnSeconds", emf.Seconds, o.Picture.LongestTurn.Seconds())
	if o.Picture.Allowed > 0 {
		write("TokenUtilisationPercent", emf.Percent, 100*float64(o.Picture.Used)/float64(o.Picture.Allowed))
	}
	if depth, known := o.depths["dead_letters"]; known {
		write("DeadLetters", emf.Count, float64(depth.Visible))
	}
}

// total adds up the series of a family that have the labels: a histogram's observations, or values. The second value
// says whether there is any.
func total(families []*dto.MetricFamily, f metrics.Family, labels map[string]string) (sum float64, found bool) {
	for _, family := range families {
		if family.GetName() != f.Name {
			continue
		}
		for _, m := range family.GetMetric() {
			if !has(m, labels) {
				continue
			}
			found = true
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum, found
}

func histogram(families []*dto.MetricFamily, f metrics.Family) (sum, count float64) {
	for _, family := range families {
		if family.GetName() != f.Name {
			continue
		}
		for _, m := range family.GetMetric() {
			sum, count = sum+m.GetHistogram().GetSampleSum(), count+float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum, count
}

func has(m *dto.Metric, labels map[string]string) bool {
	found := 0
	for _, l := range m.GetLabel() {
		if want, asked := labels[l.GetName()]; asked && want == l.GetValue() {
			found++
		}
	}
	return found == len(labels)
}
