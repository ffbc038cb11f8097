package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/joho/godotenv"
)

func TestEnvironFilesNeverOverride(t *testing.T) {
	t.Setenv("HUNTAZE_TEST_SET", "environment")
	t.Setenv("HUNTAZE_TEST_NOTHING", "")
	first := write(t, "HUNTAZE_TEST_SET=file\nHUNTAZE_TEST_NOTHING=file\n# a comment\nexport HUNTAZE_TEST_ONE='a $b #c'\n")
	second := write(t, "HUNTAZE_TEST_ONE=second\nHUNTAZE_TEST_TWO=\"second\"\n")
	environ, err := Environ(first, filepath.Join(t.TempDir(), "missing"), second)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for name, value := range environ {
		if strings.HasPrefix(name, "HUNTAZE_TEST_") {
			got[name] = value
		}
	}
	want := map[string]string{
		"HUNTAZE_TEST_SET": "environment", "HUNTAZE_TEST_NOTHING": "",
		"HUNTAZE_TEST_ONE": "a $b #c", "HUNTAZE_TEST_TWO": "second",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, set := os.LookupEnv("HUNTAZE_TEST_TWO"); set {
		t.Error("the environment of the process was changed")
	}
}

func TestEnvironNamesTheLineButNotItsText(t *testing.T) {
	t.Parallel()
	file := write(t, "SQS_QUEUE=q\n\nGATEWAY_TOKEN hunter2\nSQS_DLQ=d\n")
	_, err := Environ(file)
	if want := "environment: " + file + ", line 3: expected NAME=value"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := Environ(t.TempDir()); err == nil {
		t.Error("a folder was read as a file")
	}
}

// The example file is the documentation that people copy: it has every variable, with its default, and
// nothing else.
func TestExampleFileAgrees(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	got, err := godotenv.UnmarshalBytes(text)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for _, v := range Describe(Config{}, nil) {
		if !strings.HasSuffix(v.Name, "*") {
			want[v.Name] = v.Default
		} else if !strings.Contains(string(text), v.Name) {
			t.Errorf("%s is not mentioned", v.Name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf(".env.example (-the program, +the file):\n%s", diff)
	}
	cfg, err := Load(got)
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaults, cfg); diff != "" {
		t.Errorf("a copy of .env.example is not the default (-default +copy):\n%s", diff)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if name, _, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") && (i == 0 || !strings.HasPrefix(lines[i-1], "#")) {
			t.Errorf("%s has no comment in the line above it", name)
		}
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
