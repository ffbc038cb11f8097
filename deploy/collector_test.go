package deploy_test

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// A collector does not start when a pipeline names what is not described; what no pipeline names does nothing.
func TestCollectors(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"collector.yaml", "collector-aws.yaml"} {
		var c struct {
			Receivers, Processors, Exporters, Extensions map[string]any
			Service                                      struct {
				Extensions []string
				Pipelines  map[string]struct{ Receivers, Processors, Exporters []string }
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, "deploy/observability/"+file)), &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		used := map[string]bool{}
		check := func(kind string, described map[string]any, names []string) {
			for _, name := range names {
				used[kind+" "+name] = true
				if _, is := described[name]; !is {
					t.Errorf("%s: %s %s is not described", file, kind, name)
				}
			}
		}
		if len(c.Service.Pipelines) == 0 {
			t.Errorf("%s: no pipelines", file)
		}
		for name, p := range c.Service.Pipelines {
			check("receiver", c.Receivers, p.Receivers)
			check("processor", c.Processors, p.Processors)
			check("exporter", c.Exporters, p.Exporters)
			if len(p.Processors) == 0 || p.Processors[0] != "memory_limiter" {
				t.Errorf("%s: pipeline %s takes in more than it has memory for", file, name)
			}
		}
		check("extension", c.Extensions, c.Service.Extensions)
		for kind, described := range map[string]map[string]any{"receiver": c.Receivers, "processor": c.Processors, "exporter": c.Exporters, "extension": c.Extensions} {
			for name := range described {
				if !used[kind+" "+name] {
					t.Errorf("%s: %s %s is not used", file, kind, name)
				}
			}
		}
		for name, exporter := range c.Exporters {
			auth, _ := exporter.(map[string]any)["auth"].(map[string]any)
			if authenticator, _ := auth["authenticator"].(string); file == "collector-aws.yaml" && !used["extension "+authenticator] {
				t.Errorf("%s: exporter %s does not sign its requests", file, name)
			}
		}
	}
}

// The address in the head of the compose file is the collector's, and the port is the one it listens on.
func TestTracesReachTheCollector(t *testing.T) {
	t.Parallel()
	compose, collector := read(t, "docker-compose.yml"), read(t, "deploy/observability/collector.yaml")
	if !strings.Contains(compose, "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 docker compose --profile observability up") {
		t.Error("docker-compose.yml does not say how to start with traces")
	}
	if !strings.Contains(collector, "endpoint: 0.0.0.0:4318") {
		t.Error("the collector does not listen where compose sends traces")
	}
	project := load(t)
	for _, name := range []string{"worker", "api"} {
		value, is := project.Services[name].Environment["OTEL_EXPORTER_OTLP_ENDPOINT"]
		if !is || value == nil || *value != "" {
			t.Errorf("%s: traces are not off by themselves: %v", name, value)
		}
	}
}
