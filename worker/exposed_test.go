package worker_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

func scrape(t *testing.T, address string) map[string]*dto.MetricFamily {
	t.Helper()
	response, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// TestExposedIsTheCatalogue: what workers show is what the catalogue says, label by label, and what it says of workers they
// show, after a little of everything has happened.
func TestExposedIsTheCatalogue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	config := r.config(t, "one")
	config.Version, config.ObserveEvery = "test", 200*time.Millisecond
	sim := r.write(t, &config)
	config.Providers.Budget = 5e12
	if err := sim.Enqueue(providersim.Azure, providersim.Fault{Fixture: "503_html"}); err != nil {
		t.Fatal(err)
	}
	r.losesReplies(t)
	w, err := worker.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	r.run(t, config.Name, w)
	withBrief := message("creator", 1)
	delete(withBrief, "content")
	withBrief["brief"] = "Say hello"
	r.put(t, withBrief, message("creator", 2), message("creator", 2), map[string]any{"workflowId": "no-recipient"})
	r.eventually(t, 60*time.Second, "both sent", func() bool { return r.stages(t)["sent"] == 2 })
	var shown map[string]*dto.MetricFamily
	// The observation after all that, and the first pass of the reconciler.
	r.eventually(t, 40*time.Second, "an observation of it", func() bool {
		shown = scrape(t, w.AdminAddr())
		return sum(shown, metrics.FleetFinished.Name, "outcome", "sent") == 2 && shown[metrics.Reconciled.Name] != nil
	})
	catalogue := map[string]metrics.Family{}
	for _, f := range metrics.Catalogue() {
		catalogue[f.Name] = f
		// An audit runs once an hour; the spans of this test go nowhere.
		if f.Source == metrics.API || f.Name == metrics.AuditFindings.Name || f.Name == metrics.AuditLastSuccess.Name {
			continue
		}
		if shown[f.Name] == nil {
			t.Errorf("%s is in the catalogue, and the worker does not show it", f.Name)
		}
	}
	for name, family := range shown {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
			continue
		}
		f, known := catalogue[name]
		if !known || !strings.EqualFold(family.GetType().String(), string(f.Kind)) {
			t.Errorf("%s, a %s, is not in the catalogue as that", name, family.GetType())
			continue
		}
		for _, m := range family.GetMetric() {
			if len(m.GetLabel()) != len(f.Labels) {
				t.Errorf("%s has %d labels", name, len(m.GetLabel()))
			}
			for _, l := range m.GetLabel() {
				i := slices.IndexFunc(f.Labels, func(one metrics.Label) bool { return one.Name == l.GetName() })
				if i < 0 || f.Labels[i].Values != nil && !slices.Contains(f.Labels[i].Values, l.GetValue()) {
					t.Errorf("%s{%s=%q} is not in the catalogue", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
	for name, want := range map[string]float64{metrics.Intakes.Name: 4, metrics.QueueReceived.Name: 4, metrics.FleetFinished.Name: 2} {
		if got := sum(shown, name, "", ""); got != want {
			t.Errorf("%s adds up to %v, want %v", name, got, want)
		}
	}
}

func sum(families map[string]*dto.MetricFamily, name, label, value string) (total float64) {
	for _, m := range families[name].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == label && l.GetValue() != value {
				m = &dto.Metric{}
			}
		}
		total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return total
}
