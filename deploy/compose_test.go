package deploy_test

import (
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
)

const root = ".."

// ours are the services that run our binary; the others are other people's images.
var ours = []string{"api", "gateway", "migrate", "worker"}

// watching are the services of the profile observability, which docker compose up leaves out.
var watching = []string{"collector", "grafana", "jaeger", "prometheus"}

// standard are variables that libraries read, not we.
var standard = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "OTEL_EXPORTER_OTLP_ENDPOINT"}

func TestComposeServices(t *testing.T) {
	t.Parallel()
	project := load(t)
	want := []string{"api", "collector", "gateway", "grafana", "jaeger", "migrate", "postgres", "prometheus", "sqs", "worker"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(project.Services))); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	for name, service := range project.Services {
		var want []string
		if slices.Contains(watching, name) {
			want = []string{"observability"}
		}
		if !slices.Equal(service.Profiles, want) {
			t.Errorf("%s: profiles %v, want %v", name, service.Profiles, want)
		}
	}
	if worker := project.Services["worker"]; worker.GetScale() != 2 {
		t.Errorf("%d workers, want 2", worker.GetScale())
	}
}

func TestComposeImagesArePinned(t *testing.T) {
	t.Parallel()
	for name, service := range load(t).Services {
		if !pinned(service.Image) {
			t.Errorf("%s: the image %q has no fixed version", name, service.Image)
		}
		if isOurs := slices.Contains(ours, name); isOurs != (service.Build != nil) {
			t.Errorf("%s: built here: %v, want %v", name, service.Build != nil, isOurs)
		}
	}
}

func pinned(image string) bool {
	if strings.Contains(image, "@sha256:") {
		return true
	}
	_, tag, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return tag != "" && tag != "latest"
}

func TestComposeHealth(t *testing.T) {
	t.Parallel()
	for name, service := range load(t).Services {
		check := service.HealthCheck
		if name == "migrate" { // runs once
			if service.Restart != "no" || check != nil {
				t.Errorf("migrate: restart %q, health check %v", service.Restart, check)
			}
			continue
		}
		if service.Restart != "unless-stopped" {
			t.Errorf("%s: restart %q", name, service.Restart)
		}
		if name == "collector" { // its image has nothing but the collector, which can't ask itself
			if check != nil {
				t.Errorf("collector: health check %v can't run", check.Test)
			}
			continue
		}
		if check == nil || check.Disable || len(check.Test) == 0 || check.Interval == nil || check.Timeout == nil || check.Retries == nil {
			t.Errorf("%s: incomplete health check %+v", name, check)
			continue
		}
		if isOurs := slices.Contains(ours, name); isOurs && !slices.Equal(check.Test, []string{"CMD", "/huntaze", "healthcheck"}) {
			t.Errorf("%s: health check %v; the image has nothing but the binary", name, check.Test)
		}
	}
}

func TestComposeStartOrder(t *testing.T) {
	t.Parallel()
	want := map[string]map[string]string{
		"postgres": {}, "sqs": {}, "gateway": {},
		"collector": {}, "grafana": {}, "jaeger": {}, "prometheus": {},
		"migrate": {"postgres": types.ServiceConditionHealthy},
		"worker": {
			"postgres": types.ServiceConditionHealthy, "sqs": types.ServiceConditionHealthy,
			"gateway": types.ServiceConditionHealthy, "migrate": types.ServiceConditionCompletedSuccessfully,
		},
		"api": {"postgres": types.ServiceConditionHealthy, "migrate": types.ServiceConditionCompletedSuccessfully},
	}
	got := make(map[string]map[string]string)
	for name, service := range load(t).Services {
		got[name] = make(map[string]string)
		for other, dependency := range service.DependsOn {
			got[name][other] = dependency.Condition
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what a service waits for (-want +got):\n%s", diff)
	}
}

// A password that protects nothing is harmless only as long as nobody else can reach the port.
func TestComposePortsAreLoopback(t *testing.T) {
	t.Parallel()
	for name, service := range load(t).Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is bound to %q", name, port.Published, port.HostIP)
			}
		}
		if service.NetworkMode == "host" || service.Privileged {
			t.Errorf("%s: network %q, privileged %v", name, service.NetworkMode, service.Privileged)
		}
		if name == "worker" && len(service.Ports) > 0 {
			t.Error("two workers can't have one port")
		}
	}
}

func TestComposeEnvironment(t *testing.T) {
	t.Parallel()
	known := append(config.Names(), standard...)
	for name, service := range load(t).Services {
		environ := make(map[string]string)
		for key, value := range service.Environment {
			if value == nil {
				t.Errorf("%s: %s has no value", name, key)
				continue
			}
			environ[key] = *value
			secret := strings.Contains(key, "PASSWORD") || strings.Contains(key, "TOKEN") || strings.Contains(key, "SECRET") || strings.Contains(key, "ACCESS_KEY")
			if secret && *value != "development-only" {
				t.Errorf("%s: %s does not say that it is for development only", name, key)
			}
		}
		if !slices.Contains(ours, name) {
			continue
		}
		for key := range environ {
			if !slices.Contains(known, key) {
				t.Errorf("%s: %s is not a variable of the program", name, key)
			}
		}
		cfg, err := config.Load(environ)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if password := passwordOf(t, cfg.DatabaseURL.Reveal()); cfg.DatabaseURL != "" && password != "development-only" {
			t.Errorf("%s: the database's password does not say that it is for development only", name)
		}
		if name != "worker" {
			continue
		}
		if err := cfg.Require("DATABASE_URL", "AWS_ENDPOINT_URL_SQS", "GATEWAY_URL", "GATEWAY_TOKEN"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if grace := service.StopGracePeriod; grace == nil || time.Duration(*grace) <= cfg.ShutdownTimeout {
			t.Errorf("%s: killed after %v, before its own %s are over", name, grace, cfg.ShutdownTimeout)
		}
	}
}

func passwordOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("the database's address can't be parsed")
	}
	password, _ := u.User.Password()
	return password
}

func TestComposeFilesExist(t *testing.T) {
	t.Parallel()
	stages := stagesOf(t)
	for name, service := range load(t).Services {
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			// Docker makes an empty folder of what is missing. Whole folders are mounted for Grafana alone.
			info, err := os.Stat(volume.Source)
			if err != nil || !info.Mode().IsRegular() && (name != "grafana" || !info.IsDir()) {
				t.Errorf("%s: mounts %s, which is not there as a file: %v", name, filepath.Base(volume.Source), err)
			}
			if !volume.ReadOnly {
				t.Errorf("%s: may write to %s", name, filepath.Base(volume.Source))
			}
		}
		build := service.Build
		if build == nil {
			continue
		}
		if build.Dockerfile != "deploy/Dockerfile" {
			t.Errorf("%s: built from %s", name, build.Dockerfile)
		}
		if same, err := filepath.Abs(root); err != nil || build.Context != same {
			t.Errorf("%s: built in %s, want the top of the project", name, build.Context)
		}
		want := "worker"
		if name == "api" {
			want = "api"
		}
		if build.Target != want || !slices.Contains(stages, want) {
			t.Errorf("%s: target %q, want %q of %v", name, build.Target, want, stages)
		}
	}
}

func load(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}
