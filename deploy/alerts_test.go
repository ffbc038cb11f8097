package deploy_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/huntaze/hybrid-orchestrator/internal/metrics"
)

const observability = "deploy/observability/"

type alert struct {
	Name        string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal([]byte(read(t, observability+"alerts.yml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) < 30 {
		t.Fatalf("only %d alerts were read", len(all))
	}
	return all
}

// TestPromtool: Prometheus takes its configuration and the rules, and each rule fires when it should.
func TestPromtool(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is missing (Debian: prometheus)")
		}
		t.Skip("SKIPPED: promtool is missing (Debian: prometheus): nobody checks whether the alerts fire")
	}
	for _, arguments := range [][]string{{"check", "config", "prometheus.yml"}, {"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		command := exec.Command(promtool, arguments...)
		command.Dir = filepath.Join(root, observability)
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
		}
	}
}

// TestAlertsAreComplete: each alert says how bad it is and where it is explained, has an entry in the runbook, and a case
// in which it fires and one in which it does not. The runbook has no entry for an alert that is gone.
func TestAlertsAreComplete(t *testing.T) {
	t.Parallel()
	runbook, cases := read(t, "docs/runbook.md"), read(t, observability+"alerts_test.yml")
	var names []string
	for _, a := range alerts(t) {
		names = append(names, a.Name)
		if !slices.Contains([]string{"page", "ticket", "info"}, a.Labels["severity"]) || a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s is incomplete: %v %v", a.Name, a.Labels, a.Annotations)
		}
		if want := "docs/runbook.md#" + strings.ToLower(a.Name); a.Annotations["runbook"] != want {
			t.Errorf("%s is explained at %s, want %s", a.Name, a.Annotations["runbook"], want)
		}
		for _, want := range []string{`name: '` + a.Name + ` fires'`, `name: '` + a.Name + ` stays quiet`} {
			if strings.Count(cases, want) != 1 {
				t.Errorf("alerts_test.yml has no case %q", want)
			}
		}
	}
	var entries []string
	for _, m := range regexp.MustCompile(`(?m)^### (Huntaze\w+)\n\n\*Means:\* (?:[^#]*\n)?\*See:\* (?:[^#]*\n)?\*Do:\* `).FindAllStringSubmatch(runbook, -1) {
		entries = append(entries, m[1])
	}
	slices.Sort(names)
	slices.Sort(entries)
	if !slices.Equal(names, entries) {
		t.Errorf("alerts  %v\nrunbook %v", names, entries)
	}
}

// TestMetricsOfAlertsAndDashboardsExist: each metric, label and value that an alert or a dashboard asks for is in the
// catalogue, which another test holds against what processes show.
func TestMetricsOfAlertsAndDashboardsExist(t *testing.T) {
	t.Parallel()
	for _, a := range alerts(t) {
		for _, problem := range problemsOf(a.Expr) {
			t.Errorf("%s: %s", a.Name, problem)
		}
	}
	files, err := filepath.Glob(filepath.Join(root, observability, "grafana", "dashboards", "*.json"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var dashboard any
		if err := json.Unmarshal(text, &dashboard); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		asked := 0
		for _, expr := range exprs(dashboard) {
			asked++
			for _, problem := range problemsOf(expr) {
				t.Errorf("%s: %s: %s", filepath.Base(file), expr, problem)
			}
		}
		if asked < 5 {
			t.Errorf("%s asks for %d things", filepath.Base(file), asked)
		}
	}
	for _, wrong := range []string{`huntaze_no_such_metric`, `huntaze_ready{parts="queue"}`, `huntaze_ready{part="qeue"}`, `huntaze_ready{part=~"queue|databse"}`,
		`huntaze_ready_bucket`, `sum by (party) (huntaze_ready)`} {
		if len(problemsOf(wrong)) != 1 {
			t.Errorf("%s passes: %v", wrong, problemsOf(wrong))
		}
	}
}

// exprs are all the members "expr" of a dashboard.
func exprs(value any) (all []string) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if text, is := member.(string); is && name == "expr" {
				all = append(all, text)
			}
			all = append(all, exprs(member)...)
		}
	case []any:
		for _, element := range v {
			all = append(all, exprs(element)...)
		}
	}
	return all
}

var (
	selector   = regexp.MustCompile(`(huntaze_\w+)(?:\{([^}]*)\})?`)
	matcher    = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping   = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	ofScraping = []string{"instance", "job", "le"} // added by Prometheus
)

// problemsOf says what an expression asks for that there is not. Prometheus itself has parsed it before.
func problemsOf(expr string) (problems []string) {
	catalogue := map[string]metrics.Family{}
	for _, f := range metrics.Catalogue() {
		if f.Kind == metrics.Histogram {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				catalogue[f.Name+part] = f
			}
			continue
		}
		catalogue[f.Name] = f
	}
	known := slices.Clone(ofScraping)
	for _, found := range selector.FindAllStringSubmatch(expr, -1) {
		family, is := catalogue[found[1]]
		if !is {
			problems = append(problems, "there is no "+found[1])
			continue
		}
		for _, l := range family.Labels {
			known = append(known, l.Name)
		}
		for _, m := range matcher.FindAllStringSubmatch(found[2], -1) {
			i := slices.IndexFunc(family.Labels, func(l metrics.Label) bool { return l.Name == m[1] })
			switch {
			case i < 0 && !slices.Contains(ofScraping, m[1]):
				problems = append(problems, found[1]+" has no label "+m[1])
			case i < 0 || family.Labels[i].Values == nil || strings.ContainsAny(m[3], ".*$"):
			default:
				for _, value := range strings.Split(m[3], "|") {
					if !slices.Contains(family.Labels[i].Values, value) {
						problems = append(problems, found[1]+" has no "+m[1]+" "+value)
					}
				}
			}
		}
	}
	for _, found := range grouping.FindAllStringSubmatch(expr, -1) {
		for _, name := range strings.Split(found[1], ",") {
			if name = strings.TrimSpace(name); name != "" && len(problems) == 0 && !slices.Contains(known, name) {
				problems = append(problems, "nothing has a label "+name)
			}
		}
	}
	return problems
}
