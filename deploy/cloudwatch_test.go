package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
)

const cloudwatch = "deploy/cloudwatch"

// TestTerraform asks Terraform itself. Its provider has half a gigabyte and is not downloaded for a test: TF_PLUGIN_DIR
// names a folder that holds it (terraform providers mirror FOLDER makes one).
func TestTerraform(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("SKIPPED: no terraform on this machine, deploy/cloudwatch is not checked by it")
	}
	terraform(t, filepath.Join(root, cloudwatch), "fmt", "-check", "-diff", "-recursive")
	plugins := os.Getenv("TF_PLUGIN_DIR")
	if plugins == "" {
		t.Skip("SKIPPED: TF_PLUGIN_DIR is not set, so deploy/cloudwatch is neither validated nor tested")
	}
	// In a copy, so that nothing is left in the folder.
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(root, cloudwatch))); err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{".terraform", ".terraform.lock.hcl"} {
		if err := os.RemoveAll(filepath.Join(folder, left)); err != nil {
			t.Fatal(err)
		}
	}
	terraform(t, folder, "init", "-backend=false", "-input=false", "-no-color", "-plugin-dir="+plugins)
	terraform(t, folder, "validate", "-no-color")
	terraform(t, folder, "test", "-no-color")
}

func terraform(t *testing.T, folder string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "terraform", args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+os.DevNull, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// alarm is a name in main.tf: an entry of the tables, with a suffix where there are two of a name, or what a description
// ends with. It is also that of the Prometheus alert.
var alarm = regexp.MustCompile(`(?m)^    (Huntaze[A-Za-z]+)(?:-[a-z]+)? = \{|runbook: (Huntaze[A-Za-z]+)"$`)

func TestAlarmsAreInTheRunbook(t *testing.T) {
	t.Parallel()
	runbook := read(t, "docs/runbook.md")
	found := alarm.FindAllStringSubmatch(read(t, cloudwatch+"/main.tf"), -1)
	if len(found) < 10 {
		t.Fatalf("%d alarms", len(found))
	}
	for _, a := range found {
		name := a[1] + a[2] // one of them is empty
		if !regexp.MustCompile(`(?m)^#+ ` + name + `\b`).MatchString(runbook) {
			t.Errorf("docs/runbook.md has no heading that begins with %s", name)
		}
	}
}

// An alarm on a metric that nobody writes never goes off.
func TestAlarmsReadWhatIsWritten(t *testing.T) {
	t.Parallel()
	documented := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z][A-Za-z]+)` \\| [A-Za-z]+ \\| ([^|]+) \\|").FindAllStringSubmatch(read(t, "docs/metrics.md"), -1) {
		documented[row[1]] = row[2]
	}
	text := read(t, cloudwatch+"/main.tf")
	var fleet, byVersion []string
	for _, m := range regexp.MustCompile(`\b(?:metric|used|turn) += "([A-Za-z]+)"`).FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(m[1], "Approximate") { // of SQS
			fleet = append(fleet, m[1])
		}
	}
	for _, m := range regexp.MustCompile(`SELECT [A-Z]+\(([A-Za-z]+)\)`).FindAllStringSubmatch(text, -1) {
		byVersion = append(byVersion, m[1])
	}
	if len(fleet) < 5 || len(byVersion) < 3 {
		t.Fatalf("alarms on %v and %v", fleet, byVersion)
	}
	for _, name := range fleet {
		if !strings.HasPrefix(documented[name], "Service") || strings.Contains(documented[name], "Version") {
			t.Errorf("an alarm reads %s by Service; docs/metrics.md says it has %q", name, documented[name])
		}
	}
	for _, name := range byVersion {
		if documented[name] != "Service and Version" {
			t.Errorf("an alarm reads %s by Service and Version; docs/metrics.md says it has %q", name, documented[name])
		}
	}
}

// Without a word of the operator's, alarms and workers mean the same namespace and queues.
func TestAlarmsDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, v := range regexp.MustCompile(`(?s)variable "(\w+)" \{.*?default\s+= "?([^"\n]*)`).FindAllStringSubmatch(read(t, cloudwatch+"/variables.tf"), -1) {
		got[v[1]] = v[2]
	}
	for name, want := range map[string]string{"namespace": cfg.EMFNamespace, "queue": cfg.SQSQueue, "dead_letter_queue": cfg.SQSDeadLetters} {
		if got[name] != want {
			t.Errorf("variable %s: default %q, the program's is %q", name, got[name], want)
		}
	}
	if !slices.Contains(strings.Split(read(t, ".gitignore"), "\n"), ".terraform/") {
		t.Error(".gitignore lets what terraform init leaves into the repository")
	}
}
