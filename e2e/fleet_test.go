package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway/gatewaysim"
	"github.com/huntaze/hybrid-orchestrator/internal/pgtest"
	"github.com/huntaze/hybrid-orchestrator/jobs"
	"github.com/huntaze/hybrid-orchestrator/queue/sqstest"
)

// The queues of a fleet.
const (
	mainQueue  = "huntaze-hybrid-messages-production"
	retryQueue = "huntaze-alerts-production"
	deadQueue  = "huntaze-dlq-production"
)

var schema = pgtest.Template{Name: "schema", Migrate: migrate}

func migrate(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	return db.Migrate(ctx, pool)
}

// fleet is everything around the processes under test, and what was put in.
type fleet struct {
	t          *testing.T
	folder     string // logs
	url        string // of the database
	pool       *pgxpool.Pool
	store      *db.Store // what an operator's command uses
	sqs        *sqstest.Running
	gateway    *gatewaysim.Server
	gatewayURL string
	answers    answerTimes
	settings   map[string]string // environment of the processes

	mu        sync.Mutex
	processes []*process
	spared    []*process    // from random kills
	inputs    map[key]input // every message that was handed over, once
	bad       map[string]badInput
}

// newFleet makes a fleet without processes on a fresh database. Each setting is NAME=value.
func newFleet(t *testing.T, settings ...string) *fleet {
	t.Helper()
	return newFleetOn(t, pgtest.New(t, schema).URL, settings...)
}

const gatewayToken = "token-of-the-tests"

func newFleetOn(t *testing.T, url string, settings ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, url: url, inputs: map[key]input{}, bad: map[string]badInput{}}
	f.keepLogs()
	f.openDatabase()
	f.sqs = sqstest.StartTB(t, sqstest.Options{})
	if err := f.sqs.ApplyProductionQueues(mainQueue, retryQueue, deadQueue); err != nil {
		t.Fatal(err)
	}
	f.startGateway()
	f.settings = map[string]string{
		"DATABASE_URL": url, "DATABASE_MAX_CONNECTIONS": "4", "RIVER_MAX_CONNECTIONS": "4",
		"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_SQS": f.sqs.URL, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
		"AWS_EC2_METADATA_DISABLED": "true",
		"SQS_QUEUE":                 mainQueue, "SQS_RETRY_QUEUE": retryQueue, "SQS_DLQ": deadQueue,
		"GATEWAY_URL": f.gatewayURL, "GATEWAY_TOKEN": gatewayToken, "GATEWAY_TIMEOUT": "2s", "GATEWAY_SETTLE": "2s",
		"RATE_LIMIT_ACCOUNT": "10/2s", "RATE_LIMIT_RECIPIENT": "off", "RATE_LIMIT_GUARD": "50ms", "ONLYFANS_RATE_LIMITED_DELAY": "1s",
		"SEND_RESERVATION": "3s", "RECONCILE_INTERVAL": "1s", "SHUTDOWN_TIMEOUT": "9s",
		"ADMIN_ADDR": "127.0.0.1:0", "LOG_LEVEL": "info",
	}
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		f.settings[name] = value
	}
	return f
}

// keepLogs makes the folder of the logs. It goes when the test has passed.
func (f *fleet) keepLogs() {
	folder, err := os.MkdirTemp("", "huntaze-e2e-"+strings.NewReplacer("/", "-").Replace(f.t.Name())+"-")
	if err != nil {
		f.t.Fatal(err)
	}
	f.folder = folder
	f.t.Cleanup(func() {
		if !f.t.Failed() {
			_ = os.RemoveAll(folder)
			return
		}
		f.t.Logf("seed %d; the logs of all processes and of the gateway are kept in %s", seed, folder)
		for _, p := range f.latest(6) {
			f.t.Log(p.log.tail(12))
		}
	})
}

// latest returns the processes that were started last.
func (f *fleet) latest(most int) []*process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.processes[max(0, len(f.processes)-most):])
}

func (f *fleet) openDatabase() {
	pool, err := pgxpool.New(f.t.Context(), f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(pool.Close)
	f.pool = pool
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: db.RiverSchema})
	if err != nil {
		f.t.Fatal(err)
	}
	f.store = db.NewStore(pool, jobs.NewEnqueuer(client), db.Config{Worker: "operator",
		Timing: db.Timing{Reservation: 3 * time.Second, CallTimeout: 2 * time.Second, Settle: 2 * time.Second}})
}

func (f *fleet) logPath() string { return filepath.Join(f.folder, "arrivals.jsonl") }

func (f *fleet) startGateway() {
	sim, err := gatewaysim.New(gatewaysim.Options{LogPath: f.logPath(), Token: gatewayToken, Seed: seed})
	if err != nil {
		f.t.Fatal(err)
	}
	f.gateway = sim
	f.gatewayURL = f.serve(f.answers.measure(sim), func() { _ = sim.Close() })
}

// serve lets a handler listen until the test ends; before is called first then.
func (f *fleet) serve(handler http.Handler, before func()) (url string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	f.t.Cleanup(func() { before(); _ = server.Close(); <-done })
	return "http://" + listener.Addr().String()
}

// faults changes how the gateway behaves.
func (f *fleet) faults(faults gatewaysim.Faults) {
	f.t.Helper()
	if err := f.gateway.SetFaults(faults); err != nil {
		f.t.Fatal(err)
	}
}

// latency makes the gateway answer later, at random.
func latency(from, to time.Duration) gatewaysim.Rule {
	return gatewaysim.Rule{Kind: gatewaysim.Delay, Min: from, Max: to}
}

// onBothWays makes calls take up to so long at random, half of it on the way to the gateway: what is counted from the
// release of a message is then not what the gateway sees.
func onBothWays(most time.Duration) []gatewaysim.Rule {
	return []gatewaysim.Rule{{Kind: gatewaysim.Hold, Max: most / 2}, latency(0, most/2)}
}

// answerTimes measures how long calls take, as the gateway sees them.
type answerTimes struct {
	mu    sync.Mutex
	sum   time.Duration
	count int
}

func (a *answerTimes) measure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		next.ServeHTTP(w, r)
		if r.Method == http.MethodPost {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.sum += time.Since(begin)
			a.count++
		}
	})
}

func (a *answerTimes) mean() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sum / time.Duration(max(1, a.count))
}

// environment is the fleet's with more settings on top.
func (f *fleet) environment(settings ...string) (env []string) {
	all := maps.Clone(f.settings)
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		all[name] = value
	}
	for name, value := range all {
		env = append(env, name+"="+value)
	}
	return env
}

// launch starts a worker process without waiting for it. Each setting is NAME=value, on top of the fleet's.
func (f *fleet) launch(settings ...string) *process {
	f.t.Helper()
	env := f.environment(settings...)
	f.mu.Lock()
	name := fmt.Sprintf("worker-%d", len(f.processes)+1)
	f.mu.Unlock()
	p := launch(f.t, f.folder, name, "worker", env)
	f.mu.Lock()
	f.processes = append(f.processes, p)
	f.mu.Unlock()
	return p
}

// start starts n worker processes and waits until they work.
func (f *fleet) start(n int, settings ...string) []*process {
	f.t.Helper()
	var started []*process
	for range n {
		started = append(started, f.launch(settings...))
	}
	for _, p := range started {
		p.awaitStart()
	}
	return started
}

// said counts the log lines of all processes whose message contains the text.
func (f *fleet) said(text string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.processes {
		n += p.log.count(text)
	}
	return n
}

// within waits until something is true, and fails the test when that takes too long.
func (f *fleet) within(limit time.Duration, what string, done func() bool) time.Duration {
	f.t.Helper()
	begin := time.Now()
	for !done() {
		if time.Since(begin) > limit {
			f.t.Fatalf("not within %s: %s; stages %v, open attempts %v, gateway %+v", limit, what, f.stages(), f.openAttempts(), f.gateway.Stats())
		}
		time.Sleep(25 * time.Millisecond)
	}
	return time.Since(begin)
}

// query reads rows; it waits while the database is away.
func query[T any](f *fleet, scan pgx.RowToFunc[T], sql string, args ...any) []T {
	f.t.Helper()
	var last error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		rows, err := f.pool.Query(context.Background(), sql, args...)
		if err == nil {
			var all []T
			if all, err = pgx.CollectRows(rows, scan); err == nil {
				return all
			}
		}
		if db.Refused(err) {
			f.t.Fatalf("%s: %v", sql, err)
		}
		last = err
	}
	f.t.Fatalf("%s: %v", sql, last)
	return nil
}

func number(f *fleet, sql string, args ...any) int {
	f.t.Helper()
	return query(f, pgx.RowTo[int], sql, args...)[0]
}

func counts(f *fleet, sql string, args ...any) map[string]int {
	f.t.Helper()
	all := map[string]int{}
	type row struct {
		name  string
		count int
	}
	for _, r := range query(f, func(r pgx.CollectableRow) (one row, err error) { return one, r.Scan(&one.name, &one.count) }, sql, args...) {
		all[r.name] = r.count
	}
	return all
}

func (f *fleet) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.pool.Exec(context.Background(), sql, args...); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// lock keeps everybody else from a table, so that a step can be caught in the middle.
func (f *fleet) lock(table string) (unlock func()) {
	f.t.Helper()
	tx, err := f.pool.Begin(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	unlock = sync.OnceFunc(func() { _ = tx.Rollback(context.Background()) })
	f.t.Cleanup(unlock)
	if _, err := tx.Exec(context.Background(), `LOCK TABLE `+pgx.Identifier{table}.Sanitize()+` IN ACCESS EXCLUSIVE MODE`); err != nil {
		f.t.Fatal(err)
	}
	return unlock
}

func (f *fleet) stages() map[string]int {
	return counts(f, `SELECT stage, count(*) FROM hybrid_workflows GROUP BY stage`)
}

func (f *fleet) openAttempts() map[string]int {
	return counts(f, `SELECT state, count(*) FROM send_attempts WHERE state IN ('reserved', 'in_flight', 'unknown') GROUP BY state`)
}

// drained waits until every message is taken in and none is live.
func (f *fleet) drained(limit time.Duration) time.Duration {
	f.t.Helper()
	return f.within(limit, "drained", func() bool {
		f.mu.Lock()
		want, quarantined := len(f.inputs), len(f.bad)
		f.mu.Unlock()
		s := f.sqs.Stats(mainQueue)
		if s.Visible+s.InFlight+s.Delayed > 0 {
			return false
		}
		stages := f.stages()
		return stages["sent"]+stages["failed"]+stages["cancelled"]+stages["expired"] == want && f.quarantined() >= quarantined
	})
}

func (f *fleet) quarantined() int { return number(f, `SELECT count(*) FROM quarantine`) }

func (f *fleet) sent() int {
	return number(f, `SELECT count(*) FROM hybrid_workflows WHERE stage = 'sent'`)
}

// awaitSent waits until so many messages are sent.
func (f *fleet) awaitSent(n int) {
	f.t.Helper()
	f.within(time.Minute, fmt.Sprintf("%d messages sent", n), func() bool { return f.sent() >= n })
}
