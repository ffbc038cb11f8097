package steplog

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	ctx, line := With(t.Context(), slog.LevelInfo)
	Set(ctx, slog.String(Outcome, "accepted"), slog.String(Reason, ""), Seconds(Took, 1500*time.Millisecond))
	Set(ctx, slog.String(Outcome, "unknown"))
	var adding sync.WaitGroup
	for range 10 {
		adding.Go(func() { Add(ctx, Input, 7); Raise(ctx, slog.LevelWarn) })
	}
	adding.Wait()
	Raise(ctx, slog.LevelDebug)
	line.Write(ctx, slog.New(slog.NewJSONHandler(&out, nil)))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got["msg"] != "step" || got["level"] != "WARN" || got[Outcome] != "unknown" || got[Took] != 1.5 || got[Input] != 70.0 || len(got) != 6 || strings.Count(out.String(), "outcome") != 1 {
		t.Errorf("%s", out.String())
	}
	Set(context.Background(), slog.String(Outcome, "nobody listens"))
	Add(context.Background(), Input, 1)
	Raise(context.Background(), slog.LevelError)
}

// TestFieldsAreDocumented: docs/logs.md has every field, and no other.
func TestFieldsAreDocumented(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("steplog.go")
	if err != nil {
		t.Fatal(err)
	}
	list := func(text, pattern string) (all []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	_, table, _ := strings.Cut(string(document), "## Steps")
	table, _, _ = strings.Cut(table, "\n## ")
	code, documented := list(string(source), `(?m)^\t[A-Z]\w+ += "(\w+)"`), list(table, "(?m)^\\| `(\\w+)` ")
	if !slices.Equal(code, documented) {
		t.Errorf("fields %v\ndocumented %v", code, documented)
	}
}
