package examples

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// packages is a copy of the TypeScript example with what it needs, which all the tests share.
var packages struct {
	sync.Once
	folder string
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if packages.folder != "" {
		_ = os.RemoveAll(packages.folder)
	}
	os.Exit(code)
}

// installed returns the folder of the TypeScript example with its packages, or skips the test. It is a copy: a test
// leaves nothing in the working tree.
func installed(t *testing.T) string {
	t.Helper()
	need(t, "node")
	npm := need(t, "npm")
	packages.Do(func() { packages.folder, packages.err = install(npm) })
	if packages.err != nil {
		missing(t, packages.err.Error())
	}
	return packages.folder
}

func install(npm string) (string, error) {
	folder, err := os.MkdirTemp("", "huntaze-examples-")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "package-lock.json", "send.mjs"} {
		text, err := os.ReadFile(filepath.Join("typescript", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), text, 0o600)
		}
		if err != nil {
			return folder, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	command.Dir, command.WaitDelay = folder, 5*time.Second
	if out, err := command.CombinedOutput(); err != nil {
		return folder, fmt.Errorf("npm ci: %w: %s", err, addresses.ReplaceAll(out, []byte("[address]")))
	}
	return folder, nil
}

// addresses of package registries are nobody's business in a log.
var addresses = regexp.MustCompile(`[a-z]+://[^\s"]+`)

// The lock file pins every package, by its contents and not by where somebody got it.
func TestLockNamesNoRegistry(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("typescript", name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "resolved") || addresses.Match(text) {
			t.Errorf("%s names an address", name)
		}
	}
}
