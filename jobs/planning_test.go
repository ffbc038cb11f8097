package jobs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/cost"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/internal/provider"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/fallback"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/guard"
	"github.com/huntaze/hybrid-orchestrator/internal/provider/providersim"
	"github.com/huntaze/hybrid-orchestrator/internal/text"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.WithLeakCheck()) }

// planSchema is the fleet's schema, and a table in which the jobs of a transaction commit with it.
var planSchema = pgtest.Template{Name: "planning", Migrate: func(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := db.Migrate(ctx, pool); err != nil {
		return err
	}
	_, err = pool.Exec(ctx, `CREATE TABLE test_jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL, text uuid NOT NULL, step integer NOT NULL, at timestamptz)`)
	return err
}}

type testJobs struct{}

func (testJobs) EnqueueTx(ctx context.Context, tx pgx.Tx, all []db.Job) error {
	for _, job := range all {
		var at *time.Time
		if !job.At.IsZero() {
			at = &job.At
		}
		if _, err := tx.Exec(ctx, `INSERT INTO test_jobs (kind, text, step, at) VALUES ($1, $2, $3, $4)`, string(job.Kind), job.Text, job.Sequence, at); err != nil {
			return err
		}
	}
	return nil
}

// writers is a database of its own, simulated providers, and a process that has texts written with them. The clock
// of the database stands still; it moves when a job or a pause is waited for.
type writers struct {
	*pgtest.Database
	t        testing.TB
	sim      *providersim.Server
	plain    *pgxpool.Pool
	store    *db.Store
	author   *jobs.Author
	worker   *jobs.PlanWorker
	log      *logBuffer
	waits    []time.Duration // between calls, and before them
	idle     time.Duration   // since the last call
	stopping bool
}

type logBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

var planStart = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

type writerOptions struct {
	sim      providersim.Options
	matrix   string // YAML; empty: the embedded one
	prompts  string // folder
	template string
	only     []provider.Name // empty: both, Azure first
	timeout  time.Duration
	calls    int64 // that there is money for, if only the most that they may cost is known; 0: no budget
}

func newWriters(t testing.TB, o writerOptions) *writers {
	t.Helper()
	w := &writers{Database: pgtest.New(t, planSchema), t: t, log: &logBuffer{}}
	o.sim.KeepPrompts = true
	w.sim = providersim.New(o.sim)
	if err := w.sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.sim.Close() })
	w.plain = w.Pool(t)
	matrix, err := fallback.Parse([]byte(o.matrix))
	if err != nil {
		t.Fatal(err)
	}
	templates, err := text.Load(o.prompts)
	if err != nil {
		t.Fatal(err)
	}
	if o.timeout == 0 {
		o.timeout = 10 * time.Second
	}
	if o.template == "" {
		o.template = "message"
	}
	clients := w.clients(o.only)
	w.author, err = jobs.NewAuthor(jobs.AuthorConfig{Clients: clients, Templates: templates, Template: o.template, Prices: cost.Default(), Timeout: o.timeout,
		Now: func() time.Time { return w.Clock(t) }})
	if err != nil {
		t.Fatal(err)
	}
	plan := fallback.Plan{Matrix: matrix}
	for _, c := range clients {
		plan.Targets = append(plan.Targets, c.Target().Provider)
	}
	pool, err := db.Open(t.Context(), w.URL, 10, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	budget := int64(0)
	if o.calls > 0 {
		one := w.author.Estimate(provider.Azure, db.PlanCall{Template: w.author.Template(), Brief: briefed(1).Message.Brief})
		budget = o.calls**one.PicoUSD + 1
	}
	w.store = db.NewStore(pool, testJobs{}, db.Config{Worker: "w-1", Timing: db.Timing{Reservation: time.Second, CallTimeout: time.Second, Settle: time.Second}, Planning: &db.Planning{
		Plan: plan, Guard: guard.DefaultSettings, Targets: w.author.Targets(), CallTimeout: o.timeout, Texts: w.author, Estimate: w.author.Estimate, DailyBudget: budget,
	}})
	w.FreezeClock(t, planStart)
	account, _ := limit.ParseRules("10/60s")
	if _, err := w.store.SeedLimits(t.Context(), account, nil, 0); err != nil {
		t.Fatal(err)
	}
	w.worker = w.newWorker(w)
	return w
}

func (w *writers) newWorker(p jobs.Planner) *jobs.PlanWorker {
	return jobs.NewPlanWorker(p, w, slog.New(slog.NewTextHandler(w.log, nil)), time.Now, func(_ context.Context, d time.Duration) { w.wait(d) }, func() bool { return w.stopping })
}

func (w *writers) clients(only []provider.Name) (clients []provider.Client) {
	azure, err := provider.NewAzure(provider.AzureConfig{Endpoint: w.sim.URL(), Key: canaryKey, Deployment: "texts", PricedModel: "gpt-5.4-mini", Zone: "global"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(azure.Close)
	openai, err := provider.NewOpenAI(provider.OpenAIConfig{BaseURL: w.sim.OpenAIBaseURL(), Key: canaryKey, Model: "gpt-5.4-mini"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(openai.Close)
	for _, c := range []provider.Client{azure, openai} {
		if len(only) == 0 || slices.Contains(only, c.Target().Provider) {
			clients = append(clients, c)
		}
	}
	return clients
}

// canaryKey must be seen nowhere.
const canaryKey = "key-canary-5c1f0a"

// Plan implements jobs.Planner.
func (w *writers) Plan(ctx context.Context, step db.PlanStep) (db.PlanNext, error) {
	next, err := w.store.Plan(ctx, []db.PlanStep{step})
	if err != nil {
		return db.PlanNext{}, err
	}
	return next[0], nil
}

// Delays implements jobs.Writer.
func (w *writers) Delays() map[provider.Name]time.Duration { return w.author.Delays() }

// Write implements jobs.Writer. It notes how long nothing was called before.
func (w *writers) Write(ctx context.Context, call db.PlanCall, since time.Time) db.PlanEnd {
	w.waits, w.idle = append(w.waits, w.idle), 0
	end := w.author.Write(ctx, call, since)
	return end
}

func (w *writers) wait(d time.Duration) {
	w.idle += d
	w.AdvanceClock(w.t, d)
}

// message is a message with a brief.
func briefed(n int, adjust ...func(*workflow.Message)) workflow.Delivery {
	m := workflow.Message{WorkflowID: fmt.Sprintf("wf-%d", n), UserID: "creator", RecipientID: fmt.Sprintf("fan-%d", n), Brief: "Thank them for a year.",
		Priority: workflow.PriorityDefault, MaxRetries: 3}
	for _, change := range adjust {
		change(&m)
	}
	return workflow.Delivery{Source: "messages", MessageID: "sqs-" + m.WorkflowID + m.RecipientID, Message: m, Body: []byte("{}")}
}

func (w *writers) ingest(batch ...workflow.Delivery) {
	w.t.Helper()
	result, err := w.store.Ingest(w.t.Context(), batch, false)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, answer := range result.Answers {
		if answer.Outcome != workflow.IntakeAccepted {
			w.t.Fatalf("%+v", answer)
		}
	}
}

// job takes the job that is due first, and the time until then; false when there is none.
func (w *writers) job() (args jobs.PlanArgs, wait time.Duration, found bool) {
	w.t.Helper()
	var at *time.Time
	err := w.plain.QueryRow(w.t.Context(), `DELETE FROM test_jobs WHERE id = (SELECT id FROM test_jobs WHERE kind = 'plan' ORDER BY at NULLS FIRST, id LIMIT 1) RETURNING text, step, at`).Scan(&args.Text, &args.Step, &at)
	if err == pgx.ErrNoRows {
		return args, 0, false
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if at != nil {
		wait = max(0, at.Sub(w.Clock(w.t)))
	}
	return args, wait, true
}

func (w *writers) work(args jobs.PlanArgs) error {
	return w.worker.Work(w.t.Context(), &river.Job[jobs.PlanArgs]{JobRow: &rivertype.JobRow{}, Args: args})
}

// run works jobs until there is none, or more than so many.
func (w *writers) run(most int) (jobs int) {
	w.t.Helper()
	for ; jobs < most; jobs++ {
		args, wait, found := w.job()
		if !found {
			return jobs
		}
		w.wait(wait)
		if err := w.work(args); err != nil {
			w.t.Fatal(err)
		}
	}
	return jobs
}

// called lists the providers in the order of their calls.
func (w *writers) called() (names []string) {
	for _, c := range w.sim.Calls(0) {
		names = append(names, string(c.Provider))
	}
	return names
}

// life is what the database says of a message.
type life struct {
	Stage, Current, LastError, Content string
	States                             workflow.ProviderStates
	Retries                            workflow.RetryAttempts
	History                            []string // from > to: reason
}

func (w *writers) life(workflowID string) (l life) {
	w.t.Helper()
	found, err := w.store.Explain(w.t.Context(), db.Which{WorkflowID: workflowID}, 1)
	if err != nil || len(found.Workflows) != 1 {
		w.t.Fatalf("%d workflows, %v", len(found.Workflows), err)
	}
	one := found.Workflows[0]
	l = life{Stage: string(one.State.Stage), Current: string(one.State.CurrentProvider), LastError: one.State.LastError, States: one.State.ProviderStates, Retries: one.State.RetryAttempts}
	for _, f := range one.State.FallbackHistory {
		l.History = append(l.History, fmt.Sprintf("%s > %s: %s", f.From, f.To, f.Reason))
		if f.Timestamp.Before(planStart) || f.Timestamp.After(w.Clock(w.t)) {
			w.t.Errorf("%s at %s", l.History[len(l.History)-1], f.Timestamp)
		}
	}
	if err := w.plain.QueryRow(w.t.Context(), `SELECT content FROM hybrid_workflows WHERE workflow_id = $1`, workflowID).Scan(&l.Content); err != nil {
		w.t.Fatal(err)
	}
	var checkpoint map[string]any
	if err := json.Unmarshal(one.State.CheckpointData, &checkpoint); err != nil {
		w.t.Errorf("checkpointData: %v", err)
	}
	return l
}

func (w *writers) number(sql string, args ...any) (n int64) {
	w.t.Helper()
	if err := w.plain.QueryRow(w.t.Context(), sql, args...).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}
