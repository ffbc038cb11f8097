package cli

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
)

// TestAPIMetrics: at ADMIN_ADDR, and nowhere else, `huntaze api` shows what the catalogue says, label by label.
func TestAPIMetrics(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	f.environ["ADMIN_ADDR"] = "127.0.0.1:0"
	stop, admin := f.withAPIAndAdmin("--admin")
	defer stop()
	defer http.DefaultClient.CloseIdleConnections()
	public := f.environ["HUNTAZE_API_URL"]
	ask := func(method, url, key string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			request.Header.Set("Authorization", "Bearer "+key)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	ask("GET", public+"/v1/campaigns", f.environ["HUNTAZE_API_KEY"])
	ask("GET", public+"/v1/campaigns/no-such-campaign", f.environ["HUNTAZE_API_KEY"])
	ask("BREW", public+"/v1/campaigns", f.environ["HUNTAZE_API_KEY"])
	ask("GET", public+"/v1/some/scanner's/path", "")
	ask("GET", public+"/", "")
	if _, body := ask("GET", public+"/metrics", f.environ["HUNTAZE_API_KEY"]); strings.Contains(body, "huntaze_build_info") {
		t.Error("the metrics are on the public address")
	}
	if status, _ := ask("GET", "http://"+admin+"/readyz", ""); status != http.StatusOK {
		t.Errorf("readyz at ADMIN_ADDR: %d", status)
	}
	response, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	shown, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	catalogue := map[string]metrics.Family{}
	for _, family := range metrics.Catalogue() {
		if family.Source == metrics.API || family.Source == metrics.Both {
			if catalogue[family.Name] = family; shown[family.Name] == nil {
				t.Errorf("%s is not shown", family.Name)
			}
		}
	}
	routes := map[string]bool{}
	for name, family := range shown {
		if !strings.HasPrefix(name, "huntaze_") {
			continue
		}
		known, is := catalogue[name]
		if !is {
			t.Errorf("%s is not in the catalogue of the API", name)
			continue
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				i := slices.IndexFunc(known.Labels, func(one metrics.Label) bool { return one.Name == l.GetName() })
				if i < 0 || known.Labels[i].Values != nil && !slices.Contains(known.Labels[i].Values, l.GetValue()) {
					t.Errorf("%s{%s=%q} is not in the catalogue", name, l.GetName(), l.GetValue())
				}
				if l.GetName() == "route" {
					routes[l.GetValue()] = true
				}
			}
		}
	}
	for _, route := range []string{"/v1/campaigns", "/v1/campaigns/{id}", "beside", "unknown"} {
		if !routes[route] {
			t.Errorf("no request was counted for %s: %v", route, routes)
		}
	}
	if len(routes) > 6 {
		t.Errorf("paths that there are not make routes: %v", routes)
	}
}
