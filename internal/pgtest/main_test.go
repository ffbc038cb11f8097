package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/devstack/localpg"
)

// innerVariable makes the test binary run one of the cases of TestInner: what Main does at the end of a process is seen from
// outside only.
const innerVariable = "PGTEST_INNER"

func TestMain(m *testing.M) {
	if os.Getenv(innerVariable) == "no Main" {
		os.Exit(m.Run())
	}
	Main(m, WithLeakCheck())
}

// TestInner is run in processes of their own by the other tests; by itself it does nothing.
func TestInner(t *testing.T) {
	switch os.Getenv(innerVariable) {
	case "pass", "no Main":
		New(t, small)
	case "fail":
		db := New(t, small)
		if db.server.cluster != nil {
			fmt.Printf("pid=%d dir=%s\n", db.server.cluster.PID(), db.server.cluster.Dir())
		}
		t.Error("this test fails")
	case "leak":
		go func() { select {} }()
	case "hold a connection":
		if _, err := New(t, small).Pool(t).Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// inner runs a case in a process of its own, and returns what it printed and whether its tests passed.
func inner(t *testing.T, name string, environment ...string) (output string, passed bool) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, "-test.run=^TestInner$", "-test.v")
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "TEST_DATABASE_URL=") && !strings.HasPrefix(entry, "KEEP_TEST_DATABASES=") {
			command.Env = append(command.Env, entry)
		}
	}
	command.Env = append(append(command.Env, environment...), innerVariable+"="+name)
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), err == nil
}

// group returns what the expression's first group matches in the text.
func group(t *testing.T, expression, text string) string {
	t.Helper()
	match := regexp.MustCompile(expression).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("no %s in:\n%s", expression, text)
	}
	return match[1]
}

func TestServerIsStoppedAfterFailedTests(t *testing.T) {
	t.Parallel()
	output, passed := inner(t, "fail")
	if passed {
		t.Error("the process succeeded")
	}
	pid, err := strconv.Atoi(group(t, `pid=(\d+)`, output))
	if err != nil {
		t.Fatal(err)
	}
	server, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Signal(syscall.Signal(0)); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("the server still runs: %v", err)
	}
	if dir := group(t, `dir=(.*)`, output); !missing(dir) {
		t.Errorf("the folder %s is left", dir)
	}
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}

func TestLeakIsFound(t *testing.T) {
	t.Parallel()
	if output, passed := inner(t, "leak"); passed || !strings.Contains(output, "goroutines are left") {
		t.Errorf("passed: %v\n%s", passed, output)
	}
}

func TestHeldConnectionIsFound(t *testing.T) {
	t.Parallel()
	if output, passed := inner(t, "hold a connection"); passed || !strings.Contains(output, "1 connections of the pool were not given back") {
		t.Errorf("passed: %v\n%s", passed, output)
	}
}

// The tests of a package that can't have a database fail; none is skipped.
func TestNoDatabaseIsAFailure(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	tests := map[string]struct{ name, url, says string }{
		"no answer": {"pass", "postgres://u:" + secret + "@127.0.0.1:1/x", "does not answer"},
		"no URL":    {"pass", "host=localhost password=" + secret, "is not a URL"},
		"no Main":   {"no Main", "", "pgtest.Main(m)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output, passed := inner(t, test.name, "TEST_DATABASE_URL="+test.url)
			if passed || !strings.Contains(output, "--- FAIL: TestInner") || !strings.Contains(output, test.says) {
				t.Errorf("passed: %v\n%s", passed, output)
			}
			if strings.Contains(output, secret) {
				t.Errorf("the output has the password:\n%s", output)
			}
		})
	}
}

func TestFailedDatabaseIsKeptWithItsServer(t *testing.T) {
	t.Parallel()
	output, _ := inner(t, "fail", "KEEP_TEST_DATABASES=1")
	dir := group(t, `-D '(.*)/cluster'`, output)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	kept, err := url.Parse(group(t, `(postgres://\S+)`, output))
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := localpg.Start(t.Context(), localpg.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cluster.Stop(context.Background()) }()
	kept.Host = "127.0.0.1:" + strconv.Itoa(cluster.Port())
	connection, err := pgx.Connect(t.Context(), kept.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close(context.Background()) }()
	var id int
	if err := connection.QueryRow(t.Context(), "SELECT id FROM thing").Scan(&id); err != nil {
		t.Error(err)
	}
}

func TestNothingIsKeptOfPassedTests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // so that the server's user gets there when root runs the tests
		t.Fatal(err)
	}
	if output, passed := inner(t, "pass", "KEEP_TEST_DATABASES=1", "TMPDIR="+dir); !passed {
		t.Fatal(output)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestGivenServer(t *testing.T) {
	t.Parallel()
	cluster := Cluster(t)
	address := cluster.URL("postgres")
	databases := func() []string {
		t.Helper()
		connection, err := pgx.Connect(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = connection.Close(context.Background()) }()
		rows, err := connection.Query(t.Context(), "SELECT datname FROM pg_database WHERE starts_with(datname, 'pgtest_') ORDER BY 1")
		if err != nil {
			t.Fatal(err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	output, passed := inner(t, "pass", "TEST_DATABASE_URL="+address)
	if left := databases(); !passed || len(left) > 0 {
		t.Errorf("passed: %v, left: %v\n%s", passed, left, output)
	}
	output, _ = inner(t, "fail", "TEST_DATABASE_URL="+address)
	if left := databases(); len(left) > 0 {
		t.Errorf("left without being asked to: %v\n%s", left, output)
	}
	output, _ = inner(t, "fail", "TEST_DATABASE_URL="+address, "KEEP_TEST_DATABASES=1")
	left := databases()
	if len(left) != 1 || !strings.Contains(output, "/"+left[0]) {
		t.Errorf("kept: %v\n%s", left, output)
	}
	given, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if password, _ := given.User.Password(); strings.Contains(output, password) {
		t.Errorf("the output has the password of a server that is not ours:\n%s", output)
	}
}
