//go:build unix

package devstack

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/joho/godotenv"

	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
)

// programTests run the real binary as a newcomer would.
var programTests = map[string]func(*testing.T, newcomer){
	"newcomer": newcomerRuns, "time over": timeOver, "second terminal": secondTerminal, "ports taken": portsTaken, "misuse": misuse,
	"real providers": realProviders, "other provider first": otherProviderFirst,
}

func TestProgram(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "huntaze")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/huntaze").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, test := range programTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newNewcomer(t, program))
		})
	}
}

// newcomer is somebody in an empty folder, with nothing in the environment.
type newcomer struct {
	dir     string
	program string
	environ []string
}

func newNewcomer(t *testing.T, program string) newcomer {
	t.Helper()
	// When root runs the tests, Postgres runs as another user, who must be able to get there.
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	n := newcomer{dir: dir, program: program, environ: []string{"RATE_LIMIT_RECIPIENT=1/6s", "LANG=C.UTF-8", "TERM=xterm"}}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME"} {
		if value, set := os.LookupEnv(name); set {
			n.environ = append(n.environ, name+"="+value)
		}
	}
	return n
}

// process is a running command and what it has written so far.
type process struct {
	*exec.Cmd
	out  output
	done chan error
}

type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

var _ io.Writer = (*output)(nil)

func (n newcomer) start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(n.program, args...), done: make(chan error, 1)}
	p.Dir, p.Env, p.Stdout, p.Stderr = n.dir, n.environ, &p.out, &p.out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s wrote:\n%s", strings.Join(args, " "), p.out.String())
		}
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			<-p.done
		}
	})
	return p
}

// ends waits for the end and returns the exit code.
func (p *process) ends(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		return p.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("it still runs after %s", within)
		return 0
	}
}

func (p *process) says(t *testing.T, within time.Duration, what string) {
	t.Helper()
	eventually(t, within, "it says "+what, func() bool {
		select {
		case err := <-p.done:
			p.done <- err
			if !strings.Contains(p.out.String(), what) {
				t.Fatalf("it ended without saying %q: %v", what, err)
			}
		default:
		}
		return strings.Contains(p.out.String(), what)
	})
}

func (n newcomer) run(t *testing.T, within time.Duration, args ...string) (out string, code int) {
	t.Helper()
	p := n.start(t, args...)
	code = p.ends(t, within)
	return p.out.String(), code
}

func (n newcomer) data(name string) string { return filepath.Join(n.dir, ".data", name) }

func (n newcomer) arrivals(t *testing.T) []gatewaysim.Arrival {
	t.Helper()
	all, err := gatewaysim.ReadLog(n.data("arrivals.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return gatewaysim.OnlyAccepted(all)
}

const start = time.Minute // enough for Postgres to be made on a busy machine

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("it does not say %q:\n%s", part, text)
		}
	}
}

func newcomerRuns(t *testing.T, n newcomer) {
	// The urgent message comes some seconds after the others: a window that long leaves more of them to overtake than one
	// round of tokens takes, whatever the gateway makes each of them wait.
	out, code := n.run(t, 2*time.Minute, "dev", "--plain", "--limit", "10/6s", "--for", "90s")
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	contains(t, out, "simulated: sends nothing to anybody", "simulated, in this process", "real, of its own", "/metrics",
		"A sample of 51 messages for 7 accounts", "that is the limit doing its work", "five whose text is written from a brief, by simulated providers", "What happened to the 51 messages of the sample:",
		"urgent: overtook", "quarantined          priority: is a string", `quarantined          content: contains \u0000`, "duplicate            it came twice",
		"settled by look-up", "its time", "its recipient's limit, 1 in 6 s", "text by openai, after azure: overloaded", "48 messages were sent so far", "the data is in .data")
	for _, line := range strings.Split(out, "\n") {
		// The reconciler reports what it tidied up; the other tests want the same ports.
		if strings.Contains(line, "warning:") && !strings.Contains(line, "reconcile") && !strings.Contains(line, "the port is taken") {
			t.Error(line)
		}
	}
	arrivals := n.arrivals(t)
	if len(arrivals) != 48 || len(gatewaysim.Duplicates(arrivals)) > 0 {
		t.Errorf("%d arrivals, twice: %v", len(arrivals), gatewaysim.Duplicates(arrivals))
	}
	if most, who := gatewaysim.MaxInWindow(arrivals, 6*time.Second, gatewaysim.ByAccount); most > 10 {
		t.Errorf("%d arrivals of %s within the window", most, who)
	}
	for name, want := range map[string]bool{"stack.env": false, "queues.json": true, "more.jsonl": true, "huntaze.log": true} {
		if _, err := os.Stat(n.data(name)); (err == nil) != want {
			t.Errorf("%s after the stop: %v", name, err)
		}
	}
	again(t, n, out)
}

// again goes on where the first run has stopped.
func again(t *testing.T, n newcomer, first string) {
	p := n.start(t, "dev", "--plain", "--limit", "10/1s")
	p.says(t, start, "Found from earlier runs: 48 messages, 0 of them on their way")
	p.says(t, start, "An account may send 10 in 6 s, as this database has it, not 10 in 1 s.")
	eventually(t, start, "the second sample arrives", func() bool { return len(n.arrivals(t)) > 48+20 })
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.ends(t, 20*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	contains(t, p.out.String(), "Stopped after")
	if twice := gatewaysim.Duplicates(n.arrivals(t)); len(twice) > 0 {
		t.Errorf("sent twice: %v", twice)
	}
	recipients := map[string]bool{}
	for i, a := range n.arrivals(t) {
		if i >= 48 && recipients[a.RecipientID] {
			t.Errorf("the second run has a recipient of the first: %s", a.RecipientID)
		}
		recipients[a.RecipientID] = i < 48
	}

	p = n.start(t, "dev", "--plain", "--no-sample", "--for", "1s")
	if code := p.ends(t, start); code != 0 {
		t.Errorf("exit code %d", code)
	}
	contains(t, p.out.String(), "Found from earlier runs: 9")

	p = n.start(t, "dev", "--plain", "--no-sample", "--for", "1s", "--fresh")
	if code := p.ends(t, start); code != 0 || strings.Contains(p.out.String(), "Found") {
		t.Errorf("exit code %d; --fresh left something:\n%s", code, p.out.String())
	}
	if len(n.arrivals(t)) != 0 {
		t.Error("--fresh left the arrival log")
	}
}

func timeOver(t *testing.T, n newcomer) {
	out, code := n.run(t, start, "dev", "--plain", "--for", "2s", "--workers", "1")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	contains(t, out, "waits", "limit 10 in 60 s", "the sample has not ended in time: 2s", "for the next start")
}

func secondTerminal(t *testing.T, n newcomer) {
	p := n.start(t, "dev", "--plain", "--no-sample")
	p.says(t, start, "No sample. From a second terminal:")

	out, code := n.run(t, start, "dev", "--plain")
	if code != 2 {
		t.Errorf("a second one in the same folder: exit code %d", code)
	}
	contains(t, out, "process "+strconv.Itoa(p.Process.Pid), filepath.Join(n.dir, ".data"), "HUNTAZE_DATA_DIR")

	environ, err := godotenv.Read(n.data("stack.env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"DATABASE_URL", "AWS_ENDPOINT_URL_SQS", "AWS_REGION", "GATEWAY_URL", "ADMIN_ADDR", "SQS_QUEUE", "SQS_RETRY_QUEUE", "SQS_DLQ",
		"AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_DEPLOYMENT", "AZURE_OPENAI_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"} {
		if environ[name] == "" {
			t.Errorf("stack.env lacks %s", name)
		}
	}
	if info, err := os.Stat(n.data("stack.env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("stack.env: %v, %v", info.Mode(), err)
	}
	out, _ = n.run(t, start, "doctor") // Postgres of a developer does not wait for the disk: of that it may complain
	contains(t, out, "ok    provider  azure answers", "ok    provider  openai answers")
	for round := 1; round <= 2; round++ { // each time with messages of their own
		before, err := os.ReadFile(n.data("more.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		if out, code := n.run(t, start, "send", ".data/more.jsonl"); code != 0 {
			t.Errorf("send: exit code %d:\n%s", code, out)
		}
		eventually(t, start, "what the second terminal sent arrives", func() bool { return len(n.arrivals(t)) == 6*round })
		eventually(t, start, "more is offered", func() bool {
			after, err := os.ReadFile(n.data("more.jsonl"))
			return err == nil && !bytes.Equal(before, after)
		})
	}

	// A kill leaves neither Postgres nor a folder that can't be used.
	text, err := os.ReadFile(filepath.Join(n.data("postgres"), "cluster", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	postgres, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.ends(t, start)
	eventually(t, start, "Postgres ends with its parent", func() bool { return syscall.Kill(postgres, 0) != nil })

	p = n.start(t, "dev", "--plain", "--no-sample")
	p.says(t, start, "Found from earlier runs: 12 messages")
	p.says(t, start, "No sample.")
	began := time.Now()
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.ends(t, 30*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	t.Logf("the stop took %s", time.Since(began))
}

func portsTaken(t *testing.T, n newcomer) {
	var taken []int
	for _, port := range []int{postgresPort, sqsPort, gatewayPort, providerPort, 9090} {
		// One that fails is somebody else's, who may leave it at any time.
		if listener, err := net.Listen("tcp", loopback(port)); err == nil {
			taken = append(taken, port)
			t.Cleanup(func() { _ = listener.Close() })
		}
	}
	if len(taken) == 0 {
		t.Skip("others have all of the ports")
	}
	out, code := n.run(t, start, "dev", "--plain", "--no-sample", "--for", "500ms")
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	for _, port := range taken {
		if strings.Contains(out, loopback(port)) {
			t.Errorf("it says that it uses port %d, which is taken", port)
		}
	}
}

func misuse(t *testing.T, n newcomer) {
	for _, args := range [][]string{{"dev", "--workers", "0"}, {"dev", "--limit", "ten"}, {"dev", "--for", "-1s"}, {"dev", "extra"}} {
		if out, code := n.run(t, start, args...); code != 2 {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
	}
	n.environ = append(n.environ, "AWS_ENDPOINT_URL_SQS=https://sqs.us-east-1.amazonaws.com")
	out, code := n.run(t, start, "dev", "--plain")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	contains(t, out, "AWS_ENDPOINT_URL_SQS is AWS itself")
}
