//go:build unix

package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVersionsAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 9.6.24\n":                         9,
		"postgres (PostgreSQL) 18beta1\n":                        18,
		"postgres (EnterpriseDB) 1\n":                            0,
		"":                                                       0,
	} {
		if got, err := parseMajor(text); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

// install makes a folder that looks like an installed server of that version.
func install(t *testing.T, root, name, version string, withExtension bool) string {
	t.Helper()
	dir := filepath.Join(root, name, "bin")
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s'\n", version)
	for _, program := range []string{"postgres", "initdb"} {
		writeFile(t, filepath.Join(dir, program), script, 0o755)
	}
	if withExtension {
		writeFile(t, filepath.Join(root, name, "share", "extension", "btree_gist.control"), "", 0o644)
	}
	return dir
}

func writeFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func testFinder(t *testing.T) finder {
	t.Helper()
	who, err := chooseAccount(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return finder{
		who: who, logger: slog.New(slog.DiscardHandler),
		download: func(context.Context, int) (string, error) { return "", errors.New("no network") },
	}
}

func TestFinderTakesTheFirstThatFits(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(reachable(t))
	if err != nil {
		t.Fatal(err)
	}
	ancient := install(t, root, "12", "12.22", true)
	bare := install(t, root, "16", "16.9", false)
	good14, good15, good9 := install(t, root, "14", "14.18", true), install(t, root, "15", "15.18", true), install(t, root, "9.6", "9.6.1", true)
	linked := filepath.Join(root, "links")
	if err := os.Mkdir(linked, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"postgres", "initdb"} {
		if err := os.Symlink(filepath.Join(good14, program), filepath.Join(linked, program)); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		path  []string
		major int
		want  string
	}{
		"PATH before folders":           {path: []string{good14}, want: good14},
		"links are followed":            {path: []string{"relative", linked}, want: good14},
		"too old, then newest folder":   {path: []string{ancient}, want: good15},
		"no contrib, then folder":       {path: []string{bare}, want: good15},
		"the version of the cluster":    {path: []string{good15}, major: 14, want: good14},
		"nothing on the PATH":           {want: good15},
		"a version that is not there":   {major: 17},
		"one that is too old won't do":  {path: []string{good9}, major: 9},
		"one without contrib won't do":  {path: []string{bare}, major: 16},
		"programs that are not at home": {path: []string{root}, want: good15},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := testFinder(t)
			f.path, f.major, f.patterns = test.path, test.major, []string{filepath.Join(root, "*", "bin")}
			got, err := f.find(t.Context())
			if diff := cmp.Diff(test.want, got.dir); diff != "" {
				t.Errorf("%s (%v)", diff, err)
			}
			if test.want == "" && (err == nil || !strings.Contains(err.Error(), remedy) || !strings.Contains(err.Error(), "no network")) {
				t.Errorf("the error does not help: %v", err)
			}
		})
	}
}

func TestCandidatesAreNewestFirst(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(reachable(t))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, version := range []string{"16", "15", "9.6"} {
		want = append(want, install(t, root, version, version, true))
	}
	f := testFinder(t)
	f.patterns = []string{filepath.Join(root, "*", "bin"), filepath.Join(root, "1*", "bin")}
	if diff := cmp.Diff(want, f.candidates()); diff != "" {
		t.Error(diff)
	}
}

func TestSecretsAreNotHandedOn(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "secret")
	t.Setenv("PGDATA", "/elsewhere")
	for _, entry := range childEnvironment() {
		if strings.HasPrefix(entry, "OPENAI") || strings.HasPrefix(entry, "PGDATA") {
			t.Errorf("handed on: %s", entry)
		}
	}
}
