package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/huntaze/hybrid-orchestrator/internal/limit"
	"github.com/huntaze/hybrid-orchestrator/internal/readiness"
	"github.com/huntaze/hybrid-orchestrator/worker"
)

func get(t *testing.T, address, path string) (int, string) {
	t.Helper()
	response, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return response.StatusCode, string(body)
}

// elsewhere connects to the server's own database, from where the test's can be cut off.
func (r *rig) elsewhere(t *testing.T) *pgxpool.Pool {
	t.Helper()
	address, err := url.Parse(r.db.URL)
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/postgres"
	pool, err := pgxpool.New(t.Context(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func TestProbes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w, err := worker.New(t.Context(), r.config(t, "probed"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	r.eventually(t, 20*time.Second, "ready", func() bool {
		status, _ := get(t, w.AdminAddr(), "/readyz")
		return status == http.StatusOK
	})
	if status, body := get(t, w.AdminAddr(), "/livez"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("livez: %d %q", status, body)
	}
	if status, body := get(t, w.AdminAddr(), "/metrics"); status != http.StatusOK || !strings.Contains(body, "huntaze_limiter_bypass 0") {
		t.Errorf("metrics: %d %q", status, body)
	}
	// Liveness must not depend on the queue or the database; readiness says which part is missing.
	if err := r.sqs.Close(); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, 20*time.Second, "not ready without a queue", func() bool {
		status, body := get(t, w.AdminAddr(), "/readyz")
		got := reasons(t, body)
		return status == http.StatusServiceUnavailable && len(got) == 1 && got["queue"] == "can't receive from "+queueName
	})
	if status, _ := get(t, w.AdminAddr(), "/livez"); status != http.StatusOK {
		t.Errorf("livez without a queue: %d", status)
	}
	admin := r.elsewhere(t)
	if _, err := admin.Exec(t.Context(), `ALTER DATABASE "`+r.db.Name+`" ALLOW_CONNECTIONS false`); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, r.db.Name); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, 20*time.Second, "not ready without a database", func() bool {
		status, body := get(t, w.AdminAddr(), "/readyz")
		return status == http.StatusServiceUnavailable && reasons(t, body)["database"] == "does not answer"
	})
	_, body := get(t, w.AdminAddr(), "/readyz")
	if got := reasons(t, body); got["process"] != "" || got["schema"] != "" || got["queue"] == "" {
		t.Errorf("without a queue and a database: %v", got)
	}
	if status, body := get(t, w.AdminAddr(), "/metrics"); status != http.StatusOK || !strings.Contains(body, `huntaze_ready{part="database"} 0`) || !strings.Contains(body, `huntaze_ready{part="process"} 1`) {
		t.Errorf("metrics without a database: %d %q", status, body)
	}
	if status, _ := get(t, w.AdminAddr(), "/livez"); status != http.StatusOK {
		t.Errorf("livez without a database: %d", status)
	}
	if _, err := admin.Exec(t.Context(), `ALTER DATABASE "`+r.db.Name+`" ALLOW_CONNECTIONS true`); err != nil {
		t.Fatal(err)
	}
}

// reasons are those of the parts that are not ready.
func reasons(t *testing.T, body string) map[string]string {
	t.Helper()
	var report readiness.Report
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for name, state := range report.Parts {
		if !state.Ready {
			if found[name] = state.Reason; state.Since == nil {
				t.Errorf("%s is not ready since nobody knows when", name)
			}
		}
	}
	return found
}

// lockedBuffer collects log lines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestOtherLimitInTheEnvironmentWarns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start(t, r.config(t, "first"))
	r.eventually(t, 20*time.Second, "limits seeded", func() bool {
		var n int
		if err := r.pool.QueryRow(t.Context(), `SELECT count(*) FROM limit_policies`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 2
	})
	var logged lockedBuffer
	other := r.config(t, "second")
	other.Account = limit.Rules{{Capacity: 500, Window: time.Minute}}
	other.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	r.start(t, other)
	r.eventually(t, 20*time.Second, "a warning", func() bool {
		return strings.Contains(logged.String(), "RATE_LIMIT_ACCOUNT") && strings.Contains(logged.String(), "database=10/60s")
	})
	for n := range 20 {
		r.put(t, message("creator", n))
	}
	r.eventually(t, 20*time.Second, "the database's limit used up", func() bool { return r.stages(t)["sent"] == 10 })
	if accepted := r.gateway.Stats().Accepted; accepted != 10 {
		t.Errorf("%d messages went out where the database allows 10", accepted)
	}
}

func TestStopLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	config := r.config(t, "stopping")
	config.Account = limit.Rules{}
	config.Recipient = limit.Rules{}
	stop := r.start(t, config)
	for n := range 60 {
		r.put(t, message("creator", n))
	}
	r.eventually(t, 20*time.Second, "some sends", func() bool { return r.gateway.Stats().Accepted > 10 })
	stop()
	var running, open int
	if err := r.pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE state = 'running') FROM river.river_job`).Scan(&running); err != nil {
		t.Fatal(err)
	}
	if err := r.pool.QueryRow(t.Context(), `SELECT count(*) FROM send_attempts WHERE state IN ('in_flight', 'unknown')`).Scan(&open); err != nil {
		t.Fatal(err)
	}
	if running != 0 || open != 0 {
		t.Errorf("after the stop %d jobs run and %d attempts are open", running, open)
	}
	config.Name = "next"
	r.start(t, config)
	r.eventually(t, 30*time.Second, "the rest", func() bool { return r.stages(t)["sent"] == 60 })
	if repeated := r.gateway.Stats().Repeated; repeated != 0 {
		t.Errorf("%d messages were sent twice", repeated)
	}
}
