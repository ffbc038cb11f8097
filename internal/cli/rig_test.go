package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/joho/godotenv"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.WithLeakCheck()) }

var schema = pgtest.Template{Name: "schema", Migrate: func(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	return db.Migrate(ctx, pool)
}}

// start is the time at which the databases' clocks stand first.
var start = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

const (
	messagesQueue = "huntaze-hybrid-messages-production"
	retryQueue    = "huntaze-alerts-production"
	deadQueue     = "huntaze-dlq-production"
)

// terminal is what a test uses for the command line: commands run as `huntaze` runs them, with an environment of
// their own, so that tests can run at the same time.
type terminal struct {
	t       *testing.T
	environ map[string]string
	dotenv  map[string]string // what .env says
	person  bool              // somebody sits there
}

// result is what a command left behind.
type result struct {
	code   int
	out    string
	errOut string
}

func newTerminal(t *testing.T) *terminal {
	return &terminal{t: t, environ: map[string]string{"HUNTAZE_DATA_DIR": t.TempDir()}}
}

func (c *terminal) run(args ...string) result { return c.typed("", args...) }

// typed runs a command with something on its standard input.
func (c *terminal) typed(input string, args ...string) result {
	c.t.Helper()
	var out, errOut bytes.Buffer
	code := c.app(strings.NewReader(input), &out, &errOut).run(c.t.Context(), args)
	return result{code, out.String(), errOut.String()}
}

func (c *terminal) app(in *strings.Reader, out, errOut *bytes.Buffer) *app {
	return &app{version: "test", in: in, out: out, err: errOut, terminal: func(any) bool { return c.person },
		environ: func(files ...string) (map[string]string, error) { return c.environOf(files...) }}
}

// environOf is config.Environ on maps instead of the process' environment and its folder's .env.
func (c *terminal) environOf(files ...string) (map[string]string, error) {
	merged := map[string]string{}
	for _, file := range files {
		values := c.dotenv
		if file != ".env" {
			var err error
			if values, err = godotenv.Read(file); err != nil {
				return nil, err
			}
		}
		maps.Copy(merged, values)
	}
	maps.Copy(merged, c.environ)
	return merged, nil
}

// wants fails the test unless the exit code is that and each text is somewhere in the output.
func (r result) wants(t *testing.T, code int, texts ...string) result {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.errOut, text) {
			t.Errorf("%q is not in the output", text)
		}
	}
	if t.Failed() {
		t.Logf("output:\n%s\nerrors:\n%s", r.out, r.errOut)
	}
	return r
}

var changing = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// prints fails the test unless the output is exactly that, ids left out of account.
func (r result) prints(t *testing.T, want string) result {
	t.Helper()
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(changing.ReplaceAllString(r.out, "ID"))); diff != "" {
		t.Errorf("output (-want +got):\n%s\nerrors:\n%s", diff, r.errOut)
	}
	return r
}

func (r result) json(t *testing.T, value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.out), value); err != nil {
		t.Fatalf("%v in:\n%s\nerrors:\n%s", err, r.out, r.errOut)
	}
}

// fleet is a real database whose clock stands still, and a command line that is configured for it.
type fleet struct {
	*terminal
	database *pgtest.Database
	store    *db.Store
	pool     *pgxpool.Pool
}

const settle = 2 * time.Minute

func newFleet(t *testing.T, account, recipient string) *fleet {
	t.Helper()
	f := &fleet{terminal: newTerminal(t), database: pgtest.New(t, schema)}
	f.pool = f.database.Pool(t)
	f.environ["DATABASE_URL"] = f.database.URL
	store, closeStore, err := worker.OpenStore(t.Context(), f.database.URL, 4, db.Config{
		Timing: db.Timing{Reservation: 30 * time.Second, CallTimeout: 20 * time.Second, Settle: settle}, Worker: "worker-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeStore)
	f.store = store
	f.database.FreezeClock(t, start)
	if _, err := store.SeedLimits(t.Context(), rules(t, account), rules(t, recipient), 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	return f
}

func rules(t *testing.T, text string) limit.Rules {
	t.Helper()
	parsed, err := limit.ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// message is a message to a recipient of its own.
func message(userID string, n int, adjust ...func(*workflow.Message)) workflow.Message {
	m := workflow.Message{
		WorkflowID: fmt.Sprintf("wf-%d", n), UserID: userID, RecipientID: fmt.Sprintf("fan-%d", n), Content: "Hello",
		Priority: workflow.PriorityDefault, MaxRetries: workflow.DefaultMaxRetries,
	}
	for _, change := range adjust {
		change(&m)
	}
	return m
}

// take takes messages in, and lets go what may go at once.
func (f *fleet) take(messages ...workflow.Message) {
	f.t.Helper()
	batch := make([]workflow.Delivery, len(messages))
	for i, m := range messages {
		batch[i] = workflow.Delivery{Source: messagesQueue, MessageID: "sqs-" + m.WorkflowID + "-" + m.RecipientID, Message: m, Body: []byte("{}")}
	}
	result, err := f.store.Ingest(f.t.Context(), batch, true)
	if err != nil {
		f.t.Fatal(err)
	}
	for i, answer := range result.Answers {
		if answer.Outcome != workflow.IntakeAccepted {
			f.t.Fatalf("%s: %s", messages[i].WorkflowID, answer.Outcome)
		}
	}
}

// attempt is the latest attempt of a message that was released.
func (f *fleet) attempt(workflowID string) db.Attempt {
	f.t.Helper()
	var a db.Attempt
	if err := f.pool.QueryRow(f.t.Context(), `SELECT id, send_sequence FROM hybrid_workflows WHERE workflow_id = $1`, workflowID).Scan(&a.Workflow, &a.Sequence); err != nil {
		f.t.Fatal(err)
	}
	return a
}

// call begins the call of a message that was released and returns its fence.
func (f *fleet) call(workflowID string) (db.Attempt, int64) {
	f.t.Helper()
	a := f.attempt(workflowID)
	starts, err := f.store.Begin(f.t.Context(), []db.Attempt{a})
	if err != nil {
		f.t.Fatal(err)
	}
	if starts[0].Verdict != db.VerdictGo {
		f.t.Fatalf("%s may not be called: %+v", workflowID, starts[0])
	}
	return a, starts[0].Fence
}

// end brings a message that was released to an outcome.
func (f *fleet) end(workflowID string, report db.Finish) {
	f.t.Helper()
	report.Attempt, report.Fence = f.call(workflowID)
	finished, err := f.store.Finish(f.t.Context(), []db.Finish{report}, true)
	if err != nil {
		f.t.Fatal(err)
	}
	if !finished[0].Applied {
		f.t.Fatalf("%s was not settled", workflowID)
	}
}

func (f *fleet) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.pool.Exec(f.t.Context(), sql, args...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) advance(d time.Duration) { f.database.AdvanceClock(f.t, d) }

// stage is where a message is.
func (f *fleet) stage(workflowID string) workflow.Stage {
	f.t.Helper()
	var stage workflow.Stage
	if err := f.pool.QueryRow(f.t.Context(), `SELECT stage FROM hybrid_workflows WHERE workflow_id = $1`, workflowID).Scan(&stage); err != nil {
		f.t.Fatal(err)
	}
	return stage
}

// jobs counts River's jobs of a kind.
func (f *fleet) jobs(kind string) (n int) {
	f.t.Helper()
	if err := f.pool.QueryRow(f.t.Context(), `SELECT count(*) FROM river.river_job WHERE kind = $1`, kind).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// withQueues gives the command line an SQS server with the three queues.
func (c *terminal) withQueues() *sqstest.Running {
	c.t.Helper()
	server := sqstest.StartTB(c.t, sqstest.Options{})
	if err := server.ApplyProductionQueues(messagesQueue, retryQueue, deadQueue); err != nil {
		c.t.Fatal(err)
	}
	c.environ["AWS_ENDPOINT_URL_SQS"] = server.URL
	return server
}

// withGateway gives the command line a simulated gateway.
func (c *terminal) withGateway(options gatewaysim.Options) *gatewaysim.Server {
	c.t.Helper()
	sim, err := gatewaysim.New(options)
	if err != nil {
		c.t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	c.t.Cleanup(func() { _ = sim.Close(); server.Close() })
	c.environ["GATEWAY_URL"] = server.URL
	return sim
}

// file writes a file that a command reads.
func (c *terminal) file(name, text string) string {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// lines is an output that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait returns the first submatch of a pattern as soon as it was written.
func (l *lines) wait(t *testing.T, pattern string) string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if found := expression.FindStringSubmatch(l.String()); found != nil {
			return found[1]
		}
	}
	t.Fatalf("%s was not written:\n%s", pattern, l)
	return ""
}
