package api_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestExamplesOfTheDocs runs every example of docs/api.md as a reader would: in a shell, with curl.
func TestExamplesOfTheDocs(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("the examples of docs/api.md need curl: install it")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	environ := append(os.Environ(), "API="+r.url, "KEY="+r.newKey([]string{"creator-7"}), "NO_PROXY=*")
	id, ran := "", 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		script := block[1]
		if strings.Contains(script, "huntaze apikey") {
			continue // the rig's key stands for it
		}
		stream := strings.Contains(script, "/events")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if stream {
			script = strings.Replace(script, "curl -sSN", "curl -sSN --max-time 1", 1)
		}
		command := exec.CommandContext(ctx, "sh", "-euc", script)
		command.Env = append(environ, "ID="+id)
		out, err := command.CombinedOutput()
		cancel()
		switch {
		case stream && strings.Contains(string(out), "event: progress\ndata: {"):
		case err != nil || stream:
			t.Errorf("%s%v: %s", block[1], err, out)
		case strings.Contains(script, "spring-1"):
			var made struct{ ID string }
			if err := json.Unmarshal(out, &made); err != nil || made.ID == "" {
				t.Fatalf("%v: %s", err, out)
			}
			id = made.ID
		case strings.Contains(script, "text/csv"):
			want := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(string(text))[1]
			if squeezed(string(out)) != squeezed(want) {
				t.Errorf("the answer is %s, and the page says %s", out, want)
			}
		case strings.Contains(script, "/start"):
			r.expand(id)
		}
		ran++
	}
	if ran < 14 {
		t.Errorf("only %d examples", ran)
	}
}

// squeezed leaves out what is there for the eye.
func squeezed(text string) string { return strings.NewReplacer("\n ", "", "\n", "").Replace(text) }
