//go:build unix

package localpg

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSecondOwnerIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "pg")
	c := begin(t, Options{DataDir: dir})
	_, err := Start(t.Context(), Options{DataDir: dir})
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("error: %v", err)
	}
	for _, part := range []string{dir, strconv.Itoa(os.Getpid()), strconv.Itoa(c.PID())} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in the error: %v", part, err)
		}
	}
	query(t, c, "SELECT 'undisturbed'")
}

func TestStalePidFile(t *testing.T) {
	t.Parallel()
	ended := exec.Command("/bin/sh", "-c", "exit 0")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	for name, pid := range map[string]int{
		"of a dead process":                       ended.Process.Pid,
		"whose number another process has by now": os.Getpid(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(reachable(t), "pg")
			stop(t, begin(t, Options{DataDir: dir}))
			stale := fmt.Sprintf("%d\n%s\n%d\n5432\n\n127.0.0.1\n        0         0\n", pid, dir, time.Now().Unix())
			file := pidFile(filepath.Join(dir, "cluster"))
			if err := os.WriteFile(file, []byte(stale), 0o600); err != nil {
				t.Fatal(err)
			}
			who, err := ownerAccount(filepath.Join(dir, "cluster"))
			if err == nil {
				err = who.give(file)
			}
			if err != nil {
				t.Fatal(err)
			}
			query(t, begin(t, Options{DataDir: dir}), "SELECT 'started'")
		})
	}
}

func TestServerEndsWithItsKilledOwner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "pg")
	owner, server := startOwner(t, dir)
	if _, err := Start(t.Context(), Options{DataDir: dir}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(owner.Process.Pid)) {
		t.Errorf("beside a living owner: %v", err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // killed, by us
	if runtime.GOOS == "linux" {
		eventually(t, "the end of the server", func() bool {
			return !processAlive(server) || !servesFolder(server, filepath.Join(dir, "cluster"))
		})
	}
	query(t, begin(t, Options{DataDir: dir, Durable: true}), "SELECT 'started'")
}

func TestStartRightAfterTheOwnerWasKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "pg")
	owner, _ := startOwner(t, dir)
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // killed, by us
	query(t, begin(t, Options{DataDir: dir, Durable: true}), "SELECT 'started'")
}

// startOwner starts a process that owns the folder, and returns it with the pid of its server.
func startOwner(t *testing.T, dir string) (*exec.Cmd, int) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	owner := exec.Command(program)
	owner.Env = append(os.Environ(), ownerVariable+"="+dir)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	server, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the owner says %q", line)
	}
	return owner, server
}

// Where the kernel sends no signal at the owner's death, the server stays, and the folder's lock is free.
func TestServerLeftBehindIsStopped(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "pg")
	left := begin(t, Options{DataDir: dir, Durable: true})
	execute(t, left, "CREATE TABLE kept ()")
	pid := left.PID()
	if err := left.home.lock.Close(); err != nil {
		t.Fatal(err)
	}
	next := begin(t, Options{DataDir: dir, Durable: true})
	if processAlive(pid) {
		t.Error("the server that was left behind still runs")
	}
	query(t, next, "SELECT 'kept'::regclass::text")
	left.home.lock, _ = os.Open(os.DevNull) // for its Stop
}

func TestForeignServerIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "pg")
	foreign := begin(t, Options{DataDir: dir})
	if err := foreign.home.record(0); err != nil { // as if we had not started it
		t.Fatal(err)
	}
	if err := foreign.home.lock.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{DataDir: dir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(foreign.PID())) {
		t.Errorf("error: %v", err)
	}
	query(t, foreign, "SELECT 'undisturbed'")
	foreign.home.lock, _ = os.Open(os.DevNull) // for its Stop
}

func TestFolderWithOtherFilesIsRefused(t *testing.T) {
	t.Parallel()
	dir := reachable(t)
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "not ours") {
		t.Errorf("error: %v", err)
	}
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{DataDir: open}); err == nil || !strings.Contains(err.Error(), "others may write") {
		t.Errorf("error: %v", err)
	}
}

func TestInterruptedInitdbIsRepeated(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "pg")
	if err := os.MkdirAll(filepath.Join(dir, "cluster.new", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	query(t, begin(t, Options{DataDir: dir}), "SELECT 'started'")
}

func TestLostPasswordIsAnError(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "pg")
	stop(t, begin(t, Options{DataDir: dir}))
	if err := os.Remove(filepath.Join(dir, "password")); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "password is gone") {
		t.Errorf("error: %v", err)
	}
}

func TestRootOnlyFolderIsReplaced(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root has to change the user")
	}
	hidden := t.TempDir()
	if err := os.Chmod(hidden, 0o700); err != nil {
		t.Fatal(err)
	}
	asked := filepath.Join(hidden, "pg")
	var log logBuffer
	o := Options{DataDir: asked, Logger: log.logger()}
	first := begin(t, o)
	t.Cleanup(func() { _ = os.RemoveAll(first.Dir()) })
	if first.Dir() == asked {
		t.Fatal("the user of the server can't be there")
	}
	if !strings.Contains(log.String(), first.Dir()) {
		t.Errorf("the log does not name the folder: %s", log.String())
	}
	if _, err := os.Stat(asked); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty folder is left in %s: %v", asked, err)
	}
	execute(t, first, "CREATE TABLE kept ()")
	stop(t, first)
	second := begin(t, o)
	if second.Dir() != first.Dir() {
		t.Errorf("%s, then %s", first.Dir(), second.Dir())
	}
	query(t, second, "SELECT 'kept'::regclass::text")
}

func TestRootServesTheClusterOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir := filepath.Join(reachable(t), "pg")
	stop(t, begin(t, Options{DataDir: dir}))
	const other = 23456
	err := filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		return errors.Join(err, os.Chown(path, other, other))
	})
	if err != nil {
		t.Fatal(err)
	}
	c := begin(t, Options{DataDir: dir})
	if uid, _, err := ownerOf(filepath.Join("/proc", strconv.Itoa(c.PID()))); runtime.GOOS == "linux" && (err != nil || uid != other) {
		t.Errorf("the server runs as %d (%v)", uid, err)
	}
	query(t, c, "SELECT 'started'")
}

func TestSweepRemovesOnlyWhatIsAbandoned(t *testing.T) {
	t.Parallel()
	base := reachable(t)
	old := time.Now().Add(-2 * sweepAge)
	folder := func(name string, made time.Time) *home {
		h := &home{dir: filepath.Join(base, temporaryPrefix+name), temporary: true}
		if err := os.Mkdir(h.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := h.own(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(h.lockFile(), made, made); err != nil {
			t.Fatal(err)
		}
		return h
	}
	abandoned, young, owned := folder("abandoned", old), folder("young", time.Now()), folder("owned", old)
	if err := errors.Join(abandoned.lock.Close(), young.lock.Close()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = owned.lock.Close() }()
	sweep(base)
	for h, want := range map[*home]bool{abandoned: false, young: true, owned: true} {
		if _, err := os.Stat(h.dir); (err == nil) != want {
			t.Errorf("%s: there: %v, want %v", filepath.Base(h.dir), err == nil, want)
		}
	}
}

func TestProbeTriesWhatTheServerWillDo(t *testing.T) {
	t.Parallel()
	who, err := chooseAccount(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := who.probe(t.Context(), filepath.Join(reachable(t), "missing")); err == nil {
		t.Error("a missing folder can be worked in")
	}
}
