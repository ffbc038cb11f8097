package grafana_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
)

// dashboard is what the checks read of a file. Unlike the generator's, its types are Grafana's.
type dashboard struct {
	UID, Title, Refresh string
	SchemaVersion       int
	Time                struct{ From, To string }
	Panels              []struct {
		ID          int
		Type, Title string
		Description string
		Datasource  struct{ Type, UID string }
		GridPos     struct{ X, Y, W, H int }
		FieldConfig struct{ Defaults struct{ Unit string } }
		Options     struct{ Content string }
		Targets     []struct {
			RefID, Expr, LegendFormat string
			Datasource                struct{ Type, UID string }
		}
	}
}

func load(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	all := make(map[string]dashboard)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[file] = d
	}
	return all
}

func TestDashboardsAreComplete(t *testing.T) {
	t.Parallel()
	uids, titles := make(map[string]string), make(map[string]string)
	for file, d := range load(t) {
		if d.UID == "" || d.Title == "" || d.Refresh == "" || d.Time.From == "" || d.Time.To == "" || d.SchemaVersion == 0 {
			t.Errorf("%s: uid %q, title %q, refresh %q, time %v, schema %d", file, d.UID, d.Title, d.Refresh, d.Time, d.SchemaVersion)
		}
		if other, twice := uids[d.UID]; twice {
			t.Errorf("%s and %s have the uid %s", file, other, d.UID)
		}
		if other, twice := titles[d.Title]; twice {
			t.Errorf("%s and %s have the title %s", file, other, d.Title)
		}
		uids[d.UID], titles[d.Title] = file, file
		ids := make(map[int]bool)
		for _, p := range d.Panels {
			if p.ID == 0 || ids[p.ID] {
				t.Errorf("%s: %q has the id %d, which is none or another's", file, p.Title, p.ID)
			}
			ids[p.ID] = true
			if p.Title == "" {
				t.Errorf("%s: panel %d has no title", file, p.ID)
			}
			if p.Type == "row" {
				continue
			}
			if p.Description == "" {
				t.Errorf("%s: %q does not say what it means", file, p.Title)
			}
			if p.Type == "text" {
				if p.Options.Content == "" {
					t.Errorf("%s: %q has no text", file, p.Title)
				}
				continue
			}
			if len(p.Targets) == 0 || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != prometheusUID {
				t.Errorf("%s: %q has %d queries, unit %q, data source %q", file, p.Title, len(p.Targets), p.FieldConfig.Defaults.Unit, p.Datasource.UID)
			}
			refs := make(map[string]bool)
			for _, q := range p.Targets {
				if q.Expr == "" || q.LegendFormat == "" || q.RefID == "" || refs[q.RefID] || q.Datasource.UID != prometheusUID {
					t.Errorf("%s: %q: query %+v", file, p.Title, q)
				}
				refs[q.RefID] = true
			}
		}
	}
}

func TestPanelsDontOverlap(t *testing.T) {
	t.Parallel()
	for file, d := range load(t) {
		taken := make(map[[2]int]string)
		for _, p := range d.Panels {
			at := p.GridPos
			if at.W < 1 || at.H < 1 || at.X < 0 || at.Y < 0 || at.X+at.W > columns {
				t.Errorf("%s: %q is at %+v", file, p.Title, at)
				continue
			}
			for x := at.X; x < at.X+at.W; x++ {
				for y := at.Y; y < at.Y+at.H; y++ {
					if other, is := taken[[2]int{x, y}]; is {
						t.Fatalf("%s: %q lies over %q", file, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}

var (
	ourMetric = regexp.MustCompile(`\bhuntaze_[a-z0-9_]+`)
	suffix    = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// TestEveryMetricIsShown: what nobody shows nobody sees. That the queries ask for what there is the tests of deploy check, for
// alerts and dashboards alike.
func TestEveryMetricIsShown(t *testing.T) {
	t.Parallel()
	// Waits of a pool are shown as the time they took.
	shown := map[string]bool{"huntaze_pool_acquires_total": true, "huntaze_pool_waits_total": true}
	for file, d := range load(t) {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				for _, name := range ourMetric.FindAllString(q.Expr, -1) {
					shown[name], shown[suffix.ReplaceAllString(name, "")] = true, true
				}
				if strings.Contains(q.Expr, "sum(huntaze_fleet_") || strings.Contains(q.Expr, "sum(rate(huntaze_fleet_") {
					t.Errorf("%s: %q adds up what only one process knows", file, p.Title)
				}
			}
		}
	}
	for _, f := range metrics.Catalogue() {
		if !shown[f.Name] {
			t.Errorf("no dashboard shows %s", f.Name)
		}
	}
}

func TestProvisioning(t *testing.T) {
	t.Parallel()
	var sources struct {
		Datasources []struct{ UID, Type, URL string }
	}
	parse(t, "provisioning/datasources/datasources.yml", &sources)
	found := false
	for _, s := range sources.Datasources {
		found = found || s.UID == prometheusUID && s.Type == "prometheus" && s.URL == "http://prometheus:9090"
	}
	if !found {
		t.Errorf("no data source %s in %+v", prometheusUID, sources.Datasources)
	}
	var providers struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	parse(t, "provisioning/dashboards/dashboards.yml", &providers)
	if len(providers.Providers) != 1 {
		t.Fatalf("providers %+v", providers)
	}
	compose, err := os.ReadFile("../../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	if mount := "/grafana/dashboards:" + providers.Providers[0].Options.Path + ":ro"; !strings.Contains(string(compose), mount) {
		t.Errorf("docker-compose.yml does not mount the dashboards where Grafana looks for them: no %s", mount)
	}
}

func parse(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
