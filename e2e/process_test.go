package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startWithin is how long a process may take until it works: it is also started while ten others are.
const startWithin = 60 * time.Second

// process is one `huntaze worker` or `huntaze api`. It ends with the test at the latest, and never outlives the test's own process.
type process struct {
	t       testing.TB
	name    string
	command *exec.Cmd
	log     *processLog
	exited  chan struct{} // closed when it has ended; then err is set
	err     error
}

// launch starts a command of huntaze without waiting for it. Its whole environment is env, in the form NAME=value, and
// what the operating system needs.
func launch(t testing.TB, folder, name, command string, env []string) *process {
	t.Helper()
	log, err := newProcessLog(filepath.Join(folder, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: name, log: log, exited: make(chan struct{})}
	p.command = exec.Command(binary(t), command)
	p.command.Dir = folder // there is no .env
	p.command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder}, env...)
	p.command.Stdout, p.command.Stderr = log, log
	p.command.SysProcAttr = endWithParent()
	started := make(chan error, 1)
	go func() {
		// "The parent died" is sent when the thread that forked ends, so it must live as long as the process.
		runtime.LockOSThread()
		err := p.command.Start()
		started <- err
		if err == nil {
			p.err = p.command.Wait()
		}
		log.end()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(p.kill)
	return p
}

// awaitStart returns when the process works.
func (p *process) awaitStart() {
	p.t.Helper()
	select {
	case <-p.log.started:
	case <-p.exited:
		p.t.Fatalf("%s ended instead of working: %v\n%s", p.name, p.err, p.log.tail(20))
	case <-time.After(startWithin):
		p.t.Fatalf("%s does not work after %s\n%s", p.name, startWithin, p.log.tail(20))
	}
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) signal(s syscall.Signal) {
	if !p.running() {
		return // its pid may be somebody else's by now
	}
	if err := p.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("%v to %s: %v", s, p.name, err)
	}
}

// kill ends the process like a crash, and waits until it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// terminate asks the process to end, and says how long it took. The test fails when it does not end well.
func (p *process) terminate(within time.Duration) time.Duration {
	p.t.Helper()
	begin := time.Now()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(within):
		p.kill()
		p.t.Errorf("%s did not end within %s\n%s", p.name, within, p.log.tail(20))
	}
	if p.err != nil {
		p.t.Errorf("%s ended with %v\n%s", p.name, p.err, p.log.tail(20))
	}
	return time.Since(begin)
}

// get reads a page of the process' admin listener.
func (p *process) get(path string) (status int, body string) {
	p.t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + p.log.adminAddr() + path)
	if err != nil {
		p.t.Fatalf("%s of %s: %v", path, p.name, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatalf("%s of %s: %v", path, p.name, err)
	}
	return response.StatusCode, string(text)
}

// processLog keeps what a process writes in a file and knows what it has said.
type processLog struct {
	path    string
	started chan struct{}

	mu    sync.Mutex
	file  *os.File
	rest  []byte         // of a line
	last  []string       // the latest lines
	said  map[string]int // messages by text
	admin string         // where it listens: the worker for the probes, the API for everything
}

const keptLines = 60

func newProcessLog(path string) (*processLog, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &processLog{path: path, file: file, started: make(chan struct{}), said: map[string]int{}}, nil
}

// Write implements io.Writer.
func (l *processLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(p); err != nil {
		return 0, err
	}
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.line(string(line))
		l.rest = rest
	}
}

func (l *processLog) line(text string) {
	if !strings.Contains(text, `"level":"INFO","msg":"step"`) { // too many to be of use at the end
		l.last = append(l.last, text)
	}
	if len(l.last) > 2*keptLines {
		l.last = append([]string(nil), l.last[keptLines:]...)
	}
	var entry struct{ Msg, Admin, Address string }
	if json.Unmarshal([]byte(text), &entry) != nil {
		entry.Msg = text // not a log line: a panic, the race detector
	}
	l.said[entry.Msg]++
	if entry.Msg == "worker started" || entry.Msg == "API started" {
		l.admin = entry.Admin + entry.Address // each says one
		close(l.started)
	}
}

func (l *processLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.file.Close()
}

func (l *processLog) adminAddr() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.admin
}

// count says how many lines have a message that contains the text.
func (l *processLog) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for message, times := range l.said {
		if strings.Contains(message, text) {
			n += times
		}
	}
	return n
}

func (l *processLog) tail(lines int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := max(0, len(l.last)-lines)
	if len(l.last) == 0 {
		return l.path + " says nothing of interest"
	}
	return fmt.Sprintf("end of %s:\n%s", l.path, strings.Join(l.last[from:], "\n"))
}

// run carries out one command of huntaze against the fleet and returns what it printed. The test fails when the
// command does.
func (f *fleet) run(arguments ...string) string {
	f.t.Helper()
	out, err := f.try(nil, arguments...)
	if err != nil {
		f.t.Fatalf("huntaze %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return out
}

// try carries out one command, with settings on top of the fleet's. It may fail.
func (f *fleet) try(settings []string, arguments ...string) (string, error) {
	f.t.Helper()
	command := exec.CommandContext(f.t.Context(), binary(f.t), arguments...)
	command.Dir = f.folder
	command.Env = append(f.environment(settings...), "PATH="+os.Getenv("PATH"), "HOME="+f.folder)
	out, err := command.CombinedOutput()
	return string(out), err
}
