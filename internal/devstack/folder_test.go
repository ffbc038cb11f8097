package devstack

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/joho/godotenv"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFolderBelongsToOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	first, err := openFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openFolder(path)
	if !errors.Is(err, ErrRunning) {
		t.Fatalf("the second: %v, want ErrRunning", err)
	}
	for _, part := range []string{"process " + strconv.Itoa(os.Getpid()), path} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	again, err := openFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.close(); err != nil {
		t.Fatal(err)
	}
}

func TestFreshRemovesOnlyOurs(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	theirs := []string{"notes.txt", "postgres.md"}
	for _, name := range theirs {
		write(t, filepath.Join(path, name), "not ours")
	}
	f, err := openFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{f.environment(), f.queues(), f.arrivals(), f.log()} {
		write(t, file, "x")
	}
	if err := writeMore(f.more(), "aaaaam"); err != nil {
		t.Fatal(err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	if f, err = openFolder(path); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.clear(t.Context(), nil), f.close()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append([]string{"lock"}, theirs...), names(t, path)); diff != "" {
		t.Error(diff)
	}
}

func TestFreshLeavesAFolderOfOthers(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	for _, name := range []string{"queues.json", "huntaze.log", "stack.env"} {
		write(t, filepath.Join(path, name), "not ours: there is no lock of ours beside it")
	}
	f, err := openFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.clear(t.Context(), nil), f.close()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"huntaze.log", "lock", "queues.json", "stack.env"}, names(t, path)); diff != "" {
		t.Error(diff)
	}
}

func TestFreshLeavesWhatWasEdited(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	f, err := openFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	f.ours = true
	write(t, f.more(), `{"workflowId":"mine"}`)
	if err := errors.Join(f.clear(t.Context(), nil), f.close()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"lock", "more.jsonl"}, names(t, path)); diff != "" {
		t.Error(diff)
	}
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestEnvironmentFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "stack.env")
	if err := writeEnvironment(path, map[string]string{"A": `it's "x" $HOME`, "EMPTY": ""}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	got, err := godotenv.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"A": `it's "x" $HOME`}, got); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		if err := removeEnvironment(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(j.handler(slog.LevelInfo, true)).With("worker", 1)
	logger.Debug("left out")
	logger.Info("told", "n", 1)
	logger.Warn("reconcile", "expired", 0, "orphaned", 2, "error", errors.New("broken"))
	if n, last := j.noted(); n != 1 || last != "reconcile orphaned=2: broken" {
		t.Errorf("%d, %q", n, last)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != 2 || !strings.Contains(string(text), `"worker":1`) {
		t.Errorf("%s, %v", text, err)
	}
}
