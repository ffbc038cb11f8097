package db_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.WithLeakCheck()) }

// schema is the fleet's schema, and a table in which the steps that a transaction enqueues commit with it.
var schema = pgtest.Template{Name: "fleet", Migrate: func(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := db.Migrate(ctx, pool); err != nil {
		return err
	}
	_, err = pool.Exec(ctx, `CREATE TABLE test_job_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL,
		workflow uuid NOT NULL, text uuid NOT NULL, sequence integer NOT NULL, user_id text NOT NULL, priority integer NOT NULL, at timestamptz,
		taken boolean NOT NULL DEFAULT false)`)
	return err
}}

// jobTable is an Enqueuer whose jobs can be read back, and which can fail.
type jobTable struct {
	fails  atomic.Bool
	before atomic.Pointer[func()] // runs at the end of a transaction, before its jobs are written
}

var errEnqueue = errors.New("the queue takes no jobs")

func (j *jobTable) EnqueueTx(ctx context.Context, tx pgx.Tx, jobs []db.Job) error {
	if before := j.before.Load(); before != nil {
		(*before)()
	}
	if j.fails.Load() {
		return errEnqueue
	}
	for _, job := range jobs {
		var at *time.Time
		if !job.At.IsZero() {
			at = &job.At
		}
		if _, err := tx.Exec(ctx, `INSERT INTO test_job_log (kind, workflow, text, sequence, user_id, priority, at) VALUES ($1, $2, $7, $3, $4, $5, $6)`,
			job.Kind, job.Workflow, job.Sequence, job.UserID, job.Priority, at, job.Text); err != nil {
			return err
		}
	}
	return nil
}

// fleet is a database of its own with a store on it and a clock that stands still.
type fleet struct {
	*pgtest.Database
	t      testing.TB
	ctx    context.Context
	pool   *db.Pool      // as the fleet's processes have it
	plain  *pgxpool.Pool // with the server's own settings, for looking at everything
	store  *db.Store
	jobs   *jobTable
	config db.Config
}

// start is the time at which the clocks of the tests stand first.
var start = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

// timing is that of production.
var timing = db.Timing{Reservation: db.DefaultReservation, CallTimeout: 20 * time.Second, Settle: 120 * time.Second}

// hold is the time from a release to the last moment at which its call may arrive.
const hold = db.DefaultReservation + 20*time.Second + 120*time.Second

func newFleet(t testing.TB, account, recipient string) *fleet {
	t.Helper()
	f := &fleet{Database: pgtest.New(t, schema), t: t, ctx: t.Context(), jobs: &jobTable{}, config: db.Config{Timing: timing, Worker: "test"}}
	f.pool = openPool(t, f.URL)
	f.plain = f.Pool(t)
	f.store = db.NewStore(f.pool, f.jobs, f.config)
	f.FreezeClock(t, start)
	if _, err := f.store.SeedLimits(f.ctx, rules(t, account), rules(t, recipient), guard); err != nil {
		t.Fatal(err)
	}
	return f
}

// guard is added to the windows of all tests.
const guard = 500 * time.Millisecond

// openPool opens a pool as a process of the fleet does.
func openPool(t testing.TB, url string) *db.Pool {
	t.Helper()
	pool, err := db.Open(t.Context(), url, 10, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func rules(t testing.TB, text string) limit.Rules {
	t.Helper()
	parsed, err := limit.ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// message is a delivery of one message that is valid and belongs to no campaign.
func message(userID string, n int, adjust ...func(*workflow.Message)) workflow.Delivery {
	m := workflow.Message{
		WorkflowID: fmt.Sprintf("wf-%s-%d", userID, n), UserID: userID, RecipientID: fmt.Sprintf("fan-%s-%d", userID, n),
		Content: "Hello", Priority: workflow.PriorityDefault, MaxRetries: workflow.DefaultMaxRetries,
	}
	for _, change := range adjust {
		change(&m)
	}
	return workflow.Delivery{Source: "messages", MessageID: "sqs-" + m.UserID + m.WorkflowID + m.RecipientID, Message: m, Body: []byte("{}")}
}

func inCampaign(id string) func(*workflow.Message) {
	return func(m *workflow.Message) { m.CampaignID = id }
}

func toRecipient(id string) func(*workflow.Message) {
	return func(m *workflow.Message) { m.RecipientID = id }
}

func withPriority(p workflow.Priority) func(*workflow.Message) {
	return func(m *workflow.Message) { m.Priority = p }
}

func notBefore(at time.Time) func(*workflow.Message) {
	return func(m *workflow.Message) { m.NotBefore = at }
}

// messages are deliveries of count messages of an account.
func messages(userID string, count int, adjust ...func(*workflow.Message)) []workflow.Delivery {
	all := make([]workflow.Delivery, count)
	for n := range all {
		all[n] = message(userID, n, adjust...)
	}
	return all
}

// park takes messages in without letting any go.
func (f *fleet) park(batch ...workflow.Delivery) {
	f.t.Helper()
	f.ingest(false, batch...)
}

func (f *fleet) ingest(release bool, batch ...workflow.Delivery) db.IntakeResult {
	f.t.Helper()
	result, err := f.store.Ingest(f.ctx, batch, release)
	if err != nil {
		f.t.Fatalf("ingest: %v", err)
	}
	return result
}

func (f *fleet) release(userID string, wakeUps ...time.Time) db.Released {
	f.t.Helper()
	return f.releaseBy(db.Release{UserID: userID, WakeUps: wakeUps})
}

func (f *fleet) releaseBy(request db.Release) db.Released {
	f.t.Helper()
	released, err := f.store.Release(f.ctx, []db.Release{request})
	if err != nil {
		f.t.Fatalf("release of %s: %v", request.UserID, err)
	}
	if len(released) != 1 {
		f.t.Fatalf("release of %s: %d answers", request.UserID, len(released))
	}
	return released[0]
}

func (f *fleet) begin(a db.Attempt) db.Start {
	f.t.Helper()
	starts, err := f.store.Begin(f.ctx, []db.Attempt{a})
	if err != nil {
		f.t.Fatalf("begin: %v", err)
	}
	return starts[0]
}

// mustBegin begins an attempt that may start, and returns its fence.
func (f *fleet) mustBegin(a db.Attempt) int64 {
	f.t.Helper()
	begun := f.begin(a)
	if begun.Verdict != db.VerdictGo {
		f.t.Fatalf("begin: %s (%s), want go", begun.Verdict, begun.Reason)
	}
	return begun.Fence
}

func (f *fleet) finish(report db.Finish) db.Finished {
	f.t.Helper()
	finished, err := f.store.Finish(f.ctx, []db.Finish{report}, true)
	if err != nil {
		f.t.Fatalf("finish %s: %v", report.Outcome, err)
	}
	return finished[0]
}

// send brings an attempt that was released to the given outcome.
func (f *fleet) send(a db.Attempt, outcome workflow.EventKind) db.Finished {
	f.t.Helper()
	done := f.finish(db.Finish{Attempt: a, Fence: f.mustBegin(a), Outcome: outcome, Reason: "test"})
	if !done.Applied {
		f.t.Fatalf("finish %s of %v was not applied", outcome, a)
	}
	return done
}

// job is a row of the job table.
type job struct {
	ID       int64
	Kind     workflow.StepKind
	Attempt  db.Attempt
	UserID   string
	Priority int
	At       time.Time // zero: at once
}

// readJobs lists the jobs of a kind in the order in which they were enqueued.
func (f *fleet) readJobs(kind workflow.StepKind) []job {
	f.t.Helper()
	rows, err := f.pool.Query(f.ctx, `SELECT id, kind, workflow, sequence, user_id, priority, at FROM test_job_log WHERE kind = $1 ORDER BY id`, kind)
	if err != nil {
		f.t.Fatal(err)
	}
	jobs, err := pgx.CollectRows(rows, scanJob)
	if err != nil {
		f.t.Fatal(err)
	}
	return jobs
}

func scanJob(row pgx.CollectableRow) (j job, err error) {
	var at *time.Time
	err = row.Scan(&j.ID, &j.Kind, &j.Attempt.Workflow, &j.Attempt.Sequence, &j.UserID, &j.Priority, &at)
	if at != nil {
		j.At = *at
	}
	return j, err
}

// takeJobs takes the jobs that are due and returns them in the order in which they became so.
func (f *fleet) takeJobs() []job {
	f.t.Helper()
	return f.takeJobsOf("", "")
}

// takeJobsOf takes the jobs of a kind and an account that are due; empty: of any.
func (f *fleet) takeJobsOf(kind workflow.StepKind, userID string) []job {
	f.t.Helper()
	rows, err := f.pool.Query(f.ctx, `WITH due AS (UPDATE test_job_log SET taken = true WHERE NOT taken AND (at IS NULL OR at <= hybrid_clock())
		AND $1 IN ('', kind) AND $2 IN ('', user_id)
		RETURNING id, kind, workflow, sequence, user_id, priority, at) SELECT * FROM due ORDER BY at NULLS FIRST, id`, kind, userID)
	if err != nil {
		f.t.Fatal(err)
	}
	jobs, err := pgx.CollectRows(rows, scanJob)
	if err != nil {
		f.t.Fatal(err)
	}
	return jobs
}

// attempts lists the attempts of the send jobs, in the order in which they were enqueued.
func (f *fleet) attempts() []db.Attempt {
	f.t.Helper()
	var all []db.Attempt
	for _, j := range f.readJobs(workflow.StepSend) {
		all = append(all, j.Attempt)
	}
	return all
}

func collectAttempts(rows pgx.Rows) ([]db.Attempt, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (a db.Attempt, err error) {
		return a, row.Scan(&a.Workflow, &a.Sequence)
	})
}

// exec runs a statement by hand.
func (f *fleet) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.pool.Exec(f.ctx, sql, args...); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// one reads one value.
func one[T any](f *fleet, sql string, args ...any) T {
	f.t.Helper()
	rows, err := f.pool.Query(f.ctx, sql, args...)
	if err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	value, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// column reads one value of each row.
func column[T any](f *fleet, sql string, args ...any) []T {
	f.t.Helper()
	rows, err := f.pool.Query(f.ctx, sql, args...)
	if err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	return values
}

// stage returns where a workflow is.
func (f *fleet) stage(id uuid.UUID) workflow.Stage {
	f.t.Helper()
	return workflow.Stage(one[string](f, `SELECT stage FROM hybrid_workflows WHERE id = $1`, id))
}

// stages counts the workflows by stage.
func (f *fleet) stages() map[workflow.Stage]int {
	f.t.Helper()
	rows, err := f.pool.Query(f.ctx, `SELECT stage, count(*) FROM hybrid_workflows GROUP BY stage`)
	if err != nil {
		f.t.Fatal(err)
	}
	stages := map[workflow.Stage]int{}
	var stage workflow.Stage
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&stage, &n}, func() error { stages[stage] = n; return nil }); err != nil {
		f.t.Fatal(err)
	}
	return stages
}

// attemptState returns the state of an attempt in the ledger.
func (f *fleet) attemptState(a db.Attempt) string {
	f.t.Helper()
	return one[string](f, `SELECT state FROM send_attempts WHERE workflow = $1 AND sequence = $2`, a.Workflow, a.Sequence)
}

// releaseOf asks for a look at each of the accounts.
func releaseOf(users ...string) []db.Release {
	requests := make([]db.Release, len(users))
	for i, user := range users {
		requests[i].UserID = user
	}
	return requests
}
