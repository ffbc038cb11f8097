package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/console"
	"github.com/huntaze/hybrid-orchestrator/internal/gateway"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
	"github.com/huntaze/hybrid-orchestrator/jobs"
)

// withRiver gives the console River's own pages.
func withRiver(writes bool) func(*rig, *console.Options) {
	return func(r *rig, o *console.Options) {
		client, err := river.NewClient(riverpgxv5.New(r.pool), &river.Config{Schema: db.RiverSchema, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			r.t.Fatal(err)
		}
		if o.RiverUI, err = console.NewRiverUI(r.t.Context(), client, slog.New(slog.DiscardHandler)); err != nil {
			r.t.Fatal(err)
		}
		o.RiverWrites = writes
	}
}

// postJSON is what River's pages send.
func (b *browser) postJSON(path, body, site string) answer {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(request, []string{"Content-Type", "application/json", "Sec-Fetch-Site", site})
}

func TestRiverIsForAdmins(t *testing.T) {
	t.Parallel()
	r := newRig(t, withRiver(false))
	r.take("creator-7", "wf-1", "fan-1", "")
	admin, scoped, nobody := r.login(adminKey), r.login(scopedKey), r.browser()
	a := admin.get("/river/").wants(t, http.StatusOK, `<div id="root"`)
	if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self';") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("policy %q", policy)
	}
	admin.get("/river/api/jobs?state=available").wants(t, http.StatusOK, `"kind":"send"`).lacks(t, secretText, "fan-1")
	admin.get("/").wants(t, http.StatusOK, `href="/river/"`)
	scoped.get("/").wants(t, http.StatusOK).lacks(t, "/river/")
	for _, path := range []string{"/river", "/river/", "/river/api/jobs", "/river/api/health-checks/complete", "/river/jobs/1"} {
		scoped.get(path).wants(t, http.StatusNotFound, "Not found")
		if a := nobody.get(path); a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/login") {
			t.Errorf("%s for nobody: %d", path, a.status)
		}
	}
	admin.postJSON("/river/api/jobs/delete", `{"ids":["1"]}`, "same-origin").wants(t, http.StatusForbidden, "Read only")
	admin.postJSON("/river/api/jobs/delete", `{"ids":["1"]}`, "cross-site").wants(t, http.StatusForbidden, "another site")
	scoped.postJSON("/river/api/jobs/delete", `{"ids":["1"]}`, "same-origin").wants(t, http.StatusNotFound)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.server.URL+"/river/api/queues/send/pause", nil)
	if err != nil {
		t.Fatal(err)
	}
	admin.do(request, []string{"Sec-Fetch-Site", "same-origin"}).wants(t, http.StatusForbidden, "Read only")
}

// ledger is the store as a send job uses it.
type ledger struct{ store *db.Store }

func (l ledger) Begin(ctx context.Context, a db.Attempt) (db.Start, error) {
	starts, err := l.store.Begin(ctx, []db.Attempt{a})
	if err != nil {
		return db.Start{}, err
	}
	return starts[0], nil
}

func (l ledger) Finish(ctx context.Context, f db.Finish) (db.Finished, error) {
	finished, err := l.store.Finish(ctx, []db.Finish{f}, true)
	if err != nil {
		return db.Finished{}, err
	}
	return finished[0], nil
}

// counter is a gateway that takes everything and counts.
type counter struct{ calls atomic.Int64 }

func (c *counter) Send(context.Context, gateway.Message) gateway.Outcome {
	return gateway.Outcome{Class: gateway.Accepted, MessageID: fmt.Sprint("gw-", c.calls.Add(1))}
}

// everything is a guard that allows everything.
type everything struct{}

func (everything) Allow(string, int, time.Duration) bool { return true }
func (everything) Return(string)                         {}

// TestRiverCannotSendTwice: a completed send job that is retried, and one that is deleted, on River's own pages sends
// nothing more: the send ledger knows that it was made.
func TestRiverCannotSendTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t, withRiver(true))
	sent := &counter{}
	workers := river.NewWorkers()
	river.AddWorker(workers, jobs.NewSendWorker(ledger{r.store}, sent, everything{}, time.Minute, slog.New(slog.DiscardHandler), time.Now))
	client, err := river.NewClient(riverpgxv5.New(r.pool), &river.Config{
		Schema: db.RiverSchema, Logger: slog.New(slog.DiscardHandler), Workers: workers, FetchPollInterval: 100 * time.Millisecond,
		Queues: map[string]river.QueueConfig{jobs.QueueSend: {MaxWorkers: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.take("creator-7", "wf-1", "fan-1", "")
	if err := client.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.StopAndCancel(context.WithoutCancel(t.Context())) })
	var job struct {
		id, attempts int64
		state        string
	}
	completed := func(attempts int64) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if err := r.pool.QueryRow(t.Context(), `SELECT id, attempt, state::text FROM river.river_job WHERE kind = 'send'`).Scan(&job.id, &job.attempts, &job.state); err != nil {
				t.Fatal(err)
			}
			if job.state == "completed" && job.attempts >= attempts {
				return
			}
		}
		t.Fatalf("the job is %s after %d attempts", job.state, job.attempts)
	}
	completed(1)
	if n := sent.calls.Load(); n != 1 || r.stage("wf-1") != workflow.StageSent {
		t.Fatalf("%d calls, stage %s", n, r.stage("wf-1"))
	}
	admin := r.login(adminKey)
	ids, err := json.Marshal(map[string][]string{"ids": {fmt.Sprint(job.id)}})
	if err != nil {
		t.Fatal(err)
	}
	admin.postJSON("/river/api/jobs/retry", string(ids), "same-origin").wants(t, http.StatusOK)
	completed(2)
	if n := sent.calls.Load(); n != 1 {
		t.Errorf("%d calls after the job was retried", n)
	}
	admin.postJSON("/river/api/jobs/delete", string(ids), "same-origin").wants(t, http.StatusOK)
	r.database.AdvanceClock(t, time.Hour)
	for range 2 {
		if _, err := r.store.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.store.Release(t.Context(), []db.Release{{UserID: "creator-7"}}); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := r.pool.QueryRow(t.Context(), `SELECT count(*) FROM river.river_job WHERE kind = 'send'`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if n := sent.calls.Load(); n != 1 || left != 0 || r.stage("wf-1") != workflow.StageSent {
		t.Errorf("after the job was deleted: %d calls, %d send jobs, stage %s", n, left, r.stage("wf-1"))
	}
}
