// Package deploy_test checks the files that run the fleet elsewhere than in Go, as far as that can be done
// without running them: each by a parser of its own format, against what the program says of itself.
package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/huntaze/hybrid-orchestrator/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDockerfile(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"build", "base", "api", "worker"}, stagesOf(t)); diff != "" {
		t.Errorf("stages; the last is the default (-want +got):\n%s", diff)
	}
	text := read(t, "deploy/Dockerfile")
	for _, from := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(stagesOf(t), from[1]) && !pinned(from[1]) {
			t.Errorf("the image %s has no fixed version", from[1])
		}
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))[1]
	for _, line := range []string{
		"FROM golang:" + goVersion + "-bookworm AS build",
		`ENTRYPOINT ["/huntaze"]`, `CMD ["worker"]`, `CMD ["api"]`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	for _, instruction := range regexp.MustCompile(`(?m)^(ENTRYPOINT|CMD) .*`).FindAllString(text, -1) {
		if !strings.Contains(instruction, "[") { // a shell in between would not pass SIGTERM on
			t.Errorf("not in exec form: %s", instruction)
		}
	}
}

func stagesOf(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, stage := range regexp.MustCompile(`(?m)^FROM \S+ AS (\S+)$`).FindAllStringSubmatch(read(t, "deploy/Dockerfile"), -1) {
		names = append(names, stage[1])
	}
	return names
}

func TestImageLeavesSecretsOut(t *testing.T) {
	t.Parallel()
	lines := strings.Split(read(t, ".dockerignore"), "\n")
	for _, want := range []string{".git", ".env", ".env.*", ".data"} {
		if !slices.Contains(lines, want) {
			t.Errorf(".dockerignore does not name %s", want)
		}
	}
}

// The queues of compose are what the contract says of those in production, apart from the retention that
// ElasticMQ does not know.
func TestElasticMQQueues(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, rest := parseBlock(t, tokens(read(t, "deploy/local/elasticmq.conf")))
	if len(rest) > 0 {
		t.Fatalf("elasticmq.conf has a } too many, before %v", rest)
	}
	dead := map[string]any{"name": cfg.SQSDeadLetters, "maxReceiveCount": "3"}
	working := map[string]any{"defaultVisibilityTimeout": "300 seconds", "receiveMessageWait": "20 seconds", "deadLettersQueue": dead}
	want := map[string]any{
		cfg.SQSQueue:       working,
		cfg.SQSRetryQueue:  working,
		cfg.SQSDeadLetters: map[string]any{"defaultVisibilityTimeout": "300 seconds"},
	}
	if diff := cmp.Diff(want, got["queues"]); diff != "" {
		t.Errorf("queues (-want +got):\n%s", diff)
	}
}

// tokens cuts the part of HOCON that our file uses into braces and lines without comments.
func tokens(text string) []string {
	text = regexp.MustCompile(`(?m)#.*$`).ReplaceAllString(text, "")
	text = strings.NewReplacer("{", " {\n", "}", "\n}\n").Replace(text)
	var list []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}

// parseBlock reads settings and blocks up to the closing brace, and returns what follows it.
func parseBlock(t *testing.T, lines []string) (block map[string]any, rest []string) {
	t.Helper()
	block = make(map[string]any)
	for len(lines) > 0 {
		line := lines[0]
		lines = lines[1:]
		name, opens := strings.CutSuffix(line, "{")
		key, value, sets := strings.Cut(line, "=")
		switch {
		case line == "}":
			return block, lines
		case opens:
			block[strings.TrimSpace(name)], lines = parseBlock(t, lines)
		case sets:
			block[strings.TrimSpace(key)] = strings.Trim(strings.TrimSpace(value), `"`)
		case line == `include classpath("application.conf")`:
		default:
			t.Fatalf("elasticmq.conf: not understood: %s", line)
		}
	}
	return block, nil
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
